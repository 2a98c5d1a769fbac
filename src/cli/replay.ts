/**
 * Replays golden cases: a safetensors file with inputs, attributes and expected outputs of one operation.
 *
 * @module
 */
import { UnsupportedError } from '../errors.ts';
import { OPS, type OpEntry } from '../ops/registry.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { readSafetensors, type SafetensorsTensor, tensorValues } from '../safetensors.ts';
import type { Tensor } from '../tensor.ts';

/** What a replayed case gave. */
export interface CaseResult {
  readonly op: string;
  readonly passed: boolean;
  /** Largest |got - want| over all outputs; NaN where an output could not be compared. */
  readonly error: number;
  readonly milliseconds: number;
  /** Why it failed; empty if it passed. */
  readonly reason: string;
  /** Whether it failed because the runtime's backend does not have the operation. */
  readonly absent: boolean;
}

/** GPUs may be off by more than the last bits in exponentials and divisions. */
const GPU_RTOL = 1e-3;

/** fla's snake_case as the API's camelCase: `initial_state` -> `initialState`, `lambda_` -> `lambda`. */
export function camelCase(name: string): string {
  return name.replace(/_+$/, '').replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** A tensor of a file in the type that the runtime stores: wide integers and floats are narrowed. */
function load(rt: Runtime, { dtype, shape, ...rest }: SafetensorsTensor): Tensor {
  const tensor = { dtype, shape, ...rest };
  switch (dtype) {
    case 'F32':
      return rt.tensor(tensor.data as Float32Array, shape);
    case 'F16':
      return rt.tensor(tensor.data as Uint16Array, shape, 'f16');
    case 'BF16':
      return rt.tensor(tensor.data as Uint16Array, shape, 'bf16');
    case 'I8':
      return rt.tensor(tensor.data as Int8Array, shape);
    case 'BOOL':
    case 'U8':
      return rt.tensor(tensor.data as Uint8Array, shape);
    case 'F64':
      return rt.tensor(Float32Array.from(tensorValues(tensor)), shape);
    default:
      return rt.tensor(Int32Array.from(tensorValues(tensor)), shape);
  }
}

/** Largest deviation of an output, and why it is not the expected one (empty if it is). */
async function compare(
  name: string,
  want: SafetensorsTensor,
  got: Tensor | undefined,
  rtol: number,
  atol: number,
): Promise<{ error: number; reason: string }> {
  if (!got) return { error: Number.NaN, reason: `no output '${name}'` };
  if (got.shape.join() !== want.shape.join()) {
    return { error: Number.NaN, reason: `${name} has shape [${got.shape}], expected [${want.shape}]` };
  }
  const expected = tensorValues(want);
  const values = await got.data();
  let largest = 0;
  for (const x of expected) if (Number.isFinite(x)) largest = Math.max(largest, Math.abs(x));
  const allowed = atol + rtol * largest;
  let error = 0;
  let reason = '';
  for (let i = 0; i < expected.length; ++i) {
    if (values[i] === expected[i]) continue;
    const difference = Math.abs(values[i]! - expected[i]!);
    if (!(difference <= error)) error = difference;
    if (!(difference <= allowed) && reason === '') {
      reason = `${name}[${i}] is ${values[i]}, expected ${expected[i]} within ${allowed.toExponential(2)}`;
    }
  }
  return { error, reason };
}

/**
 * Replays one case and compares every output: |got - want| <= atol + rtol * max|want|.
 *
 * An unknown operation, attribute or output, and an error that the operation throws, count as a failure that says so.
 */
export async function replay(rt: Runtime, bytes: Uint8Array, ops: readonly OpEntry[] = OPS): Promise<CaseResult> {
  const { tensors, metadata } = readSafetensors(bytes);
  const op = metadata.get('op') ?? '';
  const onnx = op.startsWith('onnx:');
  const rename = onnx ? (name: string) => name : camelCase;
  const failure = (reason: string, absent = false): CaseResult => {
    return { op, passed: false, error: Number.NaN, milliseconds: 0, reason, absent };
  };
  const entry = ops.find(({ name }) => name === rename(op));
  if (!entry) return failure(`unknown operation '${op}'`);
  const attributes = JSON.parse(metadata.get('attrs') ?? '{}') as Record<string, unknown>;
  const options = Object.fromEntries(Object.entries(attributes).map(([name, value]) => [rename(name), value]));
  for (const name of Object.keys(options)) {
    if (!entry.attributes.includes(name)) return failure(`unknown attribute '${name}' of ${entry.name}`);
  }
  const atol = Number(metadata.get('atol') ?? 1e-5);
  const rtol = Math.max(Number(metadata.get('rtol') ?? 1e-4), rt.backend === 'webgpu' ? GPU_RTOL : 0);
  try {
    return await rt.scope(async () => {
      const inputs: Record<string, Tensor> = {};
      for (const [name, tensor] of tensors)
        if (name.startsWith('in.')) inputs[rename(name.slice(3))] = load(rt, tensor);
      const start = performance.now();
      const outputs = await entry.run(inputs, options);
      const milliseconds = performance.now() - start;
      let error = 0;
      let reason = '';
      for (const [name, want] of tensors) {
        if (!name.startsWith('out.')) continue;
        const result = await compare(name.slice(4), want, outputs[rename(name.slice(4))], rtol, atol);
        error = Math.max(error, result.error);
        reason ||= result.reason;
      }
      return { op, passed: reason === '', error, milliseconds, reason, absent: false };
    });
  } catch (error) {
    const absent = error instanceof UnsupportedError && rt.backend === 'webgpu';
    return failure(`${(error as Error).name}: ${(error as Error).message}`, absent);
  }
}

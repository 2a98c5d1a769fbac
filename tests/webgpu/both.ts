/**
 * The same call on WebAssembly and on a GPU: what the first gives is what the second must give.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { createRuntime, type GpuRuntime, type Runtime, Tensor, type WasmRuntime } from '../../src/index.ts';
import { testGpu } from './dawn.ts';

/** A runtime of each kind. */
export interface Both {
  readonly wasm: WasmRuntime;
  readonly gpu: GpuRuntime;
}

let both: Promise<Both> | undefined;

/** The two runtimes that all tests of a file share. */
export function bothRuntimes(): Promise<Both> {
  both ??= (async () => ({
    wasm: await createRuntime({ threads: 1 }),
    gpu: await createRuntime({ backend: 'webgpu', gpu: await testGpu() }),
  }))();
  return both;
}

/** Tensors by name, a tensor, or nothing. */
type Results = Readonly<Record<string, Tensor | undefined>>;

/** Largest |got - want| over what is finite, as a share of the largest |want|; infinities and NaN must be the same. */
function deviation(name: string, got: ArrayLike<number>, want: ArrayLike<number>): number {
  assert.equal(got.length, want.length, `${name} has ${got.length} elements, expected ${want.length}`);
  let largest = 0;
  for (let i = 0; i < want.length; ++i) if (Number.isFinite(want[i]!)) largest = Math.max(largest, Math.abs(want[i]!));
  let most = 0;
  for (let i = 0; i < want.length; ++i) {
    if (Object.is(got[i], want[i])) continue;
    const difference = Math.abs(got[i]! - want[i]!);
    if (got[i] === want[i]) continue;
    assert.ok(Number.isFinite(difference), `${name}[${i}] is ${got[i]}, expected ${want[i]}`);
    most = Math.max(most, difference / (largest + 1e-2));
  }
  return most;
}

/**
 * Runs a call on both, on memory that was filled with NaN, and compares all results.
 *
 * @param make the call's operands; the same numbers each time.
 * @param tolerance of the largest magnitude of each result.
 */
export async function sameOnBoth<I>(
  make: (rt: Runtime) => I,
  call: (operands: I) => Promise<object>,
  tolerance = 1e-3,
): Promise<void> {
  const { wasm, gpu } = await bothRuntimes();
  const read = async (rt: Runtime) => {
    return rt.scope(async () => {
      const operands = make(rt);
      rt.poison();
      const results = (await call(operands)) as Results;
      const values = new Map<string, ArrayLike<number>>();
      for (const [name, tensor] of Object.entries(results)) {
        if (tensor instanceof Tensor) values.set(name, await tensor.data());
      }
      return values;
    });
  };
  const want = await read(wasm);
  const got = await read(gpu);
  assert.deepEqual([...got.keys()], [...want.keys()]);
  for (const [name, values] of want) {
    const most = deviation(name, got.get(name)!, values);
    assert.ok(most <= tolerance, `${name} is off by ${most.toExponential(2)} of its largest magnitude`);
  }
}

/**
 * Programs: what a call will do, laid out before any of it is done.
 *
 * @module
 */
import { DisposedError, HostAccessError, RuntimeMismatchError } from '../errors.ts';
import { type Block, bytesOf, contiguousStrides, type DType, sizeOf, Tensor } from '../tensor.ts';
import type { Dispatch, Runtime } from './runtime.ts';
import type { Workspace } from './workspace.ts';

/** Collects the outputs, temporaries and dispatches of a call. */
export class Builder {
  readonly runtime: Runtime;
  readonly dispatches: Dispatch[] = [];
  /** Sentences for `explain`: which way was chosen, and why. */
  readonly notes: (() => string)[] = [];
  readonly #outputs: Tensor[] = [];
  readonly #temporaries: Tensor[] = [];
  readonly #blocks: number[] = [];
  readonly #held: object[] = [];
  /** Temporaries whose memory later ones may take, and those of the work under `reusing`. */
  readonly #spare: Tensor[] = [];
  #lent: Tensor[] | undefined;
  readonly #workspace: Workspace | undefined;

  /** @param workspace where temporaries lie, instead of blocks of their own. */
  constructor(runtime: Runtime, workspace?: Workspace) {
    this.runtime = runtime;
    this.#workspace = workspace;
  }

  /** A tensor that the call returns. */
  output(shape: readonly number[], dtype: DType = 'f32'): Tensor {
    const tensor = this.runtime.empty(shape, dtype);
    this.#outputs.push(tensor);
    return tensor;
  }

  /** A tensor that ends with the call. */
  temporary(shape: readonly number[], dtype: DType = 'f32'): Tensor {
    const bytes = sizeOf(shape) * bytesOf(dtype);
    const roomy = (x: Tensor) => x.size * bytesOf(x.dtype) >= bytes;
    const found = this.#lent ? this.#spare.findIndex(roomy) : -1;
    const tensor = found < 0 ? this.#fresh(shape, dtype) : this.#spare.splice(found, 1)[0]!;
    this.#lent?.push(tensor);
    if (found < 0) return tensor;
    return new Tensor(this.runtime, dtype, shape, contiguousStrides(shape), tensor.block, 0);
  }

  /**
   * Lays out work whose temporaries nothing else needs: the next work under `reusing` takes their memory, since dispatches run in
   * order. Such temporaries cannot become results.
   */
  reusing<R>(work: () => R): R {
    this.#lent = [];
    try {
      return work();
    } finally {
      this.#spare.push(...this.#lent);
      this.#lent = undefined;
    }
  }

  /** A temporary of i32 with these numbers. */
  constant(words: Int32Array, shape: readonly number[]): Tensor {
    const tensor = this.#fresh(shape, 'i32');
    this.runtime.write(tensor.address, words);
    return tensor;
  }

  /** Takes tensors out of the results: they end with the call. */
  drop(...tensors: Tensor[]): void {
    for (const tensor of tensors) {
      this.#outputs.splice(this.#outputs.indexOf(tensor), 1);
      this.#temporaries.push(tensor);
    }
  }

  /** Makes a temporary a result. */
  keep(tensor: Tensor): Tensor {
    if (!this.#workspace?.surrender(tensor.block)) this.#temporaries.splice(this.#temporaries.indexOf(tensor), 1);
    this.#outputs.push(tensor);
    return tensor;
  }

  /** Address of a copy of `words` that ends with the call. */
  table(words: Int32Array): number {
    const at = this.#workspace?.lend(words.byteLength).at ?? this.runtime.allocate(words.byteLength);
    if (!this.#workspace) this.#blocks.push(at);
    this.runtime.write(at, words);
    return at;
  }

  dispatch(dispatch: Dispatch): void {
    if (dispatch.items > 0) this.dispatches.push(dispatch);
  }

  note(text: () => string): void {
    this.notes.push(text);
  }

  /** Keeps what frees memory when it is collected until the call has ended. */
  hold(object: object): void {
    this.#held.push(object);
  }

  /** Whether the call only writes to tensors that were there before it. */
  get inPlace(): boolean {
    return this.#outputs.length === 0 && this.#temporaries.length === 0 && this.#blocks.length === 0;
  }

  /** Frees what the call does not return. */
  finish(): void {
    for (const tensor of this.#temporaries) if (!tensor.disposed) tensor.dispose();
    for (const at of this.#blocks) this.runtime.release(at);
    this.#workspace?.collect();
    this.#held.length = 0;
  }

  /** Frees everything, outputs too. */
  abandon(): void {
    this.finish();
    for (const tensor of this.#outputs) if (!tensor.disposed) tensor.dispose();
  }

  /** A tensor that ends with the call, in memory that no other has. */
  #fresh(shape: readonly number[], dtype: DType): Tensor {
    if (this.#workspace) {
      const block = this.#workspace.lend(sizeOf(shape) * bytesOf(dtype));
      return new Tensor(this.runtime, dtype, [...shape], contiguousStrides(shape), block, 0);
    }
    const tensor = this.runtime.empty(shape, dtype);
    this.#temporaries.push(tensor);
    return tensor;
  }
}

/** Tensors and missing tensors by input name. */
export type Inputs = Readonly<Record<string, Tensor | undefined>>;

/**
 * The runtime that all inputs share.
 *
 * @throws RuntimeMismatchError if they do not share one.
 * @throws DisposedError if one was disposed.
 */
export function runtimeOf(op: string, inputs: object): Runtime {
  let first: { name: string; runtime: Runtime } | undefined;
  for (const [name, value] of Object.entries(inputs)) {
    if (!(value instanceof Tensor)) continue;
    if (value.disposed) {
      throw new DisposedError(
        `${op}: ${name} (shape [${value.shape}]) was disposed. Keep it alive until the call has ended.`,
      );
    }
    if (first && value.runtime !== first.runtime) {
      throw new RuntimeMismatchError(
        `${op}: ${first.name} and ${name} belong to two runtimes. Copy one over: rtA.tensor(await ${name}.data(), ${name}.shape).`,
      );
    }
    first ??= { name, runtime: value.runtime };
  }
  if (!first)
    throw new RuntimeMismatchError(`${op}: no input is a tensor. Make tensors with rt.tensor() or rt.empty().`);
  return first.runtime;
}

/** Lays out a call; on an error nothing that it allocated stays. */
function layOut<R>(
  op: string,
  inputs: object,
  build: (b: Builder) => R,
  workspace?: Workspace,
): { builder: Builder; result: R } {
  const builder = new Builder(runtimeOf(op, inputs), workspace);
  try {
    return { builder, result: build(builder) };
  } catch (error) {
    builder.abandon();
    throw error;
  }
}

/**
 * Lays out a call that has asked for elements of tensors on a GPU: they are fetched, and kept until the layout is done, since a
 * kernel may write what lies on the device.
 */
async function layOutReading<Laid>(layOutAgain: () => Laid, asked: unknown): Promise<Laid> {
  const fetched: Block[] = [];
  try {
    for (let error = asked; ; ) {
      if (!(error instanceof HostAccessError && error.tensor instanceof Tensor)) throw error;
      const { block, runtime, address, span, dtype } = error.tensor;
      // what the program itself is to compute is not there yet
      if (block.disposed) throw error;
      const bytes = address - block.at + span * bytesOf(dtype);
      const { buffer, at } = await runtime.readBack(block.at, bytes);
      block.host = new Uint8Array(buffer.slice(at, at + bytes));
      fetched.push(block);
      try {
        return layOutAgain();
      } catch (next) {
        error = next;
      }
    }
  } finally {
    for (const block of fetched) block.host = undefined;
  }
}

/** Lays out a call and runs it; the event loop gets its turns. Calls with the same workspace must wait for each other. */
export async function run<R>(op: string, inputs: object, build: (b: Builder) => R, workspace?: Workspace): Promise<R> {
  const attempt = () => layOut(op, inputs, build, workspace);
  let laid: ReturnType<typeof attempt>;
  try {
    // in this turn wherever it can be: until the call runs, the caller might dispose its tensors
    laid = attempt();
  } catch (error) {
    laid = await layOutReading(attempt, error);
  }
  const { builder, result } = laid;
  try {
    await builder.runtime.run(builder.dispatches);
  } catch (error) {
    builder.abandon();
    throw error;
  }
  builder.finish();
  return result;
}

/** Lays out a call and runs it to the end. */
export function runSync<R>(op: string, inputs: object, build: (b: Builder) => R, workspace?: Workspace): R {
  const { builder, result } = layOut(op, inputs, build, workspace);
  try {
    builder.runtime.runSync(builder.dispatches);
  } catch (error) {
    builder.abandon();
    throw error;
  }
  builder.finish();
  return result;
}

/** Lays out a call, runs only the dispatches of kernels that are `wanted`, in their order, and frees everything. */
export async function runPart(
  op: string,
  inputs: object,
  build: (b: Builder) => unknown,
  wanted: (kernel: string) => boolean,
): Promise<void> {
  const { builder } = layOut(op, inputs, build);
  try {
    await builder.runtime.run(builder.dispatches.filter(({ kernel }) => wanted(kernel)));
  } finally {
    builder.abandon();
  }
}

/** What a call would do. */
export interface Explanation {
  readonly backend: 'wasm' | 'webgpu';
  readonly variant: string;
  readonly steps: readonly {
    readonly kernel: string;
    readonly items: number;
    readonly threads: number;
    readonly flops: number;
  }[];
  readonly flops: number;
  readonly notes: readonly string[];
}

/** Lays out a call, reports it and frees everything. */
export function explainProgram(op: string, inputs: object, build: (b: Builder) => unknown): Explanation {
  const { builder } = layOut(op, inputs, build);
  const rt = builder.runtime;
  const info = rt.info();
  const steps = builder.dispatches.map((dispatch) => ({
    kernel: dispatch.kernel,
    items: dispatch.items,
    threads: rt.threadsFor(dispatch),
    flops: dispatch.flops,
  }));
  builder.abandon();
  return {
    backend: rt.backend,
    variant: rt.variant,
    steps,
    flops: steps.reduce((sum, step) => sum + step.flops, 0),
    notes: [
      ...builder.notes.map((note) => note()),
      ...(info.backend === 'wasm'
        ? [
            ...(info.backendReason === 'the default' ? [] : [`backend 'wasm': ${info.backendReason}`]),
            `variant '${info.variant}': ${info.variantReason}`,
            `${info.threads} threads: ${info.threadsReason}`,
          ]
        : [`backend 'webgpu' on ${info.gpu.description || info.gpu.vendor}: ${info.backendReason}`]),
    ],
  };
}

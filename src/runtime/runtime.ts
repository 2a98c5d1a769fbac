/**
 * A runtime: one arena, one build of the kernels, and the threads that run them.
 *
 * @module
 */
import { BusyError, DisposedError, DTypeError, KernelTrapError, OptionError, ShapeError } from '../errors.ts';
import { KERNELS, type Kernel, type ScratchMeasure } from '../generated/kernels.ts';
import { ProbeParams } from '../generated/params.ts';
import {
  type Block,
  bytesOf,
  contiguousStrides,
  type DType,
  sizeOf,
  Tensor,
  type TensorData,
  viewOf,
} from '../tensor.ts';
import type { Arena, MemoryReport } from './arena.ts';
import { CONTROL, MEASURE, MEASURE_ROOM, PARAMS, PARAMS_BYTES } from './control.ts';
import type { Host } from './features.ts';
import { storeAs } from './narrow.ts';
import { encode } from './params.ts';
import type { Pool } from './pool.ts';
import type { Build, KernelFunction, Variant } from './variant.ts';

/** What this device supports and what a runtime uses. */
export interface RuntimeInfo {
  readonly backend: 'wasm';
  readonly build: Build;
  readonly variant: Variant;
  /** Why this variant. */
  readonly variantReason: string;
  readonly threads: number;
  /** Why this number of threads. */
  readonly threadsReason: string;
  readonly host: Host;
  readonly memory: MemoryReport;
}

/** One kernel call over a list of independent items. */
export interface Dispatch {
  readonly kernel: Kernel;
  /** Encoded params. */
  readonly params: Int32Array;
  readonly items: number;
  /** Items that a thread takes at a time. */
  readonly grain?: number;
  /** Bytes of scratch of each thread. */
  readonly scratchBytes?: number;
  /** Floating-point operations of all items: decides whether threads pay. */
  readonly flops: number;
}

/** Below this many operations a dispatch is over before a sleeping worker has woken. */
const THREADING_FLOPS = 4e6;
/** The async form gives the event loop a turn this often. */
const YIELD_MS = 12;
/** A first dispatch that will take longer than this many operations waits for the workers to start. */
const STARTUP_FLOPS = 1e9;

/** Holds tensors and runs operations. Made by `createRuntime`. */
export class Runtime {
  readonly variant: Variant;
  /** @internal Whether the relaxed dot product of 8-bit integers is there and right. */
  readonly relaxedDot: boolean;
  /** @internal Whether it also is one instruction, and so faster than products of 16-bit integers. */
  readonly singleDot: boolean;
  readonly #arena: Arena;
  readonly #kernels: Record<string, KernelFunction>;
  #words: Int32Array;
  #inFlight = false;
  readonly #pool: Pool | undefined;
  readonly #host: Host;
  readonly #build: Build;
  readonly #variantReason: string;
  readonly #threadsReason: string;
  readonly #scopes: Set<Tensor>[] = [];
  #scratch = { at: 0, bytes: 0 };
  #queue: Promise<void> = Promise.resolve();
  #disposed = false;

  /** Runtimes are made by `createRuntime`. */
  constructor(parts: {
    arena: Arena;
    kernels: Record<string, KernelFunction>;
    pool: Pool | undefined;
    host: Host;
    build: Build;
    variant: Variant;
    relaxedDot: boolean;
    singleDot: boolean;
    variantReason: string;
    threadsReason: string;
    threads: number;
  }) {
    this.variant = parts.variant;
    this.relaxedDot = parts.relaxedDot;
    this.singleDot = parts.singleDot;
    this.threads = parts.threads;
    this.#arena = parts.arena;
    this.#kernels = parts.kernels;
    this.#pool = parts.pool;
    this.#host = parts.host;
    this.#build = parts.build;
    this.#variantReason = parts.variantReason;
    this.#threadsReason = parts.threadsReason;
    this.#words = new Int32Array(parts.arena.memory.buffer, 0, 512);
  }

  /** Threads that large calls use, the calling one counted. */
  readonly threads: number;

  get disposed(): boolean {
    return this.#disposed;
  }

  /** The live memory; its identity changes when it grows. */
  get buffer(): ArrayBufferLike {
    return this.#arena.memory.buffer;
  }

  /**
   * A tensor with a copy of `data`. float data may be stored as f32, f16 or bf16; the default type follows the array.
   *
   * @throws ShapeError if the shape does not hold exactly the data.
   * @throws DTypeError if the data cannot be stored as `dtype`.
   * @throws MemoryLimitError if it does not fit.
   * @example const q = rt.tensor(new Float32Array(2 * 4), [1, 2, 1, 4])
   */
  tensor(data: TensorData, shape: readonly number[], dtype?: DType): Tensor {
    if (data.length !== sizeOf(shape)) {
      throw new ShapeError(`${data.length} elements were given for shape [${shape}], which holds ${sizeOf(shape)}`);
    }
    // a view of this runtime's memory detaches when the new tensor makes it grow
    if (ArrayBuffer.isView(data) && data.buffer === this.buffer) data = data.slice();
    const tensor = this.empty(shape, dtype ?? defaultType(data));
    try {
      storeAs(data, tensor.dtype, viewOf(this.buffer, tensor.dtype, tensor.address, tensor.size));
    } catch (error) {
      tensor.dispose();
      throw error;
    }
    return tensor;
  }

  /**
   * A tensor whose elements are arbitrary until written.
   *
   * @throws ShapeError if a length is not a whole number >= 0.
   * @throws MemoryLimitError if it does not fit.
   */
  empty(shape: readonly number[], dtype: DType = 'f32'): Tensor {
    this.#check();
    if (bytesOf(dtype) === undefined) {
      throw new DTypeError(`'${dtype}' is not an element type: expected f32, f16, bf16, i8, i32 or u8`);
    }
    if (shape.some((n) => !Number.isInteger(n) || n < 0)) {
      throw new ShapeError(`[${shape}] is not a shape: every length must be a whole number >= 0`);
    }
    const block: Block = { at: this.#arena.allocate(sizeOf(shape) * bytesOf(dtype)), disposed: false };
    const tensor = new Tensor(this, dtype, [...shape], contiguousStrides(shape), block, 0);
    this.#scopes.at(-1)?.add(tensor);
    return tensor;
  }

  /** A tensor of zeros. @throws as `empty`. */
  zeros(shape: readonly number[], dtype: DType = 'f32'): Tensor {
    const tensor = this.empty(shape, dtype);
    viewOf(this.buffer, dtype, tensor.address, tensor.size).fill(0);
    return tensor;
  }

  /**
   * Runs `body` and disposes every tensor made in it, but those in its result (a tensor or view, or an object or array of
   * them).
   * `body` may be async; scopes nest, but must not overlap in time.
   *
   * @example const { o } = await rt.scope(async () => attention({ q, k: (await rope({ x })).o, v }))
   */
  scope<R>(body: () => R): R {
    const made = new Set<Tensor>();
    this.#scopes.push(made);
    const close = (result: unknown, failed: boolean) => {
      this.#scopes.splice(this.#scopes.lastIndexOf(made), 1);
      const kept = failed ? new Set<Block>() : blocksIn(result);
      for (const tensor of made) {
        if (kept.has(tensor.block)) this.#scopes.at(-1)?.add(tensor);
        else if (!tensor.disposed) tensor.dispose();
      }
    };
    let result: R;
    try {
      result = body();
    } catch (error) {
      close(undefined, true);
      throw error;
    }
    if (result instanceof Promise) {
      return result.then(
        (value) => {
          close(value, false);
          return value;
        },
        (error) => {
          close(undefined, true);
          throw error;
        },
      ) as R;
    }
    close(result, false);
    return result;
  }

  /** Exact memory figures, in bytes. */
  memory(): MemoryReport {
    return this.#arena.report();
  }

  /** What this device supports and what is used, with reasons. */
  info(): RuntimeInfo {
    const failure = this.#pool?.failure ?? '';
    return {
      backend: 'wasm',
      build: this.#build,
      variant: this.variant,
      variantReason: this.#variantReason,
      threads: failure === '' ? this.threads : 1,
      threadsReason: failure === '' ? this.#threadsReason : failure,
      host: this.#host,
      memory: this.memory(),
    };
  }

  /** Waits until the workers run, so that the first large call has them; without workers it returns at once. */
  async ready(): Promise<void> {
    await this.#pool?.ready(5000);
  }

  /** For tests: fills all memory that no tensor holds with NaN bytes. */
  poison(): void {
    this.#arena.poison();
    if (this.#scratch.bytes > 0)
      new Uint8Array(this.buffer).fill(0xff, this.#scratch.at, this.#scratch.at + this.#scratch.bytes);
  }

  /**
   * Measures the device on the calling thread: 'fma' in GFLOP/s, 'read' in GB/s over `amount` bytes.
   *
   * @param amount milliseconds for 'fma', bytes for 'read'.
   */
  probe(what: 'fma' | 'read', amount: number): number {
    this.#check();
    if (what === 'fma') {
      const steps = 10000;
      const params = encode(ProbeParams, { steps });
      let best = 0;
      for (const end = performance.now() + amount; performance.now() < end; ) {
        const start = performance.now();
        this.runSync({ kernel: 'probeFma', params, items: 10, scratchBytes: 64, flops: 0 });
        best = Math.max(best, (10 * steps * 96) / (performance.now() - start) / 1e6);
      }
      return best;
    }
    const items = Math.max(1, Math.floor(amount / 4096));
    const address = this.#arena.allocate(items * 4096);
    try {
      new Uint8Array(this.buffer, address, items * 4096).fill(1);
      let best = 0;
      for (let round = 0; round < 7; ++round) {
        const params = encode(ProbeParams, { address });
        const start = performance.now();
        this.runSync({ kernel: 'probeRead', params, items, grain: items, scratchBytes: 64, flops: 0 });
        best = Math.max(best, (items * 4096) / (performance.now() - start) / 1e6);
      }
      return best;
    } finally {
      this.#arena.release(address);
    }
  }

  /** Frees all memory and ends the workers. Tensors of the runtime end with it. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#pool?.stop();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal A block of memory that is not a tensor. */
  allocate(bytes: number): number {
    this.#check();
    return this.#arena.allocate(bytes);
  }

  /** @internal Gives a block back. */
  release(at: number, tensor?: Tensor): void {
    if (tensor) for (const scope of this.#scopes) scope.delete(tensor);
    if (!this.#disposed) this.#arena.release(at);
  }

  /** @internal Bytes of scratch that a kernel wants for these params. */
  scratchBytes(measure: ScratchMeasure, params: Int32Array): number {
    this.#control().set(params, MEASURE / 4);
    return (this.#kernels[measure] as unknown as (params: number, scratch: number) => number)(MEASURE, MEASURE_ROOM);
  }

  /** @internal Threads that a dispatch would use. */
  threadsFor(dispatch: Dispatch): number {
    const usable = this.#pool?.failure === '';
    if (!usable || dispatch.flops < THREADING_FLOPS) return 1;
    return Math.min(this.threads, Math.ceil(dispatch.items / (dispatch.grain ?? 1)));
  }

  /** @internal Runs a dispatch on the calling thread and the workers that are ready. */
  runSync(dispatch: Dispatch): void {
    if (this.#inFlight) {
      throw new BusyError(
        'a synchronous call was made while an asynchronous call of the same runtime is in flight. Await that call first, ' +
          'or use the asynchronous form, which waits its turn.',
      );
    }
    const threads = this.#begin(dispatch);
    const pool = threads > 1 ? this.#pool : undefined;
    pool?.start();
    let taking = 0;
    try {
      if (pool) taking = pool.enlist(0, threads - 1);
      this.#take(dispatch, Number.POSITIVE_INFINITY, () => {
        if (pool && taking < threads - 1) taking = pool.enlist(taking, threads - 1);
      });
    } finally {
      try {
        pool?.waitSync(taking);
      } finally {
        this.#arena.unpin();
      }
    }
    pool?.throwTrap(dispatch.kernel);
  }

  /** @internal As `runSync`, but the event loop gets its turns; calls of one runtime wait for each other. */
  async run(dispatches: readonly Dispatch[]): Promise<void> {
    const before = this.#queue;
    let leave = () => {};
    this.#queue = new Promise((resolve) => {
      leave = resolve;
    });
    this.#arena.pin();
    try {
      await before;
      this.#inFlight = true;
      for (const dispatch of dispatches) await this.#runOne(dispatch);
    } finally {
      this.#inFlight = false;
      this.#arena.unpin();
      leave();
    }
  }

  async #runOne(dispatch: Dispatch): Promise<void> {
    if (dispatch.flops > STARTUP_FLOPS && this.threadsFor(dispatch) > 1) await this.#pool!.ready(200);
    const threads = this.#begin(dispatch);
    const pool = threads > 1 ? this.#pool : undefined;
    pool?.start();
    let taking = 0;
    const join = () => {
      if (pool && taking < threads - 1) taking = pool.enlist(taking, threads - 1);
    };
    try {
      join();
      while (!this.#take(dispatch, performance.now() + YIELD_MS, join)) await turn();
    } finally {
      try {
        await pool?.wait(taking);
      } finally {
        this.#arena.unpin();
      }
    }
    pool?.throwTrap(dispatch.kernel);
  }

  /** Publishes a dispatch; returns the number of threads it may use. */
  #begin(dispatch: Dispatch): number {
    this.#check();
    if (dispatch.params.byteLength > PARAMS_BYTES) throw new OptionError(`params of '${dispatch.kernel}' are too long`);
    const threads = this.threadsFor(dispatch);
    const stride = Math.ceil((dispatch.scratchBytes ?? 0) / 64) * 64;
    const scratch = this.#reserveScratch(stride, threads);
    const words = this.#control();
    words.set(dispatch.params, PARAMS / 4);
    words[CONTROL.items] = dispatch.items;
    words[CONTROL.grain] = dispatch.grain ?? 1;
    words[CONTROL.kernel] = KERNELS.indexOf(dispatch.kernel);
    words[CONTROL.scratch] = scratch;
    words[CONTROL.scratchStride] = stride;
    words[CONTROL.trapped] = 0;
    words[CONTROL.done] = 0;
    Atomics.store(words, CONTROL.next, 0);
    this.#arena.pin();
    return threads;
  }

  /** Takes items until none is left (true) or the deadline has passed (false). */
  #take(dispatch: Dispatch, deadline: number, between: () => void): boolean {
    const words = this.#control();
    const grain = words[CONTROL.grain]!;
    const kernel = this.#kernels[dispatch.kernel]!;
    for (;;) {
      const at = Atomics.add(words, CONTROL.next, grain);
      if (at >= dispatch.items) return true;
      try {
        kernel(PARAMS, at, Math.min(at + grain, dispatch.items), words[CONTROL.scratch]!);
      } catch (error) {
        Atomics.store(words, CONTROL.next, dispatch.items);
        throw new KernelTrapError(
          `kernel '${dispatch.kernel}' trapped: ${(error as Error).message}. The outputs of this call hold no result; ` +
            'the runtime stays usable. Please report it with the shapes and options of the call.',
        );
      }
      between();
      if (performance.now() > deadline) return false;
    }
  }

  /** Address of scratch for `threads` threads, kept for the next dispatch. */
  #reserveScratch(stride: number, threads: number): number {
    const bytes = stride * threads;
    if (bytes > this.#scratch.bytes) {
      if (this.#scratch.bytes > 0) this.#arena.release(this.#scratch.at);
      this.#scratch = { at: 0, bytes: 0 };
      this.#scratch = { at: this.#arena.allocate(bytes), bytes };
    }
    return this.#scratch.at;
  }

  /** The words below the arena; growing an unshared memory detaches the view of them. */
  #control(): Int32Array {
    if (this.#words.length === 0) this.#words = new Int32Array(this.#arena.memory.buffer, 0, 512);
    return this.#words;
  }

  #check(): void {
    if (this.#disposed) throw new DisposedError('this runtime was disposed; create another with createRuntime()');
  }
}

function defaultType(data: TensorData): DType {
  if (data instanceof Int32Array) return 'i32';
  if (data instanceof Uint8Array) return 'u8';
  if (data instanceof Int8Array) return 'i8';
  if (data instanceof Uint16Array) throw new DTypeError("16-bit data needs an explicit dtype: 'f16' or 'bf16'");
  return 'f32';
}

/** The blocks of the tensors in a result: itself, or values of an object or array. */
function blocksIn(result: unknown): Set<Block> {
  const found = new Set<Block>();
  const look = (value: unknown) => {
    if (value instanceof Tensor) found.add(value.block);
    else if (Array.isArray(value)) value.forEach(look);
    else if (value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) {
      Object.values(value).forEach(look);
    }
  };
  look(result);
  return found;
}

/** One turn of the event loop without a timer's minimum delay. scheduler.yield() would come back before any timer ran. */
function turn(): Promise<void> {
  const { setImmediate } = globalThis as { setImmediate?: (callback: () => void) => void };
  if (setImmediate) return new Promise((resolve) => setImmediate(resolve));
  if (typeof MessageChannel === 'undefined') return new Promise((resolve) => setTimeout(resolve, 0));
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}

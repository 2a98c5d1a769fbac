/**
 * The runtime on WebAssembly: one arena, one build of the kernels, and the threads that run them.
 *
 * @module
 */
import { BusyError, KernelTrapError, OptionError } from '../errors.ts';
import { KERNELS, type ScratchMeasure } from '../generated/kernels.ts';
import { ProbeParams } from '../generated/params.ts';
import { type Tensor, type TensorData, viewOf } from '../tensor.ts';
import type { MemoryReport } from './allocator.ts';
import type { Arena } from './arena.ts';
import { CONTROL, MEASURE, MEASURE_ROOM, PARAMS, PARAMS_BYTES } from './control.ts';
import type { Host } from './features.ts';
import { storeAs } from './narrow.ts';
import { encode } from './params.ts';
import type { Pool } from './pool.ts';
import { type Dispatch, type HostBytes, Runtime } from './runtime.ts';
import type { Build, KernelFunction, Variant } from './variant.ts';

/** What this device supports and what a runtime on WebAssembly uses. */
export interface WasmInfo {
  readonly backend: 'wasm';
  /** Why this backend. */
  readonly backendReason: string;
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

/** Below this many operations a dispatch is over before a sleeping worker has woken. */
const THREADING_FLOPS = 4e6;
/** The async form gives the event loop a turn this often. */
const YIELD_MS = 12;
/** A first dispatch that will take longer than this many operations waits for the workers to start. */
const STARTUP_FLOPS = 1e9;

/** A runtime whose kernels are WebAssembly. */
export class WasmRuntime extends Runtime {
  readonly backend = 'wasm';
  readonly variant: Variant;
  readonly threads: number;
  override readonly relaxedDot: boolean;
  override readonly singleDot: boolean;
  readonly #arena: Arena;
  readonly #kernels: Record<string, KernelFunction>;
  #words: Int32Array;
  #inFlight = false;
  readonly #pool: Pool | undefined;
  readonly #host: Host;
  readonly #build: Build;
  readonly #variantReason: string;
  readonly #threadsReason: string;
  #backendReason = 'the default';
  #scratch = { at: 0, bytes: 0 };
  #queue: Promise<void> = Promise.resolve();

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
    super(parts.arena);
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

  /** @internal Says why this backend was taken. */
  explainBackend(reason: string): void {
    this.#backendReason = reason;
  }

  get buffer(): ArrayBufferLike {
    return this.#arena.memory.buffer;
  }

  info(): WasmInfo {
    const failure = this.#pool?.failure ?? '';
    return {
      backend: 'wasm',
      backendReason: this.#backendReason,
      build: this.#build,
      variant: this.variant,
      variantReason: this.#variantReason,
      threads: failure === '' ? this.threads : 1,
      threadsReason: failure === '' ? this.#threadsReason : failure,
      host: this.#host,
      memory: this.memory(),
    };
  }

  async ready(): Promise<void> {
    await this.#pool?.ready(5000);
  }

  poison(): void {
    this.#arena.poison();
    if (this.#scratch.bytes > 0)
      new Uint8Array(this.buffer).fill(0xff, this.#scratch.at, this.#scratch.at + this.#scratch.bytes);
  }

  /** Measures the calling thread. */
  probe(what: 'fma' | 'read', amount: number): number {
    this.check();
    if (what === 'fma') {
      const steps = 10000;
      const params = encode(ProbeParams, { steps });
      let best = 0;
      for (const end = performance.now() + amount; performance.now() < end; ) {
        const start = performance.now();
        this.runSync([{ kernel: 'probeFma', params, items: 10, scratchBytes: 64, flops: 0 }]);
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
        this.runSync([{ kernel: 'probeRead', params, items, grain: items, scratchBytes: 64, flops: 0 }]);
        best = Math.max(best, (items * 4096) / (performance.now() - start) / 1e6);
      }
      return best;
    } finally {
      this.#arena.release(address);
    }
  }

  write(at: number, data: ArrayBufferView): void {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    new Uint8Array(this.buffer, at, bytes.length).set(bytes);
  }

  clear(at: number, bytes: number): void {
    new Uint8Array(this.buffer, at, bytes).fill(0);
  }

  move(to: number, from: number, bytes: number): void {
    new Uint8Array(this.buffer).copyWithin(to, from, from + bytes);
  }

  store(tensor: Tensor, data: TensorData): void {
    storeAs(data, tensor.dtype, viewOf(this.buffer, tensor.dtype, tensor.address, tensor.size));
  }

  hostBytes(tensor: Tensor): HostBytes {
    return { buffer: this.buffer, at: tensor.address };
  }

  async readBack(at: number): Promise<HostBytes> {
    return { buffer: this.buffer, at };
  }

  scratchBytes(measure: ScratchMeasure, params: Int32Array): number {
    this.#control().set(params, MEASURE / 4);
    return (this.#kernels[measure] as unknown as (params: number, scratch: number) => number)(MEASURE, MEASURE_ROOM);
  }

  threadsFor(dispatch: Dispatch): number {
    const usable = this.#pool?.failure === '';
    if (!usable || dispatch.flops < THREADING_FLOPS) return 1;
    return Math.min(this.threads, Math.ceil(dispatch.items / (dispatch.grain ?? 1)));
  }

  /** @internal Runs dispatches on the calling thread and the workers that are ready. */
  runSync(dispatches: readonly Dispatch[]): void {
    for (const dispatch of dispatches) this.#runOneSync(dispatch);
  }

  #runOneSync(dispatch: Dispatch): void {
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
    this.check();
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

  protected close(): void {
    this.#pool?.stop();
  }

  protected owns(view: ArrayBufferView): boolean {
    return view.buffer === this.buffer;
  }
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

/**
 * Runtimes: what holds tensors and runs operations, whatever device does the work.
 *
 * @module
 */
import { DisposedError, DTypeError, ShapeError } from '../errors.ts';
import type { Kernel, ScratchMeasure } from '../generated/kernels.ts';
import { type Block, bytesOf, contiguousStrides, type DType, sizeOf, Tensor, type TensorData } from '../tensor.ts';
import type { WebGpuInfo } from '../webgpu/gpu-runtime.ts';
import type { Allocator, MemoryReport } from './allocator.ts';
import type { WasmInfo } from './wasm-runtime.ts';

/** What a device supports and what a runtime uses of it. */
export type RuntimeInfo = WasmInfo | WebGpuInfo;

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

/** Bytes on the host: where in a buffer they begin. */
export interface HostBytes {
  readonly buffer: ArrayBufferLike;
  readonly at: number;
}

/** Holds tensors and runs operations. Made by `createRuntime`. */
export abstract class Runtime {
  abstract readonly backend: 'wasm' | 'webgpu';
  /** Instruction set of the kernels; 'wgsl' on a GPU. */
  abstract readonly variant: 'simd' | 'relaxed' | 'wgsl';
  /** Threads that large calls use, the calling one counted. */
  abstract readonly threads: number;
  /** @internal Whether the relaxed dot product of 8-bit integers is there and right. */
  readonly relaxedDot: boolean = false;
  /** @internal Whether it also is one instruction, and so faster than products of 16-bit integers. */
  readonly singleDot: boolean = false;
  /** @internal */
  protected allocator: Allocator;
  readonly #scopes: Set<Tensor>[] = [];
  #disposed = false;

  /** Runtimes are made by `createRuntime`. */
  constructor(allocator: Allocator) {
    this.allocator = allocator;
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  /**
   * The live memory; its identity changes when it grows.
   *
   * @throws HostAccessError where the memory is a GPU's.
   */
  abstract get buffer(): ArrayBufferLike;

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
    if (ArrayBuffer.isView(data) && this.owns(data)) data = data.slice();
    const tensor = this.empty(shape, dtype ?? defaultType(data));
    try {
      this.store(tensor, data);
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
    this.check();
    if (bytesOf(dtype) === undefined) {
      throw new DTypeError(`'${dtype}' is not an element type: expected f32, f16, bf16, i8, i32 or u8`);
    }
    if (shape.some((n) => !Number.isInteger(n) || n < 0)) {
      throw new ShapeError(`[${shape}] is not a shape: every length must be a whole number >= 0`);
    }
    const bytes = sizeOf(shape) * bytesOf(dtype);
    const block: Block = { at: this.allocator.allocate(bytes), disposed: false, bytes };
    const tensor = new Tensor(this, dtype, [...shape], contiguousStrides(shape), block, 0);
    this.#scopes.at(-1)?.add(tensor);
    return tensor;
  }

  /** A tensor of zeros. @throws as `empty`. */
  zeros(shape: readonly number[], dtype: DType = 'f32'): Tensor {
    const tensor = this.empty(shape, dtype);
    this.clear(tensor.address, tensor.size * bytesOf(dtype));
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
    return this.allocator.report();
  }

  /** What this device supports and what is used, with reasons. */
  abstract info(): RuntimeInfo;

  /** Waits until everything that large calls want is there: workers that run, a device that answers. */
  abstract ready(): Promise<void>;

  /** For tests: fills all memory that no tensor holds with NaN bytes. */
  abstract poison(): void;

  /**
   * Measures the device: 'fma' in GFLOP/s, 'read' in GB/s over `amount` bytes.
   *
   * @param amount milliseconds for 'fma', bytes for 'read'.
   * @throws UnsupportedError where only the asynchronous form can tell, as on a GPU: `bench` measures there.
   */
  abstract probe(what: 'fma' | 'read', amount: number): number;

  /** Frees all memory and ends the workers. Tensors of the runtime end with it. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.close();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal A block of memory that is not a tensor. */
  allocate(bytes: number): number {
    this.check();
    return this.allocator.allocate(bytes);
  }

  /** @internal Whether what a block held is gone with the device that it lay on. */
  lost(at: number): boolean {
    return this.allocator.lost(at);
  }

  /** @internal Gives a block back. */
  release(at: number, tensor?: Tensor): void {
    if (tensor) for (const scope of this.#scopes) scope.delete(tensor);
    if (!this.#disposed) this.allocator.release(at);
  }

  /** @internal Copies bytes to an address. */
  abstract write(at: number, data: ArrayBufferView): void;

  /** @internal Zeros at an address. */
  abstract clear(at: number, bytes: number): void;

  /** @internal Moves bytes inside the memory; the two runs must not overlap. */
  abstract move(to: number, from: number, bytes: number): void;

  /** @internal Stores numbers as the elements of a contiguous tensor. */
  abstract store(tensor: Tensor, data: TensorData): void;

  /**
   * @internal Where the host finds bytes of a block from an address on, without waiting.
   * @throws HostAccessError where only a readback would tell.
   */
  abstract hostBytes(tensor: Tensor): HostBytes;

  /** @internal As `hostBytes`, of any memory: a copy of `bytes` bytes from an address on, or the memory itself. */
  abstract readBack(at: number, bytes: number): Promise<HostBytes>;

  /** @internal Bytes of scratch of a thread that a kernel wants for these params. */
  abstract scratchBytes(measure: ScratchMeasure, params: Int32Array): number;

  /** @internal Threads that a dispatch would use. */
  abstract threadsFor(dispatch: Dispatch): number;

  /** @internal Runs dispatches one after another in this call. */
  abstract runSync(dispatches: readonly Dispatch[]): void;

  /** @internal As `runSync`, but the event loop gets its turns; calls of one runtime wait for each other. */
  abstract run(dispatches: readonly Dispatch[]): Promise<void>;

  /** What a class of runtimes frees of its own. */
  protected abstract close(): void;

  /** Whether a view is one of this runtime's memory. */
  protected abstract owns(view: ArrayBufferView): boolean;

  /** @throws DisposedError after `dispose`. */
  protected check(): void {
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

/**
 * Tensors: a shape and strides over a block of a runtime's memory.
 *
 * @module
 */
import { DeviceLostError, DisposedError, DTypeError, OptionError, ShapeError } from './errors.ts';
import type { HostBytes, Runtime } from './runtime/runtime.ts';

/** Element types. f16, bf16 and i8 are storage only: arithmetic is f32. */
export type DType = 'f32' | 'f16' | 'bf16' | 'i8' | 'i32' | 'u8';

/** A typed array over live memory: f16 and bf16 show their bits as Uint16Array. */
export type TensorView = Float32Array | Uint16Array | Int8Array | Int32Array | Uint8Array;

/** What a tensor can be made from. */
export type TensorData =
  | Float32Array
  | Float64Array
  | Uint16Array
  | Int8Array
  | Int32Array
  | Uint8Array
  | readonly number[];

const BYTES: Record<DType, number> = { f32: 4, f16: 2, bf16: 2, i8: 1, i32: 4, u8: 1 };
/** Storage types in the order of the numbers by which kernels know them. */
const STORAGE: readonly DType[] = ['f32', 'f16', 'bf16', 'i8'];

/** Bytes of one element. */
export function bytesOf(dtype: DType): number {
  return BYTES[dtype];
}

/** Number by which kernels know a storage type. */
export function storageOf(tensor: Tensor): number {
  const code = STORAGE.indexOf(tensor.dtype);
  if (code < 0) throw new DTypeError(`a ${tensor.dtype} tensor is not floating-point storage`);
  return code;
}

/** Bytes of one element, by the number of its storage type. */
export function storageBytes(code: number): number {
  return bytesOf(STORAGE[code]!);
}

/** Number of elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** Strides of a contiguous tensor. */
export function contiguousStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; --axis) {
    strides[axis] = step;
    step *= shape[axis]!;
  }
  return strides;
}

/** The block that a tensor and its views share. */
export interface Block {
  readonly at: number;
  disposed: boolean;
  /** Bytes that it was made for, where that is known. */
  readonly bytes?: number;
  /** What the host knows of its bytes, where they lie on a GPU. */
  host?: Uint8Array | undefined;
}

let reads = 0;

/** @internal How often the elements of any tensor were looked at by the host: a layout that did must be made anew. */
export function contentReads(): number {
  return reads;
}

/** A tensor of a runtime. Views made by `slice`, `permute` and `reshape` share its memory and end with it. */
export class Tensor {
  readonly runtime: Runtime;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Elements between neighbours along each axis. */
  readonly strides: readonly number[];
  readonly #block: Block;
  readonly #offset: number;

  /** Tensors are made by a runtime: `rt.tensor`, `rt.empty`. */
  constructor(
    runtime: Runtime,
    dtype: DType,
    shape: readonly number[],
    strides: readonly number[],
    block: Block,
    offset: number,
  ) {
    this.runtime = runtime;
    this.dtype = dtype;
    this.shape = shape;
    this.strides = strides;
    this.#block = block;
    this.#offset = offset;
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  /** Whether the tensor, or the one it is a view of, was disposed. */
  get disposed(): boolean {
    return this.#block.disposed;
  }

  /** @internal Whether the elements are gone with the device that they lay on. */
  get lost(): boolean {
    return !this.#block.disposed && this.runtime.lost(this.#block.at);
  }

  /** Whether the elements lie in order without gaps. */
  get contiguous(): boolean {
    const dense = contiguousStrides(this.shape);
    return this.strides.every((step, axis) => step === dense[axis] || this.shape[axis] === 1) || this.size === 0;
  }

  /** Byte address of the first element. @throws DisposedError after `dispose`. */
  get address(): number {
    this.#check();
    return this.#block.at + this.#offset * bytesOf(this.dtype);
  }

  /**
   * The live memory as a typed array, without a copy. It detaches when the runtime's memory grows, so take it anew
   * after each call.
   *
   * @throws HostAccessError if the elements lie on a GPU.
   * @throws ShapeError if the tensor is not contiguous.
   * @throws DisposedError after `dispose`.
   */
  view(): TensorView {
    ++reads;
    if (!this.contiguous) {
      throw new ShapeError(
        `view() needs a contiguous tensor; this one has shape [${this.shape}] and strides [${this.strides}]. ` +
          'Use data(), which copies.',
      );
    }
    return viewOf(this.runtime.buffer, this.dtype, this.address, this.size);
  }

  /**
   * A copy of the elements in order; f16 and bf16 are widened to float32.
   *
   * @throws HostAccessError if the elements lie on a GPU: `data` waits for them.
   * @throws DisposedError after `dispose`.
   */
  dataSync(): Float32Array | Int32Array | Int8Array | Uint8Array {
    ++reads;
    this.#check();
    return this.#elements(this.runtime.hostBytes(this));
  }

  /** `dataSync` for code that also runs where reading back is asynchronous. */
  async data(): Promise<Float32Array | Int32Array | Int8Array | Uint8Array> {
    ++reads;
    return this.#elements(await this.runtime.readBack(this.address, this.span * bytesOf(this.dtype)));
  }

  /**
   * Overwrites the elements, in order; numbers are stored as the tensor's type.
   *
   * @throws ShapeError if there are not as many numbers as elements, or the tensor is not contiguous.
   * @throws DTypeError if an integer is out of the type's range.
   * @throws DisposedError after `dispose`.
   */
  write(data: TensorData): void {
    this.#check();
    if (!this.contiguous || data.length !== this.size) {
      throw new ShapeError(
        `${data.length} elements cannot be written to a tensor of shape [${this.shape}] and strides [${this.strides}]: ` +
          `expected ${this.size}, and a contiguous tensor`,
      );
    }
    this.runtime.store(this, data);
  }

  /** @internal Elements from the first to the last in memory, gaps counted. */
  get span(): number {
    return this.size === 0 ? 0 : this.shape.reduce((most, n, axis) => most + (n - 1) * this.strides[axis]!, 1);
  }

  /** A copy of the elements in order, from where the first lies on the host. */
  #elements({ buffer, at }: HostBytes): Float32Array | Int32Array | Int8Array | Uint8Array {
    const source = viewOf(buffer, this.dtype, at, this.span);
    if (this.contiguous) return widen(source, this.dtype);
    const packed = source.slice(0, 0).constructor as new (n: number) => TensorView;
    const out = new packed(this.size);
    const index = new Array<number>(this.shape.length).fill(0);
    let from = 0;
    for (let i = 0; i < out.length; ++i) {
      out[i] = source[from]!;
      for (let axis = index.length - 1; axis >= 0; --axis) {
        index[axis]! += 1;
        from += this.strides[axis]!;
        if (index[axis]! < this.shape[axis]!) break;
        from -= index[axis]! * this.strides[axis]!;
        index[axis] = 0;
      }
    }
    return widen(out, this.dtype);
  }

  /**
   * The same elements under another shape, without a copy. One axis may be -1.
   *
   * @throws ShapeError if the sizes differ or the tensor is not contiguous.
   */
  reshape(shape: readonly number[]): Tensor {
    this.#check();
    const known = shape.reduce((product, n) => (n === -1 ? product : product * n), 1);
    const next = shape.map((n) => (n === -1 ? this.size / Math.max(1, known) : n));
    if (sizeOf(next) !== this.size || next.some((n) => !Number.isInteger(n) || n < 0)) {
      throw new ShapeError(`cannot reshape [${this.shape}] (${this.size} elements) to [${shape}]`);
    }
    if (!this.contiguous) {
      throw new ShapeError(`cannot reshape a tensor with shape [${this.shape}] and strides [${this.strides}] in place`);
    }
    return this.#like(next, contiguousStrides(next), this.#offset);
  }

  /**
   * Elements [begin, end) along an axis, without a copy.
   *
   * @throws OptionError if the range is not inside the axis.
   */
  slice(axis: number, begin: number, end: number): Tensor {
    this.#check();
    const n = this.shape[axis];
    if (n === undefined || !(begin >= 0 && begin <= end && end <= n)) {
      throw new OptionError(`cannot slice [${begin}, ${end}) of axis ${axis} of a tensor of shape [${this.shape}]`);
    }
    const shape = this.shape.map((m, i) => (i === axis ? end - begin : m));
    return this.#like(shape, this.strides, this.#offset + begin * this.strides[axis]!);
  }

  /**
   * The same elements with the axes in another order, without a copy.
   *
   * @throws OptionError if `axes` is not a permutation.
   */
  permute(axes: readonly number[]): Tensor {
    this.#check();
    if (axes.length !== this.shape.length || this.shape.some((_, axis) => !axes.includes(axis))) {
      throw new OptionError(`[${axes}] is not a permutation of the ${this.shape.length} axes of [${this.shape}]`);
    }
    return this.#like(
      axes.map((axis) => this.shape[axis]!),
      axes.map((axis) => this.strides[axis]!),
      this.#offset,
    );
  }

  /** A view whose axes of length 1 are repeated to `shape`, without a copy; missing leading axes are added. */
  broadcast(shape: readonly number[]): Tensor {
    this.#check();
    const lead = shape.length - this.shape.length;
    const strides = shape.map((n, axis) => {
      const own = this.shape[axis - lead];
      if (own === undefined || (own === 1 && n !== 1)) return 0;
      if (own !== n) throw new ShapeError(`cannot broadcast a tensor of shape [${this.shape}] to [${shape}]`);
      return this.strides[axis - lead]!;
    });
    if (lead < 0) throw new ShapeError(`cannot broadcast a tensor of shape [${this.shape}] to [${shape}]`);
    return this.#like(shape, strides, this.#offset);
  }

  /** @internal What views of one tensor share. */
  get block(): Block {
    return this.#block;
  }

  /** @internal A view from the same first element on, under any shape and strides inside the tensor's block. */
  restride(shape: readonly number[], strides: readonly number[]): Tensor {
    this.#check();
    return this.#like(shape, strides, this.#offset);
  }

  /**
   * Gives the memory back. Views of the tensor end with it.
   *
   * @throws DisposedError if it was disposed before.
   */
  dispose(): void {
    // what is lost still takes up room
    if (!this.lost) this.#check();
    this.#block.disposed = true;
    this.runtime.release(this.#block.at, this);
  }

  [Symbol.dispose](): void {
    if (!this.disposed) this.dispose();
  }

  #like(shape: readonly number[], strides: readonly number[], offset: number): Tensor {
    return new Tensor(this.runtime, this.dtype, shape, strides, this.#block, offset);
  }

  #check(): void {
    if (this.#block.disposed) {
      throw new DisposedError(
        `this tensor of shape [${this.shape}] was disposed: its memory may hold something else. ` +
          'Keep it alive until its last use, or return it from rt.scope().',
      );
    }
    if (this.lost) {
      throw new DeviceLostError(
        `this tensor of shape [${this.shape}] lay on a GPU device that was lost. Dispose it and make it anew from its data.`,
      );
    }
    if (this.runtime.disposed) {
      throw new DisposedError(`the runtime of this tensor of shape [${this.shape}] was disposed`);
    }
  }
}

/** A typed array of `n` elements of `dtype` at a byte address. */
export function viewOf(buffer: ArrayBufferLike, dtype: DType, at: number, n: number): TensorView {
  switch (dtype) {
    case 'f32':
      return new Float32Array(buffer, at, n);
    case 'i32':
      return new Int32Array(buffer, at, n);
    case 'i8':
      return new Int8Array(buffer, at, n);
    case 'u8':
      return new Uint8Array(buffer, at, n);
    default:
      return new Uint16Array(buffer, at, n);
  }
}

/** A copy outside the runtime's memory, 16-bit floats widened. */
function widen(view: TensorView, dtype: DType): Float32Array | Int32Array | Int8Array | Uint8Array {
  if (dtype === 'f16') return Float32Array.from(view, halfToNumber);
  if (dtype === 'bf16') {
    const bits = Uint32Array.from(view, (b) => b << 16);
    return new Float32Array(bits.buffer);
  }
  return view.slice() as Float32Array | Int32Array | Int8Array | Uint8Array;
}

/** The value of an IEEE half from its bits. */
export function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

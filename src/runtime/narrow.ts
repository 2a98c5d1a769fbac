/**
 * Stores numbers as one of the tensor element types.
 *
 * @module
 */
import { DTypeError } from '../errors.ts';
import type { DType, TensorData, TensorView } from '../tensor.ts';

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** Bits of the nearest bfloat16, ties to even; NaN stays NaN. */
function toBf16(x: number): number {
  float[0] = x;
  const b = bits[0]!;
  if ((b & 0x7fffffff) > 0x7f800000) return (b >>> 16) | 0x40;
  return ((b + 0x7fff + ((b >>> 16) & 1)) >>> 16) & 0xffff;
}

/** Bits of the nearest half, ties to even; overflow gives infinity, NaN stays NaN. */
function toHalf(x: number): number {
  float[0] = x;
  const b = bits[0]!;
  const sign = (b >>> 16) & 0x8000;
  const magnitude = b & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // 2^-24 is the unit of a subnormal half; adding 1/2 rounds to it
    float[0] = Math.abs(float[0]!) + 0.5;
    return sign | (bits[0]! - 0x3f000000);
  }
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
}

/**
 * Writes `data` into a view of `dtype`. Uint16Array data for f16 and bf16 are taken as bits.
 *
 * @throws DTypeError if integers are asked for and a value is not one.
 */
export function storeAs(data: TensorData, dtype: DType, view: TensorView): void {
  if ((dtype === 'f16' || dtype === 'bf16') && !(data instanceof Uint16Array)) {
    const narrow = dtype === 'f16' ? toHalf : toBf16;
    for (let i = 0; i < data.length; ++i) view[i] = narrow(data[i]!);
    return;
  }
  if (dtype !== 'f32' && dtype !== 'f16' && dtype !== 'bf16') {
    const [low, high] = dtype === 'i8' ? [-128, 127] : dtype === 'u8' ? [0, 255] : [-(2 ** 31), 2 ** 31 - 1];
    for (let i = 0; i < data.length; ++i) {
      const x = data[i]!;
      if (!(Number.isInteger(x) && x >= low! && x <= high!)) {
        throw new DTypeError(`element ${i} is ${x}, expected a whole number from ${low} to ${high} for ${dtype}`);
      }
    }
  }
  view.set(data as ArrayLike<number>);
}

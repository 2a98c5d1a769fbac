import { storeLanes } from '../conv/causal';
import { FftConvParams } from '../params';
import { fma } from '../simd/fma';
import { multiplySpectra, splitReal, transform } from './transform';

/** Four elements `apart` bytes from each other. */
// @ts-ignore: decorator
@inline
function gathered(at: usize, apart1: usize, apart2: usize, apart3: usize): v128 {
  let x = v128.load32_zero(at);
  x = v128.load32_lane(at + apart1, x, 1);
  x = v128.load32_lane(at + apart2, x, 2);
  return v128.load32_lane(at + apart3, x, 3);
}

/** Elements of four kernels as real and imaginary parts in turn, zeros up to m complex elements. */
function loadKernels(at: usize, a1: usize, a2: usize, a3: usize, length: i32, z: usize, m: i32): void {
  memory.fill(z, 0, (<usize>m) << 5);
  for (const end = at + ((<usize>length) << 2); at < end; at += 4) {
    v128.store(z, gathered(at, a1, a2, a3));
    z += 16;
  }
}

/** Bytes of scratch: the kernels' spectrum and two buffers. */
export function fftConvScratchBytes(params: usize): i32 {
  const m = changetype<FftConvParams>(params).m;
  return (3 * m + 1) << 5;
}

/**
 * Causal convolution of every channel with a kernel of its own: o_t = sum_{l <= t} kernel_l u_{t-l} + d u_t + added_t,
 * as a product of spectra of 2 m points, zeros behind both operands.
 *
 *   u         f32 [B, T, H]           any strides of B and T
 *   kernel    f32 [H, kernelStride]   the first `taps` of each row
 *   d         f32 [H]                 may be absent
 *   added     f32 [B, H, addedStride] may be absent
 *   o         f32 [B, T, H]           any strides of B and T; must not alias u
 *   twiddles  f32 [2 m, 2]            e^(-2 pi i k / (2 m))
 *
 * S4 (Gu 2021), section 3. Item: (four channels, part of the batch); 2 m is at least T + taps - 1.
 */
export function fftConv(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<FftConvParams>(params);
  const m = p.m;
  const bytes: usize = (<usize>m) << 5;
  const spectrum = scratch;
  const z = scratch + bytes + 32;
  const w = z + bytes;
  const stride: usize = (<usize>p.uStrideT) << 2;
  const oStride: usize = (<usize>p.oStrideT) << 2;
  const kernelBytes: usize = (<usize>p.kernelStride) << 2;
  const addedBytes: usize = (<usize>p.addedStride) << 2;
  for (let item = begin; item < end; ++item) {
    const group = item / p.parts;
    const part = item - group * p.parts;
    const h = group << 2;
    const count = min(4, p.channels - h);
    // lanes without a channel repeat the last one
    const n1 = <usize>min(1, count - 1);
    const n2 = <usize>min(2, count - 1);
    const n3 = <usize>min(3, count - 1);
    loadKernels(p.kernel + <usize>h * kernelBytes, n1 * kernelBytes, n2 * kernelBytes, n3 * kernelBytes, p.taps, z, m);
    splitReal(transform(z, w, m, p.twiddles), spectrum, m, p.twiddles, <f32>(0.125 / <f64>m));
    let d = i32x4.splat(0);
    if (p.d) d = gathered(p.d + ((<usize>h) << 2), n1 << 2, n2 << 2, n3 << 2);
    const last = ((part + 1) * p.batch) / p.parts;
    for (let b = (part * p.batch) / p.parts; b < last; ++b) {
      const u = p.u + ((<usize>(b * p.uStrideB + h)) << 2);
      let at = u;
      for (let to = z, stop = z + ((<usize>p.length) << 4); to < stop; to += 16) {
        v128.store(to, v128.load(at));
        at += stride;
      }
      memory.fill(z + ((<usize>p.length) << 4), 0, bytes - ((<usize>p.length) << 4));
      const transformed = transform(z, w, m, p.twiddles);
      const free = transformed == z ? w : z;
      multiplySpectra(transformed, spectrum, transformed, m, p.twiddles);
      const result = transform(transformed, free, m, p.twiddles);
      let to = p.o + ((<usize>(b * p.oStrideB + h)) << 2);
      let added = p.added ? p.added + <usize>(b * p.channels + h) * addedBytes : 0;
      at = u;
      for (let t: usize = 0; t < <usize>p.length; ++t) {
        // an inverse leaves even elements as imaginary and odd ones as real parts
        let y = fma(d, v128.load(at), v128.load(result + ((t ^ 1) << 4)));
        if (added) {
          y = f32x4.add(y, gathered(added, n1 * addedBytes, n2 * addedBytes, n3 * addedBytes));
          added += 4;
        }
        if (count == 4) v128.store(to, y);
        else storeLanes(to, y, count);
        at += stride;
        to += oStride;
      }
    }
  }
}

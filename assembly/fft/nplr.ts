import { NplrKernelParams } from '../params';
import { exp64 } from '../simd/exp64';
import { joinReal, transform } from './transform';

/** Doubles of one eigenvalue: re w, |w|^2, then for each of four products v twice its real part and -2 Re(v conj w). */
const EIGEN_BYTES: usize = 80;

/** Writes 2 Re v and -2 Re(v conj w) for v = x y. */
function product(xr: f64, xi: f64, yr: f64, yi: f64, wr: f64, wi: f64, to: usize): void {
  const vr = xr * yr - xi * yi;
  const vi = xr * yi + xi * yr;
  store<f64>(to, 2 * vr);
  store<f64>(to, -2 * (vr * wr + vi * wi), 8);
}

/** The numbers of one channel's eigenvalues that do not depend on the frequency. */
function eigenTable(p: NplrKernelParams, h: i32, dt: f64, to: usize): void {
  for (let n = 0; n < p.states; ++n) {
    const at = (<usize>(h * p.states + n)) << 2;
    const wr = dt * <f64>load<f32>(p.aReal + at);
    const wi = dt * <f64>load<f32>(p.aImag + at);
    const pr = <f64>load<f32>(p.p + (at << 1));
    const pi = <f64>load<f32>(p.p + (at << 1), 4);
    const br = <f64>load<f32>(p.b + (at << 1));
    const bi = <f64>load<f32>(p.b + (at << 1), 4);
    const cr = <f64>load<f32>(p.c + (at << 1));
    const ci = <f64>load<f32>(p.c + (at << 1), 4);
    store<f64>(to, wr);
    store<f64>(to, wr * wr + wi * wi, 8);
    product(br, bi, cr, ci, wr, wi, to + 16);
    product(br, bi, pr, -pi, wr, wi, to + 32);
    product(pr, pi, cr, ci, wr, wi, to + 48);
    product(pr, pi, pr, -pi, wr, wi, to + 64);
    to += EIGEN_BYTES;
  }
}

/** (2 Re v) i y - 2 Re(v conj w) over re + i im with 1 / |.|^2 = inverse: real part. */
// @ts-ignore: decorator
@inline
function realPart(at: usize, y: v128, re: v128, im: v128, sum: v128): v128 {
  const beta = f64x2.mul(v128.load64_splat(at), y);
  const alpha = v128.load64_splat(at + 8);
  return f64x2.add(sum, f64x2.add(f64x2.mul(alpha, re), f64x2.mul(beta, im)));
}

// @ts-ignore: decorator
@inline
function imaginaryPart(at: usize, y: v128, re: v128, im: v128, sum: v128): v128 {
  const beta = f64x2.mul(v128.load64_splat(at), y);
  const alpha = v128.load64_splat(at + 8);
  return f64x2.add(sum, f64x2.sub(f64x2.mul(beta, re), f64x2.mul(alpha, im)));
}

/**
 * The generating function at two roots of unity e^(-i theta), tangents tan(theta / 2): writes real and imaginary parts
 * as two f64 pairs. With z = 2 (1 - omega) / (1 + omega) = 2 i tan(theta / 2), each sum over conjugate pairs
 * v / (z - w) + conj v / (z - conj w) has a real quadratic denominator in z.
 */
function generating(table: usize, states: i32, dt: f64, tangents: usize, to: usize): void {
  const zero = f64x2.splat(0);
  const tangent = v128.load(tangents);
  const y = f64x2.add(tangent, tangent);
  const yy = f64x2.mul(y, y);
  const one = f64x2.splat(1);
  let r00 = zero;
  let i00 = zero;
  let r01 = zero;
  let i01 = zero;
  let r10 = zero;
  let i10 = zero;
  let r11 = zero;
  let i11 = zero;
  for (const end = table + <usize>states * EIGEN_BYTES; table < end; table += EIGEN_BYTES) {
    const wr = v128.load64_splat(table);
    const dr = f64x2.sub(v128.load64_splat(table + 8), yy);
    const di = f64x2.mul(f64x2.mul(f64x2.splat(-2), wr), y);
    const inverse = f64x2.div(one, f64x2.add(f64x2.mul(dr, dr), f64x2.mul(di, di)));
    const re = f64x2.mul(dr, inverse);
    const im = f64x2.mul(di, inverse);
    r00 = realPart(table + 16, y, re, im, r00);
    i00 = imaginaryPart(table + 16, y, re, im, i00);
    r01 = realPart(table + 32, y, re, im, r01);
    i01 = imaginaryPart(table + 32, y, re, im, i01);
    r10 = realPart(table + 48, y, re, im, r10);
    i10 = imaginaryPart(table + 48, y, re, im, i10);
    r11 = realPart(table + 64, y, re, im, r11);
    i11 = imaginaryPart(table + 64, y, re, im, i11);
  }
  const step = f64x2.splat(dt);
  // the rank-1 part by Woodbury: r00 - r01 r10 / (1 + r11)
  const nr = f64x2.mul(f64x2.mul(step, step), f64x2.sub(f64x2.mul(r01, r10), f64x2.mul(i01, i10)));
  const ni = f64x2.mul(f64x2.mul(step, step), f64x2.add(f64x2.mul(r01, i10), f64x2.mul(i01, r10)));
  const qr = f64x2.add(one, f64x2.mul(step, r11));
  const qi = f64x2.mul(step, i11);
  const inverse = f64x2.div(one, f64x2.add(f64x2.mul(qr, qr), f64x2.mul(qi, qi)));
  const cr = f64x2.mul(f64x2.add(f64x2.mul(nr, qr), f64x2.mul(ni, qi)), inverse);
  const ci = f64x2.mul(f64x2.sub(f64x2.mul(ni, qr), f64x2.mul(nr, qi)), inverse);
  const kr = f64x2.sub(f64x2.mul(step, r00), cr);
  const ki = f64x2.sub(f64x2.mul(step, i00), ci);
  // times 2 / (1 + omega) = 1 + i tan(theta / 2)
  v128.store(to, f64x2.sub(kr, f64x2.mul(ki, tangent)));
  v128.store(to, f64x2.add(ki, f64x2.mul(kr, tangent)), 16);
}

/** Frequencies of a real signal of `length` samples, rounded up to a pair. */
// @ts-ignore: decorator
@inline
function frequencies(length: i32): i32 {
  return ((length >> 1) + 2) & ~1;
}

/** Bytes of scratch: eigenvalues, a spectrum in f64, and for powers of two a spectrum of four channels and two buffers. */
export function nplrKernelScratchBytes(params: usize): i32 {
  const p = changetype<NplrKernelParams>(params);
  return p.states * <i32>EIGEN_BYTES + (frequencies(p.length) << 4) + ((3 * p.m + 1) << 5);
}

/** The spectrum of one channel's kernel in f64, pairs of two real and two imaginary parts. */
function spectrumOf(p: NplrKernelParams, h: i32, table: usize, spectrum: usize): void {
  const dt = exp64(<f64>load<f32>(p.logDt + ((<usize>h) << 2)));
  eigenTable(p, h, dt, table);
  const all = frequencies(p.length);
  for (let k = 0; k < all; k += 2) {
    generating(table, p.states, dt, p.tangents + ((<usize>k) << 3), spectrum + ((<usize>k) << 4));
  }
  if (p.length & 1) return;
  // at omega = -1 the sums vanish as the factor grows: their product is dt sum Re(B C)
  let sum: f64 = 0;
  for (let n: usize = 0; n < <usize>p.states; ++n) sum += load<f64>(table + n * EIGEN_BYTES, 16);
  const k = p.length >> 1;
  const at = spectrum + ((<usize>(k & ~1)) << 4) + ((<usize>(k & 1)) << 3);
  store<f64>(at, 0.5 * dt * sum);
  store<f64>(at, 0, 16);
}

/** The inverse transform of one channel by its definition, for lengths that are no power of two. */
function direct(spectrum: usize, roots: usize, length: i32, o: usize): void {
  const half = (length - 1) >> 1;
  for (let l = 0; l < length; ++l) {
    let sum: f64 = 0;
    let at = 0;
    for (let k = 1; k <= half; ++k) {
      at += l;
      if (at >= length) at -= length;
      const cell = spectrum + ((<usize>(k & ~1)) << 4) + ((<usize>(k & 1)) << 3);
      const root = roots + ((<usize>at) << 4);
      sum += load<f64>(cell) * load<f64>(root) - load<f64>(cell, 16) * load<f64>(root, 8);
    }
    sum = 2 * sum + load<f64>(spectrum);
    if ((length & 1) == 0) {
      const k = length >> 1;
      const middle = load<f64>(spectrum + ((<usize>(k & ~1)) << 4) + ((<usize>(k & 1)) << 3));
      sum += l & 1 ? -middle : middle;
    }
    store<f32>(o + ((<usize>l) << 2), <f32>(sum / <f64>length));
  }
}

/**
 * Convolution kernels of S4 in its normal plus low-rank form: A = diag(lambda) - P P^*, bilinear over dt. The truncated
 * generating function at the roots of unity by Cauchy sums and Woodbury's identity, then an inverse real FFT.
 *
 *   aReal, aImag  f32 [H, N]      lambda, one of each conjugate pair
 *   p, b, c       f32 [H, N, 2]   complex; c as the S4 code stores it: C (I - A^length) of the discretised A
 *   logDt         f32 [H]
 *   tangents      f64 [length / 2 + 2]  tan(pi k / length); what stands behind length / 2 does not matter
 *   twiddles      f32 [2 m, 2]    e^(-2 pi i k / (2 m)), 2 m = length if it is a power of two from 4 on; else m is 0
 *   roots         f64 [length, 2] e^(2 pi i k / length), if m is 0
 *   o             f32 [H, length]
 *
 * Gu 2021, algorithm 1. Item: four channels, or one if m is 0.
 */
export function nplrKernel(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<NplrKernelParams>(params);
  const m = p.m;
  const spectrum = scratch + <usize>p.states * EIGEN_BYTES;
  const cells = spectrum + ((<usize>frequencies(p.length)) << 4);
  const z = cells + ((<usize>(m + 1)) << 5);
  const w = z + ((<usize>m) << 5);
  const row: usize = (<usize>p.length) << 2;
  for (let item = begin; item < end; ++item) {
    if (m == 0) {
      spectrumOf(p, item, scratch, spectrum);
      direct(spectrum, p.roots, p.length, p.o + <usize>item * row);
      continue;
    }
    const h = item << 2;
    const count = min(4, p.channels - h);
    for (let lane = 0; lane < 4; ++lane) {
      spectrumOf(p, h + min(lane, count - 1), scratch, spectrum);
      for (let k = 0; k <= m; ++k) {
        const from = spectrum + ((<usize>(k & ~1)) << 4) + ((<usize>(k & 1)) << 3);
        const to = cells + ((<usize>k) << 5) + ((<usize>lane) << 2);
        store<f32>(to, <f32>load<f64>(from));
        store<f32>(to, <f32>load<f64>(from, 16), 16);
      }
    }
    joinReal(cells, z, m, p.twiddles);
    const result = transform(z, w, m, p.twiddles);
    const factor: f32 = <f32>(0.5 / <f64>m);
    for (let lane = 0; lane < count; ++lane) {
      const o = p.o + <usize>(h + lane) * row;
      for (let l: usize = 0; l < <usize>p.length; ++l) {
        store<f32>(o + (l << 2), factor * load<f32>(result + ((l ^ 1) << 4) + ((<usize>lane) << 2)));
      }
    }
  }
}

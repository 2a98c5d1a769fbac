import { DiagonalKernelParams, DiagonalStateParams } from '../params';
import { fma } from '../simd/fma';
import { sum4x4 } from '../simd/reduce';
import { coefficients } from './discretize';

/** Steps that one table of powers spans. */
const SPAN: i32 = 64;
/** Bytes of a table, a^64 behind it, and the factor that the table lacks. */
const POWERS_BYTES: usize = 544;
/** Smaller factors count as zero: products with denormals are slow. */
const LEAST: f64 = 1e-30;

/** Stores x, or zero if it is too small to count. */
// @ts-ignore: decorator
@inline
function storeSettled(to: usize, x: f64): void {
  store<f32>(to, abs(x) < LEAST ? 0 : <f32>x);
}

/** g as a factor, or zero if it is too small to count. */
// @ts-ignore: decorator
@inline
function settled(g: f64): f32 {
  return abs(g) < LEAST ? 0 : <f32>g;
}

/** Writes (re + i im)^63 as an f64 pair. */
function power63(re: f64, im: f64, to: usize): void {
  let pr = re;
  let pi = im;
  for (let k = 0; k < 5; ++k) {
    const sr = pr * pr - pi * pi;
    const si = 2 * pr * pi;
    pr = sr * re - si * im;
    pi = sr * im + si * re;
  }
  store<f64>(to, pr);
  store<f64>(to, pi, 8);
}

/**
 * Writes a^0 to a^63 over f, real parts then imaginary parts, in four chains; behind them a^64 and f as f64 pairs. f is 1,
 * or a^63 where a grows, so that no entry is larger than 1.
 */
function powers(ar: f64, ai: f64, to: usize): void {
  const size = ar * ar + ai * ai;
  const a2r = ar * ar - ai * ai;
  const a2i = 2 * ar * ai;
  const a4r = a2r * a2r - a2i * a2i;
  const a4i = 2 * a2r * a2i;
  let r0: f64 = 1;
  let i0: f64 = 0;
  store<f64>(to, 1, 528);
  store<f64>(to, 0, 536);
  if (size > 1) {
    power63(ar / size, -ai / size, to);
    r0 = load<f64>(to);
    i0 = load<f64>(to, 8);
    power63(ar, ai, to + 528);
  }
  let r1 = r0 * ar - i0 * ai;
  let i1 = r0 * ai + i0 * ar;
  let r2 = r0 * a2r - i0 * a2i;
  let i2 = r0 * a2i + i0 * a2r;
  let r3 = r1 * a2r - i1 * a2i;
  let i3 = r1 * a2i + i1 * a2r;
  for (const end = to + 256; to < end; to += 16) {
    storeSettled(to, r0);
    storeSettled(to + 4, r1);
    storeSettled(to + 8, r2);
    storeSettled(to + 12, r3);
    storeSettled(to + 256, i0);
    storeSettled(to + 260, i1);
    storeSettled(to + 264, i2);
    storeSettled(to + 268, i3);
    const s0 = r0 * a4r - i0 * a4i;
    i0 = r0 * a4i + i0 * a4r;
    r0 = s0;
    const s1 = r1 * a4r - i1 * a4i;
    i1 = r1 * a4i + i1 * a4r;
    r1 = s1;
    const s2 = r2 * a4r - i2 * a4i;
    i2 = r2 * a4i + i2 * a4r;
    r2 = s2;
    const s3 = r3 * a4r - i3 * a4i;
    i3 = r3 * a4i + i3 * a4r;
    r3 = s3;
  }
  const a8r = a4r * a4r - a4i * a4i;
  const a8i = 2 * a4r * a4i;
  const a16r = a8r * a8r - a8i * a8i;
  const a16i = 2 * a8r * a8i;
  const a32r = a16r * a16r - a16i * a16i;
  const a32i = 2 * a16r * a16i;
  store<f64>(to, a32r * a32r - a32i * a32i, 256);
  store<f64>(to, 2 * a32r * a32i, 264);
}

/** o[0..63] += Re(g a^l) of two states. */
function addSpan(tables: usize, g0r: f32, g0i: f32, g1r: f32, g1i: f32, o: usize): void {
  const r0 = f32x4.splat(g0r);
  const i0 = f32x4.splat(-g0i);
  const r1 = f32x4.splat(g1r);
  const i1 = f32x4.splat(-g1i);
  for (const end = o + 256; o < end; o += 16) {
    const first = fma(i0, v128.load(tables, 256), fma(r0, v128.load(tables), v128.load(o)));
    v128.store(o, fma(i1, v128.load(tables, POWERS_BYTES + 256), fma(r1, v128.load(tables, POWERS_BYTES), first)));
    tables += 16;
  }
}

/** to = x y, f64 pairs; `to` may be either. */
// @ts-ignore: decorator
@inline
function multiply(x: usize, y: usize, to: usize): void {
  const xr = load<f64>(x);
  const xi = load<f64>(x, 8);
  const yr = load<f64>(y);
  const yi = load<f64>(y, 8);
  store<f64>(to, xr * yr - xi * yi);
  store<f64>(to, xr * yi + xi * yr, 8);
}

/**
 * Writes the powers of state n to `tables`, and to pairs + 16 the f64 pair that they are multiplied by: factor c b, or
 * with a state x factor c a x, whose powers are the response to it.
 */
function amplitude(p: DiagonalKernelParams, h: i32, n: i32, state: usize, tables: usize, pairs: usize): void {
  coefficients(p, h, n, pairs);
  powers(load<f64>(pairs), load<f64>(pairs, 8), tables);
  if (state) {
    store<f64>(pairs, <f64>load<f32>(state + ((<usize>n) << 3)), 16);
    store<f64>(pairs, <f64>load<f32>(state + ((<usize>n) << 3), 4), 24);
    multiply(pairs, pairs + 16, pairs + 16);
  }
  multiply(pairs + 32, pairs + 16, pairs + 16);
  multiply(tables + 528, pairs + 16, pairs + 16);
}

/**
 * Sums of powers: o[row, l] = Re sum_n g_n a_n^l, with g = c b for convolution kernels, g = c a x for the response to a
 * state. Powers beyond the first 64 move g on in f64, so that their error does not grow with l.
 *
 *   aReal, aImag, logDt, c   as for diagonalTable
 *   state  f32 [rows, N, 2]  complex; absent for kernels
 *   o      f32 [rows, ceil(length / 64) * 64]
 *
 * The Vandermonde product of S4D (Gu 2022), section 3.3. Item: one row, of channel row mod H.
 */
export function diagonalKernel(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<DiagonalKernelParams>(params);
  const spans = (p.length + SPAN - 1) / SPAN;
  const second = scratch + POWERS_BYTES;
  const pairs = scratch + 2 * POWERS_BYTES;
  for (let row = begin; row < end; ++row) {
    const h = row % p.channels;
    const o = p.o + ((<usize>row * <usize>spans) << 8);
    const state = p.state ? p.state + ((<usize>row * <usize>p.states) << 3) : 0;
    memory.fill(o, 0, (<usize>spans) << 8);
    for (let n = 0; n < p.states; n += 2) {
      amplitude(p, h, n, state, scratch, pairs);
      let g0r = load<f64>(pairs, 16);
      let g0i = load<f64>(pairs, 24);
      let g1r: f64 = 0;
      let g1i: f64 = 0;
      if (n + 1 < p.states) {
        amplitude(p, h, n + 1, state, second, pairs);
        g1r = load<f64>(pairs, 16);
        g1i = load<f64>(pairs, 24);
      } else {
        memory.fill(second, 0, POWERS_BYTES);
      }
      const a0r = load<f64>(scratch, 512);
      const a0i = load<f64>(scratch, 520);
      const a1r = load<f64>(second, 512);
      const a1i = load<f64>(second, 520);
      for (let q = 0; q < spans; ++q) {
        addSpan(scratch, settled(g0r), settled(g0i), settled(g1r), settled(g1i), o + ((<usize>q) << 8));
        const n0 = g0r * a0r - g0i * a0i;
        g0i = g0r * a0i + g0i * a0r;
        g0r = n0;
        const n1 = g1r * a1r - g1i * a1i;
        g1i = g1r * a1i + g1i * a1r;
        g1r = n1;
      }
    }
  }
}

/** [re, im of the first state, re, im of the second]: sum over 64 of v a^r. */
function dotSpan(tables: usize, v: usize): v128 {
  let r0 = i32x4.splat(0);
  let i0 = r0;
  let r1 = r0;
  let i1 = r0;
  let r2 = r0;
  let i2 = r0;
  let r3 = r0;
  let i3 = r0;
  for (const end = v + 256; v < end; v += 32) {
    const x = v128.load(v);
    const y = v128.load(v, 16);
    r0 = fma(x, v128.load(tables), r0);
    i0 = fma(x, v128.load(tables, 256), i0);
    r1 = fma(x, v128.load(tables, POWERS_BYTES), r1);
    i1 = fma(x, v128.load(tables, POWERS_BYTES + 256), i1);
    r2 = fma(y, v128.load(tables, 16), r2);
    i2 = fma(y, v128.load(tables, 272), i2);
    r3 = fma(y, v128.load(tables, POWERS_BYTES + 16), r3);
    i3 = fma(y, v128.load(tables, POWERS_BYTES + 272), i3);
    tables += 32;
  }
  return sum4x4(f32x4.add(r0, r2), f32x4.add(i0, i2), f32x4.add(r1, r3), f32x4.add(i1, i3));
}

/** Writes the powers of state n to `tables`, and to `kept` the f64 pairs of their first factor and b. */
function stateTables(p: DiagonalStateParams, h: i32, n: i32, tables: usize, kept: usize): void {
  coefficients(p, h, n, kept);
  powers(load<f64>(kept), load<f64>(kept, 8), tables);
}

/** x_T = a^T x_0 + b sum, from the f64 pairs of the last factor and b, and the f64 sums. */
function finish(p: DiagonalStateParams, row: usize, tables: usize, kept: usize, sr: f64, si: f64): void {
  const at = row << 3;
  const br = load<f64>(kept, 16);
  const bi = load<f64>(kept, 24);
  let xr = br * sr - bi * si;
  let xi = br * si + bi * sr;
  if (p.initialState) {
    const rest = tables + ((<usize>(p.length & (SPAN - 1))) << 2);
    const cr = <f64>load<f32>(rest);
    const ci = <f64>load<f32>(rest, 256);
    const pr = load<f64>(kept) * cr - load<f64>(kept, 8) * ci;
    const pi = load<f64>(kept) * ci + load<f64>(kept, 8) * cr;
    const ir = <f64>load<f32>(p.initialState + at);
    const ii = <f64>load<f32>(p.initialState + at, 4);
    xr += pr * ir - pi * ii;
    xi += pr * ii + pi * ir;
  }
  store<f32>(p.finalState + at, <f32>xr);
  store<f32>(p.finalState + at, <f32>xi, 4);
}

/** Bytes of scratch: two tables of powers, f64 pairs, and the inputs of one channel. */
export function diagonalStateScratchBytes(params: usize): i32 {
  const p = changetype<DiagonalStateParams>(params);
  return 2 * <i32>POWERS_BYTES + 128 + p.batch * (((p.length + SPAN - 1) / SPAN) << 8);
}

/**
 * The states after all steps without those in between: x_T = a^T x_0 + b sum_t a^(T-1-t) u_t.
 *
 *   u             f32 [B, T, H]     any strides of B and T
 *   aReal, aImag, logDt, c          as for diagonalTable
 *   initialState  f32 [B, H, N, 2]  complex; may be absent
 *   finalState    f32 [B, H, N, 2]  may be initialState
 *
 * Item: one channel.
 */
export function diagonalState(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<DiagonalStateParams>(params);
  const spans = (p.length + SPAN - 1) / SPAN;
  const rowBytes = (<usize>spans) << 8;
  const whole = p.length / SPAN;
  const second = scratch + POWERS_BYTES;
  const kept0 = scratch + 2 * POWERS_BYTES;
  const kept1 = kept0 + 48;
  const inputs = kept0 + 128;
  for (let h = begin; h < end; ++h) {
    // the newest input first, so that the powers of the tables fit
    memory.fill(inputs, 0, <usize>p.batch * rowBytes);
    for (let b = 0; b < p.batch; ++b) {
      let to = inputs + <usize>b * rowBytes + ((<usize>p.length) << 2);
      let from = p.u + ((<usize>(b * p.uStrideB + h)) << 2);
      for (let t = 0; t < p.length; ++t) {
        to -= 4;
        store<f32>(to, load<f32>(from));
        from += (<usize>p.uStrideT) << 2;
      }
    }
    for (let n = 0; n < p.states; n += 2) {
      const both = n + 1 < p.states;
      stateTables(p, h, n, scratch, kept0);
      stateTables(p, h, both ? n + 1 : n, second, kept1);
      for (let b = 0; b < p.batch; ++b) {
        v128.store(kept0, v128.load(scratch, 528));
        v128.store(kept1, v128.load(second, 528));
        let s0r: f64 = 0;
        let s0i: f64 = 0;
        let s1r: f64 = 0;
        let s1i: f64 = 0;
        for (let q = 0; q < spans; ++q) {
          const sums = dotSpan(scratch, inputs + <usize>b * rowBytes + ((<usize>q) << 8));
          const x0 = <f64>f32x4.extract_lane(sums, 0);
          const y0 = <f64>f32x4.extract_lane(sums, 1);
          const x1 = <f64>f32x4.extract_lane(sums, 2);
          const y1 = <f64>f32x4.extract_lane(sums, 3);
          s0r += load<f64>(kept0) * x0 - load<f64>(kept0, 8) * y0;
          s0i += load<f64>(kept0) * y0 + load<f64>(kept0, 8) * x0;
          s1r += load<f64>(kept1) * x1 - load<f64>(kept1, 8) * y1;
          s1i += load<f64>(kept1) * y1 + load<f64>(kept1, 8) * x1;
          if (q < whole) {
            multiply(kept0, scratch + 512, kept0);
            multiply(kept1, second + 512, kept1);
          }
        }
        const row = <usize>((b * p.channels + h) * p.states + n);
        finish(p, row, scratch, kept0, s0r, s0i);
        if (both) finish(p, row + 1, second, kept1, s1r, s1i);
      }
    }
  }
}

import { DiagonalKernelParams, DiagonalStateParams } from '../params';
import { fma } from '../simd/fma';
import { sum4x4 } from '../simd/reduce';
import { coefficients } from './discretize';

/** Bytes of a table and of the power behind it. */
const POWERS_BYTES: usize = 528;
/** Steps that one table of powers spans. */
const SPAN: i32 = 64;
const TABLE_BYTES: usize = (<usize>SPAN) << 3;

/** Writes a^0 to a^63, real parts then imaginary parts, in four chains; a^64 as an f64 pair behind them. */
function powers(ar: f64, ai: f64, to: usize): void {
  const a2r = ar * ar - ai * ai;
  const a2i = 2 * ar * ai;
  const a3r = a2r * ar - a2i * ai;
  const a3i = a2r * ai + a2i * ar;
  const a4r = a2r * a2r - a2i * a2i;
  const a4i = 2 * a2r * a2i;
  let r0: f64 = 1;
  let i0: f64 = 0;
  let r1 = ar;
  let i1 = ai;
  let r2 = a2r;
  let i2 = a2i;
  let r3 = a3r;
  let i3 = a3i;
  for (const end = to + (TABLE_BYTES >> 1); to < end; to += 16) {
    store<f32>(to, <f32>r0);
    store<f32>(to, <f32>r1, 4);
    store<f32>(to, <f32>r2, 8);
    store<f32>(to, <f32>r3, 12);
    store<f32>(to, <f32>i0, 256);
    store<f32>(to, <f32>i1, 260);
    store<f32>(to, <f32>i2, 264);
    store<f32>(to, <f32>i3, 268);
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
  store<f64>(to, r0, 256);
  store<f64>(to, i0, 264);
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

/**
 * Writes to `to` the f64 pair g of state n: factor c b, or with a state x factor c a x, whose powers are the response
 * to it.
 */
function amplitude(p: DiagonalKernelParams, h: i32, n: i32, state: usize, to: usize): void {
  coefficients(p, h, n, to);
  let vr = load<f64>(to, 16);
  let vi = load<f64>(to, 24);
  if (state) {
    const xr = <f64>load<f32>(state + ((<usize>n) << 3));
    const xi = <f64>load<f32>(state + ((<usize>n) << 3), 4);
    vr = load<f64>(to) * xr - load<f64>(to, 8) * xi;
    vi = load<f64>(to) * xi + load<f64>(to, 8) * xr;
  }
  const cr = load<f64>(to, 32);
  const ci = load<f64>(to, 40);
  store<f64>(to, cr * vr - ci * vi, 16);
  store<f64>(to, cr * vi + ci * vr, 24);
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
      amplitude(p, h, n, state, pairs);
      powers(load<f64>(pairs), load<f64>(pairs, 8), scratch);
      let g0r = load<f64>(pairs, 16);
      let g0i = load<f64>(pairs, 24);
      let g1r: f64 = 0;
      let g1i: f64 = 0;
      if (n + 1 < p.states) {
        amplitude(p, h, n + 1, state, pairs);
        powers(load<f64>(pairs), load<f64>(pairs, 8), second);
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
        addSpan(scratch, <f32>g0r, <f32>g0i, <f32>g1r, <f32>g1i, o + ((<usize>q) << 8));
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

/** g = g a, f64 pairs. */
// @ts-ignore: decorator
@inline
function advance(g: usize, a: usize): void {
  const gr = load<f64>(g);
  const gi = load<f64>(g, 8);
  store<f64>(g, gr * load<f64>(a) - gi * load<f64>(a, 8));
  store<f64>(g, gr * load<f64>(a, 8) + gi * load<f64>(a), 8);
}

/** Writes the powers of state n to `tables`, and to `kept` the f64 pairs 1 and b. */
function stateTables(p: DiagonalStateParams, h: i32, n: i32, tables: usize, kept: usize): void {
  coefficients(p, h, n, kept);
  powers(load<f64>(kept), load<f64>(kept, 8), tables);
  store<f64>(kept, 1);
  store<f64>(kept, 0, 8);
}

/** x_T = a^T x_0 + b sum, from the f64 pairs a^(64 spans), b and the f64 sums. */
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
      for (let b = 0; b < p.batch; ++b) {
        if (b == 0) {
          stateTables(p, h, n, scratch, kept0);
          stateTables(p, h, both ? n + 1 : n, second, kept1);
        } else {
          store<f64>(kept0, 1);
          store<f64>(kept0, 0, 8);
          store<f64>(kept1, 1);
          store<f64>(kept1, 0, 8);
        }
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
            advance(kept0, scratch + 512);
            advance(kept1, second + 512);
          }
        }
        const row = <usize>((b * p.channels + h) * p.states + n);
        finish(p, row, scratch, kept0, s0r, s0i);
        if (both) finish(p, row + 1, second, kept1, s1r, s1i);
      }
    }
  }
}

import { DiagonalKernelParams } from '../params';
import { fma } from '../simd/fma';
import { coefficients } from './discretize';

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
    v128.store(o, fma(i1, v128.load(tables, 528 + 256), fma(r1, v128.load(tables, 528), first)));
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
  const second = scratch + 528;
  const pairs = scratch + 1056;
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
        memory.fill(second, 0, 528);
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

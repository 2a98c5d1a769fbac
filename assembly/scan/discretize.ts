import { DiagonalTableParams } from '../params';
import { exp64, turn64 } from '../simd/exp64';

export const ZOH: i32 = 0;
export const BILINEAR: i32 = 1;
export const SOFTMAX: i32 = 2;

const LEAST_B: f64 = 1e-30;

/** Bytes of the table of one channel: eight vectors for every four states. */
// @ts-ignore: decorator
@inline
export function tableBytes(states: i32): usize {
  return (<usize>((states + 3) >> 2)) << 7;
}

/** Writes e^(re + i im) - 1 as an f64 pair, without cancellation near 0. */
function exponentLess1(re: f64, im: f64, to: usize): void {
  if (abs(re) + abs(im) < 1e-3) {
    // z (1 + z/2 (1 + z/3 (1 + z/4 (1 + z/5)))), whose next term is below 1e-18
    let pr: f64 = 1 + re / 5;
    let pi: f64 = im / 5;
    for (let k = 4; k > 1; --k) {
      const qr = (re * pr - im * pi) / <f64>k;
      pi = (re * pi + im * pr) / <f64>k;
      pr = 1 + qr;
    }
    store<f64>(to, re * pr - im * pi);
    store<f64>(to, re * pi + im * pr, 8);
    return;
  }
  const size = exp64(re);
  turn64(im, to);
  store<f64>(to, size * load<f64>(to) - 1);
  store<f64>(to, size * load<f64>(to, 8), 8);
}

/**
 * Writes the f64 pairs a and b of x_t = a x_{t-1} + b u_t for x' = lambda x + u held over steps of dt. For SOFTMAX b also
 * holds the normalisation of DSS over `length` steps.
 */
function discretized(re: f64, im: f64, dt: f64, rule: i32, length: i32, eps: f64, to: usize): void {
  const zr = re * dt;
  const zi = im * dt;
  if (rule == BILINEAR) {
    const dr = 1 - 0.5 * zr;
    const di = -0.5 * zi;
    const inverse = 1 / (dr * dr + di * di);
    const nr = 1 + 0.5 * zr;
    const ni = 0.5 * zi;
    store<f64>(to, (nr * dr + ni * di) * inverse);
    store<f64>(to, (ni * dr - nr * di) * inverse, 8);
    store<f64>(to, dt * dr * inverse, 16);
    store<f64>(to, -dt * di * inverse, 24);
    return;
  }
  if (rule == ZOH) {
    exponentLess1(zr, zi, to);
    const er = load<f64>(to);
    const ei = load<f64>(to, 8);
    const square = re * re + im * im;
    store<f64>(to, er + 1);
    if (square == 0) {
      store<f64>(to, dt, 16);
      store<f64>(to, 0, 24);
    } else {
      store<f64>(to, (er * re + ei * im) / square, 16);
      store<f64>(to, (ei * re - er * im) / square, 24);
    }
    return;
  }
  // growing states are normalised from the last step backwards
  const sign: f64 = re > 0 ? -1 : 1;
  exponentLess1(sign * zr * <f64>length, sign * zi * <f64>length, to);
  const dr = load<f64>(to);
  const di = load<f64>(to, 8);
  const xr = dr * re - di * im;
  const xi = dr * im + di * re;
  const reciprocal = 1 / (xr * xr + xi * xi + eps);
  exponentLess1(sign * zr, sign * zi, to);
  const nr = load<f64>(to);
  const ni = load<f64>(to, 8);
  let br = (nr * xr + ni * xi) * reciprocal;
  let bi = (ni * xr - nr * xi) * reciprocal;
  if (re > 0) {
    const back = exp64(-zr * <f64>(length - 1));
    turn64(-zi * <f64>(length - 1), to);
    const c = load<f64>(to) * back;
    const s = load<f64>(to, 8) * back;
    const old = br;
    br = old * c - bi * s;
    bi = old * s + bi * c;
  }
  const size = exp64(zr);
  turn64(zi, to);
  store<f64>(to, size * load<f64>(to));
  store<f64>(to, size * load<f64>(to, 8), 8);
  store<f64>(to, br, 16);
  store<f64>(to, bi, 24);
}

/** Writes a, b and factor * C of state n of channel h as f64 pairs. */
export function coefficients(p: DiagonalTableParams, h: i32, n: i32, to: usize): void {
  const at = (<usize>(h * p.states + n)) << 2;
  const dt = exp64(<f64>load<f32>(p.logDt + ((<usize>h) << 2)));
  discretized(<f64>load<f32>(p.aReal + at), <f64>load<f32>(p.aImag + at), dt, p.rule, p.span, <f64>p.eps, to);
  store<f64>(to, <f64>p.factor * <f64>load<f32>(p.c + (at << 1)), 32);
  store<f64>(to, <f64>p.factor * <f64>load<f32>(p.c + (at << 1), 4), 40);
}

/**
 * Coefficients of complex diagonal recurrences x_t = a x_{t-1} + b u_t, y_t = Re sum_n c x_t.
 *
 *   aReal, aImag  f32 [H, N]     eigenvalues
 *   logDt         f32 [H]        natural logarithm of the step
 *   c             f32 [H, N, 2]  complex
 *   table         f32 [H, ceil(N / 4), 8, 4]  re and im of a, b, factor c, factor c b, of four states each; zeros behind N
 *
 * S4D (Gu 2022), section 3.2; DSS (Gupta 2022), proposition 1. Item: one channel.
 */
export function diagonalTable(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<DiagonalTableParams>(params);
  const bytes = tableBytes(p.states);
  for (let h = begin; h < end; ++h) {
    const row = p.table + <usize>h * bytes;
    memory.fill(row, 0, bytes);
    for (let n = 0; n < p.states; ++n) {
      coefficients(p, h, n, scratch);
      // states are divided by b: one so small that its input does not count must still be a number to divide by
      if (abs(load<f64>(scratch, 16)) < LEAST_B && abs(load<f64>(scratch, 24)) < LEAST_B) {
        store<f64>(scratch, LEAST_B, 16);
      }
      const at = row + ((<usize>(n >> 2)) << 7) + ((<usize>(n & 3)) << 2);
      for (let i: usize = 0; i < 6; ++i) store<f32>(at + (i << 4), <f32>load<f64>(scratch + (i << 3)));
      const br = load<f64>(scratch, 16);
      const bi = load<f64>(scratch, 24);
      const cr = load<f64>(scratch, 32);
      const ci = load<f64>(scratch, 40);
      store<f32>(at, <f32>(cr * br - ci * bi), 96);
      store<f32>(at, <f32>(cr * bi + ci * br), 112);
    }
  }
}

import { LINEAR_FLUSH } from '../simd/constants';
import { fma } from '../simd/fma';

/** Rows of the state that a strip keeps in registers. */
export const STRIP_ROWS: i32 = 4;

/** factor * s with results below 2^-100 flushed to zero, far above denormals; NaN stays. */
// @ts-ignore: decorator
@inline
function faded(s: v128, factor: v128, flush: v128): v128 {
  const product = f32x4.mul(s, factor);
  return v128.andnot(product, f32x4.lt(f32x4.abs(product), flush));
}

/**
 * One strip of a block of tokens: S = factor S, then for each token S += k v, o += q S.
 *
 *   state   f32 [4][8]      rows 32 bytes apart
 *   factor  f32 [4]         decay of each row before the first token
 *   qk      f32 [count][8]  q of the four rows, then k of the four rows
 *   v       f32 [count][8]
 *   o       f32 [count][8]  added to
 *
 * Nothing may alias. With `fading` 0 the factor counts as 1.
 */
export function strip(state: usize, factor: usize, fading: i32, qk: usize, v: usize, o: usize, count: i32): void {
  let s00 = v128.load(state);
  let s01 = v128.load(state, 16);
  let s10 = v128.load(state, 32);
  let s11 = v128.load(state, 48);
  let s20 = v128.load(state, 64);
  let s21 = v128.load(state, 80);
  let s30 = v128.load(state, 96);
  let s31 = v128.load(state, 112);
  if (fading) {
    const flush = v128.load(LINEAR_FLUSH);
    const f0 = v128.load32_splat(factor);
    const f1 = v128.load32_splat(factor, 4);
    const f2 = v128.load32_splat(factor, 8);
    const f3 = v128.load32_splat(factor, 12);
    s00 = faded(s00, f0, flush);
    s01 = faded(s01, f0, flush);
    s10 = faded(s10, f1, flush);
    s11 = faded(s11, f1, flush);
    s20 = faded(s20, f2, flush);
    s21 = faded(s21, f2, flush);
    s30 = faded(s30, f3, flush);
    s31 = faded(s31, f3, flush);
  }
  for (; count > 0; --count) {
    const v0 = v128.load(v);
    const v1 = v128.load(v, 16);
    const k0 = v128.load32_splat(qk, 16);
    s00 = fma(k0, v0, s00);
    s01 = fma(k0, v1, s01);
    const k1 = v128.load32_splat(qk, 20);
    s10 = fma(k1, v0, s10);
    s11 = fma(k1, v1, s11);
    const k2 = v128.load32_splat(qk, 24);
    s20 = fma(k2, v0, s20);
    s21 = fma(k2, v1, s21);
    const k3 = v128.load32_splat(qk, 28);
    s30 = fma(k3, v0, s30);
    s31 = fma(k3, v1, s31);
    const q0 = v128.load32_splat(qk);
    let o0 = fma(q0, s00, v128.load(o));
    let o1 = fma(q0, s01, v128.load(o, 16));
    const q1 = v128.load32_splat(qk, 4);
    o0 = fma(q1, s10, o0);
    o1 = fma(q1, s11, o1);
    const q2 = v128.load32_splat(qk, 8);
    o0 = fma(q2, s20, o0);
    o1 = fma(q2, s21, o1);
    const q3 = v128.load32_splat(qk, 12);
    v128.store(o, fma(q3, s30, o0));
    v128.store(o, fma(q3, s31, o1), 16);
    qk += 32;
    v += 32;
    o += 32;
  }
  v128.store(state, s00);
  v128.store(state, s01, 16);
  v128.store(state, s10, 32);
  v128.store(state, s11, 48);
  v128.store(state, s20, 64);
  v128.store(state, s21, 80);
  v128.store(state, s30, 96);
  v128.store(state, s31, 112);
}

/** As `strip`, without outputs: S = factor S, then S += k v for each token. */
export function writeStrip(state: usize, factor: usize, fading: i32, qk: usize, v: usize, count: i32): void {
  let s00 = v128.load(state);
  let s01 = v128.load(state, 16);
  let s10 = v128.load(state, 32);
  let s11 = v128.load(state, 48);
  let s20 = v128.load(state, 64);
  let s21 = v128.load(state, 80);
  let s30 = v128.load(state, 96);
  let s31 = v128.load(state, 112);
  if (fading) {
    const flush = v128.load(LINEAR_FLUSH);
    const f0 = v128.load32_splat(factor);
    const f1 = v128.load32_splat(factor, 4);
    const f2 = v128.load32_splat(factor, 8);
    const f3 = v128.load32_splat(factor, 12);
    s00 = faded(s00, f0, flush);
    s01 = faded(s01, f0, flush);
    s10 = faded(s10, f1, flush);
    s11 = faded(s11, f1, flush);
    s20 = faded(s20, f2, flush);
    s21 = faded(s21, f2, flush);
    s30 = faded(s30, f3, flush);
    s31 = faded(s31, f3, flush);
  }
  for (; count > 0; --count) {
    const v0 = v128.load(v);
    const v1 = v128.load(v, 16);
    const k0 = v128.load32_splat(qk, 16);
    s00 = fma(k0, v0, s00);
    s01 = fma(k0, v1, s01);
    const k1 = v128.load32_splat(qk, 20);
    s10 = fma(k1, v0, s10);
    s11 = fma(k1, v1, s11);
    const k2 = v128.load32_splat(qk, 24);
    s20 = fma(k2, v0, s20);
    s21 = fma(k2, v1, s21);
    const k3 = v128.load32_splat(qk, 28);
    s30 = fma(k3, v0, s30);
    s31 = fma(k3, v1, s31);
    qk += 32;
    v += 32;
  }
  v128.store(state, s00);
  v128.store(state, s01, 16);
  v128.store(state, s10, 32);
  v128.store(state, s11, 48);
  v128.store(state, s20, 64);
  v128.store(state, s21, 80);
  v128.store(state, s30, 96);
  v128.store(state, s31, 112);
}

/** Row i of a step: its eight columns of the state decay and take k v; o reads them after, or before where `early` says so. */
// @ts-ignore: decorator
@inline
function stepHalf(at: usize, f: v128, k: v128, q: v128, v: v128, o: v128, flush: v128, early: i32): v128 {
  const before = v128.load(at);
  const after = fma(k, v, faded(before, f, flush));
  v128.store(at, after);
  return fma(q, early ? before : after, o);
}

/**
 * One token on eight columns of a state where it lies: S = diag(factor) S + k v, o += q S (the old S with `early`).
 *
 *   state   f32 [4 groups][8]   rows `stride` bytes apart
 *   factor  f32 [4 groups]
 *   qk      f32 [groups][8]     groups `qkStep` bytes apart: q of four rows, then k of four rows
 *   v, o    f32 [8]
 *
 * Of the last group only `rows` rows (1 to 4) exist.
 */
export function stepColumns(
  state: usize,
  stride: usize,
  factor: usize,
  qk: usize,
  qkStep: usize,
  v: usize,
  o: usize,
  groups: i32,
  rows: i32,
  early: i32,
): void {
  const flush = v128.load(LINEAR_FLUSH);
  const v0 = v128.load(v);
  const v1 = v128.load(v, 16);
  let o0 = v128.load(o);
  let o1 = v128.load(o, 16);
  for (; groups > 0; --groups) {
    const last: usize = groups == 1 ? (<usize>rows) << 2 : 16;
    for (let i: usize = 0; i < last; i += 4) {
      const f = v128.load32_splat(factor + i);
      const q = v128.load32_splat(qk + i);
      const k = v128.load32_splat(qk + i, 16);
      o0 = stepHalf(state, f, k, q, v0, o0, flush, early);
      o1 = stepHalf(state + 16, f, k, q, v1, o1, flush, early);
      state += stride;
    }
    factor += 16;
    qk += qkStep;
  }
  v128.store(o, o0);
  v128.store(o, o1, 16);
}

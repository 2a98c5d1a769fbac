import { STATE_FLUSH } from '../simd/constants';
import { flushedBelow } from '../simd/flush';
import { fma } from '../simd/fma';

/**
 * One strip of a block of tokens: S = factor S, then for each token S += k v, o = from + q S.
 *
 *   state   f32 [4][8]      rows 32 bytes apart
 *   factor  f32 [4]         decay of each row before the first token
 *   qk      f32 [count][8]  q of the four rows, then k of the four rows
 *   v       f32 [count][8]
 *   from    f32 [count][8]  what is added to; steps of 2 tokens are `fromStep` bytes: 64, or 0 for the same 2 rows again
 *   o       f32 [count][8]  rows `oStride` bytes apart; may be `from`
 *
 * Nothing else may alias; count is even. With `fading` 0 the factor counts as 1.
 */
export function strip(
  state: usize,
  factor: usize,
  fading: i32,
  qk: usize,
  v: usize,
  from: usize,
  fromStep: usize,
  o: usize,
  oStride: usize,
  count: i32,
): void {
  let s00 = v128.load(state);
  let s01 = v128.load(state, 16);
  let s10 = v128.load(state, 32);
  let s11 = v128.load(state, 48);
  let s20 = v128.load(state, 64);
  let s21 = v128.load(state, 80);
  let s30 = v128.load(state, 96);
  let s31 = v128.load(state, 112);
  if (fading) {
    const f0 = v128.load32_splat(factor);
    const f1 = v128.load32_splat(factor, 4);
    const f2 = v128.load32_splat(factor, 8);
    const f3 = v128.load32_splat(factor, 12);
    s00 = f32x4.mul(s00, f0);
    s01 = f32x4.mul(s01, f0);
    s10 = f32x4.mul(s10, f1);
    s11 = f32x4.mul(s11, f1);
    s20 = f32x4.mul(s20, f2);
    s21 = f32x4.mul(s21, f2);
    s30 = f32x4.mul(s30, f3);
    s31 = f32x4.mul(s31, f3);
  }
  for (; count > 0; count -= 2) {
    const v0A = v128.load(v);
    const v1A = v128.load(v, 16);
    const kA = v128.load(qk, 16);
    const k0A = i32x4.shuffle(kA, kA, 0, 0, 0, 0);
    s00 = fma(k0A, v0A, s00);
    s01 = fma(k0A, v1A, s01);
    const k1A = i32x4.shuffle(kA, kA, 1, 1, 1, 1);
    s10 = fma(k1A, v0A, s10);
    s11 = fma(k1A, v1A, s11);
    const k2A = i32x4.shuffle(kA, kA, 2, 2, 2, 2);
    s20 = fma(k2A, v0A, s20);
    s21 = fma(k2A, v1A, s21);
    const k3A = i32x4.shuffle(kA, kA, 3, 3, 3, 3);
    s30 = fma(k3A, v0A, s30);
    s31 = fma(k3A, v1A, s31);
    let o0A = v128.load(from);
    let o1A = v128.load(from, 16);
    const q0A = v128.load32_splat(qk);
    o0A = fma(q0A, s00, o0A);
    o1A = fma(q0A, s01, o1A);
    const q1A = v128.load32_splat(qk, 4);
    o0A = fma(q1A, s10, o0A);
    o1A = fma(q1A, s11, o1A);
    const q2A = v128.load32_splat(qk, 8);
    o0A = fma(q2A, s20, o0A);
    o1A = fma(q2A, s21, o1A);
    const q3A = v128.load32_splat(qk, 12);
    o0A = fma(q3A, s30, o0A);
    o1A = fma(q3A, s31, o1A);
    v128.store(o, o0A);
    v128.store(o, o1A, 16);
    const v0B = v128.load(v, 32);
    const v1B = v128.load(v, 48);
    const kB = v128.load(qk, 48);
    const k0B = i32x4.shuffle(kB, kB, 0, 0, 0, 0);
    s00 = fma(k0B, v0B, s00);
    s01 = fma(k0B, v1B, s01);
    const k1B = i32x4.shuffle(kB, kB, 1, 1, 1, 1);
    s10 = fma(k1B, v0B, s10);
    s11 = fma(k1B, v1B, s11);
    const k2B = i32x4.shuffle(kB, kB, 2, 2, 2, 2);
    s20 = fma(k2B, v0B, s20);
    s21 = fma(k2B, v1B, s21);
    const k3B = i32x4.shuffle(kB, kB, 3, 3, 3, 3);
    s30 = fma(k3B, v0B, s30);
    s31 = fma(k3B, v1B, s31);
    let o0B = v128.load(from, 32);
    let o1B = v128.load(from, 48);
    const q0B = v128.load32_splat(qk, 32);
    o0B = fma(q0B, s00, o0B);
    o1B = fma(q0B, s01, o1B);
    const q1B = v128.load32_splat(qk, 36);
    o0B = fma(q1B, s10, o0B);
    o1B = fma(q1B, s11, o1B);
    const q2B = v128.load32_splat(qk, 40);
    o0B = fma(q2B, s20, o0B);
    o1B = fma(q2B, s21, o1B);
    const q3B = v128.load32_splat(qk, 44);
    o0B = fma(q3B, s30, o0B);
    o1B = fma(q3B, s31, o1B);
    const next = o + oStride;
    v128.store(next, o0B);
    v128.store(next, o1B, 16);
    qk += 64;
    v += 64;
    from += fromStep;
    o = next + oStride;
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
    const f0 = v128.load32_splat(factor);
    const f1 = v128.load32_splat(factor, 4);
    const f2 = v128.load32_splat(factor, 8);
    const f3 = v128.load32_splat(factor, 12);
    s00 = f32x4.mul(s00, f0);
    s01 = f32x4.mul(s01, f0);
    s10 = f32x4.mul(s10, f1);
    s11 = f32x4.mul(s11, f1);
    s20 = f32x4.mul(s20, f2);
    s21 = f32x4.mul(s21, f2);
    s30 = f32x4.mul(s30, f3);
    s31 = f32x4.mul(s31, f3);
  }
  for (; count > 0; count -= 2) {
    const v0A = v128.load(v);
    const v1A = v128.load(v, 16);
    const kA = v128.load(qk, 16);
    const k0A = i32x4.shuffle(kA, kA, 0, 0, 0, 0);
    s00 = fma(k0A, v0A, s00);
    s01 = fma(k0A, v1A, s01);
    const k1A = i32x4.shuffle(kA, kA, 1, 1, 1, 1);
    s10 = fma(k1A, v0A, s10);
    s11 = fma(k1A, v1A, s11);
    const k2A = i32x4.shuffle(kA, kA, 2, 2, 2, 2);
    s20 = fma(k2A, v0A, s20);
    s21 = fma(k2A, v1A, s21);
    const k3A = i32x4.shuffle(kA, kA, 3, 3, 3, 3);
    s30 = fma(k3A, v0A, s30);
    s31 = fma(k3A, v1A, s31);
    const v0B = v128.load(v, 32);
    const v1B = v128.load(v, 48);
    const kB = v128.load(qk, 48);
    const k0B = i32x4.shuffle(kB, kB, 0, 0, 0, 0);
    s00 = fma(k0B, v0B, s00);
    s01 = fma(k0B, v1B, s01);
    const k1B = i32x4.shuffle(kB, kB, 1, 1, 1, 1);
    s10 = fma(k1B, v0B, s10);
    s11 = fma(k1B, v1B, s11);
    const k2B = i32x4.shuffle(kB, kB, 2, 2, 2, 2);
    s20 = fma(k2B, v0B, s20);
    s21 = fma(k2B, v1B, s21);
    const k3B = i32x4.shuffle(kB, kB, 3, 3, 3, 3);
    s30 = fma(k3B, v0B, s30);
    s31 = fma(k3B, v1B, s31);
    qk += 64;
    v += 64;
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
  const product = f32x4.mul(before, f);
  const after = fma(k, v, flushedBelow(product, flush));
  v128.store(at, after);
  return fma(q, early ? before : after, o);
}

/**
 * One token on eight columns of a state where it lies: S = diag(factor) S + k v, o += q S (the old S with `early`). Decayed elements
 * below 2^-100 become zero, far above denormals.
 *
 *   state   f32 [4 groups][8]   rows `stride` bytes apart
 *   factor  f32 [4 groups]
 *   q, k    f32 [groups][4]     groups `step` bytes apart
 *   v, o    f32 [8]
 *
 * Of the last group only `rows` rows (1 to 4) exist.
 */
export function stepColumns(
  state: usize,
  stride: usize,
  factor: usize,
  q: usize,
  k: usize,
  step: usize,
  v: usize,
  o: usize,
  groups: i32,
  rows: i32,
  early: i32,
): void {
  const flush = v128.load(STATE_FLUSH);
  const v0 = v128.load(v);
  const v1 = v128.load(v, 16);
  let o0 = v128.load(o);
  let o1 = v128.load(o, 16);
  for (; groups > 0; --groups) {
    const last: usize = groups == 1 ? (<usize>rows) << 2 : 16;
    for (let i: usize = 0; i < last; i += 4) {
      const f = v128.load32_splat(factor + i);
      const qi = v128.load32_splat(q + i);
      const ki = v128.load32_splat(k + i);
      o0 = stepHalf(state, f, ki, qi, v0, o0, flush, early);
      o1 = stepHalf(state + 16, f, ki, qi, v1, o1, flush, early);
      state += stride;
    }
    factor += 16;
    q += step;
    k += step;
  }
  v128.store(o, o0);
  v128.store(o, o1, 16);
}

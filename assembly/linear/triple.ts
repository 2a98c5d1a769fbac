import { fma } from '../simd/fma';

/** Offsets in the record of three tokens: usize [3] rows of k and of q, f32 [6] products, f32 [3] factors on v and on o. */
export const TRIPLE_K: usize = 0;
export const TRIPLE_Q: usize = 12;
export const TRIPLE_PRODUCTS: usize = 24;
export const TRIPLE_V_FACTORS: usize = 48;
export const TRIPLE_O_FACTORS: usize = 60;

/**
 * What three tokens put out, from what they read of the state before all three (a, b, c = q S on eight columns): each adds the values of
 * the tokens up to itself, times the products of its query with their keys; then all of it times the token's own factor.
 *
 *   record   products q_A k_A, q_B k_A, q_B k_B, q_C k_A, q_C k_B, q_C k_C, factors on o
 *   o        f32 [8] of each token
 */
// @ts-ignore: decorator
@inline
function finishTriple(
  record: usize,
  a0: v128,
  a1: v128,
  b0: v128,
  b1: v128,
  c0: v128,
  c1: v128,
  vA0: v128,
  vA1: v128,
  vB0: v128,
  vB1: v128,
  vC0: v128,
  vC1: v128,
  oA: usize,
  oB: usize,
  oC: usize,
): void {
  const qAkA = v128.load32_splat(record, TRIPLE_PRODUCTS);
  let factor = v128.load32_splat(record, TRIPLE_O_FACTORS);
  v128.store(oA, f32x4.mul(fma(qAkA, vA0, a0), factor));
  v128.store(oA, f32x4.mul(fma(qAkA, vA1, a1), factor), 16);
  const qBkA = v128.load32_splat(record, TRIPLE_PRODUCTS + 4);
  const qBkB = v128.load32_splat(record, TRIPLE_PRODUCTS + 8);
  factor = v128.load32_splat(record, TRIPLE_O_FACTORS + 4);
  v128.store(oB, f32x4.mul(fma(qBkB, vB0, fma(qBkA, vA0, b0)), factor));
  v128.store(oB, f32x4.mul(fma(qBkB, vB1, fma(qBkA, vA1, b1)), factor), 16);
  const qCkA = v128.load32_splat(record, TRIPLE_PRODUCTS + 12);
  const qCkB = v128.load32_splat(record, TRIPLE_PRODUCTS + 16);
  const qCkC = v128.load32_splat(record, TRIPLE_PRODUCTS + 20);
  factor = v128.load32_splat(record, TRIPLE_O_FACTORS + 8);
  v128.store(oC, f32x4.mul(fma(qCkC, vC0, fma(qCkB, vB0, fma(qCkA, vA0, c0))), factor));
  v128.store(oC, f32x4.mul(fma(qCkC, vC1, fma(qCkB, vB1, fma(qCkA, vA1, c1))), factor), 16);
}

/**
 * Three tokens on eight columns of the state in one pass: o = q S of each, finished by `finishTriple`, then S += k (factor v) of all.
 *
 *   state   f32 [rows][8]
 *   record  rows f32 [rows] of k and q of the three, their products, factors on v and o
 *   v, o    f32 [8] of each token
 *
 * rows is even, nothing aliases. Twelve multiply-adds for every two vectors of the state, which is what registers allow. The chunk form
 * of three tokens (Yang 2023).
 */
// @ts-ignore: decorator
@inline
export function sweepTriple(
  state: usize,
  record: usize,
  rows: i32,
  vA: usize,
  vB: usize,
  vC: usize,
  oA: usize,
  oB: usize,
  oC: usize,
): void {
  let x = v128.load32_splat(record, TRIPLE_V_FACTORS);
  const vA0 = f32x4.mul(v128.load(vA), x);
  const vA1 = f32x4.mul(v128.load(vA, 16), x);
  x = v128.load32_splat(record, TRIPLE_V_FACTORS + 4);
  const vB0 = f32x4.mul(v128.load(vB), x);
  const vB1 = f32x4.mul(v128.load(vB, 16), x);
  x = v128.load32_splat(record, TRIPLE_V_FACTORS + 8);
  const vC0 = f32x4.mul(v128.load(vC), x);
  const vC1 = f32x4.mul(v128.load(vC, 16), x);
  let a0 = i32x4.splat(0);
  let a1 = a0;
  let b0 = a0;
  let b1 = a0;
  let c0 = a0;
  let c1 = a0;
  let kA = load<usize>(record, TRIPLE_K);
  let kB = load<usize>(record, TRIPLE_K + 4);
  let kC = load<usize>(record, TRIPLE_K + 8);
  let qA = load<usize>(record, TRIPLE_Q);
  let qB = load<usize>(record, TRIPLE_Q + 4);
  let qC = load<usize>(record, TRIPLE_Q + 8);
  for (; rows > 0; rows -= 2) {
    let s0 = v128.load(state);
    let s1 = v128.load(state, 16);
    x = v128.load32_splat(qA);
    a0 = fma(x, s0, a0);
    a1 = fma(x, s1, a1);
    x = v128.load32_splat(qB);
    b0 = fma(x, s0, b0);
    b1 = fma(x, s1, b1);
    x = v128.load32_splat(qC);
    c0 = fma(x, s0, c0);
    c1 = fma(x, s1, c1);
    x = v128.load32_splat(kA);
    s0 = fma(x, vA0, s0);
    s1 = fma(x, vA1, s1);
    x = v128.load32_splat(kB);
    s0 = fma(x, vB0, s0);
    s1 = fma(x, vB1, s1);
    x = v128.load32_splat(kC);
    s0 = fma(x, vC0, s0);
    s1 = fma(x, vC1, s1);
    v128.store(state, s0);
    v128.store(state, s1, 16);

    s0 = v128.load(state, 32);
    s1 = v128.load(state, 48);
    x = v128.load32_splat(qA, 4);
    a0 = fma(x, s0, a0);
    a1 = fma(x, s1, a1);
    x = v128.load32_splat(qB, 4);
    b0 = fma(x, s0, b0);
    b1 = fma(x, s1, b1);
    x = v128.load32_splat(qC, 4);
    c0 = fma(x, s0, c0);
    c1 = fma(x, s1, c1);
    x = v128.load32_splat(kA, 4);
    s0 = fma(x, vA0, s0);
    s1 = fma(x, vA1, s1);
    x = v128.load32_splat(kB, 4);
    s0 = fma(x, vB0, s0);
    s1 = fma(x, vB1, s1);
    x = v128.load32_splat(kC, 4);
    s0 = fma(x, vC0, s0);
    s1 = fma(x, vC1, s1);
    v128.store(state, s0, 32);
    v128.store(state, s1, 48);
    state += 64;
    kA += 8;
    kB += 8;
    kC += 8;
    qA += 8;
    qB += 8;
    qC += 8;
  }
  finishTriple(record, a0, a1, b0, b1, c0, c1, vA0, vA1, vB0, vB1, vC0, vC1, oA, oB, oC);
}

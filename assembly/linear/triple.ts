import { fma } from '../simd/fma';

/**
 * What three tokens put out, from what they read of the state before all three (a, b, c = q S on eight columns): each adds the values of
 * the tokens up to itself, times the products of its query with their keys.
 *
 *   numbers  f32 [6]   q_A k_A, q_B k_A, q_B k_B, q_C k_A, q_C k_B, q_C k_C
 *   o        f32 [8]   of each token
 */
// @ts-ignore: decorator
@inline
function finishTriple(
  numbers: usize,
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
  const qAkA = v128.load32_splat(numbers);
  v128.store(oA, fma(qAkA, vA0, a0));
  v128.store(oA, fma(qAkA, vA1, a1), 16);
  const qBkA = v128.load32_splat(numbers, 4);
  const qBkB = v128.load32_splat(numbers, 8);
  v128.store(oB, fma(qBkB, vB0, fma(qBkA, vA0, b0)));
  v128.store(oB, fma(qBkB, vB1, fma(qBkA, vA1, b1)), 16);
  const qCkA = v128.load32_splat(numbers, 12);
  const qCkB = v128.load32_splat(numbers, 16);
  const qCkC = v128.load32_splat(numbers, 20);
  v128.store(oC, fma(qCkC, vC0, fma(qCkB, vB0, fma(qCkA, vA0, c0))));
  v128.store(oC, fma(qCkC, vC1, fma(qCkB, vB1, fma(qCkA, vA1, c1))), 16);
}

/**
 * Three tokens on eight columns of the state in one pass: o = q S of each, finished by `finishTriple`, then S += k v of all.
 *
 *   state   f32 [rows][8]
 *   record  f32 [6][rows], numbers   k of the three, then q, `rowBytes` apart
 *   v, o    f32 [8]                  of each token
 *
 * rows is even, nothing aliases. Twelve multiply-adds for every two vectors of the state, which is what registers allow. The chunk form
 * of three tokens (Yang 2023).
 */
export function sweepTriple(
  state: usize,
  record: usize,
  rowBytes: usize,
  rows: i32,
  vA: usize,
  vB: usize,
  vC: usize,
  oA: usize,
  oB: usize,
  oC: usize,
): void {
  const vA0 = v128.load(vA);
  const vA1 = v128.load(vA, 16);
  const vB0 = v128.load(vB);
  const vB1 = v128.load(vB, 16);
  const vC0 = v128.load(vC);
  const vC1 = v128.load(vC, 16);
  let a0 = i32x4.splat(0);
  let a1 = a0;
  let b0 = a0;
  let b1 = a0;
  let c0 = a0;
  let c1 = a0;
  let kA = record;
  let kB = kA + rowBytes;
  let kC = kB + rowBytes;
  let qA = kC + rowBytes;
  let qB = qA + rowBytes;
  let qC = qB + rowBytes;
  for (; rows > 0; rows -= 2) {
    let s0 = v128.load(state);
    let s1 = v128.load(state, 16);
    let x = v128.load32_splat(qA);
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
  // `qC` ends where the record's numbers begin
  finishTriple(qC, a0, a1, b0, b1, c0, c1, vA0, vA1, vB0, vB1, vC0, vC1, oA, oB, oC);
}

/** As `sweepTriple`, on a state that first decays by `factor` f32 [rows]. */
export function openTriple(
  state: usize,
  factor: usize,
  record: usize,
  rowBytes: usize,
  rows: i32,
  vA: usize,
  vB: usize,
  vC: usize,
  oA: usize,
  oB: usize,
  oC: usize,
): void {
  const vA0 = v128.load(vA);
  const vA1 = v128.load(vA, 16);
  const vB0 = v128.load(vB);
  const vB1 = v128.load(vB, 16);
  const vC0 = v128.load(vC);
  const vC1 = v128.load(vC, 16);
  let a0 = i32x4.splat(0);
  let a1 = a0;
  let b0 = a0;
  let b1 = a0;
  let c0 = a0;
  let c1 = a0;
  let kA = record;
  let kB = kA + rowBytes;
  let kC = kB + rowBytes;
  let qA = kC + rowBytes;
  let qB = qA + rowBytes;
  let qC = qB + rowBytes;
  for (; rows > 0; --rows) {
    let x = v128.load32_splat(factor);
    let s0 = f32x4.mul(v128.load(state), x);
    let s1 = f32x4.mul(v128.load(state, 16), x);
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
    state += 32;
    factor += 4;
    kA += 4;
    kB += 4;
    kC += 4;
    qA += 4;
    qB += 4;
    qC += 4;
  }
  finishTriple(qC, a0, a1, b0, b1, c0, c1, vA0, vA1, vB0, vB1, vC0, vC1, oA, oB, oC);
}

import { FOLDED_FLUSH } from '../simd/constants';
import { flushedBelow } from '../simd/flush';
import { fma } from '../simd/fma';

/** Bytes from a record's rows of keys to its rows of reads, in rows. */
const READS: usize = 2;

/**
 * What two tokens write and put out, from what they read of the state before both (r = a S, o = q S on eight columns):
 *
 *   w_A = beta_A (v_A - r_A)                      o_A += (q_A k_A) w_A
 *   w_B = beta_B (v_B - r_B - (a_B k_A) w_A)      o_B += (q_B k_A) w_A + (q_B k_B) w_B
 *
 *   numbers  f32 [8]   beta_A, beta_B, a_B k_A, q_A k_A, q_B k_A, q_B k_B, two unused
 *   v, o     f32 [8]   of each token
 *   written  f32 [2][8]
 *
 * The form of two tokens of the chunk algorithm (Yang 2024).
 */
// @ts-ignore: decorator
@inline
function finishPair(
  numbers: usize,
  rA0: v128,
  rA1: v128,
  rB0: v128,
  rB1: v128,
  qA0: v128,
  qA1: v128,
  qB0: v128,
  qB1: v128,
  vA: usize,
  vB: usize,
  oA: usize,
  oB: usize,
  written: usize,
): void {
  const betaA = v128.load32_splat(numbers);
  const wA0 = f32x4.mul(betaA, f32x4.sub(v128.load(vA), rA0));
  const wA1 = f32x4.mul(betaA, f32x4.sub(v128.load(vA, 16), rA1));
  v128.store(written, wA0);
  v128.store(written, wA1, 16);
  const aBkA = v128.load32_splat(numbers, 8);
  const betaB = v128.load32_splat(numbers, 4);
  const wB0 = f32x4.mul(betaB, f32x4.sub(v128.load(vB), fma(aBkA, wA0, rB0)));
  const wB1 = f32x4.mul(betaB, f32x4.sub(v128.load(vB, 16), fma(aBkA, wA1, rB1)));
  v128.store(written, wB0, 32);
  v128.store(written, wB1, 48);
  const qAkA = v128.load32_splat(numbers, 12);
  v128.store(oA, fma(qAkA, wA0, qA0));
  v128.store(oA, fma(qAkA, wA1, qA1), 16);
  const qBkA = v128.load32_splat(numbers, 16);
  const qBkB = v128.load32_splat(numbers, 20);
  v128.store(oB, fma(qBkB, wB0, fma(qBkA, wA0, qB0)));
  v128.store(oB, fma(qBkB, wB1, fma(qBkA, wA1, qB1)), 16);
}

/**
 * Eight columns of the state take what two tokens write and are read for the next two, in one pass: S += k_A w_A + k_B w_B, then r = a S
 * and o = q S of both, finished by `finishPair`.
 *
 *   state    f32 [rows][8]
 *   writes   f32 [2][rows]   k of the tokens in `written`, rows `rowBytes` apart
 *   reads    f32 [6][rows]   record of the next two: k k a a q q
 *   written  f32 [2][8]      w of the tokens before; becomes that of the next
 *
 * The others as there; rows is even, nothing aliases.
 */
// @ts-ignore: decorator
@inline
export function sweepPair(
  state: usize,
  writes: usize,
  reads: usize,
  rowBytes: usize,
  rows: i32,
  written: usize,
  vA: usize,
  vB: usize,
  oA: usize,
  oB: usize,
): void {
  const wA0 = v128.load(written);
  const wA1 = v128.load(written, 16);
  const wB0 = v128.load(written, 32);
  const wB1 = v128.load(written, 48);
  let rA0 = i32x4.splat(0);
  let rA1 = rA0;
  let rB0 = rA0;
  let rB1 = rA0;
  let qA0 = rA0;
  let qA1 = rA0;
  let qB0 = rA0;
  let qB1 = rA0;
  let kA = writes;
  let kB = writes + rowBytes;
  let aA = reads + READS * rowBytes;
  let aB = aA + rowBytes;
  let rowA = aB + rowBytes;
  let rowB = rowA + rowBytes;
  for (; rows > 0; rows -= 2) {
    let x = v128.load32_splat(kA);
    let s0 = fma(x, wA0, v128.load(state));
    let s1 = fma(x, wA1, v128.load(state, 16));
    x = v128.load32_splat(kB);
    s0 = fma(x, wB0, s0);
    s1 = fma(x, wB1, s1);
    v128.store(state, s0);
    v128.store(state, s1, 16);
    x = v128.load32_splat(aA);
    rA0 = fma(x, s0, rA0);
    rA1 = fma(x, s1, rA1);
    x = v128.load32_splat(aB);
    rB0 = fma(x, s0, rB0);
    rB1 = fma(x, s1, rB1);
    x = v128.load32_splat(rowA);
    qA0 = fma(x, s0, qA0);
    qA1 = fma(x, s1, qA1);
    x = v128.load32_splat(rowB);
    qB0 = fma(x, s0, qB0);
    qB1 = fma(x, s1, qB1);

    x = v128.load32_splat(kA, 4);
    s0 = fma(x, wA0, v128.load(state, 32));
    s1 = fma(x, wA1, v128.load(state, 48));
    x = v128.load32_splat(kB, 4);
    s0 = fma(x, wB0, s0);
    s1 = fma(x, wB1, s1);
    v128.store(state, s0, 32);
    v128.store(state, s1, 48);
    x = v128.load32_splat(aA, 4);
    rA0 = fma(x, s0, rA0);
    rA1 = fma(x, s1, rA1);
    x = v128.load32_splat(aB, 4);
    rB0 = fma(x, s0, rB0);
    rB1 = fma(x, s1, rB1);
    x = v128.load32_splat(rowA, 4);
    qA0 = fma(x, s0, qA0);
    qA1 = fma(x, s1, qA1);
    x = v128.load32_splat(rowB, 4);
    qB0 = fma(x, s0, qB0);
    qB1 = fma(x, s1, qB1);
    state += 64;
    kA += 8;
    kB += 8;
    aA += 8;
    aB += 8;
    rowA += 8;
    rowB += 8;
  }
  // `rowB` ends where the record's numbers begin
  finishPair(rowB, rA0, rA1, rB0, rB1, qA0, qA1, qB0, qB1, vA, vB, oA, oB, written);
}

/**
 * The first two tokens of a block: eight columns of the state decay and are read for them. With `early` the first token's a, which then is
 * not folded by `factor`, reads the state before.
 *
 *   factor  f32 [rows]   decay of each row
 *
 * The others as in `sweepPair`.
 */
export function openPair(
  state: usize,
  factor: usize,
  early: i32,
  reads: usize,
  rowBytes: usize,
  rows: i32,
  written: usize,
  vA: usize,
  vB: usize,
  oA: usize,
  oB: usize,
): void {
  const flush = v128.load(FOLDED_FLUSH);
  let rA0 = i32x4.splat(0);
  let rA1 = rA0;
  let rB0 = rA0;
  let rB1 = rA0;
  let qA0 = rA0;
  let qA1 = rA0;
  let qB0 = rA0;
  let qB1 = rA0;
  let aA = reads + READS * rowBytes;
  let aB = aA + rowBytes;
  let rowA = aB + rowBytes;
  let rowB = rowA + rowBytes;
  for (; rows > 0; --rows) {
    const before0 = v128.load(state);
    const before1 = v128.load(state, 16);
    let x = v128.load32_splat(factor);
    const s0 = flushedBelow(f32x4.mul(before0, x), flush);
    const s1 = flushedBelow(f32x4.mul(before1, x), flush);
    v128.store(state, s0);
    v128.store(state, s1, 16);
    x = v128.load32_splat(aA);
    rA0 = fma(x, early ? before0 : s0, rA0);
    rA1 = fma(x, early ? before1 : s1, rA1);
    x = v128.load32_splat(aB);
    rB0 = fma(x, s0, rB0);
    rB1 = fma(x, s1, rB1);
    x = v128.load32_splat(rowA);
    qA0 = fma(x, s0, qA0);
    qA1 = fma(x, s1, qA1);
    x = v128.load32_splat(rowB);
    qB0 = fma(x, s0, qB0);
    qB1 = fma(x, s1, qB1);
    state += 32;
    factor += 4;
    aA += 4;
    aB += 4;
    rowA += 4;
    rowB += 4;
  }
  finishPair(rowB, rA0, rA1, rB0, rB1, qA0, qA1, qB0, qB1, vA, vB, oA, oB, written);
}

/** The last two tokens of a block: S += k_A w_A + k_B w_B on eight columns. Operands as in `sweepPair`. */
export function closePair(state: usize, writes: usize, rowBytes: usize, rows: i32, written: usize): void {
  const wA0 = v128.load(written);
  const wA1 = v128.load(written, 16);
  const wB0 = v128.load(written, 32);
  const wB1 = v128.load(written, 48);
  let kA = writes;
  let kB = writes + rowBytes;
  for (; rows > 0; --rows) {
    let x = v128.load32_splat(kA);
    const s0 = fma(x, wA0, v128.load(state));
    const s1 = fma(x, wA1, v128.load(state, 16));
    x = v128.load32_splat(kB);
    v128.store(state, fma(x, wB0, s0));
    v128.store(state, fma(x, wB1, s1), 16);
    state += 32;
    kA += 4;
    kB += 4;
  }
}

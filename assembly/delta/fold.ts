import { copyRow, fillRow } from '../linear/decay';
import { rowDecays, scalarDecays } from '../linear/decays';
import { operandRow, tokenValue } from '../linear/rows';
import { GATE_ROWS, GATE_SCALAR } from '../linear/workspace';
import { DeltaParams } from '../params';
import { fma } from '../simd/fma';
import { sum4, sum4x4 } from '../simd/reduce';
import { squareRow } from '../simd/row';
import { outputOf } from './output';
import { SINGLE_A, SINGLE_B, SINGLE_K, SINGLE_Q } from './single';
import { DeltaScratch } from './workspace';

/** Prepares the rows of an item that no token fills. */
export function openRows(p: DeltaParams, w: DeltaScratch): void {
  fillRow(w.aRow, 0, w.groups);
  fillRow(w.bRow, 0, w.groups);
  fillRow(w.ones, 1, w.groups);
  if (!p.gateKind) fillRow(w.factor, 1, w.groups);
}

/** How a row meets the decays since the block's first token. */
const TIMES: i32 = 1;
const OVER: i32 = -1;

/** to = factor * row, times or over the decays up to token n of the block; as it is where n is negative. */
function foldRow(p: DeltaParams, w: DeltaScratch, row: usize, factor: f32, n: i32, how: i32, to: usize): void {
  let vectors = w.groups;
  if (p.gateKind == GATE_SCALAR && n >= 0) {
    const product = load<f32>(w.products + ((<usize>n) << 2));
    factor = how == TIMES ? factor * product : factor / product;
  }
  const factors = f32x4.splat(factor);
  if (p.gateKind != GATE_ROWS || n < 0) {
    for (; vectors > 0; --vectors) {
      v128.store(to, f32x4.mul(v128.load(row), factors));
      row += 16;
      to += 16;
    }
    return;
  }
  let product = w.products + <usize>n * w.rowBytes;
  for (; vectors > 0; --vectors) {
    const x = f32x4.mul(v128.load(row), factors);
    const y = v128.load(product);
    v128.store(to, how == TIMES ? f32x4.mul(x, y) : f32x4.div(x, y));
    row += 16;
    product += 16;
    to += 16;
  }
}

/** to = to * row. */
export function timesRow(row: usize, to: usize, vectors: i32): void {
  for (; vectors > 0; --vectors) {
    v128.store(to, f32x4.mul(v128.load(to), v128.load(row)));
    row += 16;
    to += 16;
  }
}

/** sum a b over whole vectors. */
function dotRow(a: usize, b: usize, vectors: i32): f32 {
  let sum = i32x4.splat(0);
  for (; vectors > 0; --vectors) {
    sum = fma(v128.load(a), v128.load(b), sum);
    a += 16;
    b += 16;
  }
  return sum4(sum);
}

/** 1 / |row|, or 1 where rows are not normalised. */
function inverseNorm(p: DeltaParams, row: usize): f32 {
  if (!p.normalized) return 1;
  return <f32>(1 / sqrt<f64>(<f64>squareRow(row, p.dk, 0) + <f64>p.normEpsilon));
}

function keyRow(p: DeltaParams, w: DeltaScratch, token: i32, row: usize): usize {
  const head = w.head / p.keyGroup;
  return operandRow(p.k, p.kStrideB, p.kStrideT, p.kStrideH, p.kType, w, token, head, p.dk, row);
}

function eraseRow(p: DeltaParams, w: DeltaScratch, token: i32): usize {
  const head = w.head / p.aGroup;
  return operandRow(p.a, p.aStrideB, p.aStrideT, p.aStrideH, p.aType, w, token, head, p.dk, w.aRow);
}

function alongRow(p: DeltaParams, w: DeltaScratch, token: i32): usize {
  const head = w.head / p.bGroup;
  return operandRow(p.b, p.bStrideB, p.bStrideT, p.bStrideH, p.bType, w, token, head, p.dk, w.bRow);
}

function queryRow(p: DeltaParams, w: DeltaScratch, token: i32, row: usize): usize {
  const t = p.q ? outputOf(p, w, token) : -1;
  if (t < 0) return w.zeros;
  return operandRow(p.q, p.qStrideB, p.qStrideT, p.qStrideH, p.qType, w, t - w.start, w.keyHead, p.dk, row);
}

/**
 * The reads of token n of the block: q decayed up to it, a up to it or, where it reads the state before the decay, up to the token before.
 * The first a of the latter kind meets the state as the block before has left it.
 */
function foldReads(p: DeltaParams, w: DeltaScratch, step: i32, n: i32, aTo: usize, qTo: usize): void {
  const token = step + n;
  const q = queryRow(p, w, token, w.qRow);
  foldRow(p, w, q, p.scale * inverseNorm(p, q), n, TIMES, qTo);
  const a = p.a ? eraseRow(p, w, token) : keyRow(p, w, token, w.kRow);
  const factor: f32 = p.a ? 1 : inverseNorm(p, a);
  foldRow(p, w, a, factor, p.readsOld ? n - 1 : n, TIMES, aTo);
  if (p.readsOld && n == 0) timesRow(w.prior, aTo, w.groups);
}

/** The key of token n of the block, the decays up to it divided out. */
function foldKey(p: DeltaParams, w: DeltaScratch, step: i32, n: i32, to: usize): void {
  const k = keyRow(p, w, step + n, w.kRow);
  foldRow(p, w, k, inverseNorm(p, k), n, OVER, to);
}

/** Product of the scalar decays up to token n of the block. */
// @ts-ignore: decorator
@inline
function productAt(p: DeltaParams, w: DeltaScratch, n: i32): f32 {
  return p.gateKind ? load<f32>(w.products + ((<usize>n) << 2)) : 1;
}

/**
 * The record of two tokens whose keys are also what erases, with one decay a token: all rows and their products in one pass.
 *
 *   kA, kB, qA, qB  f32 [groups][4]   rows of the tokens
 *   record          f32 [6][groups][4], numbers
 *
 * writeA, readA, queryA: factors on k as it writes, on k as it reads, and on q; likewise of B.
 */
function foldKeyPair(
  kA: usize,
  kB: usize,
  qA: usize,
  qB: usize,
  writeA: f32,
  writeB: f32,
  readA: f32,
  readB: f32,
  queryA: f32,
  queryB: f32,
  record: usize,
  rowBytes: usize,
  groups: i32,
): void {
  const fWriteA = f32x4.splat(writeA);
  const fWriteB = f32x4.splat(writeB);
  const fReadA = f32x4.splat(readA);
  const fReadB = f32x4.splat(readB);
  const fQueryA = f32x4.splat(queryA);
  const fQueryB = f32x4.splat(queryB);
  let aBkA = i32x4.splat(0);
  let qAkA = aBkA;
  let qBkA = aBkA;
  let qBkB = aBkA;
  let to = record;
  const aRows = record + 2 * rowBytes;
  for (; groups > 0; --groups) {
    const keyA = v128.load(kA);
    const keyB = v128.load(kB);
    const wA = f32x4.mul(keyA, fWriteA);
    const wB = f32x4.mul(keyB, fWriteB);
    v128.store(to, wA);
    v128.store(to + rowBytes, wB);
    const at = to - record;
    const rB = f32x4.mul(keyB, fReadB);
    v128.store(aRows + at, f32x4.mul(keyA, fReadA));
    v128.store(aRows + at + rowBytes, rB);
    const queryRowA = f32x4.mul(v128.load(qA), fQueryA);
    const queryRowB = f32x4.mul(v128.load(qB), fQueryB);
    v128.store(aRows + at + 2 * rowBytes, queryRowA);
    v128.store(aRows + at + 3 * rowBytes, queryRowB);
    aBkA = fma(rB, wA, aBkA);
    qAkA = fma(queryRowA, wA, qAkA);
    qBkA = fma(queryRowB, wA, qBkA);
    qBkB = fma(queryRowB, wB, qBkB);
    kA += 16;
    kB += 16;
    qA += 16;
    qB += 16;
    to += 16;
  }
  const numbers = record + 6 * rowBytes;
  v128.store(numbers, sum4x4(aBkA, qAkA, qBkA, qBkB), 8);
}

/** `foldKeyPair` of tokens n and n + 1 of the block. */
function foldOwnPair(p: DeltaParams, w: DeltaScratch, step: i32, n: i32, both: bool, record: usize): void {
  const token = step + n;
  const kA = keyRow(p, w, token, w.kRow);
  const qA = queryRow(p, w, token, w.qRow);
  const kB = both ? keyRow(p, w, token + 1, w.kRow2) : w.zeros;
  const qB = both ? queryRow(p, w, token + 1, w.qRow2) : w.zeros;
  const normA = inverseNorm(p, kA);
  const normB: f32 = both ? inverseNorm(p, kB) : 0;
  const productA = productAt(p, w, n);
  const productB = both ? productAt(p, w, n + 1) : productA;
  foldKeyPair(
    kA,
    kB,
    qA,
    qB,
    normA / productA,
    normB / productB,
    normA * productA,
    normB * productB,
    p.scale * productA * inverseNorm(p, qA),
    both ? p.scale * productB * inverseNorm(p, qB) : 0,
    record,
    w.rowBytes,
    w.groups,
  );
}

/** The record of tokens n and n + 1 of a block of `count`; a last one that is alone goes with one that does nothing. */
export function foldPair(p: DeltaParams, w: DeltaScratch, step: i32, n: i32, count: i32, record: usize): void {
  const rowBytes = w.rowBytes;
  const kA = record;
  const kB = kA + rowBytes;
  const aA = kB + rowBytes;
  const aB = aA + rowBytes;
  const qA = aB + rowBytes;
  const qB = qA + rowBytes;
  const numbers = qB + rowBytes;
  const both = n + 1 < count;
  store<f32>(numbers, p.weight ? tokenValue(p.weight, p, w, step + n) : 1);
  store<f32>(numbers, !both ? 0 : p.weight ? tokenValue(p.weight, p, w, step + n + 1) : 1, 4);
  if (!p.a && !p.readsOld && p.gateKind != GATE_ROWS) {
    foldOwnPair(p, w, step, n, both, record);
    return;
  }
  foldKey(p, w, step, n, kA);
  foldReads(p, w, step, n, aA, qA);
  if (both) {
    foldKey(p, w, step, n + 1, kB);
    foldReads(p, w, step, n + 1, aB, qB);
  } else {
    memory.fill(kB, 0, rowBytes);
    memory.fill(aB, 0, rowBytes);
    memory.fill(qB, 0, rowBytes);
  }
  store<f32>(numbers, dotRow(aB, kA, w.groups), 8);
  store<f32>(numbers, dotRow(qA, kA, w.groups), 12);
  store<f32>(numbers, dotRow(qB, kA, w.groups), 16);
  store<f32>(numbers, dotRow(qB, kB, w.groups), 20);
}

/** The record of token n of a block. */
export function foldSingle(p: DeltaParams, w: DeltaScratch, step: i32, n: i32, record: usize): void {
  foldKey(p, w, step, n, record + SINGLE_K * w.rowBytes);
  foldRow(p, w, alongRow(p, w, step + n), 1, n, OVER, record + SINGLE_B * w.rowBytes);
  foldReads(p, w, step, n, record + SINGLE_A * w.rowBytes, record + SINGLE_Q * w.rowBytes);
}

/**
 * Begins a block of tokens at `step`, at most `most` and no more than their decays allow; their number. The decays since the first of them
 * will be multiplied into what reads and divided out of what is written; those before, with the first's own, are left in w.factor.
 */
export function openBlock(p: DeltaParams, w: DeltaScratch, step: i32, most: i32): i32 {
  if (p.readsOld) copyRow(w.product, w.prior, w.groups);
  if (p.gateKind == GATE_SCALAR) return scalarDecays(p, w, step, most, false);
  if (p.gateKind == GATE_ROWS) return rowDecays(p, w, step, most, false);
  return most;
}

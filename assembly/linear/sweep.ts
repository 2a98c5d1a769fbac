import { LinearParams } from '../params';
import { fma } from '../simd/fma';
import { sum4, sum4x4 } from '../simd/reduce';
import { fillRow, multiplyRow } from './decay';
import { rowDecays, scalarDecays } from './decays';
import { keyRow } from './fold';
import { outputRow } from './item';
import { queryRow, tokenValue, valueRow } from './rows';
import { fadesInPass } from './state';
import { openTriple, sweepTriple } from './triple';
import { GATE_ROWS, GATE_SCALAR, READ, Workspace, WRITE } from './workspace';

/** Whether a call can be done by passes of three tokens: nothing but q, k, v and decays of rows. */
export function sweeps(p: LinearParams): bool {
  return (
    p.mode == (READ | WRITE) &&
    !p.gv &&
    !p.tied &&
    !p.exclusive &&
    !p.normalizer &&
    !p.bonus &&
    !p.bonusScalar &&
    !p.skip
  );
}

/** Prepares the rows of an item that no token fills. */
export function openSweeps(w: Workspace): void {
  fillRow(w.kRow3, 0, w.groups);
  fillRow(w.qRow3, 0, w.groups);
  fillRow(w.vRow3, 0, w.panels << 1);
}

/**
 * The record of three tokens with one decay a token: all rows and their products in one pass.
 *
 *   kA, kB, kC, qA, qB, qC  f32 [vectors][4]   rows of the tokens
 *   factors                 f32 [6]            on each of them
 *   record                  f32 [6][vectors][4], numbers
 */
function scaleTriple(
  kA: usize,
  kB: usize,
  kC: usize,
  qA: usize,
  qB: usize,
  qC: usize,
  factors: usize,
  record: usize,
  rowBytes: usize,
  vectors: i32,
): void {
  let qAkA = i32x4.splat(0);
  let qBkA = qAkA;
  let qBkB = qAkA;
  let qCkA = qAkA;
  let qCkB = qAkA;
  let qCkC = qAkA;
  let k = record;
  let q = record + 3 * rowBytes;
  const second = rowBytes << 1;
  for (; vectors > 0; --vectors) {
    const a = f32x4.mul(v128.load(kA), v128.load32_splat(factors));
    v128.store(k, a);
    const b = f32x4.mul(v128.load(kB), v128.load32_splat(factors, 4));
    v128.store(k + rowBytes, b);
    const c = f32x4.mul(v128.load(kC), v128.load32_splat(factors, 8));
    v128.store(k + second, c);
    let x = f32x4.mul(v128.load(qA), v128.load32_splat(factors, 12));
    v128.store(q, x);
    qAkA = fma(x, a, qAkA);
    x = f32x4.mul(v128.load(qB), v128.load32_splat(factors, 16));
    v128.store(q + rowBytes, x);
    qBkA = fma(x, a, qBkA);
    qBkB = fma(x, b, qBkB);
    x = f32x4.mul(v128.load(qC), v128.load32_splat(factors, 20));
    v128.store(q + second, x);
    qCkA = fma(x, a, qCkA);
    qCkB = fma(x, b, qCkB);
    qCkC = fma(x, c, qCkC);
    kA += 16;
    kB += 16;
    kC += 16;
    qA += 16;
    qB += 16;
    qC += 16;
    k += 16;
    q += 16;
  }
  const numbers = record + 6 * rowBytes;
  v128.store(numbers, sum4x4(qAkA, qBkA, qBkB, qCkA));
  store<f32>(numbers, sum4(qCkB), 16);
  store<f32>(numbers, sum4(qCkC), 20);
}

/** kTo = weight * k / product, qTo = scale * q * product. */
function gateRows(
  k: usize,
  weight: f32,
  q: usize,
  scale: f32,
  product: usize,
  kTo: usize,
  qTo: usize,
  vectors: i32,
): void {
  const weights = f32x4.splat(weight);
  const scales = f32x4.splat(scale);
  for (; vectors > 0; --vectors) {
    const x = v128.load(product);
    v128.store(kTo, f32x4.div(f32x4.mul(v128.load(k), weights), x));
    v128.store(qTo, f32x4.mul(v128.load(q), f32x4.mul(x, scales)));
    k += 16;
    q += 16;
    product += 16;
    kTo += 16;
    qTo += 16;
  }
}

/** Factor on the key of a token. */
// @ts-ignore: decorator
@inline
function weightOf(p: LinearParams, w: Workspace, token: i32): f32 {
  return p.weight ? tokenValue(p.weight, p, w, token) : 1;
}

/** Factors on key and query of token n of the block, which has one decay a token; zeros past the end. */
function placeFactors(p: LinearParams, w: Workspace, token: i32, n: i32, there: bool, to: usize): void {
  const product: f32 = p.gateKind && there ? load<f32>(w.products + ((<usize>n) << 2)) : 1;
  store<f32>(to, there ? weightOf(p, w, token) / product : 0);
  store<f32>(to, there ? p.scale * product : 0, 12);
}

/** Folds tokens n to n + 2 of a block of `count` by one decay a token: keys over the decays since the first, queries times them. */
function scaleTokens(p: LinearParams, w: Workspace, step: i32, n: i32, count: i32): void {
  const token = step + n;
  const second = n + 1 < count;
  const third = n + 2 < count;
  const factors = w.factors;
  placeFactors(p, w, token, n, true, factors);
  placeFactors(p, w, token + 1, n + 1, second, factors + 4);
  placeFactors(p, w, token + 2, n + 2, third, factors + 8);
  const kA = keyRow(p, w, token, n, w.kRow);
  const kB = second ? keyRow(p, w, token + 1, n + 1, w.kRow2) : w.zeros;
  const kC = third ? keyRow(p, w, token + 2, n + 2, w.kRow3) : w.zeros;
  const qA = queryRow(p, w, token, w.qRow);
  const qB = second ? queryRow(p, w, token + 1, w.qRow2) : w.zeros;
  const qC = third ? queryRow(p, w, token + 2, w.qRow3) : w.zeros;
  scaleTriple(kA, kB, kC, qA, qB, qC, factors, w.record, (<usize>w.groups) << 4, w.groups);
}

/** Products of the three queries of a record with the keys up to their own. */
function crossProducts(record: usize, rowBytes: usize, vectors: i32): void {
  let k = record;
  let q = record + 3 * rowBytes;
  const second = rowBytes << 1;
  let qAkA = i32x4.splat(0);
  let qBkA = qAkA;
  let qBkB = qAkA;
  let qCkA = qAkA;
  let qCkB = qAkA;
  let qCkC = qAkA;
  for (; vectors > 0; --vectors) {
    const kA = v128.load(k);
    const kB = v128.load(k + rowBytes);
    const qB = v128.load(q + rowBytes);
    const qC = v128.load(q + second);
    qAkA = fma(v128.load(q), kA, qAkA);
    qBkA = fma(qB, kA, qBkA);
    qBkB = fma(qB, kB, qBkB);
    qCkA = fma(qC, kA, qCkA);
    qCkB = fma(qC, kB, qCkB);
    qCkC = fma(qC, v128.load(k + second), qCkC);
    k += 16;
    q += 16;
  }
  const numbers = record + 6 * rowBytes;
  store<f32>(numbers, sum4(qAkA));
  store<f32>(numbers, sum4(qBkA), 4);
  store<f32>(numbers, sum4(qBkB), 8);
  store<f32>(numbers, sum4(qCkA), 12);
  store<f32>(numbers, sum4(qCkB), 16);
  store<f32>(numbers, sum4(qCkC), 20);
}

/** As `scaleTokens` for a gate a row. */
function gateTokens(p: LinearParams, w: Workspace, step: i32, n: i32, count: i32): void {
  const rowBytes = (<usize>w.groups) << 4;
  let k = w.record;
  let q = k + 3 * rowBytes;
  for (let i = n; i < n + 3; ++i) {
    const token = step + i;
    if (i < count) {
      const key = keyRow(p, w, token, i, w.kRow);
      const query = queryRow(p, w, token, w.qRow);
      gateRows(key, weightOf(p, w, token), query, p.scale, w.products + <usize>i * rowBytes, k, q, w.groups);
    } else {
      memory.fill(k, 0, rowBytes);
      memory.fill(q, 0, rowBytes);
    }
    k += rowBytes;
    q += rowBytes;
  }
  crossProducts(w.record, rowBytes, w.groups);
}

/** Where a token's output is computed: in place if it is there and fills whole panels, else in row `slot` of the scratch. */
// @ts-ignore: decorator
@inline
function outputAt(p: LinearParams, w: Workspace, token: i32, there: bool, slot: usize): usize {
  return there && !(w.width & 7) ? outputRow(p, w, token) : w.oRows + slot * ((<usize>w.panels) << 5);
}

/** Takes a block of tokens of the head in work, three in a pass; the panels of the state take turns. */
function sweepBlock(p: LinearParams, w: Workspace, step: i32, count: i32): void {
  const rows = w.groups << 2;
  const rowBytes = (<usize>w.groups) << 4;
  const stateStep = (<usize>w.groups) << 7;
  let fading = fadesInPass(p, w);
  for (let n = 0; n < count; n += 3) {
    const token = step + n;
    const second = n + 1 < count;
    const third = n + 2 < count;
    if (p.gateKind == GATE_ROWS) gateTokens(p, w, step, n, count);
    else scaleTokens(p, w, step, n, count);
    let vA = valueRow(p, w, token, w.vRow);
    let vB = second ? valueRow(p, w, token + 1, w.vRow2) : w.vZeros;
    let vC = third ? valueRow(p, w, token + 2, w.vRow3) : w.vZeros;
    let oA = outputAt(p, w, token, true, 0);
    let oB = outputAt(p, w, token + 1, second, 1);
    let oC = outputAt(p, w, token + 2, third, 2);
    let state = w.state;
    for (let c = w.panels; c > 0; --c) {
      if (fading) openTriple(state, w.factor, w.record, rowBytes, rows, vA, vB, vC, oA, oB, oC);
      else sweepTriple(state, w.record, rowBytes, rows, vA, vB, vC, oA, oB, oC);
      state += stateStep;
      vA += 32;
      vB += 32;
      vC += 32;
      oA += 32;
      oB += 32;
      oC += 32;
    }
    fading = 0;
    if (!(w.width & 7)) continue;
    for (let i = 0; i < min(3, count - n); ++i) {
      memory.copy(outputRow(p, w, token + i), outputAt(p, w, token + i, false, i), (<usize>w.width) << 2);
    }
  }
}

/** Takes the head in work from `step` to `end`, in blocks that its decays allow. */
export function sweepHead(p: LinearParams, w: Workspace, step: i32, end: i32): void {
  while (step < end) {
    let count = end - step;
    if (p.gateKind == GATE_SCALAR) count = scalarDecays(p, w, step, count);
    else if (p.gateKind == GATE_ROWS) count = rowDecays(p, w, step, count);
    if (p.decayOut && p.gateKind) multiplyRow(w.total, w.factor, w.total, w.groups);
    sweepBlock(p, w, step, count);
    step += count;
  }
}

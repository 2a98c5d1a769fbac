import { LinearParams } from '../params';
import { fma } from '../simd/fma';
import { sum4, sum4x4 } from '../simd/reduce';
import { openAhead, readAhead } from './ahead';
import { fillRow, multiplyRow } from './decay';
import { rowDecays, scalarDecays } from './decays';
import { keyRow } from './fold';
import { outputRow } from './item';
import { queryRow, tokenValue, valueRow } from './rows';
import { fadeState } from './state';
import { sweepTriple, TRIPLE_K, TRIPLE_O_FACTORS, TRIPLE_PRODUCTS, TRIPLE_Q, TRIPLE_V_FACTORS } from './triple';
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

/** Prepares an item: the rows that no token fills, and reading ahead. */
export function openSweeps(p: LinearParams, w: Workspace): void {
  openAhead(p, w, 3, p.group);
  fillRow(w.widened, 0, 6 * w.groups);
  fillRow(w.vRow3, 0, w.panels << 1);
}

/** kTo = k / product, qTo = q * product. */
function gateRows(k: usize, q: usize, product: usize, kTo: usize, qTo: usize, vectors: i32): void {
  for (; vectors > 0; --vectors) {
    const x = v128.load(product);
    v128.store(kTo, f32x4.div(v128.load(k), x));
    v128.store(qTo, f32x4.mul(v128.load(q), x));
    k += 16;
    q += 16;
    product += 16;
    kTo += 16;
    qTo += 16;
  }
}

/**
 * Places token n of a block, `slot` of its pass, into the record: rows of k and q in place, or gated by the decays of their elements;
 * factors on v and o, with which a decay of the whole token leaves its rows as they are. Past the end all is zero.
 */
function placeToken(p: LinearParams, w: Workspace, step: i32, n: i32, there: bool, slot: usize): void {
  const rowBytes = (<usize>w.groups) << 4;
  const to = w.record + (slot << 2);
  if (!there) {
    store<usize>(to, w.zeros, TRIPLE_K);
    store<usize>(to, w.zeros, TRIPLE_Q);
    store<f32>(to, 0, TRIPLE_V_FACTORS);
    store<f32>(to, 0, TRIPLE_O_FACTORS);
    return;
  }
  const token = step + n;
  const widened = w.widened + slot * 2 * rowBytes;
  let k = keyRow(p, w, token, n, widened);
  let q = queryRow(p, w, token, widened + rowBytes);
  let weight = p.weight ? tokenValue(p.weight, p, w, token) : <f32>1;
  let scale = p.scale;
  if (p.gateKind == GATE_SCALAR) {
    const product = load<f32>(w.products + ((<usize>n) << 2));
    weight /= product;
    scale *= product;
  } else if (p.gateKind == GATE_ROWS) {
    const gated = w.gated + slot * 2 * rowBytes;
    gateRows(k, q, w.products + <usize>n * rowBytes, gated, gated + rowBytes, w.groups);
    k = gated;
    q = gated + rowBytes;
  }
  store<usize>(to, k, TRIPLE_K);
  store<usize>(to, q, TRIPLE_Q);
  store<f32>(to, weight, TRIPLE_V_FACTORS);
  store<f32>(to, scale, TRIPLE_O_FACTORS);
}

/** Products of the three queries of a record with the keys up to their own. */
function crossProducts(record: usize, vectors: i32): void {
  let kA = load<usize>(record, TRIPLE_K);
  let kB = load<usize>(record, TRIPLE_K + 4);
  let kC = load<usize>(record, TRIPLE_K + 8);
  let qA = load<usize>(record, TRIPLE_Q);
  let qB = load<usize>(record, TRIPLE_Q + 4);
  let qC = load<usize>(record, TRIPLE_Q + 8);
  let qAkA = i32x4.splat(0);
  let qBkA = qAkA;
  let qBkB = qAkA;
  let qCkA = qAkA;
  let qCkB = qAkA;
  let qCkC = qAkA;
  for (; vectors > 0; --vectors) {
    const a = v128.load(kA);
    const b = v128.load(kB);
    const x = v128.load(qB);
    const y = v128.load(qC);
    qAkA = fma(v128.load(qA), a, qAkA);
    qBkA = fma(x, a, qBkA);
    qBkB = fma(x, b, qBkB);
    qCkA = fma(y, a, qCkA);
    qCkB = fma(y, b, qCkB);
    qCkC = fma(y, v128.load(kC), qCkC);
    kA += 16;
    kB += 16;
    kC += 16;
    qA += 16;
    qB += 16;
    qC += 16;
  }
  v128.store(record, sum4x4(qAkA, qBkA, qBkB, qCkA), TRIPLE_PRODUCTS);
  store<f32>(record, sum4(qCkB), TRIPLE_PRODUCTS + 16);
  store<f32>(record, sum4(qCkC), TRIPLE_PRODUCTS + 20);
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
  const stateStep = (<usize>w.groups) << 7;
  if (w.opens) {
    fadeState(w);
    store<f32>(w.faded, 1);
  }
  for (let n = 0; n < count; n += 3) {
    const token = step + n;
    const second = n + 1 < count;
    const third = n + 2 < count;
    placeToken(p, w, step, n, true, 0);
    placeToken(p, w, step, n + 1, second, 1);
    placeToken(p, w, step, n + 2, third, 2);
    crossProducts(w.record, w.groups);
    let vA = valueRow(p, w, token, w.vRow);
    let vB = second ? valueRow(p, w, token + 1, w.vRow2) : w.vZeros;
    let vC = third ? valueRow(p, w, token + 2, w.vRow3) : w.vZeros;
    let oA = outputAt(p, w, token, true, 0);
    let oB = outputAt(p, w, token + 1, second, 1);
    let oC = outputAt(p, w, token + 2, third, 2);
    let state = w.state;
    for (let c = w.panels; c > 0; --c) {
      if (c & 1 && w.aheadTokens) readAhead(w);
      sweepTriple(state, w.record, rows, vA, vB, vC, oA, oB, oC);
      state += stateStep;
      vA += 32;
      vB += 32;
      vC += 32;
      oA += 32;
      oB += 32;
      oC += 32;
    }
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
    w.opens = 0;
    if (p.gateKind == GATE_SCALAR) count = scalarDecays(p, w, step, count, true);
    else if (p.gateKind == GATE_ROWS) count = rowDecays(p, w, step, count, true);
    if (p.decayOut && w.opens) multiplyRow(w.total, w.factor, w.total, w.groups);
    sweepBlock(p, w, step, count);
    step += count;
  }
}

import { LinearParams } from '../params';
import { fma } from '../simd/fma';
import { sum4 } from '../simd/reduce';
import { sigmoid4 } from '../simd/sigmoid';
import { F32, widenRow } from '../simd/storage';
import { advanceRow, copyRow, decayOf, decayRow, fillRow, multiplyRow } from './decay';
import { rowDecays, scalarDecays } from './decays';
import { operandRow, queryRow, rowAt, tokenValue, valueRow } from './rows';
import { fadeKeySum } from './state';
import { BLOCK, GATE_ROWS, GATE_SCALAR, PANEL, Workspace, WRITE } from './workspace';

/** Denominators of an output row. */
const NORMALIZER_ADD: i32 = 1;
const NORMALIZER_CLAMP: i32 = 2;
const NORMALIZER_STABILIZED: i32 = 3;

/** The key of token step + n, whose place in the block is that of the token which it is written for. */
export function keyRow(p: LinearParams, w: Workspace, token: i32, n: i32, row: usize): usize {
  if (token < 0) return w.zeros;
  if (p.tied) return w.tiedKeys + <usize>n * ((<usize>w.groups) << 4);
  return operandRow(p.k, p.kStrideB, p.kStrideT, p.kStrideH, p.kType, w, token, w.keyHead, p.dk, row);
}

/** As `scalarDecays` for a gate a column. */
function columnDecays(p: LinearParams, w: Workspace, token: i32, most: i32): i32 {
  const vectors = w.panels << 1;
  fillRow(w.columnProducts, 1, vectors);
  let n = 0;
  for (; n < most; ++n) {
    let decay = w.columnDecay;
    if (token + n < 0) {
      fillRow(decay, 1, vectors);
    } else {
      const at = rowAt(p.gv, p.gvStrideB, p.gvStrideT, p.gvStrideH, 4, w.batch, w.start + token + n, w.head);
      widenRow(at + ((<usize>w.column) << 2), F32, w.columnGate, w.width, 1);
      if (p.gateLinear) decay = w.columnGate;
      else decayRow(w.columnGate, decay, vectors);
    }
    if (n == 0) {
      multiplyRow(w.columnProduct, decay, w.columnFactor, vectors);
      fillRow(w.columnProduct, 1, vectors);
    } else {
      if (!advanceRow(w.columnProduct, decay, w.columnDecay, vectors, p.gateKind != 0)) break;
      copyRow(w.columnDecay, w.columnProduct, vectors);
    }
    let to = w.columnProducts + ((<usize>n) << 5);
    for (let c: usize = 0; c < (<usize>w.panels) << 5; c += 32) {
      v128.store(to, v128.load(w.columnProduct + c));
      v128.store(to, v128.load(w.columnProduct + c, 16), 16);
      to += PANEL;
    }
  }
  return n;
}

/** The product of the row gates after `count` tokens, where the column gates end the block earlier. */
function retreat(p: LinearParams, w: Workspace, count: i32): void {
  const last = <usize>(count - 1);
  if (p.gateKind == GATE_SCALAR) fillRow(w.product, load<f32>(w.products + (last << 2)), w.groups);
  const rowBytes = (<usize>w.groups) << 4;
  if (p.gateKind == GATE_ROWS) copyRow(w.products + last * rowBytes, w.product, w.groups);
}

/** q and k of two tokens in four rows of the state, one line of memory: factors times q, k, q, k. */
function spreadPair(
  qA: usize,
  kA: usize,
  qB: usize,
  kB: usize,
  qFactorA: f32,
  kFactorA: f32,
  qFactorB: f32,
  kFactorB: f32,
  to: usize,
  groups: i32,
): void {
  const fqA = f32x4.splat(qFactorA);
  const fkA = f32x4.splat(kFactorA);
  const fqB = f32x4.splat(qFactorB);
  const fkB = f32x4.splat(kFactorB);
  for (; groups > 0; --groups) {
    v128.store(to, f32x4.mul(v128.load(qA), fqA));
    v128.store(to, f32x4.mul(v128.load(kA), fkA), 16);
    v128.store(to, f32x4.mul(v128.load(qB), fqB), 32);
    v128.store(to, f32x4.mul(v128.load(kB), fkB), 48);
    qA += 16;
    kA += 16;
    qB += 16;
    kB += 16;
    to += PANEL;
  }
}

/** As `spreadPair` with a product of decays for each row: q times it, k over it. */
function spreadGatedPair(
  qA: usize,
  kA: usize,
  qB: usize,
  kB: usize,
  scale: f32,
  weightA: f32,
  weightB: f32,
  products: usize,
  rowBytes: usize,
  to: usize,
  groups: i32,
): void {
  const fq = f32x4.splat(scale);
  const fkA = f32x4.splat(weightA);
  const fkB = f32x4.splat(weightB);
  for (; groups > 0; --groups) {
    const productA = v128.load(products);
    v128.store(to, f32x4.mul(v128.load(qA), f32x4.mul(productA, fq)));
    v128.store(to, f32x4.div(f32x4.mul(v128.load(kA), fkA), productA), 16);
    const productB = v128.load(products + rowBytes);
    v128.store(to, f32x4.mul(v128.load(qB), f32x4.mul(productB, fq)), 32);
    v128.store(to, f32x4.div(f32x4.mul(v128.load(kB), fkB), productB), 48);
    qA += 16;
    kA += 16;
    qB += 16;
    kB += 16;
    products += 16;
    to += PANEL;
  }
}

/** Product of the scalar decays up to token n of the block. */
// @ts-ignore: decorator
@inline
function productAt(p: LinearParams, w: Workspace, n: i32): f32 {
  return p.gateKind ? load<f32>(w.products + ((<usize>n) << 2)) : 1;
}

/** Factor on the key of a token. */
// @ts-ignore: decorator
@inline
function weightOf(p: LinearParams, w: Workspace, token: i32): f32 {
  return p.weight && token >= 0 ? tokenValue(p.weight, p, w, token) : 1;
}

/**
 * The block's queries, times the decays since its first token, and its keys, over them. Strips take tokens in pairs: a last one that is
 * alone goes with one that does nothing.
 */
function foldRows(p: LinearParams, w: Workspace, step: i32, count: i32): void {
  const rowBytes = (<usize>w.groups) << 4;
  for (let n = 0; n < count; n += 2) {
    const both = n + 1 < count;
    const writer = step + n - w.lag;
    const qA = queryRow(p, w, step + n, w.qRow);
    const kA = keyRow(p, w, writer, n, w.kRow);
    const qB = both ? queryRow(p, w, step + n + 1, w.qRow2) : w.zeros;
    const kB = both ? keyRow(p, w, writer + 1, n + 1, w.kRow2) : w.zeros;
    const to = w.qk + ((<usize>n) << 5);
    const weightA = weightOf(p, w, writer);
    const weightB: f32 = both ? weightOf(p, w, writer + 1) : 1;
    if (p.gateKind == GATE_ROWS) {
      const products = w.products + <usize>n * rowBytes;
      const step = both ? rowBytes : 0;
      spreadGatedPair(qA, kA, qB, kB, p.scale, weightA, weightB, products, step, to, w.groups);
    } else {
      const productA = productAt(p, w, n);
      const productB = both ? productAt(p, w, n + 1) : productA;
      const scale = p.scale;
      spreadPair(
        qA,
        kA,
        qB,
        kB,
        scale * productA,
        weightA / productA,
        scale * productB,
        weightB / productB,
        to,
        w.groups,
      );
    }
  }
}

/** The block's values; those of gated columns divided by their decays. */
function foldValues(p: LinearParams, w: Workspace, step: i32, count: i32): void {
  for (let n = 0; n < count; n += 2) {
    const writer = step + n - w.lag;
    let vA = valueRow(p, w, writer, w.vRow);
    let vB = n + 1 < count ? valueRow(p, w, writer + 1, w.vRow2) : w.vZeros;
    let to = w.v + ((<usize>n) << 5);
    let products = w.columnProducts + ((<usize>n) << 5);
    for (let c = w.panels; c > 0; --c) {
      let a0 = v128.load(vA);
      let a1 = v128.load(vA, 16);
      let b0 = v128.load(vB);
      let b1 = v128.load(vB, 16);
      if (p.gv) {
        a0 = f32x4.div(a0, v128.load(products));
        a1 = f32x4.div(a1, v128.load(products, 16));
        if (n + 1 < count) {
          b0 = f32x4.div(b0, v128.load(products, 32));
          b1 = f32x4.div(b1, v128.load(products, 48));
        }
        products += PANEL;
      }
      v128.store(to, a0);
      v128.store(to, a1, 16);
      v128.store(to, b0, 32);
      v128.store(to, b1, 48);
      vA += 32;
      vB += 32;
      to += PANEL;
    }
  }
}

/** Queries for reading a state that stays, as rows. */
function scaleQueries(p: LinearParams, w: Workspace, step: i32, count: i32): void {
  const scale = f32x4.splat(p.scale);
  let to = w.qk;
  for (let n = 0; n < count; ++n) {
    let q = queryRow(p, w, step + n, w.qRow);
    for (let left = w.groups; left > 0; --left) {
      v128.store(to, f32x4.mul(v128.load(q), scale));
      q += 16;
      to += 16;
    }
  }
}

/** sum q u k of a token. */
function bonusOf(w: Workspace, q: usize, k: usize): f32 {
  let u = w.uRow;
  let sum = i32x4.splat(0);
  for (let left = w.groups; left > 0; --left) {
    sum = fma(f32x4.mul(v128.load(q), v128.load(u)), v128.load(k), sum);
    q += 16;
    k += 16;
    u += 16;
  }
  return sum4(sum);
}

/** Output rows start from their tokens' own values, each times its factor. */
function ownValues(p: LinearParams, w: Workspace, step: i32, count: i32): void {
  const skip: f32 = p.skip ? load<f32>(p.skip + ((<usize>w.head) << 2)) : 0;
  for (let n = 0; n < count; ++n) {
    const token = step + n;
    const reads = token < w.length;
    let factor = skip;
    if (reads && (p.bonus || p.bonusScalar)) {
      const dot = bonusOf(w, queryRow(p, w, token, w.qRow), keyRow(p, w, token, n, w.kRow));
      if (p.bonusSigmoid) factor += f32x4.extract_lane(sigmoid4(f32x4.splat(dot)), 0);
      else factor += dot * p.scale * (p.bonusScalar ? tokenValue(p.bonusScalar, p, w, token) : 1);
    }
    let v = reads ? valueRow(p, w, token, w.vRow) : w.vZeros;
    let to = w.o + ((<usize>n) << 5);
    let products = w.columnProducts + ((<usize>n) << 5);
    const factors = f32x4.splat(factor);
    for (let c = w.panels; c > 0; --c) {
      let low = f32x4.mul(v128.load(v), factors);
      let high = f32x4.mul(v128.load(v, 16), factors);
      if (p.gv) {
        low = f32x4.div(low, v128.load(products));
        high = f32x4.div(high, v128.load(products, 16));
      }
      v128.store(to, low);
      v128.store(to, high, 16);
      v += 32;
      to += PANEL;
      products += PANEL;
    }
  }
}

/** q z of row n, after its key has been added to z where the call writes. */
function readKeySum(p: LinearParams, w: Workspace, n: i32): f32 {
  const writes = p.mode & WRITE;
  const step: usize = writes ? PANEL : 16;
  let from = writes ? w.qk + ((<usize>n) << 5) : w.qk + <usize>n * ((<usize>w.groups) << 4);
  let z = w.z;
  let sum = i32x4.splat(0);
  for (let left = w.groups; left > 0; --left) {
    let total = v128.load(z);
    if (writes) {
      total = f32x4.add(total, v128.load(from, 16));
      v128.store(z, total);
    }
    sum = fma(v128.load(from), total, sum);
    z += 16;
    from += step;
  }
  return sum4(sum);
}

/** What an output row with q z = sum is divided by. */
function denominator(p: LinearParams, w: Workspace, token: i32, sum: f32): f32 {
  if (p.normalizer == NORMALIZER_ADD) return sum + p.epsilon;
  if (p.normalizer == NORMALIZER_CLAMP) return max<f32>(sum, p.epsilon);
  if (p.normalizer == NORMALIZER_STABILIZED) {
    const least = decayOf(-tokenValue(p.m, p, w, token));
    return max<f32>(abs<f32>(sum), least) + p.epsilon;
  }
  let q = queryRow(p, w, token, w.qRow);
  let all = i32x4.splat(0);
  for (let left = w.groups; left > 0; --left) {
    all = f32x4.add(all, v128.load(q));
    q += 16;
  }
  return sum + p.epsilon * p.scale * sum4(all);
}

function normalize(p: LinearParams, w: Workspace, step: i32, count: i32): void {
  if (p.gateKind) fadeKeySum(w);
  for (let n = 0; n < count; ++n) {
    const sum = readKeySum(p, w, n);
    const inverse: f32 = step + n < w.length ? 1 / denominator(p, w, step + n, sum) : 1;
    store<f32>(w.scale + ((<usize>n) << 2), inverse);
  }
}

/**
 * Folds tokens from `step` on into the panels, at most BLOCK of them and no more than the decays allow; the number of tokens. Token
 * step - lag writes as token `step` reads. The decays since the first of them are multiplied into q and divided out of k and v, so
 * that the state stays as it was at the start until the block ends.
 */
export function foldBlock(p: LinearParams, w: Workspace, step: i32, steps: i32): i32 {
  let count = min(BLOCK, steps - step);
  const writer = step - w.lag;
  if (p.gateKind == GATE_SCALAR) count = scalarDecays(p, w, writer, count, false);
  else if (p.gateKind == GATE_ROWS) count = rowDecays(p, w, writer, count, false);
  if (p.gv) {
    const fewer = columnDecays(p, w, writer, count);
    if (fewer < count) retreat(p, w, fewer);
    count = fewer;
  }
  if (p.mode & WRITE) {
    foldRows(p, w, step, count);
    foldValues(p, w, step, count);
    if (w.owned) ownValues(p, w, step, count);
  } else {
    scaleQueries(p, w, step, count);
  }
  if (p.normalizer) normalize(p, w, step, count);
  return count;
}

import { LinearParams } from '../params';
import { LINEAR_HIGH, LINEAR_LOW } from '../simd/constants';
import { exp2 } from '../simd/exp2';
import { fma } from '../simd/fma';
import { sum4 } from '../simd/reduce';
import { elementBytes, F32, widenRow } from '../simd/storage';
import { advanceRow, decayOf, decayRow, fillRow, openRow } from './decay';
import { BLOCK, PANEL, Workspace, WRITE } from './workspace';

/** Gates over the rows of the state. */
export const GATE_NONE: i32 = 0;
export const GATE_SCALAR: i32 = 1;
export const GATE_ROWS: i32 = 2;

/** Denominators of an output row. */
const NORMALIZER_ADD: i32 = 1;
const NORMALIZER_CLAMP: i32 = 2;
const NORMALIZER_STABILIZED: i32 = 3;
const NORMALIZER_PER_FEATURE: i32 = 4;

/** n values of any storage type as f32 whose last vector is padded: in place where that is so already, else in `row`. */
// @ts-ignore: decorator
@inline
function paddedRow(src: usize, type: i32, n: i32, row: usize): usize {
  if (type == F32 && (n & 3) == 0) return src;
  widenRow(src, type, row, n, 1);
  return row;
}

/** Address of a row [batch, token, head] of n elements. */
// @ts-ignore: decorator
@inline
function rowAt(
  base: usize,
  strideB: i32,
  strideT: i32,
  strideH: i32,
  type: i32,
  batch: i32,
  token: i32,
  head: i32,
): usize {
  const element = <usize>batch * <usize>strideB + <usize>token * <usize>strideT + <usize>head * <usize>strideH;
  return base + element * elementBytes(type);
}

/** A per-token value of a head, in a contiguous f32 [B, T, H]. */
// @ts-ignore: decorator
@inline
function tokenValue(base: usize, p: LinearParams, w: Workspace, token: i32): f32 {
  const at = <usize>((w.batch * p.length + w.start + token) * p.heads + w.head);
  return load<f32>(base + (at << 2));
}

/** Decays of the rows of the state before `token` writes; false where the block has to end before it. */
function advanceRows(p: LinearParams, w: Workspace, token: i32, first: bool): bool {
  const at = rowAt(p.g, p.gStrideB, p.gStrideT, p.gStrideH, F32, w.batch, w.start + token, w.gateHead);
  if (p.gateKind == GATE_SCALAR) {
    const decay: f32 = token < 0 ? 1 : p.gateLinear ? load<f32>(at) : decayOf(load<f32>(at));
    const product = w.scalarProduct * decay;
    if (first) {
      fillRow(w.factor, product, w.groups);
      w.scalarProduct = 1;
      return true;
    }
    if (!(product >= load<f32>(LINEAR_LOW) && product <= load<f32>(LINEAR_HIGH))) return false;
    w.scalarNext = product;
    return true;
  }
  if (token < 0) fillRow(w.decay, 1, w.groups);
  else decayRow(paddedRow(at, F32, p.dk, w.gRow), w.decay, w.groups, p.gateLinear);
  if (first) {
    openRow(w.product, w.decay, w.factor, w.groups);
    return true;
  }
  return advanceRow(w.product, w.decay, w.next, w.groups);
}

/** Decays of the columns, likewise. */
function advanceColumns(p: LinearParams, w: Workspace, token: i32, first: bool): bool {
  const vectors = w.panels << 1;
  if (token < 0) {
    fillRow(w.columnDecay, 1, vectors);
  } else {
    const head = rowAt(p.gv, p.gvStrideB, p.gvStrideT, p.gvStrideH, F32, w.batch, w.start + token, w.head);
    widenRow(head + ((<usize>w.column) << 2), F32, w.columnGate, w.width, 1);
    decayRow(w.columnGate, w.columnDecay, vectors, p.gateLinear);
  }
  if (first) {
    openRow(w.columnProduct, w.columnDecay, w.columnFactor, vectors);
    return true;
  }
  return advanceRow(w.columnProduct, w.columnDecay, w.columnNext, vectors);
}

/** Moves on to `token`, unless the decays since the block's first token would leave the range in which rows are folded. */
function advance(p: LinearParams, w: Workspace, token: i32, first: bool): bool {
  if (p.gateKind && !advanceRows(p, w, token, first)) return false;
  if (p.gv && !advanceColumns(p, w, token, first)) return false;
  if (first) return true;
  if (p.gateKind == GATE_SCALAR) w.scalarProduct = w.scalarNext;
  if (p.gateKind == GATE_ROWS) {
    const swapped = w.product;
    w.product = w.next;
    w.next = swapped;
  }
  if (p.gv) {
    const swapped = w.columnProduct;
    w.columnProduct = w.columnNext;
    w.columnNext = swapped;
  }
  return true;
}

/** Row n of the panels: q times the decays so far, k divided by them. */
function foldKeys(p: LinearParams, w: Workspace, n: i32, q: usize, k: usize, weight: f32): void {
  let to = w.qk + ((<usize>n) << 5);
  const scale = f32x4.splat(p.scale);
  const input = f32x4.splat(weight);
  if (p.gateKind == GATE_ROWS) {
    const tied = p.tied;
    let product = w.product;
    let decay = w.decay;
    for (let left = w.groups; left > 0; --left) {
      const folded = v128.load(product);
      v128.store(to, f32x4.mul(v128.load(q), f32x4.mul(folded, scale)));
      const key = tied ? f32x4.sub(f32x4.splat(1), v128.load(decay)) : v128.load(k);
      v128.store(to, f32x4.div(f32x4.mul(key, input), folded), 16);
      to += PANEL;
      q += 16;
      k += 16;
      product += 16;
      decay += 16;
    }
    return;
  }
  const read = p.gateKind ? f32x4.splat(p.scale * w.scalarProduct) : scale;
  const write = p.gateKind ? f32x4.splat(weight / w.scalarProduct) : input;
  for (let left = w.groups; left > 0; --left) {
    v128.store(to, f32x4.mul(v128.load(q), read));
    v128.store(to, f32x4.mul(v128.load(k), write), 16);
    to += PANEL;
    q += 16;
    k += 16;
  }
}

/** Row n of q alone, for reading a fixed state. */
function scaleQueries(p: LinearParams, w: Workspace, n: i32, q: usize): void {
  const scale = f32x4.splat(p.scale);
  let to = w.qk + <usize>n * ((<usize>w.groups) << 4);
  for (let left = w.groups; left > 0; --left) {
    v128.store(to, f32x4.mul(v128.load(q), scale));
    to += 16;
    q += 16;
  }
}

/** Adds row n's key to z and gives q z. */
function sumKeys(p: LinearParams, w: Workspace, n: i32): f32 {
  let z = w.z;
  let sum = i32x4.splat(0);
  if (p.mode & WRITE) {
    let from = w.qk + ((<usize>n) << 5);
    for (let left = w.groups; left > 0; --left) {
      const total = f32x4.add(v128.load(z), v128.load(from, 16));
      v128.store(z, total);
      sum = fma(v128.load(from), total, sum);
      z += 16;
      from += PANEL;
    }
  } else {
    let from = w.qk + <usize>n * ((<usize>w.groups) << 4);
    for (let left = w.groups; left > 0; --left) {
      sum = fma(v128.load(from), v128.load(z), sum);
      z += 16;
      from += 16;
    }
  }
  return sum4(sum);
}

/** What an output row is divided by. */
function denominator(p: LinearParams, w: Workspace, token: i32, q: usize, sum: f32): f32 {
  if (p.normalizer == NORMALIZER_ADD) return sum + p.epsilon;
  if (p.normalizer == NORMALIZER_CLAMP) return max<f32>(sum, p.epsilon);
  if (p.normalizer == NORMALIZER_STABILIZED) {
    const least = decayOf(-tokenValue(p.m, p, w, token));
    return max<f32>(abs<f32>(sum), least) + p.epsilon;
  }
  if (p.normalizer == NORMALIZER_PER_FEATURE) {
    let all = i32x4.splat(0);
    for (let left = w.groups; left > 0; --left) {
      all = f32x4.add(all, v128.load(q));
      q += 16;
    }
    return sum + p.epsilon * p.scale * sum4(all);
  }
  return 1;
}

/** Factor on v in the output of its own token: sum q u k, with a skip connection. */
function ownValue(p: LinearParams, w: Workspace, token: i32, q: usize, k: usize): f32 {
  let own: f32 = p.skip ? load<f32>(p.skip + ((<usize>w.head) << 2)) : 0;
  if (p.bonus || p.bonusScalar) {
    const tied = p.tied;
    let u = w.uRow;
    let decay = w.decay;
    let sum = i32x4.splat(0);
    for (let left = w.groups; left > 0; --left) {
      const key = tied ? f32x4.sub(f32x4.splat(1), v128.load(decay)) : v128.load(k);
      sum = fma(f32x4.mul(v128.load(q), v128.load(u)), key, sum);
      q += 16;
      k += 16;
      u += 16;
      decay += 16;
    }
    const dot = sum4(sum);
    if (p.bonusSigmoid) own += 1 / (1 + exp2(-dot * 1.4426950408889634));
    else own += dot * p.scale * (p.bonusScalar ? tokenValue(p.bonusScalar, p, w, token) : 1);
  }
  return own;
}

/** The columns of a token's v, padded. */
// @ts-ignore: decorator
@inline
function valueRow(p: LinearParams, w: Workspace, token: i32, row: usize): usize {
  const at = rowAt(p.v, p.vStrideB, p.vStrideT, p.vStrideH, p.vType, w.batch, w.start + token, w.head);
  const from = at + <usize>w.column * elementBytes(p.vType);
  if (p.vType == F32 && (w.width & 7) == 0) return from;
  widenRow(from, p.vType, row, w.width, 1);
  return row;
}

/** Row n of the value and output panels. */
function foldValues(p: LinearParams, w: Workspace, n: i32, v: usize, vOwn: usize, own: f32): void {
  let to = (<usize>n) << 5;
  const factor = f32x4.splat(own);
  let product = w.columnProduct;
  for (let c = w.panels; c > 0; --c) {
    for (let half: usize = 0; half < 32; half += 16) {
      let value = v ? v128.load(v + half) : i32x4.splat(0);
      // not by a factor of 0: v may be infinite
      let output = own != 0 ? f32x4.mul(v128.load(vOwn + half), factor) : i32x4.splat(0);
      if (p.gv) {
        const folded = v128.load(product + half);
        value = f32x4.div(value, folded);
        output = f32x4.div(output, folded);
        v128.store(w.post + to + half, folded);
      }
      v128.store(w.v + to + half, value);
      v128.store(w.o + to + half, output);
    }
    if (v) v += 32;
    vOwn += 32;
    product += 32;
    to += PANEL;
  }
}

/** z = factor z, where a block begins. */
function fadeKeySum(w: Workspace): void {
  let z = w.z;
  let factor = w.factor;
  for (let left = w.groups; left > 0; --left) {
    v128.store(z, f32x4.mul(v128.load(z), v128.load(factor)));
    z += 16;
    factor += 16;
  }
}

/**
 * Folds tokens from `step` on into the panels, at most BLOCK of them and no more than the decays allow; the number of tokens. Token
 * step - lag writes as token `step` reads; the decays since the first of them are multiplied into q and divided out of k and v, so
 * that the state stays as it was at the start until the block ends.
 */
export function foldBlock(p: LinearParams, w: Workspace, step: i32, steps: i32): i32 {
  const writes = p.mode & WRITE;
  let n = 0;
  for (; n < BLOCK && step + n < steps; ++n) {
    const token = step + n;
    const writer = token - w.lag;
    const reads = token < w.length;
    if (!advance(p, w, writer, n == 0)) break;
    if (n == 0 && p.normalizer && p.gateKind) fadeKeySum(w);
    const position = w.start + token;
    const q =
      reads && p.q
        ? paddedRow(
            rowAt(p.q, p.qStrideB, p.qStrideT, p.qStrideH, p.qType, w.batch, position, w.keyHead),
            p.qType,
            p.dk,
            w.qRow,
          )
        : w.zeros;
    let own: f32 = 0;
    if (writes) {
      // with tied keys any readable row does
      const keys = writer >= 0 && !p.tied;
      const key = keys
        ? rowAt(p.k, p.kStrideB, p.kStrideT, p.kStrideH, p.kType, w.batch, w.start + writer, w.keyHead)
        : w.zeros;
      let k = keys ? paddedRow(key, p.kType, p.dk, w.kRow) : key;
      const weight: f32 = writer < 0 ? 0 : p.weight ? tokenValue(p.weight, p, w, writer) : 1;
      foldKeys(p, w, n, q, k, weight);
      if (reads) {
        if (w.lag && p.bonus) {
          const at = rowAt(p.k, p.kStrideB, p.kStrideT, p.kStrideH, p.kType, w.batch, position, w.keyHead);
          k = paddedRow(at, p.kType, p.dk, w.kRow);
        }
        own = ownValue(p, w, token, q, k);
      }
    } else {
      scaleQueries(p, w, n, q);
    }
    if (p.normalizer) {
      const sum = sumKeys(p, w, n);
      store<f32>(w.scale + ((<usize>n) << 2), reads ? 1 / denominator(p, w, token, q, sum) : 1);
    }
    if (writes) {
      const v = writer >= 0 ? valueRow(p, w, writer, w.vRow) : 0;
      foldValues(p, w, n, v, own != 0 ? (w.lag ? valueRow(p, w, token, w.vRead) : v) : w.vRow, own);
    }
  }
  return n;
}

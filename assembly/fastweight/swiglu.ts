import { sequenceAt, sequenceOfItem } from '../flash/sequence';
import { MR } from '../gemm/panel';
import { SwigluParams } from '../params';
import { ONE } from '../simd/constants';
import { fma } from '../simd/fma';
import { sigmoid4 } from '../simd/sigmoid';
import { elementBytes, widenRow } from '../simd/storage';
import {
  addScaled,
  loadMatrix,
  matrixBytes,
  packColumns,
  packRows,
  panelsBytes,
  rowBytes,
  squares,
  storeMatrix,
  transpose,
} from './matrix';
import { newtonSchulz, newtonSchulzBytes } from './newton-schulz';
import { product } from './product';

/** Tokens that are taken together at most. */
const BLOCK: i32 = 48;
/** Added to norms that are divided by. */
const NORM_EPS: f32 = 1e-5;

/** Scratch of one thread; matrices as in matrix.ts. */
@unmanaged
class SwigluWork {
  w0: usize;
  w1: usize;
  w2: usize;
  g0: usize;
  g1: usize;
  g2: usize;
  /** Panels: w0 and w2 for products over dk, w1 for products over dh, and w1 for products over dv. */
  p0: usize;
  p2: usize;
  p1: usize;
  p1Back: usize;
  /** f32 [dh + dv + dh] */
  norms: usize;
  /** f32 [BLOCK + MR][...]: tokens of a block, then what the layers make of them. */
  x: usize;
  v: usize;
  gate: usize;
  up: usize;
  down: usize;
  /** Transposes of the above, f32 [...][BLOCK], and panels of eight columns. */
  turned: usize;
  columns: usize;
  muon: usize;
  // 18 words; a 19th ends it: the whole must fit where scratch is measured
  end: usize;

  sequence: i32;
  batch: i32;
  head: i32;
  start: i32;
  length: i32;
  position: i32;
  factor: f32;
}

const WORK_BYTES: usize = (offsetof<SwigluWork>() + 15) & ~15;
const BLOCK_BYTES: usize = <usize>BLOCK * 4;

function carveSwiglu(p: SwigluParams, at: usize): SwigluWork {
  const w = changetype<SwigluWork>(at);
  const wide = max(p.dh, max(p.dk, p.dv));
  const tokens = <usize>(BLOCK + MR);
  w.w0 = at + WORK_BYTES;
  w.w1 = w.w0 + matrixBytes(p.dh, p.dk);
  w.w2 = w.w1 + matrixBytes(p.dv, p.dh);
  w.g0 = w.w2 + matrixBytes(p.dh, p.dk);
  w.g1 = w.g0 + matrixBytes(p.dh, p.dk);
  w.g2 = w.g1 + matrixBytes(p.dv, p.dh);
  w.p0 = w.g2 + matrixBytes(p.dh, p.dk);
  w.p2 = w.p0 + panelsBytes(p.dk, p.dh);
  w.p1 = w.p2 + panelsBytes(p.dk, p.dh);
  w.p1Back = w.p1 + panelsBytes(p.dh, p.dv);
  w.norms = w.p1Back + panelsBytes(p.dv, p.dh);
  w.x = w.norms + rowBytes(2 * p.dh + p.dv);
  w.v = w.x + tokens * rowBytes(p.dk);
  w.gate = w.v + tokens * rowBytes(p.dv);
  w.up = w.gate + tokens * rowBytes(p.dh);
  w.down = w.up + tokens * rowBytes(p.dh);
  w.turned = w.down + tokens * rowBytes(wide);
  w.columns = w.turned + (<usize>wide + <usize>MR) * BLOCK_BYTES;
  w.muon = w.columns + panelsBytes(BLOCK, wide);
  w.end = w.muon + (p.muon ? max(newtonSchulzBytes(p.dh, p.dk), newtonSchulzBytes(p.dv, p.dh)) : 0);
  return w;
}

/** Elements before a token of the item in a tensor [B, T, H, ...]. */
// @ts-ignore: decorator
@inline
function elementAt(w: SwigluWork, strideB: i32, strideT: i32, strideH: i32, token: i32): usize {
  return <usize>w.batch * <usize>strideB + <usize>(w.start + token) * <usize>strideT + <usize>w.head * <usize>strideH;
}

/** Address of the item's part of a state of `size` elements a head, 0 if it is absent. */
// @ts-ignore: decorator
@inline
function partOf(base: usize, size: i32, p: SwigluParams, w: SwigluWork): usize {
  return base ? base + ((<usize>(w.sequence * p.heads + w.head) * <usize>size) << 2) : 0;
}

/** A row of n elements of any storage, zeros behind it. */
// @ts-ignore: decorator
@inline
function loadRow(from: usize, type: i32, to: usize, n: i32): void {
  widenRow(from, type, to, n, 1);
  for (let i = n; i & 7; ++i) store<f32>(to + ((<usize>i) << 2), 0);
}

/** Panels of the weights as they are. */
function packWeights(p: SwigluParams, w: SwigluWork): void {
  packRows(w.w0, w.p0, p.dh, p.dk, rowBytes(p.dk));
  packRows(w.w2, w.p2, p.dh, p.dk, rowBytes(p.dk));
  packRows(w.w1, w.p1, p.dv, p.dh, rowBytes(p.dh));
  packColumns(w.w1, w.p1Back, p.dv, p.dh, rowBytes(p.dh));
}

/** gate = x w0^T, up = x w2^T */
function rise(p: SwigluParams, w: SwigluWork, count: i32): void {
  const panels = (p.dh + 7) >> 3;
  const panelBytes = (<usize>p.dk) << 5;
  const step = rowBytes(p.dh);
  product(count, w.x, rowBytes(p.dk), panels, w.p0, panelBytes, w.gate, 32, step, p.dk, 0);
  product(count, w.x, rowBytes(p.dk), panels, w.p2, panelBytes, w.up, 32, step, p.dk, 0);
}

/** o = (silu(q w0^T) * (q w2^T)) w1^T for a block. */
function readBlock(p: SwigluParams, w: SwigluWork, token: i32, count: i32): void {
  const step = rowBytes(p.dh);
  for (let t = 0; t < count; ++t) {
    const at = elementAt(w, p.qStrideB, p.qStrideT, p.qStrideH, token + t) * elementBytes(p.qType);
    loadRow(p.q + at, p.qType, w.x + <usize>t * rowBytes(p.dk), p.dk);
  }
  rise(p, w, count);
  for (let i: usize = 0; i < <usize>count * step; i += 16) {
    const x = v128.load(w.gate + i);
    v128.store(w.gate + i, f32x4.mul(f32x4.mul(x, sigmoid4(x)), v128.load(w.up + i)));
  }
  const outStep = rowBytes(p.dv);
  product(count, w.gate, step, (p.dv + 7) >> 3, w.p1, (<usize>p.dh) << 5, w.down, 32, outStep, p.dh, 0);
  for (let t = 0; t < count; ++t) {
    const to = p.o + (elementAt(w, p.oStrideB, p.oStrideT, p.oStrideH, token + t) << 2);
    memory.copy(to, w.down + <usize>t * outStep, (<usize>p.dv) << 2);
  }
}

/** gradient [rows, columns] += a^T b over a block, a [count, rows], b [count, columns]. */
function addOuter(
  w: SwigluWork,
  gradient: usize,
  a: usize,
  rows: i32,
  aStep: usize,
  b: usize,
  columns: i32,
  bStep: usize,
  count: i32,
): void {
  transpose(a, w.turned, count, rows, aStep, BLOCK_BYTES);
  packColumns(b, w.columns, count, columns, bStep);
  const panels = (columns + 7) >> 3;
  product(
    rows,
    w.turned,
    BLOCK_BYTES,
    panels,
    w.columns,
    (<usize>count) << 5,
    gradient,
    32,
    rowBytes(columns),
    count,
    1,
  );
}

/** to = factors x, row by row; `to` may be x. */
function weighRows(
  p: SwigluParams,
  w: SwigluWork,
  rates: usize,
  strideB: i32,
  strideT: i32,
  strideH: i32,
  token: i32,
  count: i32,
  x: usize,
  to: usize,
  step: usize,
): void {
  for (let t = 0; t < count; ++t) {
    const f = v128.load32_splat(rates + (elementAt(w, strideB, strideT, strideH, token + t) << 2));
    const row = <usize>t * step;
    for (let i = row; i < row + step; i += 16) v128.store(to + i, f32x4.mul(v128.load(x + i), f));
  }
}

/** Gradients of -f(k) v for a block, with rates and reversed sign, into g0, g1, g2. */
function learnBlock(p: SwigluParams, w: SwigluWork, token: i32, count: i32): void {
  const step = rowBytes(p.dh);
  const kStep = rowBytes(p.dk);
  const vStep = rowBytes(p.dv);
  for (let t = 0; t < count; ++t) {
    const k = elementAt(w, p.kStrideB, p.kStrideT, p.kStrideH, token + t) * elementBytes(p.kType);
    loadRow(p.k + k, p.kType, w.x + <usize>t * kStep, p.dk);
    const v = elementAt(w, p.vStrideB, p.vStrideT, p.vStrideH, token + t) * elementBytes(p.vType);
    loadRow(p.v + v, p.vType, w.v + <usize>t * vStep, p.dv);
  }
  rise(p, w, count);
  // what comes back to the product of the two: v w1
  product(count, w.v, vStep, (p.dh + 7) >> 3, w.p1Back, (<usize>p.dv) << 5, w.down, 32, step, p.dv, 0);
  const one = v128.load(ONE);
  for (let t = 0; t < count; ++t) {
    const f = v128.load32_splat(p.lr1 + (elementAt(w, p.lr1StrideB, p.lr1StrideT, p.lr1StrideH, token + t) << 2));
    for (let i = <usize>t * step; i < <usize>(t + 1) * step; i += 16) {
      const x = v128.load(w.gate + i);
      const h = v128.load(w.up + i);
      const d = v128.load(w.down + i);
      const s = sigmoid4(x);
      const silu = f32x4.mul(x, s);
      v128.store(w.up + i, f32x4.mul(d, silu));
      // the slope of silu: s (1 + x (1 - s))
      v128.store(w.gate + i, f32x4.mul(f32x4.mul(d, h), f32x4.mul(s, fma(x, f32x4.sub(one, s), one))));
      v128.store(w.down + i, f32x4.mul(f32x4.mul(silu, h), f));
    }
  }
  addOuter(w, w.g1, w.v, p.dv, vStep, w.down, p.dh, step, count);
  weighRows(p, w, p.lr0, p.lr0StrideB, p.lr0StrideT, p.lr0StrideH, token, count, w.x, w.down, kStep);
  addOuter(w, w.g0, w.gate, p.dh, step, w.down, p.dk, kStep, count);
  weighRows(p, w, p.lr2, p.lr2StrideB, p.lr2StrideT, p.lr2StrideH, token, count, w.x, w.down, kStep);
  addOuter(w, w.g2, w.up, p.dh, step, w.down, p.dk, kStep, count);
}

/** Rows of a matrix to the norms they keep. */
function renormalise(x: usize, norms: usize, rows: i32, step: usize): void {
  for (let i = 0; i < rows; ++i) {
    const row = x + <usize>i * step;
    const factor = load<f32>(norms + ((<usize>i) << 2)) / (sqrt<f32>(squares(row, step)) + NORM_EPS);
    for (let j: usize = 0; j < step; j += 16) v128.store(row + j, f32x4.mul(v128.load(row + j), f32x4.splat(factor)));
  }
}

/** A chunk's end for one matrix: its gradient, with momentum, made orthogonal if so asked, is added, and the rows get back their norms. */
function updateMatrix(
  p: SwigluParams,
  w: SwigluWork,
  x: usize,
  gradient: usize,
  momentum: usize,
  norms: usize,
  rows: i32,
  columns: i32,
): void {
  const step = rowBytes(columns);
  const bytes = <usize>rows * step;
  if (momentum) {
    // what stays of the momentum is added, and the sum is the new momentum
    const rowLength = (<usize>columns) << 2;
    for (let i: usize = 0; i < <usize>rows; ++i) {
      for (let j: usize = 0; j < rowLength; j += 4) {
        const at = momentum + i * rowLength + j;
        const sum = load<f32>(gradient + i * step + j) + w.factor * load<f32>(at);
        store<f32>(gradient + i * step + j, sum);
        store<f32>(at, sum);
      }
    }
  }
  if (p.muon) newtonSchulz(gradient, rows, columns, w.muon);
  addScaled(x, gradient, 1, bytes);
  renormalise(x, norms, rows, step);
  memory.fill(gradient, 0, matrixBytes(rows, columns));
}

/** The end of a chunk. */
function update(p: SwigluParams, w: SwigluWork): void {
  const size = (2 * p.dk + p.dv) * p.dh;
  const m0 = p.momentum ? partOf(p.momentumOut, size, p, w) : 0;
  const m1 = m0 ? m0 + ((<usize>(p.dh * p.dk)) << 2) : 0;
  const m2 = m0 ? m1 + ((<usize>(p.dv * p.dh)) << 2) : 0;
  w.factor /= <f32>p.chunk;
  const n1 = w.norms + ((<usize>p.dh) << 2);
  updateMatrix(p, w, w.w0, w.g0, m0, w.norms, p.dh, p.dk);
  updateMatrix(p, w, w.w1, w.g1, m1, n1, p.dv, p.dh);
  updateMatrix(p, w, w.w2, w.g2, m2, n1 + ((<usize>p.dv) << 2), p.dh, p.dk);
  w.factor = 0;
  packWeights(p, w);
}

/** The norms of a matrix's rows. */
function measureRows(x: usize, norms: usize, rows: i32, step: usize): void {
  for (let i = 0; i < rows; ++i) {
    store<f32>(norms + ((<usize>i) << 2), sqrt<f32>(squares(x + <usize>i * step, step)));
  }
}

/** Loads the states of an item: one sequence and head. */
function openItem(p: SwigluParams, w: SwigluWork, item: i32): void {
  w.sequence = sequenceOfItem(p.sequences, p.sequenceCount, item);
  const sequence = sequenceAt(p.sequences, w.sequence);
  w.head = item - sequence.firstItem;
  w.batch = sequence.batch;
  w.start = sequence.qStart;
  w.length = sequence.qLength;
  w.position = sequence.offset;
  const small = p.dh * p.dk;
  const large = p.dv * p.dh;
  loadMatrix(w.w0, partOf(p.w0In, small, p, w), p.dh, p.dk);
  loadMatrix(w.w1, partOf(p.w1In, large, p, w), p.dv, p.dh);
  loadMatrix(w.w2, partOf(p.w2In, small, p, w), p.dh, p.dk);
  packWeights(p, w);
  const count = 2 * p.dh + p.dv;
  const norms = partOf(p.normsIn, count, p, w);
  if (norms) {
    memory.copy(w.norms, norms, (<usize>count) << 2);
  } else {
    measureRows(w.w0, w.norms, p.dh, rowBytes(p.dk));
    measureRows(w.w1, w.norms + ((<usize>p.dh) << 2), p.dv, rowBytes(p.dh));
    measureRows(w.w2, w.norms + ((<usize>(p.dh + p.dv)) << 2), p.dh, rowBytes(p.dk));
  }
  const size = 2 * small + large;
  const within = w.position > 0;
  const g = within ? partOf(p.gradientIn, size, p, w) : 0;
  loadMatrix(w.g0, g, p.dh, p.dk);
  loadMatrix(w.g1, g ? g + ((<usize>small) << 2) : 0, p.dv, p.dh);
  loadMatrix(w.g2, g ? g + ((<usize>(small + large)) << 2) : 0, p.dh, p.dk);
  w.factor = 0;
  if (!p.momentum) return;
  if (within) w.factor = load<f32>(partOf(p.factorIn, 1, p, w));
  const to = partOf(p.momentumOut, size, p, w);
  const from = partOf(p.momentumIn, size, p, w);
  if (!from) memory.fill(to, 0, (<usize>size) << 2);
  else if (from != to) memory.copy(to, from, (<usize>size) << 2);
}

function closeItem(p: SwigluParams, w: SwigluWork): void {
  const small = p.dh * p.dk;
  const large = p.dv * p.dh;
  storeMatrix(w.w0, partOf(p.w0Out, small, p, w), p.dh, p.dk);
  storeMatrix(w.w1, partOf(p.w1Out, large, p, w), p.dv, p.dh);
  storeMatrix(w.w2, partOf(p.w2Out, small, p, w), p.dh, p.dk);
  const count = 2 * p.dh + p.dv;
  memory.copy(partOf(p.normsOut, count, p, w), w.norms, (<usize>count) << 2);
  const g = partOf(p.gradientOut, 2 * small + large, p, w);
  storeMatrix(w.g0, g, p.dh, p.dk);
  storeMatrix(w.g1, g + ((<usize>small) << 2), p.dv, p.dh);
  storeMatrix(w.g2, g + ((<usize>(small + large)) << 2), p.dh, p.dk);
  if (p.momentum) store<f32>(partOf(p.factorOut, 1, p, w), w.factor);
  if (w.head == 0) store<i32>(p.positionOut + ((<usize>w.sequence) << 2), w.position);
}

/** Adds the momentum factors of a block. */
function sumFactors(p: SwigluParams, w: SwigluWork, token: i32, count: i32): void {
  for (let t = token; t < token + count; ++t) {
    w.factor += load<f32>(p.momentum + (elementAt(w, p.momentumStrideB, p.momentumStrideT, p.momentumStrideH, t) << 2));
  }
}

/**
 * Large chunks of fast weights f(x) = w1 (silu(w0 x) * (w2 x)): a chunk's queries read what the chunks before have left; then its keys move
 * the weights along v^T f(k), each token at rates of its own for each matrix.
 *
 *   q, k             any storage [B, T, H, dk]   rows contiguous
 *   v                any storage [B, T, H, dv]   rows contiguous
 *   lr0, lr1, lr2    f32 [B, T, H]               momentum likewise, or absent
 *   o                f32 [B, T, H, dv]           rows contiguous; must not alias an input
 *   states           as SwigluParams lists them  contiguous; an output may be its input
 *
 * Zhang 2025 (LaCT): at a chunk's end g = sum of its gradients, plus the mean of its momentum factors times the last g; made orthogonal
 * with `muon`; w = (w + g) with its rows at the norms that they had at first. Item: one sequence and head. Scratch: swigluScratchBytes.
 */
export function swiglu(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<SwigluParams>(params);
  const w = carveSwiglu(p, scratch);
  for (let item = begin; item < end; ++item) {
    openItem(p, w, item);
    for (let token = 0; token < w.length;) {
      const count = min(BLOCK, min(p.chunk - w.position, w.length - token));
      readBlock(p, w, token, count);
      learnBlock(p, w, token, count);
      if (p.momentum) sumFactors(p, w, token, count);
      w.position += count;
      if (w.position == p.chunk) {
        update(p, w);
        w.position = 0;
      }
      token += count;
    }
    closeItem(p, w);
  }
}

/** Bytes of scratch that `swiglu` needs. */
export function swigluScratchBytes(params: usize, scratch: usize): i32 {
  return <i32>(carveSwiglu(changetype<SwigluParams>(params), scratch).end - scratch);
}

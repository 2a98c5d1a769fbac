import { sequenceAt, sequenceOfItem } from '../flash/sequence';
import { MR } from '../gemm/panel';
import { transposePanel } from '../gemm/transpose';
import { FastWeightParams } from '../params';
import { elementBytes, widenRow } from '../simd/storage';
import { activateRow } from './activation';
import { MOMENTUM, READ_ONLY, readCoefficients, weighScores } from './coefficients';
import { lossRow, outputRow } from './loss';
import { addPanels, loadPanels, storePanels, transposePanels, turnPanels } from './panels';
import { product } from './product';
import {
  ANCHOR,
  carveFastWeight,
  FastWork,
  layerAt,
  LayerWork,
  PART,
  SECOND,
  selectHead,
  STATE,
  weightsAt,
} from './workspace';

/** Elements before a token of the item in a tensor [B, T, H, d]. */
// @ts-ignore: decorator
@inline
function elementAt(w: FastWork, strideB: i32, strideT: i32, strideH: i32, token: i32): usize {
  return <usize>w.batch * <usize>strideB + <usize>(w.start + token) * <usize>strideT + <usize>w.head * <usize>strideH;
}

/** Address of the item's part of weights or biases, 0 if they are absent. */
// @ts-ignore: decorator
@inline
function partOf(base: usize, stride: i32, p: FastWeightParams, w: FastWork): usize {
  return base ? base + ((<usize>(w.sequence * p.heads + w.head) * <usize>stride) << 2) : 0;
}

/** Fills panels of layer i from a place of the table. */
function loadFrom(p: FastWeightParams, w: FastWork, i: i32, place: i32, panels: usize): void {
  const from = weightsAt(p, i, place);
  loadPanels(layerAt(w, i), panels, partOf(from.w, from.wStride, p, w), partOf(from.b, from.bStride, p, w));
}

/** Writes panels of layer i to the place behind `place`. */
function storeTo(p: FastWeightParams, w: FastWork, i: i32, place: i32, panels: usize): void {
  const to = weightsAt(p, i, place + 1);
  storePanels(layerAt(w, i), panels, partOf(to.w, to.wStride, p, w), partOf(to.b, to.bStride, p, w));
}

/** Whether what a layer's place holds before the call is to be updated where it lies. */
// @ts-ignore: decorator
@inline
function inPlace(p: FastWeightParams, i: i32, place: i32): bool {
  return weightsAt(p, i, place).w == weightsAt(p, i, place + 1).w;
}

/** A row of the layer's input: zeros behind `d` elements, and the one of the bias. */
// @ts-ignore: decorator
@inline
function finishRow(l: LayerWork, row: usize): void {
  for (let i = (<usize>l.din) << 2; i < l.xBytes; i += 4) store<f32>(row + i, 0);
  if (l.rows > l.din) store<f32>(row + ((<usize>l.din) << 2), 1);
}

/** Queries, keys and targets of a part. */
function loadTokens(p: FastWeightParams, w: FastWork, token: i32, count: i32): void {
  const l = layerAt(w, 0);
  const targetBytes = (<usize>((p.d + 7) >> 3)) << 5;
  const qBytes = elementBytes(p.qType);
  const kBytes = elementBytes(p.kType);
  const vBytes = elementBytes(p.vType);
  for (let i = 0; i < count; ++i) {
    const at = token + i;
    const y = w.y + <usize>i * w.rowBytes;
    const x = l.x + <usize>i * l.xBytes;
    const target = w.target + <usize>i * targetBytes;
    widenRow(p.q + elementAt(w, p.qStrideB, p.qStrideT, p.qStrideH, at) * qBytes, p.qType, y, p.d, p.scale);
    widenRow(p.k + elementAt(w, p.kStrideB, p.kStrideT, p.kStrideH, at) * kBytes, p.kType, x, p.d, 1);
    widenRow(p.v + elementAt(w, p.vStrideB, p.vStrideT, p.vStrideH, at) * vBytes, p.vType, target, p.d, 1);
    finishRow(l, x);
    finishRow(l, y);
    for (let j = (<usize>p.d) << 2; j < targetBytes; j += 4) store<f32>(target + j, 0);
    if (!p.residualTarget) continue;
    for (let j: usize = 0; j < (<usize>p.d) << 2; j += 16) {
      if (j + 16 <= (<usize>p.d) << 2) {
        v128.store(target + j, f32x4.sub(v128.load(target + j), v128.load(x + j)));
      } else {
        for (let e = j; e < (<usize>p.d) << 2; e += 4) {
          store<f32>(target + e, load<f32>(target + e) - load<f32>(x + e));
        }
      }
    }
  }
}

/** Keys through the network at the frozen weights, and the gradients of every layer's outputs back. */
function learn(p: FastWeightParams, w: FastWork, count: i32): void {
  const last = p.layerCount - 1;
  for (let i = 0; i <= last; ++i) {
    const l = layerAt(w, i);
    product(count, l.x, l.xBytes, l.panels, l.frozen, l.panelBytes, l.g, 32, l.gBytes, l.rows, 0);
    if (i == last) break;
    const next = layerAt(w, i + 1);
    for (let t = 0; t < count; ++t) {
      const g = l.g + <usize>t * l.gBytes;
      const x = next.x + <usize>t * next.xBytes;
      activateRow(g, x, g, l.dout, p.activation);
      finishRow(next, x);
    }
  }
  const top = layerAt(w, last);
  const targetBytes = (<usize>((p.d + 7) >> 3)) << 5;
  for (let t = 0; t < count; ++t) {
    lossRow(top.g + <usize>t * top.gBytes, w.target + <usize>t * targetBytes, w.lnWeight, w.lnBias, p.d, p.eps);
  }
  for (let i = last; i > 0; --i) {
    const l = layerAt(w, i);
    const before = layerAt(w, i - 1);
    const panelBytes = (<usize>l.dout) << 5;
    product(count, l.g, l.gBytes, before.panels, l.back, panelBytes, w.z, 32, w.rowBytes, l.dout, 0);
    for (let t = 0; t < count; ++t) {
      const from = w.z + <usize>t * w.rowBytes;
      const to = before.g + <usize>t * before.gBytes;
      for (let j: usize = 0; j < before.gBytes; j += 16) {
        v128.store(to + j, f32x4.mul(v128.load(to + j), v128.load(from + j)));
      }
    }
  }
}

/** Keys and gradients of a layer as the panels that products read. */
function packLayer(w: FastWork, l: LayerWork, count: i32): void {
  const xPanel = (<usize>l.rows) << 5;
  for (let t = 0; t < count; t += 8) {
    // tokens past the last leave columns that are never read
    transposePanel(l.x + <usize>t * l.xBytes, l.xBytes, w.xPanels + <usize>(t >> 3) * xPanel, l.rows);
  }
  const gPanel = (<usize>count) << 5;
  for (let t = 0; t < count; ++t) {
    let from = l.g + <usize>t * l.gBytes;
    let to = w.gPanels + ((<usize>t) << 5);
    for (let c = l.panels; c > 0; --c) {
      v128.store(to, v128.load(from));
      v128.store(to, v128.load(from, 16), 16);
      from += 32;
      to += gPanel;
    }
  }
}

/** scaled[rows] = factors y. */
function scaleRows(w: FastWork, l: LayerWork, y: usize, factors: usize, count: i32): void {
  for (let t = 0; t < count; ++t) {
    const f = v128.load32_splat(factors + ((<usize>t) << 2));
    const from = y + <usize>t * w.rowBytes;
    const to = w.scaled + <usize>t * w.rowBytes;
    for (let j: usize = 0; j < l.xBytes; j += 16) v128.store(to + j, f32x4.mul(v128.load(from + j), f));
  }
}

/** z = y of the queries through a layer whose weights are what each of them reads. */
function readLayer(p: FastWeightParams, w: FastWork, l: LayerWork, y: usize, z: usize, count: i32): void {
  const momentum = p.rule == MOMENTUM;
  let from = y;
  if (momentum) {
    scaleRows(w, l, y, w.baseOf, count);
    from = w.scaled;
  }
  product(count, from, w.rowBytes, l.panels, l.base, l.panelBytes, z, 32, w.rowBytes, l.rows, 0);
  if (momentum || w.position > 0) {
    scaleRows(w, l, y, w.secondOf, count);
    product(count, w.scaled, w.rowBytes, l.panels, l.second, l.panelBytes, z, 32, w.rowBytes, l.rows, 1);
  }
  const xPanel = (<usize>l.rows) << 5;
  const gPanel = (<usize>count) << 5;
  for (let t = 0; t < count; t += MR) {
    const rows = min(MR, count - t);
    const seen = t + rows;
    const scores = w.scores + <usize>t * w.scoreBytes;
    const row = <usize>t * w.rowBytes;
    product(rows, y + row, w.rowBytes, (seen + 7) >> 3, w.xPanels, xPanel, scores, 32, w.scoreBytes, l.rows, 0);
    for (let i = t; i < seen; ++i) weighScores(w, i, seen);
    product(rows, scores, w.scoreBytes, l.panels, w.gPanels, gPanel, z + row, 32, w.rowBytes, seen, 1);
  }
}

/** to (+)= sum over the part's keys of their inputs, times `factors`, and gradients. */
function writeLayer(w: FastWork, l: LayerWork, to: usize, factors: usize, count: i32, accumulate: i32): void {
  const xPanel = (<usize>l.rows) << 5;
  for (let t: usize = 0; t < <usize>count; t += 8) {
    const f0 = v128.load(factors + (t << 2));
    const f1 = v128.load(factors + (t << 2), 16);
    let from = w.xPanels + (t >> 3) * xPanel;
    let row = w.xRows + (t << 2);
    for (let i = l.rows; i > 0; --i) {
      v128.store(row, f32x4.mul(v128.load(from), f0));
      v128.store(row, f32x4.mul(v128.load(from, 16), f1), 16);
      from += 32;
      row += w.scoreBytes;
    }
  }
  const gPanel = (<usize>count) << 5;
  for (let i = 0; i < l.rows; i += MR) {
    product(
      // what a whole tile writes past the last row is never read
      min(MR, l.rows - i),
      w.xRows + <usize>i * w.scoreBytes,
      w.scoreBytes,
      l.panels,
      w.gPanels,
      gPanel,
      to + ((<usize>i) << 5),
      l.panelBytes,
      32,
      count,
      accumulate,
    );
  }
}

/** Takes the gradients of a part into a layer whose outputs are read. */
function advanceLayer(p: FastWeightParams, w: FastWork, l: LayerWork, count: i32, ends: bool): void {
  if (p.rule == MOMENTUM) {
    turnPanels(l.base, l.second, l.bytes, w.keep, w.add, w.stay);
    writeLayer(w, l, l.base, w.endBase, count, 1);
    writeLayer(w, l, l.second, w.endSecond, count, 1);
    if (ends) memory.copy(l.frozen, l.base, l.bytes);
  } else if (ends && w.position == 0) {
    // the whole mini-batch at once: the last query's factors are those of its end
    writeLayer(w, l, l.frozen, w.coefficients + <usize>(count - 1) * w.scoreBytes, count, 1);
  } else {
    writeLayer(w, l, l.second, w.endSecond, count, w.position > 0 ? 1 : 0);
    if (ends) addPanels(l.frozen, l.second, l.bytes, load<f32>(w.secondOf + ((<usize>(count - 1)) << 2)));
  }
  if (ends && l.back) transposePanels(l, l.frozen, l.back);
}

/** Writes the outputs of a part. */
function writeOutputs(p: FastWeightParams, w: FastWork, z: usize, token: i32, count: i32): void {
  const bytes = elementBytes(p.qType);
  for (let t = 0; t < count; ++t) {
    const row = z + <usize>t * w.rowBytes;
    let residual: usize = 0;
    if (p.residual == 1) residual = row;
    if (p.residual == 2) {
      residual = w.scaled;
      const q = p.q + elementAt(w, p.qStrideB, p.qStrideT, p.qStrideH, token + t) * bytes;
      widenRow(q, p.qType, residual, p.d, p.scale);
    }
    outputRow(row, residual, w.lnWeight, w.lnBias, p.d, p.eps);
    memory.copy(p.o + (elementAt(w, p.oStrideB, p.oStrideT, p.oStrideH, token + t) << 2), row, (<usize>p.d) << 2);
  }
}

/** A part of a mini-batch: `count` tokens from `token` on. */
function takePart(p: FastWeightParams, w: FastWork, token: i32, count: i32, ends: bool): void {
  const learns = p.rule != READ_ONLY;
  loadTokens(p, w, token, count);
  if (learns) {
    learn(p, w, count);
    readCoefficients(p, w, token, count);
  }
  let y = w.y;
  let z = w.z;
  for (let i = 0; i < p.layerCount; ++i) {
    const l = layerAt(w, i);
    if (learns) {
      packLayer(w, l, count);
      readLayer(p, w, l, y, z, count);
      advanceLayer(p, w, l, count, ends);
    } else {
      product(count, y, w.rowBytes, l.panels, l.base, l.panelBytes, z, 32, w.rowBytes, l.rows, 0);
    }
    if (i + 1 < p.layerCount) {
      const next = layerAt(w, i + 1);
      for (let t = 0; t < count; ++t) {
        const row = z + <usize>t * w.rowBytes;
        activateRow(row, row, 0, l.dout, p.activation);
        finishRow(next, row);
      }
      const other = y;
      y = z;
      z = other;
    }
  }
  writeOutputs(p, w, z, token, count);
}

/** Prepares the workspace for an item: one sequence and group of heads. */
function openItem(p: FastWeightParams, w: FastWork, item: i32): void {
  w.sequence = sequenceOfItem(p.sequences, p.sequenceCount, item);
  const sequence = sequenceAt(p.sequences, w.sequence);
  w.firstHead = (item - sequence.firstItem) * p.blockH;
  w.headCount = min(p.blockH, p.heads - w.firstHead);
  w.batch = sequence.batch;
  w.start = sequence.qStart;
  w.length = sequence.qLength;
  w.position = sequence.offset;
}

/** Loads the states of the head that is selected. */
function openHead(p: FastWeightParams, w: FastWork): void {
  if (p.lnWeight) {
    const bytes = (<usize>p.d) << 2;
    memory.fill(w.lnWeight, 0, (w.lnBias - w.lnWeight) << 1);
    memory.copy(w.lnWeight, p.lnWeight + <usize>w.head * bytes, bytes);
    memory.copy(w.lnBias, p.lnBias + <usize>w.head * bytes, bytes);
  }
  for (let i = 0; i < p.layerCount; ++i) {
    const l = layerAt(w, i);
    loadFrom(p, w, i, STATE, l.base);
    if (w.position > 0 || p.rule == MOMENTUM) loadFrom(p, w, i, SECOND, l.second);
    if (p.rule == MOMENTUM) {
      if (w.position > 0) loadFrom(p, w, i, ANCHOR, l.frozen);
      else memory.copy(l.frozen, l.base, l.bytes);
    }
    if (l.back) transposePanels(l, l.frozen, l.back);
  }
}

/** Writes the states of the head that is selected after its tokens; without `changed` the weights that a mini-batch starts with are those it came with. */
function closeHead(p: FastWeightParams, w: FastWork, changed: bool): void {
  const momentum = p.rule == MOMENTUM;
  for (let i = 0; i < p.layerCount; ++i) {
    const l = layerAt(w, i);
    if (momentum || changed || !inPlace(p, i, STATE)) storeTo(p, w, i, STATE, l.base);
    // an empty mini-batch has no gradients
    if (!momentum && w.position == 0) memory.fill(l.second, 0, l.bytes);
    storeTo(p, w, i, SECOND, l.second);
    if (momentum && (changed || !inPlace(p, i, ANCHOR))) storeTo(p, w, i, ANCHOR, l.frozen);
  }
  if (w.head == 0) store<i32>(p.positionOut + ((<usize>w.sequence) << 2), w.position);
}

/**
 * Fast weights: a network trained on the tokens while it reads them, gradients by mini-batches in the dual form.
 *
 *   q, k, v     any storage [B, T, H, d]   rows contiguous
 *   eta, ...    f32 [B, T, H]              by the rule, see below
 *   lnWeight    f32 [H, d]                 with lnBias, both or neither
 *   o           f32 [B, T, H, d]           rows contiguous; must not alias an input
 *   layers      FastLayer [layerCount]     din of the first and dout of the last are d
 *   positionOut i32 [N]                    tokens of the unfinished mini-batch; those before the call are the sequence's `offset`
 *
 * The network is x_{l+1} = act(x_l W_l + b_l), without act behind the last layer; a bias is a row of W whose input is one. At the
 * mini-batch's start its weights F take the keys to LN(f(k)), compared with r = v (or v - k) in half the squared distance; x_j, g_j
 * are key j's input and gradient in a layer. Query i reads a W_F + c S - sum_{j <= i} c_ij x_j^T g_j without it being formed:
 *   rules 0, 1 (TTT, Sun 2024):    F - rate_i (G + sum x_j^T g_j); rate_i = eta_i, or tokenIdx_i with eta_j g_j for g_j
 *   rule 2 (Titans, Behrouz 2025): M_i = (1 - alpha_i) M_{i-1} + S_i, S_i = eta_i S_{i-1} - 2 theta_i x_i^T g_i
 *   rule 3:                        F, which stays; k and v are of no account, and there are no outputs but o
 * G sums the gradients of the mini-batch's tokens before the call; parts of at most 64 tokens take turns within a mini-batch. The
 * mini-batch ends with F = what its last query read. States: [N, H, ...] at FastLayer's addresses; an output may be its input.
 *
 * Item: one sequence and group of heads, which take turns by mini-batches so that the rows of a token are read together. Scratch:
 * fastWeightScratchBytes.
 */
export function fastWeight(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<FastWeightParams>(params);
  const w = carveFastWeight(p, scratch, 0);
  for (let item = begin; item < end; ++item) {
    openItem(p, w, item);
    for (let i = 0; i < w.headCount; ++i) {
      selectHead(p, w, i);
      openHead(p, w);
    }
    let changed = w.position == 0;
    for (let token = 0; token < w.length;) {
      const count = min(PART, min(p.miniBatch - w.position, w.length - token));
      const after = w.position + count;
      const ends = after == p.miniBatch || (p.flush != 0 && token + count == w.length);
      for (let i = 0; i < w.headCount; ++i) {
        selectHead(p, w, i);
        takePart(p, w, token, count, ends);
      }
      w.position = ends ? 0 : after;
      changed = changed || ends;
      token += count;
    }
    if (p.rule == READ_ONLY) continue;
    for (let i = 0; i < w.headCount; ++i) {
      selectHead(p, w, i);
      closeHead(p, w, changed);
    }
  }
}

/** Bytes of scratch that `fastWeight` needs. */
export function fastWeightScratchBytes(params: usize, scratch: usize): i32 {
  const p = changetype<FastWeightParams>(params);
  return <i32>(carveFastWeight(p, scratch, p.records).end - scratch);
}

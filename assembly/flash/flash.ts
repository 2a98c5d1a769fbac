import { MR } from '../gemm/panel';
import { FlashParams, Sequence } from '../params';
import { LN2 } from '../simd/constants';
import { sum4 } from '../simd/reduce';
import { elementBytes } from '../simd/storage';
import { attendBlock } from './attend';
import { attendLive, beginLive, carveLive, LiveRows, openLive, PART, takeAll, takeTile } from './live-rows';
import { closeRow, joinRow, outGain, outputRow, RowEnd, writeLse, writeOutput, writeStrips } from './output';
import { statisticsAt } from './pack-quantised';
import { quantiseQueries } from './quantise-queries';
import { endKey, firstKey, keyBiasBase, loadKeyBias, scoreFactor } from './rows';
import { sequenceAt, sequenceOfItem } from './sequence';
import { BLOCK_K, BLOCK_K_SHIFT, roundUpNR } from './tile';
import { carve, openBlock, packRows, selectBlock, STRIP, Tiles } from './tiles';
import { ALL, intersectPlaces, NONE, openSelection, PARTS, selectKeys, takePart } from './selection';

/** Bytes of scratch that one thread of `flash` needs; `scratch` has room for 256 bytes. */
export function flashScratchBytes(params: usize, scratch: usize): i32 {
  const p = changetype<FlashParams>(params);
  return <i32>(carveLive(p, carve(p, scratch)).end - scratch);
}

/** The score, in natural units, of row i of a query block with what was taken off all keys. */
function meanScore(p: FlashParams, s: Sequence, t: Tiles, h: i32, i: i32): f64 {
  const kvHeads = p.heads / p.group;
  let mean = statisticsAt(p.kMeans, p.sequences, s, kvHeads, h / p.group, p.dk);
  let row = t.raw + ((<usize>(i * p.dk)) << 2);
  let sum: f64 = 0;
  for (const end = row + ((<usize>p.dk) << 2); row < end; row += 4) {
    sum += <f64>load<f32>(row) * <f64>load<f32>(mean);
    mean += 4;
  }
  return sum * (p.depth ? <f64>p.scale : LN2);
}

/** Adds to the unnormalised output of row i what was taken off all values. */
function addValueMean(p: FlashParams, s: Sequence, t: Tiles, h: i32, i: i32, acc: usize): void {
  const kvHeads = p.heads / p.group;
  const mean = statisticsAt(p.vMeans, p.sequences, s, kvHeads, h / p.group, p.dv);
  const weight = sum4(v128.load(t.l + ((<usize>i) << 4)));
  for (let c = 0; c < p.dv; ++c) {
    const at = acc + <usize>(c >> 3) * STRIP + ((<usize>(c & 7)) << 2);
    store<f32>(at, load<f32>(at) + weight * load<f32>(mean + ((<usize>c) << 2)));
  }
}

/** Divides by the weights' sum and writes o and lse of one query block. */
export function finishBlock(p: FlashParams, s: Sequence, t: Tiles, h: i32, q0: i32, rows: i32): void {
  const strips = roundUpNR(p.dv) >> 3;
  const gain = outGain(p, s, h);
  const end = changetype<RowEnd>(t.rowEnd);
  for (let i = 0; i < rows; ++i) {
    const g = i / MR;
    const acc = t.o + <usize>(g * t.strips) * STRIP + ((<usize>(i - g * MR)) << 5);
    closeRow(
      p,
      h,
      load<f32>(t.m + ((<usize>i) << 2)),
      sum4(v128.load(t.l + ((<usize>i) << 4))),
      keyBiasBase(p, s, h, q0 + i) + (p.kMeans ? meanScore(p, s, t, h, i) : 0),
      end,
    );
    if (p.vMeans) addValueMean(p, s, t, h, i, acc);
    joinRow(p, s, h, q0 + i, end);
    writeLse(p, s, h, q0 + i, end.lse);
    const out = outputRow(p, s, h, q0 + i);
    if (!p.r) {
      writeStrips(acc, STRIP, out, p.dv, end.inverse * gain, end.keep);
      continue;
    }
    const second = acc + <usize>strips * STRIP;
    const direct = f32x4.splat(end.inverse * gain);
    const expected = sum4(v128.load(second + <usize>strips * STRIP)) * end.inverse;
    const crossed = f32x4.neg(direct);
    const whole = f32x4.mul(direct, f32x4.splat(1 + expected));
    for (let c = 0; c < p.dv; c += 4) {
      const at = <usize>(c >> 3) * STRIP + ((<usize>(c & 4)) << 2);
      const x = f32x4.mul(v128.load(acc + at), whole);
      writeOutput(p, out, c, f32x4.add(x, f32x4.mul(v128.load(second + at), crossed)));
    }
  }
}

/** Key block `block` against the rows of the query block: all of them, or the live ones. */
function attendSeen(
  p: FlashParams,
  s: Sequence,
  t: Tiles,
  w: LiveRows,
  h: i32,
  q0: i32,
  rows: i32,
  block: i32,
  all: bool,
): void {
  if (p.qPositions) {
    if (all) takeAll(p, w, rows);
    if (!intersectPlaces(p, s, w, q0, rows, block)) return;
    all = false;
  }
  if (p.keyBias) loadKeyBias(p, s, h, block, t.keyBias);
  selectBlock(p, s, t, h, block);
  if (all) attendBlock(p, s, t, h, q0, rows, block);
  else attendLive(p, s, t, w, h, q0, rows, block);
}

/** The entries of a query block's list, in their order, that lie among key blocks [lowest, last). */
function attendList(
  p: FlashParams,
  s: Sequence,
  t: Tiles,
  w: LiveRows,
  h: i32,
  q0: i32,
  rows: i32,
  lowest: i32,
  last: i32,
): void {
  const place = s.batch * p.listOfStrideB + (h * p.listHeads) / p.heads;
  const list = load<i32>(p.listOf + ((<usize>place) << 2));
  const range = p.listRows + ((<usize>(list * p.listBlocks + q0 / p.blockQ)) << 2);
  let entry = p.listEntries + ((<usize>load<i32>(range)) << 3);
  for (const end = p.listEntries + ((<usize>load<i32>(range, 4)) << 3); entry < end; entry += 8) {
    const block = load<i32>(entry);
    const tile = load<i32>(entry, 4);
    if (block < lowest || block >= last) continue;
    if (tile >= 0) takeTile(p, w, rows, p.listTiles + ((<usize>(tile * p.blockQ)) << 3));
    attendSeen(p, s, t, w, h, q0, rows, block, tile < 0);
  }
}

/** The key blocks among [lowest, last) that a selection, if there is one, shows to rows of the query block. */
function attendSelected(
  p: FlashParams,
  s: Sequence,
  t: Tiles,
  w: LiveRows,
  h: i32,
  q0: i32,
  rows: i32,
  lowest: i32,
  last: i32,
): void {
  if (p.selected) openSelection(p, s, w, h, q0, rows);
  for (let block = lowest; block < last; ++block) {
    const seen = p.selected ? selectKeys(p, s, w, h, rows, block) : ALL;
    if (seen == PARTS) {
      for (let part = w.parts, end = part + <usize>w.count * PART; part < end; part += PART) {
        takePart(p, w, rows, part);
        attendSeen(p, s, t, w, h, q0, rows, block, false);
      }
    } else if (seen != NONE) {
      attendSeen(p, s, t, w, h, q0, rows, block, seen == ALL);
    }
  }
}

/** Zeros in place of the output of one query block, which a factor of 0 leaves nothing of. */
function emptyBlock(p: FlashParams, s: Sequence, h: i32, q0: i32, rows: i32): void {
  if (p.accumulate) return;
  for (let i = 0; i < rows; ++i) memory.fill(outputRow(p, s, h, q0 + i), 0, (<usize>p.dv) << 2);
}

/**
 * Tiled online-softmax attention over packed keys and values.
 *
 *   q      [B, Tq, H, dk]                 f32, f16 or bf16; any strides, last axis contiguous
 *   kPack, vPack                          as flashPack writes them
 *   bias   f32 [B|1, H|1, Tq|1, Tk]       natural units; stride 0 where broadcast, last axis contiguous
 *   mask   u8, as bias                    0 hides the key
 *   keyBias f32 [B, Tk, H]                natural units
 *   alibiSlopes, sinks f32 [H], outScale f32 [H] or [B, H]: a head of 0 costs nothing where lse is not asked for
 *   r      f32 [B, Tq, H, dk]             parallax only; strides of q
 *   o      f32 [B, Tq, H, dv], lse f32 [B, Tq, H]; neither may alias an input
 *
 *   o_i = sum_j p_ij v_j / (sum_j p_ij + e^sink),  p_ij = exp(softcap(scale q_i k_j) + biases), lse_i the log of the denominator.
 *   FlashAttention-2 (Dao 2023). A row with no visible key gives zeros and lse = -Infinity.
 *
 * Item: one (sequence, query head, query block), late blocks first. Scratch: flashScratchBytes.
 */
export function flash(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<FlashParams>(params);
  const t = carve(p, scratch);
  const w = carveLive(p, t);
  const masked = p.listRows || p.selected || p.qPositions;
  if (masked) openLive(p, t, w);
  const factor = scoreFactor(p);
  for (let item = begin; item < end; ++item) {
    const s = sequenceAt(p.sequences, sequenceOfItem(p.sequences, p.sequenceCount, item));
    const local = item - s.firstItem;
    const blocksQ = (s.qLength + p.blockQ - 1) / p.blockQ;
    const h = local / blocksQ;
    // a causal mask gives the last block the most work: begun first, it does not end last
    const q0 = (blocksQ - 1 - (local - h * blocksQ)) * p.blockQ;
    const rows = min(p.blockQ, s.qLength - q0);
    if (!p.lse && outGain(p, s, h) == 0) {
      emptyBlock(p, s, h, q0, rows);
      continue;
    }

    const qStart = s.batch * p.qStrideB + (s.qStart + q0) * p.qStrideT + h * p.qStrideH;
    const packed = p.quantization ? t.raw : t.q;
    // rounded floats are scaled after they have been rounded
    const first: f32 = p.depth ? 1 : factor;
    packRows(p.q + <usize>qStart * elementBytes(p.qType), p.qType, p.qStrideT, rows, packed, p.dk, first);
    if (p.quantization) quantiseQueries(p, t, rows, factor);
    if (p.r) packRows(p.r + ((<usize>qStart) << 2), 0, p.qStrideT, rows, t.r, p.dk, 1);
    openBlock(p, t, rows);

    if (masked) beginLive(t, w, rows);
    const lowest = (p.scores ? 0 : firstKey(p, s, q0)) >> BLOCK_K_SHIFT;
    const last = ((p.scores ? s.kLength : endKey(p, s, q0 + rows - 1)) + BLOCK_K - 1) >> BLOCK_K_SHIFT;
    if (p.listRows) {
      attendList(p, s, t, w, h, q0, rows, lowest, last);
    } else if (p.selected || p.qPositions) {
      attendSelected(p, s, t, w, h, q0, rows, lowest, last);
    } else {
      for (let block = lowest; block < last; ++block) {
        if (p.keyBias) loadKeyBias(p, s, h, block, t.keyBias);
        selectBlock(p, s, t, h, block);
        attendBlock(p, s, t, h, q0, rows, block);
      }
    }
    finishBlock(p, s, t, h, q0, rows);
  }
}

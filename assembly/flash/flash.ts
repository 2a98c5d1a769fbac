import { MR, NR, panels } from '../gemm/panel';
import { FlashParams, Sequence } from '../params';
import { sum4 } from '../simd/reduce';
import { elementBytes, widenRow } from '../simd/storage';
import { largestNorm } from './bound';
import { closeRow, joinRow, outputRow, RowEnd, writeLse, writeOutput } from './output';
import { endKey, firstKey, keyBiasBase, loadKeyBias, modifyRow, plainScores, scoreFactor } from './rows';
import { multiplyRow } from './scores';
import { sequenceAt, sequenceOfItem } from './sequence';
import { SLACK, softmaxStep } from './softmax';
import { BLOCK_K, BLOCK_K_SHIFT, roundUpNR, rowGroups, SCORE_ROW } from './tile';

/** One 8-wide strip of the output tile of a row group. */
const STRIP: usize = <usize>MR * 32;

/** Scratch of one thread, carved into the tiles of a query block. */
@unmanaged
export class Tiles {
  /** f32 [groups * MR, dk], scaled; then r likewise where there is one. */
  q: usize;
  r: usize;
  /** f32 [MR, 64], and the same for r. */
  s: usize;
  s2: usize;
  /** f32 [groups, strips, MR, 8]; parallax: strips of o, of its second sum, and one of sum p r.k. */
  o: usize;
  strips: i32;
  /** f32 [groups * MR] and [groups * MR, 4]. */
  m: usize;
  l: usize;
  /** f32 [groups]: largest norm of a group's queries. */
  qNorms: usize;
  /** f32 [2, 64] biases of the block's keys. */
  keyBias: usize;
  rowEnd: usize;
  end: usize;
  /** The block of keys at hand: packed keys, the largest of their norms, packed values. */
  keys: usize;
  keyNorm: f32;
  values: usize;
  /** f32 [rows, 64] scores of the block at hand where they are known already, else 0. */
  given: usize;
}

const TILES_BYTES: usize = 80;

export function carve(p: FlashParams, at: usize): Tiles {
  const t = changetype<Tiles>(at);
  const rows = <usize>(rowGroups(p.blockQ) * MR);
  const strips = roundUpNR(p.dv) >> 3;
  const qBytes = (rows * <usize>p.dk * 4 + 15) & ~15;
  t.strips = p.r ? strips * 2 + 1 : strips;
  t.q = at + TILES_BYTES;
  t.r = t.q + qBytes;
  t.s = p.r ? t.r + qBytes : t.r;
  t.s2 = t.s + <usize>MR * SCORE_ROW;
  t.o = p.r ? t.s2 + <usize>MR * SCORE_ROW : t.s2;
  t.m = t.o + rows * <usize>t.strips * 32;
  t.l = t.m + ((rows * 4 + 15) & ~15);
  t.qNorms = t.l + rows * 16;
  t.keyBias = t.qNorms + ((rows * 4 + 15) & ~15);
  t.rowEnd = t.keyBias + SCORE_ROW * 2;
  t.end = t.rowEnd + 16;
  t.given = 0;
  return t;
}

/** Bytes of scratch that one thread of `flash` needs; `scratch` has room for 128 bytes. */
export function flashScratchBytes(params: usize, scratch: usize): i32 {
  return <i32>(carve(changetype<FlashParams>(params), scratch).end - scratch);
}

/** Rows of a query block, scaled and contiguous, zero past the end. */
export function packRows(src: usize, type: i32, stride: i32, rows: i32, dst: usize, d: i32, scale: f32): void {
  const bytes = elementBytes(type);
  const rowBytes = (<usize>d) << 2;
  for (let i = 0; i < rows; ++i) {
    widenRow(src + <usize>(i * stride) * bytes, type, dst + <usize>i * rowBytes, d, scale);
  }
  memory.fill(dst + <usize>rows * rowBytes, 0, <usize>(rowGroups(rows) * MR - rows) * rowBytes);
}

/** Smallest of a group's references. */
// @ts-ignore: decorator
@inline
function leastReference(m: usize, rows: i32): f32 {
  let least = load<f32>(m);
  for (let r = 1; r < rows; ++r) least = min<f32>(least, load<f32>(m + ((<usize>r) << 2)));
  return least;
}

/** Points at packed block `block` of a sequence for head h. */
function selectBlock(p: FlashParams, s: Sequence, t: Tiles, h: i32, block: i32): void {
  const packed = <usize>((h / p.group) * p.blocks + s.packBlock + block);
  t.keys = p.kPack + packed * <usize>(BLOCK_K * p.dk * 4);
  t.keyNorm = load<f32>(p.kNorms + (packed << 2));
  t.values = p.vPack + packed * <usize>(roundUpNR(p.dv) >> 3) * <usize>(BLOCK_K * 32);
}

/** Rows of the score tile that are known already; the rows of a tile past `live` have no weight. */
function takeScores(given: usize, live: i32, scores: usize): void {
  memory.copy(scores, given, <usize>live * SCORE_ROW);
  memory.fill(scores + <usize>live * SCORE_ROW, 0, <usize>(MR - live) * SCORE_ROW);
}

/** Empties the sums of a query block of packed rows. */
export function openBlock(p: FlashParams, t: Tiles, rows: i32): void {
  const padded = rowGroups(rows) * MR;
  measureQueries(p, t, rows);
  memory.fill(t.o, 0, <usize>(padded * t.strips) * 32);
  memory.fill(t.l, 0, (<usize>padded) << 4);
  for (let i = 0; i < padded; ++i) store<f32>(t.m + ((<usize>i) << 2), -Infinity);
}

/** Norms of the groups of packed query rows. */
export function measureQueries(p: FlashParams, t: Tiles, rows: i32): void {
  for (let g = 0; g < rowGroups(rows); ++g) {
    const rowsQ = t.q + <usize>(g * MR * p.dk) * 4;
    store<f32>(t.qNorms + ((<usize>g) << 2), largestNorm(rowsQ, (<usize>p.dk) << 2, MR, p.dk));
  }
}

/**
 * The 64-key block at hand against every row group of a query block.
 *
 * @param bits u64 [rows] of a partial block, 0 where no row hides any of its keys by a list
 */
export function attendBlock(
  p: FlashParams,
  s: Sequence,
  t: Tiles,
  h: i32,
  q0: i32,
  rows: i32,
  block: i32,
  bits: usize,
): void {
  const dk = p.dk;
  const rowBytes = (<usize>dk) << 2;
  const strips = roundUpNR(p.dv) >> 3;
  const kPanels = t.keys;
  const vPanels = t.values;
  const kNorm = t.keyNorm;
  const first = block << BLOCK_K_SHIFT;
  const plain = !bits && plainScores(p);
  for (let g = 0; g < rowGroups(rows); ++g) {
    const i0 = q0 + g * MR;
    const live = min(MR, q0 + rows - i0);
    // scores that are written out are computed for hidden keys too
    const low = p.scores ? 0 : firstKey(p, s, i0) - first;
    const high = min(BLOCK_K, (p.scores ? s.kLength : endKey(p, s, i0 + live - 1)) - first);
    const from = max(0, low) & ~(NR - 1);
    const n = roundUpNR(high) - from;
    if (low >= BLOCK_K || high <= max(0, low)) continue;

    const qRows = t.q + <usize>(g * MR) * rowBytes;
    const scores = t.s + ((<usize>from) << 2);
    if (t.given) takeScores(t.given + <usize>(g * MR) * SCORE_ROW, live, t.s);
    else panels(n >> 3, qRows, rowBytes, kPanels + <usize>from * rowBytes, rowBytes << 3, scores, 32, SCORE_ROW, dk, 0);
    // the last row begins, or the first row ends, inside the tile: some key of it is hidden from some row
    const ragged = firstKey(p, s, i0 + live - 1) > first + from || endKey(p, s, i0) < first + from + n;
    if (!plain || ragged) {
      for (let r = 0; r < live; ++r) {
        const row = scores + <usize>r * SCORE_ROW;
        const seen: u64 = bits ? load<u64>(bits + ((<usize>(g * MR + r)) << 3)) >> from : ~0;
        modifyRow(p, s, h, i0 + r, first + from, row, n, t.keyBias + ((<usize>from) << 2), seen);
      }
    }

    const acc = t.o + <usize>(g * t.strips) * STRIP;
    const at = <usize>(g * MR);
    // while no score can pass the references, their maximum need not be looked for
    const bound = plain ? load<f32>(t.qNorms + ((<usize>g) << 2)) * kNorm : Infinity;
    const bounded = bound <= leastReference(t.m + (at << 2), live) + SLACK;
    softmaxStep(live, bounded, scores, SCORE_ROW, n, t.m + (at << 2), t.l + (at << 4), acc, 32, t.strips, STRIP);
    const keys = high - from;
    const values = vPanels + ((<usize>from) << 5);
    panels(strips, scores, SCORE_ROW, values, BLOCK_K * 32, acc, STRIP, 32, keys, 1);
    if (p.r) attendSecond(p, t, g, live, kPanels, values, from, n, keys, strips);
  }
}

/** Parallax: the second score s2 = r k, and the sums of p s2 and p s2 v. */
function attendSecond(
  p: FlashParams,
  t: Tiles,
  g: i32,
  live: i32,
  kPanels: usize,
  values: usize,
  from: i32,
  n: i32,
  keys: i32,
  strips: i32,
): void {
  const rowBytes = (<usize>p.dk) << 2;
  const acc = t.o + <usize>(g * t.strips + strips) * STRIP;
  const sums = acc + <usize>strips * STRIP;
  const weights = t.s2 + ((<usize>from) << 2);
  const rRows = t.r + <usize>(g * MR) * rowBytes;
  panels(n >> 3, rRows, rowBytes, kPanels + <usize>from * rowBytes, rowBytes << 3, weights, 32, SCORE_ROW, p.dk, 0);
  for (let r: usize = 0; r < <usize>live; ++r) {
    const row = weights + r * SCORE_ROW;
    multiplyRow(row, n, t.s + ((<usize>from) << 2) + r * SCORE_ROW);
    let sum = v128.load(sums + (r << 5));
    for (let j: usize = 0; j < (<usize>n) << 2; j += 16) sum = f32x4.add(sum, v128.load(row + j));
    v128.store(sums + (r << 5), sum);
  }
  panels(strips, weights, SCORE_ROW, values, BLOCK_K * 32, acc, STRIP, 32, keys, 1);
}

/** Divides by the weights' sum and writes o and lse of one query block. */
export function finishBlock(p: FlashParams, s: Sequence, t: Tiles, h: i32, q0: i32, rows: i32): void {
  const strips = roundUpNR(p.dv) >> 3;
  const gain: f32 = p.outScale ? load<f32>(p.outScale + ((<usize>h) << 2)) : 1;
  const end = changetype<RowEnd>(t.rowEnd);
  for (let i = 0; i < rows; ++i) {
    const g = i / MR;
    const acc = t.o + <usize>(g * t.strips) * STRIP + ((<usize>(i - g * MR)) << 5);
    closeRow(
      p,
      h,
      load<f32>(t.m + ((<usize>i) << 2)),
      sum4(v128.load(t.l + ((<usize>i) << 4))),
      keyBiasBase(p, s, h, q0 + i),
      end,
    );
    joinRow(p, s, h, q0 + i, end);
    writeLse(p, s, h, q0 + i, end.lse);
    const out = outputRow(p, s, h, q0 + i);
    const second = acc + <usize>strips * STRIP;
    let direct = f32x4.splat(end.inverse * gain);
    let crossed = i32x4.splat(0);
    if (p.r) {
      const expected = sum4(v128.load(second + <usize>strips * STRIP)) * end.inverse;
      crossed = f32x4.neg(direct);
      direct = f32x4.mul(direct, f32x4.splat(1 + expected));
    }
    for (let c = 0; c < p.dv; c += 4) {
      const at = <usize>(c >> 3) * STRIP + ((<usize>(c & 4)) << 2);
      let x = f32x4.mul(v128.load(acc + at), direct);
      if (p.r) x = f32x4.add(x, f32x4.mul(v128.load(second + at), crossed));
      writeOutput(p, out, c, x);
    }
  }
}

/**
 * Tiled online-softmax attention over packed keys and values.
 *
 *   q      [B, Tq, H, dk]                 f32, f16 or bf16; any strides, last axis contiguous
 *   kPack, vPack                          as flashPack writes them
 *   bias   f32 [B|1, H|1, Tq|1, Tk]       natural units; stride 0 where broadcast, last axis contiguous
 *   mask   u8, as bias                    0 hides the key
 *   keyBias f32 [B, Tk, H]                natural units
 *   alibiSlopes, sinks, outScale f32 [H]
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
  const factor = scoreFactor(p);
  for (let item = begin; item < end; ++item) {
    const s = sequenceAt(p.sequences, sequenceOfItem(p.sequences, p.sequenceCount, item));
    const local = item - s.firstItem;
    const blocksQ = (s.qLength + p.blockQ - 1) / p.blockQ;
    const h = local / blocksQ;
    // a causal mask gives the last block the most work: begun first, it does not end last
    const q0 = (blocksQ - 1 - (local - h * blocksQ)) * p.blockQ;
    const rows = min(p.blockQ, s.qLength - q0);

    const qStart = s.batch * p.qStrideB + (s.qStart + q0) * p.qStrideT + h * p.qStrideH;
    packRows(p.q + <usize>qStart * elementBytes(p.qType), p.qType, p.qStrideT, rows, t.q, p.dk, factor);
    if (p.r) packRows(p.r + ((<usize>qStart) << 2), 0, p.qStrideT, rows, t.r, p.dk, 1);
    openBlock(p, t, rows);

    const lowest = p.scores ? 0 : firstKey(p, s, q0);
    const highest = p.scores ? s.kLength : endKey(p, s, q0 + rows - 1);
    if (p.listRows) {
      const listStart = load<i32>(p.listRows + ((<usize>item) << 2));
      const listEnd = load<i32>(p.listRows + ((<usize>(item + 1)) << 2));
      for (let e = listStart; e < listEnd; ++e) {
        const entry = load<i32>(p.listEntries + ((<usize>e) << 2));
        const block = entry >> 1;
        const bits: usize = entry & 1 ? 0 : p.listBits + <usize>(e * p.blockQ) * 8;
        if (p.keyBias) loadKeyBias(p, s, h, block, t.keyBias);
        selectBlock(p, s, t, h, block);
        attendBlock(p, s, t, h, q0, rows, block, bits);
      }
    } else {
      const last = (highest + BLOCK_K - 1) >> BLOCK_K_SHIFT;
      for (let block = lowest >> BLOCK_K_SHIFT; block < last; ++block) {
        if (p.keyBias) loadKeyBias(p, s, h, block, t.keyBias);
        selectBlock(p, s, t, h, block);
        attendBlock(p, s, t, h, q0, rows, block, 0);
      }
    }
    finishBlock(p, s, t, h, q0, rows);
  }
}

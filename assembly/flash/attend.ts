import { MR, NR, panels } from '../gemm/panel';
import { FlashParams, Sequence } from '../params';
import { bytePanelBytes, bytePanels } from './byte-panels';
import { softmaxBytes } from './byte-softmax';
import { INT8, scoresInBytes } from './quantization';
import { raiseReferences, roundsWeights, roundWeights } from './round-weights';
import { endKey, firstKey, modifyRow, plainScores } from './rows';
import { multiplyRow } from './scores';
import { keepRows, SLACK, softmaxStep } from './softmax';
import { BLOCK_K, BLOCK_K_SHIFT, roundUpNR, rowGroups, SCORE_ROW } from './tile';
import { STRIP, Tiles } from './tiles';

/** Smallest of a group's references. */
// @ts-ignore: decorator
@inline
function leastReference(m: usize, rows: i32): f32 {
  let least = load<f32>(m);
  for (let r = 1; r < rows; ++r) least = min<f32>(least, load<f32>(m + ((<usize>r) << 2)));
  return least;
}

/** Rows of the score tile that are known already; the rows of a tile past `live` have no weight. */
function takeScores(given: usize, live: i32, scores: usize): void {
  memory.copy(scores, given, <usize>live * SCORE_ROW);
  memory.fill(scores + <usize>live * SCORE_ROW, 0, <usize>(MR - live) * SCORE_ROW);
}

/** The 64-key block at hand against every row group of a query block. */
export function attendBlock(p: FlashParams, s: Sequence, t: Tiles, h: i32, q0: i32, rows: i32, block: i32): void {
  const dk = p.depth ? p.depth : p.dk;
  const rowBytes = (<usize>dk) << 2;
  const strips = roundUpNR(p.dv) >> 3;
  const kPanels = t.keys;
  const vPanels = t.values;
  const kNorm = t.keyNorm;
  const first = block << BLOCK_K_SHIFT;
  const plain = plainScores(p);
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
    else if (scoresInBytes(p.quantization)) scoreBytes(p, t, g * MR, live, from, n, scores);
    else panels(n >> 3, qRows, rowBytes, kPanels + <usize>from * rowBytes, rowBytes << 3, scores, 32, SCORE_ROW, dk, 0);
    // the last row begins, or the first row ends, inside the tile: some key of it is hidden from some row
    const ragged = firstKey(p, s, i0 + live - 1) > first + from || endKey(p, s, i0) < first + from + n;
    if (!plain || ragged) {
      for (let r = 0; r < live; ++r) {
        const row = scores + <usize>r * SCORE_ROW;
        modifyRow(p, s, h, i0 + r, first + from, row, n, t.keyBias + ((<usize>from) << 2), ~0);
      }
    }

    const at = <usize>(g * MR);
    if (p.hasSkip && !keepRows(live, scores, n, t.top + (at << 2), p.skipBelow)) continue;
    const acc = t.o + <usize>(g * t.strips) * STRIP;
    if (p.quantization == INT8) {
      mixBytes(p, t, g * MR, live, from, n, scores, acc);
      continue;
    }
    const rounded = roundsWeights(p.quantization);
    if (rounded) raiseReferences(live, scores, n, t.m + (at << 2), t.l + (at << 4), acc, t.strips, STRIP);
    // while no score can pass the references, their maximum need not be looked for
    const bound = plain && !p.quantization ? load<f32>(t.qNorms + ((<usize>g) << 2)) * kNorm : Infinity;
    const bounded = bound <= leastReference(t.m + (at << 2), live) + SLACK;
    softmaxStep(live, bounded, scores, SCORE_ROW, n, t.m + (at << 2), t.l + (at << 4), acc, 32, t.strips, STRIP);
    if (rounded) roundWeights(p.quantization, live, t.s, from, n);
    const keys = high - from;
    const values = vPanels + ((<usize>from) << 5);
    panels(strips, scores, SCORE_ROW, values, BLOCK_K * 32, acc, STRIP, 32, keys, 1);
    if (p.r) attendSecond(p, t, g, live, from, n, keys);
  }
}

/** Scores of a row group for n keys from key `from` of the block at hand, from codes. */
function scoreBytes(p: FlashParams, t: Tiles, first: i32, live: i32, from: i32, n: i32, scores: usize): void {
  const width = <usize>roundUpNR(p.dk);
  const step = bytePanelBytes(p.dk);
  const rows = t.codes + <usize>first * width;
  const units = t.units + ((<usize>first) << 2);
  const keys = t.keys + <usize>(from >> 3) * step;
  const dot = p.quantization == INT8 && p.relaxedDot != 0;
  bytePanels(live, n >> 3, rows, width, units, keys, step, 0, scores, 32, SCORE_ROW, p.dk, false, dot);
}

/** The softmax step of a row group and its weights times values, both as codes. */
function mixBytes(p: FlashParams, t: Tiles, first: i32, live: i32, from: i32, n: i32, scores: usize, acc: usize): void {
  const at = <usize>first;
  const codes = t.weights + <usize>from;
  const units = t.weightUnits;
  softmaxBytes(live, scores, n, t.m + (at << 2), t.l + (at << 4), acc, t.strips, STRIP, codes, units);
  const skip = (<usize>from) << 3;
  const step = bytePanelBytes(BLOCK_K);
  bytePanels(live, t.strips, codes, 64, units, t.values, step, skip, acc, STRIP, 32, n, true, p.relaxedDot != 0);
}

/** Parallax: one row's second scores s2 become p s2, and their sum is added to four partial ones. */
export function weighSecond(row: usize, weights: usize, n: i32, sums: usize): void {
  multiplyRow(row, n, weights);
  let sum = v128.load(sums);
  for (let j: usize = 0; j < (<usize>n) << 2; j += 16) sum = f32x4.add(sum, v128.load(row + j));
  v128.store(sums, sum);
}

/** Parallax: the second score s2 = r k of a row group, and the sums of p s2 and p s2 v. */
function attendSecond(p: FlashParams, t: Tiles, g: i32, live: i32, from: i32, n: i32, keys: i32): void {
  const rowBytes = (<usize>p.dk) << 2;
  const strips = roundUpNR(p.dv) >> 3;
  const acc = t.o + <usize>(g * t.strips + strips) * STRIP;
  const sums = acc + <usize>strips * STRIP;
  const column = (<usize>from) << 2;
  const weights = t.s2 + column;
  const rRows = t.r + <usize>(g * MR) * rowBytes;
  panels(n >> 3, rRows, rowBytes, t.keys + <usize>from * rowBytes, rowBytes << 3, weights, 32, SCORE_ROW, p.dk, 0);
  for (let r: usize = 0; r < <usize>live; ++r) {
    weighSecond(weights + r * SCORE_ROW, t.s + column + r * SCORE_ROW, n, sums + (r << 5));
  }
  panels(strips, weights, SCORE_ROW, t.values + ((<usize>from) << 5), BLOCK_K * 32, acc, STRIP, 32, keys, 1);
}

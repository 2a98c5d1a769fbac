import { AttentionParams, Sequence } from '../params';
import { LN2, LOG2E } from '../simd/constants';
import { addAlibiRow, addBiasRow, addDifferenceRow, capRow, maskBitsRow, maskBytesRow, maskRangeRow } from './scores';
import { BLOCK_K, BLOCK_K_SHIFT, SCORE_ROW } from './tile';

/** First key (of a sequence) that query row i sees. */
// @ts-ignore: decorator
@inline
export function firstKey(p: AttentionParams, s: Sequence, i: i32): i32 {
  return p.windowLeft < 0 ? 0 : max(0, i + s.offset - p.windowLeft);
}

/** One past the last key that query row i sees. */
// @ts-ignore: decorator
@inline
export function endKey(p: AttentionParams, s: Sequence, i: i32): i32 {
  return p.windowRight < 0 ? s.kLength : min(s.kLength, i + s.offset + p.windowRight + 1);
}

/** What q is multiplied by, so that q k is in the units that `modifyRow` expects: log2, or softcap's argument. */
// @ts-ignore: decorator
@inline
export function scoreFactor(p: AttentionParams): f32 {
  return p.softcap != 0 ? p.scale / p.softcap : p.scale * LOG2E;
}

/** Whether scores only need the range of keys that a row sees. */
// @ts-ignore: decorator
@inline
export function plainScores(p: AttentionParams): bool {
  return p.softcap == 0 && !p.keyBias && !p.alibiSlopes && !p.bias && !p.mask && !p.scores && !p.hasSelfScore;
}

/** Key bias at element offset `at`. */
// @ts-ignore: decorator
@inline
function keyBiasAt(p: AttentionParams, at: i32): f64 {
  return p.keyBiasWide ? load<f64>(p.keyBias + ((<usize>at) << 3)) : <f64>load<f32>(p.keyBias + ((<usize>at) << 2));
}

/** Key bias of query row i's own key: subtracted from all, it keeps small differences of a long cumulative bias. */
export function keyBiasBase(p: AttentionParams, s: Sequence, h: i32, i: i32): f64 {
  if (!p.keyBias || s.kLength == 0) return 0;
  const own = max(0, min(s.kLength - 1, i + s.offset));
  const at = s.batch * p.keyBiasStrideB + (s.kStart + own) * p.keyBiasStrideT + h * p.keyBiasStrideH;
  const base = keyBiasAt(p, at);
  return abs(base) < Infinity ? base : 0;
}

/** dst f32 [2, 64]: the key biases of one block as sums of two floats, zero past the end. */
export function loadKeyBias(p: AttentionParams, s: Sequence, h: i32, block: i32, dst: usize): void {
  const first = block << BLOCK_K_SHIFT;
  const n = min(BLOCK_K, s.kLength - first);
  let at = s.batch * p.keyBiasStrideB + (s.kStart + first) * p.keyBiasStrideT + h * p.keyBiasStrideH;
  memory.fill(dst, 0, SCORE_ROW * 2);
  for (let j: usize = 0; j < <usize>n; ++j) {
    const bias = keyBiasAt(p, at);
    const high = <f32>bias;
    store<f32>(dst + (j << 2), high);
    store<f32>(dst + (j << 2), abs(high) < Infinity ? <f32>(bias - <f64>high) : 0, SCORE_ROW);
    at += p.keyBiasStrideT;
  }
}

/** Writes n scores of query row i from key `first` in natural units. */
function writeScores(p: AttentionParams, s: Sequence, h: i32, i: i32, first: i32, row: usize, n: i32, unit: f32): void {
  const start = s.batch * p.scoresStrideB + h * p.scoresStrideH + (s.qStart + i) * p.scoresStrideT + s.kStart + first;
  const out = p.scores + ((<usize>start) << 2);
  for (let j: usize = 0, bytes = (<usize>n) << 2; j < bytes; j += 4) store<f32>(out + j, load<f32>(row + j) * unit);
}

/** Replaces the score of the keys that are at query row i's own place. */
function scoreSelf(p: AttentionParams, s: Sequence, i: i32, first: i32, row: usize, keys: i32): void {
  const score = p.selfScore * LOG2E;
  if (!p.qPositions) {
    const own = i + s.offset - first;
    if (<u32>own < <u32>keys) store<f32>(row + ((<usize>own) << 2), score);
    return;
  }
  const place = load<i32>(p.qPositions + ((<usize>(s.batch * p.qPositionsStrideB + s.qStart + i)) << 2));
  const places = p.kPositions + ((<usize>(s.batch * p.kPositionsStrideB + s.kStart + first)) << 2);
  const own = i32x4.splat(place);
  const value = f32x4.splat(score);
  // up to three places past the last are read: the keys there are hidden
  for (let j: usize = 0; j < (<usize>keys) << 2; j += 16) {
    const same = i32x4.eq(v128.load(places + j), own);
    if (v128.any_true(same)) v128.store(row + j, v128.bitselect(value, v128.load(row + j), same));
  }
}

/**
 * Softcap, biases, self scores and masks, in this order, on scores of query row i for n (a multiple of 4) keys from `first`.
 *
 *   row      f32 [n]   in place; log2 units (softcap's argument where there is one) in, log2 units out
 *   keyBias  f32 [2, 64], from the same key on, as loadKeyBias gives it; read only if p.keyBias
 *   bits               bit j: the row sees key first + j
 */
export function modifyRow(
  p: AttentionParams,
  s: Sequence,
  h: i32,
  i: i32,
  first: i32,
  row: usize,
  n: i32,
  keyBias: usize,
  bits: u64,
): void {
  const capped = p.softcap != 0;
  const keys = min(n, s.kLength - first);
  if (p.scores && p.scoresStage == 0) writeScores(p, s, h, i, first, row, keys, capped ? p.softcap : <f32>LN2);
  if (capped) capRow(row, n, p.softcap * LOG2E);
  if (p.scores && p.scoresStage == 1) writeScores(p, s, h, i, first, row, keys, <f32>LN2);
  if (p.keyBias) addDifferenceRow(row, n, keyBias, keyBias + SCORE_ROW, keyBiasBase(p, s, h, i), LOG2E);
  if (p.alibiSlopes) {
    addAlibiRow(row, n, first, i + s.offset, load<f32>(p.alibiSlopes + ((<usize>h) << 2)) * LOG2E);
  }
  const column = s.kStart + first;
  if (p.bias) {
    const start = s.batch * p.biasStrideB + h * p.biasStrideH + (s.qStart + i) * p.biasStrideT + column;
    addBiasRow(row, n, p.bias + ((<usize>start) << 2), LOG2E);
  }
  if (p.hasSelfScore) scoreSelf(p, s, i, first, row, keys);
  if (p.mask) {
    const start = s.batch * p.maskStrideB + h * p.maskStrideH + (s.qStart + i) * p.maskStrideT + column;
    maskBytesRow(row, n, p.mask + <usize>start);
  }
  if (~bits) maskBitsRow(row, n, bits);
  const low = firstKey(p, s, i);
  const high = endKey(p, s, i);
  if (low > first) {
    maskRangeRow(row, n, first, low, high);
  } else if (high < first + n) {
    // nothing is hidden before the row's end: a causal diagonal touches the last few keys only
    const seen = max(0, high - first) & ~3;
    maskRangeRow(row + ((<usize>seen) << 2), n - seen, first + seen, low, high);
  }
  if (p.scores && p.scoresStage == 2) writeScores(p, s, h, i, first, row, keys, <f32>LN2);
}

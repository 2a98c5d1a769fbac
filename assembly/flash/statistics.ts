import { FlashQuantiseParams, Sequence } from '../params';
import { elementBytes, widenRow } from '../simd/storage';
import { keyOffset } from './cache';
import { statisticsAt } from './pack-quantised';
import { sequenceAt } from './sequence';

/** Rows whose sum is added to the total at once: sums of long sequences keep their last digits. */
const SPAN = 64;

/** to[d] += x[d]. */
// @ts-ignore: decorator
@inline
function addRow(to: usize, x: usize, d: i32): void {
  for (let i: usize = 0; i < (<usize>d) << 2; i += 4) store<f32>(to + i, load<f32>(to + i) + load<f32>(x + i));
}

/** Element n of scales that lie as kScale and vScale do, else 1. */
// @ts-ignore: decorator
@inline
function scaleAt(p: FlashQuantiseParams, s: Sequence, scales: usize, j: i32, h: i32): f32 {
  if (!scales) return 1;
  return load<f32>(scales + (keyOffset(p, s, j, h, p.scaleStrideB, p.scaleStrideT, p.scaleStrideH) << 2));
}

/** Row j of keys, or of values. */
function widen(p: FlashQuantiseParams, s: Sequence, values: bool, j: i32, h: i32, to: usize): void {
  if (values) {
    const at = keyOffset(p, s, j, h, p.vStrideB, p.vStrideT, p.vStrideH);
    widenRow(p.v + at * elementBytes(p.vType), p.vType, to, p.dv, scaleAt(p, s, p.vScale, j, h));
  } else {
    const at = keyOffset(p, s, j, h, p.kStrideB, p.kStrideT, p.kStrideH);
    widenRow(p.k + at * elementBytes(p.kType), p.kType, to, p.dk, scaleAt(p, s, p.kScale, j, h));
  }
}

/** Mean of a sequence's keys, or values. */
function meanOf(p: FlashQuantiseParams, s: Sequence, values: bool, h: i32, d: i32, mean: usize, scratch: usize): void {
  const bytes = (<usize>d) << 2;
  const row = scratch;
  const part = row + ((bytes + 15) & ~15);
  memory.fill(mean, 0, bytes);
  for (let first = 0; first < s.kLength; first += SPAN) {
    memory.fill(part, 0, bytes);
    for (let j = first; j < min(first + SPAN, s.kLength); ++j) {
      widen(p, s, values, j, h, row);
      addRow(part, row, d);
    }
    addRow(mean, part, d);
  }
  const count: f32 = max<f32>(1, <f32>s.kLength);
  for (let i: usize = 0; i < bytes; i += 4) store<f32>(mean + i, load<f32>(mean + i) / count);
}

/** Largest magnitude of each column of a sequence's values, less their mean where there is one. */
function mostOfColumns(p: FlashQuantiseParams, s: Sequence, h: i32, mean: usize, most: usize, row: usize): void {
  const bytes = (<usize>p.dv) << 2;
  memory.fill(most, 0, bytes);
  for (let j = 0; j < s.kLength; ++j) {
    widen(p, s, true, j, h, row);
    for (let i: usize = 0; i < bytes; i += 4) {
      const x = load<f32>(row + i) - (mean ? load<f32>(mean + i) : 0);
      store<f32>(most + i, max<f32>(load<f32>(most + i), abs<f32>(x)));
    }
  }
}

/**
 * What rounding needs to know of whole sequences.
 *
 *   k, v     as flashPack takes them
 *   kMeans   f32 [sequences, Hkv, dk]   mean of the keys
 *   vMeans   f32 [sequences, Hkv, dv]   mean of the values
 *   vMost    f32 [sequences, Hkv, dv]   largest |v|, of v less its mean where vMeans is there
 *
 * Each is left out where absent. Item: one (sequence, key/value head). Scratch: flashQuantiseScratchBytes.
 */
export function flashStatistics(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<FlashQuantiseParams>(params);
  for (let item = begin; item < end; ++item) {
    const number = item / p.kvHeads;
    const h = item - number * p.kvHeads;
    const s = sequenceAt(p.sequences, number);
    if (p.kMeans) meanOf(p, s, false, h, p.dk, statisticsAt(p.kMeans, number, p.kvHeads, h, p.dk), scratch);
    const mean = p.vMeans ? statisticsAt(p.vMeans, number, p.kvHeads, h, p.dv) : 0;
    if (mean) meanOf(p, s, true, h, p.dv, mean, scratch);
    if (p.vMost) mostOfColumns(p, s, h, mean, statisticsAt(p.vMost, number, p.kvHeads, h, p.dv), scratch);
  }
}

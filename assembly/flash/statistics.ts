import { FlashQuantiseParams, Sequence } from '../params';
import { SCALES_BYTES, statisticsAt, widenTile } from './pack-quantised';
import { sequenceAt } from './sequence';
import { BLOCK_K } from './tile';

/**
 * The mean of each column of a sequence's keys, or values; with `largest` their largest magnitude, less what is at `off`. Means are summed
 * block by block: those of long sequences keep their last digits.
 */
function columnsOf(
  p: FlashQuantiseParams,
  s: Sequence,
  values: bool,
  largest: bool,
  h: i32,
  off: usize,
  to: usize,
  tile: usize,
): void {
  const d = values ? p.dv : p.dk;
  const bytes = (<usize>d) << 2;
  const count = <f32>s.kLength;
  memory.fill(to, 0, bytes);
  for (let first = 0; first < s.kLength; first += BLOCK_K) {
    const rows = min(BLOCK_K, s.kLength - first);
    widenTile(p, s, values, h, first, rows, off, tile, d);
    for (let i: usize = 0; i < bytes; i += 4) {
      let sum: f32 = 0;
      let most: f32 = load<f32>(to + i);
      for (let at = tile + i, end = at + <usize>rows * bytes; at < end; at += bytes) {
        const x = load<f32>(at);
        sum += x;
        most = max<f32>(most, abs<f32>(x));
      }
      store<f32>(to + i, largest ? most : load<f32>(to + i) + sum / count);
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
 * Each is left out where absent. Item: one (sequence, key/value head). Scratch: as flashPackQuantised.
 */
export function flashStatistics(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<FlashQuantiseParams>(params);
  const tile = scratch + SCALES_BYTES;
  for (let item = begin; item < end; ++item) {
    const number = item / p.kvHeads;
    const h = item - number * p.kvHeads;
    const s = sequenceAt(p.sequences, number);
    const kMean = statisticsAt(p.kMeans, p.sequences, s, p.kvHeads, h, p.dk);
    const vMean = statisticsAt(p.vMeans, p.sequences, s, p.kvHeads, h, p.dv);
    const vMost = statisticsAt(p.vMost, p.sequences, s, p.kvHeads, h, p.dv);
    if (kMean) columnsOf(p, s, false, false, h, 0, kMean, tile);
    if (vMean) columnsOf(p, s, true, false, h, 0, vMean, tile);
    if (vMost) columnsOf(p, s, true, true, h, vMean, vMost, tile);
  }
}

import { CoverCountParams } from '../params';
import { Cut, cutMass, cutScratchBytes, massOf } from './cut';
import { mapRow, visibleColumns } from './visible';

/** Bytes of scratch that one thread of `coverCount` needs. */
export function coverCountScratchBytes(params: usize, _scratch: usize): i32 {
  return 32 + cutScratchBytes(changetype<CoverCountParams>(params).columns);
}

/**
 * How many of a row's largest numbers hold a share of their sum, as a count of something coarser.
 *
 *   map     f32 [B, L, R, C]   columns contiguous; what a row does not see is not read; below 0 and NaN weigh nothing
 *   shares  f32 [L]            contiguous; absent: p.level for all
 *   o       i32 [B, L, R]      contiguous
 *
 *   n = fewest of the largest whose sum reaches the share; o = clamp(floor((n + add) / div) + plus, least, most); most where the share is 1.
 *
 * Item: one row. Scratch: coverCountScratchBytes.
 */
export function coverCount(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<CoverCountParams>(params);
  const cut = changetype<Cut>(scratch);
  for (let item = begin; item < end; ++item) {
    const list = item / p.rows;
    const i = item - list * p.rows;
    const n = visibleColumns(p, i);
    const x = mapRow(p, list, i);
    const share: f32 = p.shares ? load<f32>(p.shares + ((<usize>(list % p.lists)) << 2)) : p.level;
    let count = p.most;
    if (share < 1) {
      const mass = massOf(x, n);
      const target = <f64>share * mass;
      // no sum is at least nothing: the first number reaches that
      const taken = target > 0 ? cutMass(x, n, 0, target, mass, scratch + 32, cut) : min(n, 1);
      count = max(p.least, min(p.most, (taken + p.add) / p.div + p.plus));
    }
    store<i32>(p.o + ((<usize>item) << 2), count);
  }
}

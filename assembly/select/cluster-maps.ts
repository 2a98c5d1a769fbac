import { ClusterMapParams } from '../params';
import { ln } from '../simd/log';
import { mapRow } from './visible';

/** row += x over n numbers, neither aligned. */
function addRow(row: usize, x: usize, n: i32): void {
  let j: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; j < whole; j += 16) {
    v128.store(row + j, f32x4.add(v128.load(row + j), v128.load(x + j)));
  }
  for (const all = (<usize>n) << 2; j < all; j += 4) store<f32>(row + j, load<f32>(row + j) + load<f32>(x + j));
}

/**
 * Scores of clusters of keys count for all of their keys: map_hrc += ln counts_hc, -Infinity where a cluster has none.
 *
 *   map     f32 [B, H, R, C]     columns contiguous, in place
 *   counts  i32 [B, H / group, C]   contiguous
 *
 * Item: one (batch, head). Scratch: f32 [C].
 */
export function addLogCounts(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<ClusterMapParams>(params);
  for (let item = begin; item < end; ++item) {
    const counts = p.counts + ((<usize>((item / p.group) * p.columns)) << 2);
    for (let c: usize = 0; c < (<usize>p.columns) << 2; c += 4) {
      const count = load<i32>(counts + c);
      store<f32>(scratch + c, count > 0 ? <f32>ln(<f64>count) : -Infinity);
    }
    for (let i = 0; i < p.rows; ++i) addRow(mapRow(p, item, i), scratch, p.columns);
  }
}

/**
 * Labels of tokens that are in the order of their labels.
 *
 *   offsets  i32 [B, H / group, C + 1]   contiguous: first place of each label
 *   labels   i32 [B, H, length]          contiguous; -1 behind the last label's places
 *
 * Item: one (batch, head).
 */
export function spreadLabels(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<ClusterMapParams>(params);
  for (let item = begin; item < end; ++item) {
    const offsets = p.counts + ((<usize>((item / p.group) * (p.columns + 1))) << 2);
    const labels = p.labels + ((<usize>(item * p.length)) << 2);
    let at = 0;
    for (let c = 0; c < p.columns; ++c) {
      const end = load<i32>(offsets + ((<usize>(c + 1)) << 2));
      for (; at < end; ++at) store<i32>(labels + ((<usize>at) << 2), c);
    }
    for (; at < p.length; ++at) store<i32>(labels + ((<usize>at) << 2), -1);
  }
}

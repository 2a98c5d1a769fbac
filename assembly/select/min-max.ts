import { MinMaxParams } from '../params';
import { mapRow } from './visible';

/** Spans up to this count as none: all weights are then 0. */
const LEAST_SPAN: f32 = 1e-6;

/**
 * Weights of the scores that each row sees, its least as 0 and its largest as 1, in place; and what share of the weights of the others
 * than its own column brings the row's own and theirs together to `level` of all. The own column becomes NaN, which chooses nothing.
 *
 *   map     f32 [B, L, R, C]   columns contiguous
 *   own     i32 [R]            own column of each row
 *   shares  f32 [B, L, R]      contiguous
 *
 *   w_c = (s_c - min s) / (max s - min s),  share = max(0, level (sum w + 1e-6) - w_own) / (sum w - w_own). VMoBA (Wu 2025).
 *
 * Item: one row.
 */
export function minMaxGates(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<MinMaxParams>(params);
  for (let item = begin; item < end; ++item) {
    const list = item / p.rows;
    const i = item - list * p.rows;
    const row = mapRow(p, list, i);
    const last = row + ((<usize>p.columns) << 2);
    const own = row + ((<usize>load<i32>(p.own + ((<usize>i) << 2))) << 2);
    let least: f32 = Infinity;
    let most: f32 = -Infinity;
    for (let at = row; at < last; at += 4) {
      least = min<f32>(least, load<f32>(at));
      most = max<f32>(most, load<f32>(at));
    }
    const span = most - least;
    const factor: f32 = span <= LEAST_SPAN ? 1 : 1 / span;
    let others: f32 = 0;
    for (let at = row; at < last; at += 4) {
      const weight = (load<f32>(at) - least) * factor;
      store<f32>(at, weight);
      if (at != own) others += weight;
    }
    const mine = load<f32>(own);
    store<f32>(own, NaN);
    const missing = p.level * (mine + others + LEAST_SPAN) - mine;
    store<f32>(p.shares + ((<usize>item) << 2), missing > 0 && others > 0 ? missing / others : 0);
  }
}

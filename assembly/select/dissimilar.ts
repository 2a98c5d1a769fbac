import { DissimilarParams } from '../params';
import { mapRow, visibleColumns } from './visible';

/** Whether block n of head h is alike in itself. */
// @ts-ignore: decorator
@inline
function isAlike(likeness: usize, blocks: i32, heads: i32, batch: i32, n: i32, h: i32, theta: f32): bool {
  return load<f32>(likeness + ((<usize>((batch * blocks + n) * heads + h)) << 2)) > theta;
}

/**
 * Scores of key blocks that are not alike in themselves become -Infinity.
 *
 *   map     f32 [B, H, R, C]    in place; what a row does not see stays
 *   alikeK  f32 [B, C, Hkv]     as selfSimilarity writes it
 *   theta   f32 [H]
 *
 * Item: one row.
 */
export function hideDissimilar(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<DissimilarParams>(params);
  const kvHeads = p.lists / p.group;
  for (let item = begin; item < end; ++item) {
    const list = item / p.rows;
    const i = item - list * p.rows;
    const batch = list / p.lists;
    const h = list - batch * p.lists;
    const theta = load<f32>(p.theta + ((<usize>h) << 2));
    const row = mapRow(p, list, i);
    const n = visibleColumns(p, i);
    for (let c = 0; c < n; ++c) {
      if (!isAlike(p.alikeK, p.columns, kvHeads, batch, c, h / p.group, theta)) {
        store<f32>(row + ((<usize>c) << 2), -Infinity);
      }
    }
  }
}

/**
 * Key blocks that are not alike in themselves are shown to every row that they are visible to, and all visible ones to rows that are not.
 *
 *   bits    i32 [B, H, R, words]   contiguous, in place
 *   alikeQ  f32 [B, R, H]          as selfSimilarity writes it; alikeK and theta as above
 *
 * With `sink` block 0 is shown too. Item: one row.
 */
export function showDissimilar(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<DissimilarParams>(params);
  const kvHeads = p.lists / p.group;
  for (let item = begin; item < end; ++item) {
    const list = item / p.rows;
    const i = item - list * p.rows;
    const batch = list / p.lists;
    const h = list - batch * p.lists;
    const theta = load<f32>(p.theta + ((<usize>h) << 2));
    const all = !isAlike(p.alikeQ, p.rows, p.lists, batch, i, h, theta);
    const n = visibleColumns(p, i);
    const bits = p.bits + <usize>item * ((<usize>p.words) << 2);
    for (let c = 0; c < n; ++c) {
      if (all || (c == 0 && p.sink) || !isAlike(p.alikeK, p.columns, kvHeads, batch, c, h / p.group, theta)) {
        const word = bits + ((<usize>(c >> 5)) << 2);
        store<u32>(word, load<u32>(word) | ((<u32>1) << (c & 31)));
      }
    }
  }
}

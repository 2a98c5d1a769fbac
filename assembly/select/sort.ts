import { SortLabelsParams } from '../params';

/**
 * Tokens in the order of their labels, those of one label in their own order.
 *
 *   labels   i32 [B, L, T]           last axis contiguous; a token with a label outside [0, count) comes behind all others
 *   order    i32 [B, L, T]           contiguous: the token at each place
 *   offsets  i32 [B, L, count + 1]   contiguous: the first place of each label, and one past the last
 *
 * Item: one list.
 */
export function sortLabels(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<SortLabelsParams>(params);
  const all = (<usize>p.count) << 2;
  const length = (<usize>p.length) << 2;
  for (let item = begin; item < end; ++item) {
    const batch = item / p.lists;
    const list = item - batch * p.lists;
    const labels = p.labels + ((<usize>(batch * p.labelsStrideB + list * p.labelsStrideH)) << 2);
    const order = p.order + <usize>item * length;
    const offsets = p.offsets + <usize>item * (all + 4);
    memory.fill(offsets, 0, all + 4);
    for (let t: usize = 0; t < length; t += 4) {
      const label = load<i32>(labels + t);
      if (<u32>label >= <u32>p.count) continue;
      const next = offsets + ((<usize>label) << 2);
      store<i32>(next, load<i32>(next, 4) + 1, 4);
    }
    for (let c: usize = 4; c <= all; c += 4)
      store<i32>(offsets + c, load<i32>(offsets + c) + load<i32>(offsets + c - 4));
    let unlabelled = load<i32>(offsets + all);
    for (let t = 0; t < p.length; ++t) {
      const label = load<i32>(labels + ((<usize>t) << 2));
      let place = unlabelled;
      if (<u32>label < <u32>p.count) {
        const next = offsets + ((<usize>label) << 2);
        place = load<i32>(next);
        store<i32>(next, place + 1);
      } else {
        ++unlabelled;
      }
      store<i32>(order + ((<usize>place) << 2), t);
    }
    // each label's first place has moved to its end, which is where the next one starts
    memory.copy(offsets + 4, offsets, all);
    store<i32>(offsets, 0);
  }
}

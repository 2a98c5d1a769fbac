import { GatherSlotsParams } from '../params';

/**
 * Rows of slots copied to other slots, other ones for each head.
 *
 *   x        [heads, slots, rowBytes]     bytes of any type
 *   o        [heads, outSlots, rowBytes]  the first `count` of each head are written; must not alias x
 *   indices  i32 [heads, count]           slots of x; contiguous
 *
 * Item: one (head, row of o).
 */
export function gatherSlots(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<GatherSlotsParams>(params);
  const bytes = <usize>p.rowBytes;
  for (let item = begin; item < end; ++item) {
    const h = item / p.count;
    const j = item - h * p.count;
    const from = load<i32>(p.indices + ((<usize>item) << 2));
    const x = p.x + <usize>(h * p.slots + from) * bytes;
    memory.copy(p.o + <usize>(h * p.outSlots + j) * bytes, x, bytes);
  }
}

import { PositionBitsParams } from '../params';

/**
 * Positions as bits, for lists in ascending order.
 *
 *   positions  i32 [lists, stride]   the first `count` of each, different ones of [0, 32 words)
 *   bits       i32 [lists, words]    bit j & 31 of word j >> 5 for position j; contiguous
 *
 * Item: one list.
 */
export function positionBits(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<PositionBitsParams>(params);
  for (let item = begin; item < end; ++item) {
    const bits = p.bits + ((<usize>(item * p.words)) << 2);
    memory.fill(bits, 0, (<usize>p.words) << 2);
    const positions = p.positions + ((<usize>(item * p.stride)) << 2);
    for (let j = 0; j < p.count; ++j) {
      const position = load<i32>(positions + ((<usize>j) << 2));
      const at = bits + ((<usize>(position >> 5)) << 2);
      store<i32>(at, load<i32>(at) | (1 << (position & 31)));
    }
  }
}

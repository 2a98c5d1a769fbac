import { Sequence } from '../params';

const SEQUENCE_BYTES: usize = offsetof<Sequence>();

/** Entry i of a sequence table. */
// @ts-ignore: decorator
@inline
export function sequenceAt(table: usize, i: i32): Sequence {
  return changetype<Sequence>(table + <usize>i * SEQUENCE_BYTES);
}

/** The sequence whose range of work items holds `item`; the table is sorted by firstItem. */
export function sequenceOfItem(table: usize, count: i32, item: i32): i32 {
  let low = 0;
  let high = count - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (sequenceAt(table, middle).firstItem <= item) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The sequence whose packed blocks hold `block`; the table is sorted by packBlock. */
export function sequenceOfBlock(table: usize, count: i32, block: i32): i32 {
  let low = 0;
  let high = count - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (sequenceAt(table, middle).packBlock <= block) low = middle;
    else high = middle - 1;
  }
  return low;
}

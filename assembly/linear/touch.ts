import { LinearParams } from '../params';
import { elementBytes } from '../simd/storage';
import { rowAt } from './rows';
import { ItemScratch } from './workspace';

const LINE: usize = 64;

/** Loads a byte of every line of the rows of `count` tokens and the item's heads, in the order of memory; `group` value heads share a row. */
export function touchRows(
  base: usize,
  strideB: i32,
  strideT: i32,
  strideH: i32,
  type: i32,
  w: ItemScratch,
  token: i32,
  count: i32,
  group: i32,
  width: i32,
): i32 {
  const bytes = elementBytes(type);
  const rowBytes = <usize>width * bytes;
  const first = w.firstHead / group;
  const last = (w.firstHead + w.headCount - 1) / group;
  let sum = 0;
  for (let n = 0; n < count; ++n) {
    for (let head = first; head <= last; ++head) {
      let at = rowAt(base, strideB, strideT, strideH, bytes, w.batch, w.start + token + n, head);
      for (const end = at + rowBytes; at < end; at += LINE) sum += <i32>load<u8>(at);
    }
  }
  return sum;
}

/**
 * Reads the rows of a block of tokens once for all heads of the item, side by side as they lie: memory gives them faster in this order than
 * head by head, and each head finds them in the cache.
 */
export function touchBlock(p: LinearParams, w: ItemScratch, token: i32, most: i32): void {
  const count = min(most, w.length - token);
  if (w.headCount < 2 || count < 1) return;
  let sum = touchRows(p.v, p.vStrideB, p.vStrideT, p.vStrideH, p.vType, w, token, count, 1, p.dv);
  if (p.q) sum += touchRows(p.q, p.qStrideB, p.qStrideT, p.qStrideH, p.qType, w, token, count, p.group, p.dk);
  if (p.k) sum += touchRows(p.k, p.kStrideB, p.kStrideT, p.kStrideH, p.kType, w, token, count, p.group, p.dk);
  w.touched = sum;
}

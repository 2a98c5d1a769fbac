import { BitsParams } from '../params';

/** a and b, a or b, a and not b. */
const AND: i32 = 0;
const OR: i32 = 1;

/** Row `item` of a or b. */
// @ts-ignore: decorator
@inline
function rowOf(p: BitsParams, x: usize, strideB: i32, strideH: i32, strideR: i32, item: i32): usize {
  const list = item / p.rows;
  const batch = list / p.lists;
  const at = batch * strideB + (list - batch * p.lists) * strideH + (item - list * p.rows) * strideR;
  return x + ((<usize>at) << 2);
}

/**
 * Two sets of bits as one.
 *
 *   a, b  i32 [B, L, R, words]   any strides (0 repeats), words contiguous
 *   o     i32 [B, L, R, words]   contiguous; may be a or b
 *
 * Item: one row.
 */
export function combineBits(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<BitsParams>(params);
  const bytes = (<usize>p.words) << 2;
  for (let item = begin; item < end; ++item) {
    const a = rowOf(p, p.a, p.aStrideB, p.aStrideH, p.aStrideR, item);
    const b = rowOf(p, p.b, p.bStrideB, p.bStrideH, p.bStrideR, item);
    const o = p.o + <usize>item * bytes;
    for (let w: usize = 0; w < bytes; w += 4) {
      const x = load<u32>(a + w);
      const y = load<u32>(b + w);
      store<u32>(o + w, p.operation == AND ? x & y : p.operation == OR ? x | y : x & ~y);
    }
  }
}

/**
 * How many bits of each row are set.
 *
 *   a       i32 [B, L, R, words]   any strides, words contiguous
 *   counts  i32 [B, L, R]          contiguous
 *
 * Item: one row.
 */
export function countBits(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<BitsParams>(params);
  for (let item = begin; item < end; ++item) {
    const a = rowOf(p, p.a, p.aStrideB, p.aStrideH, p.aStrideR, item);
    let count: u32 = 0;
    for (let w: usize = 0, bytes = (<usize>p.words) << 2; w < bytes; w += 4) count += popcnt<u32>(load<u32>(a + w));
    store<u32>(p.counts + ((<usize>item) << 2), count);
  }
}

/**
 * Numbers of the bits of each row that are set, in ascending order: the first `capacity`, and -1 behind them.
 *
 *   a       i32 [B, L, R, words]      any strides, words contiguous
 *   o       i32 [B, L, R, capacity]   contiguous
 *   counts  i32 [B, L, R]             contiguous; how many there are in o
 *
 * Item: one row.
 */
export function bitIndices(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<BitsParams>(params);
  const words = (<usize>p.words) << 2;
  const rowBytes = (<usize>p.capacity) << 2;
  for (let item = begin; item < end; ++item) {
    const a = rowOf(p, p.a, p.aStrideB, p.aStrideH, p.aStrideR, item);
    const o = p.o + <usize>item * rowBytes;
    const stop = o + rowBytes;
    let at = o;
    for (let w: usize = 0; w < words && at < stop; w += 4) {
      const base = <i32>(w << 3);
      for (let bits = load<u32>(a + w); bits != 0 && at < stop; bits &= bits - 1) {
        store<i32>(at, base + <i32>ctz<u32>(bits));
        at += 4;
      }
    }
    store<i32>(p.counts + ((<usize>item) << 2), <i32>((at - o) >> 2));
    memory.fill(at, 0xff, stop - at);
  }
}

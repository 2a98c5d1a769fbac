import { GatherColumnsParams, GatheredBitsParams } from '../params';
import { elementBytes, widenRow } from '../simd/storage';

/** Rows past the last one that are cleared: keys that nobody sees, in a block that somebody does. */
const BLOCK: i32 = 64;

/**
 * Rows of chosen tokens, list by list.
 *
 *   x        f32, f16, bf16 or i8 [B, T, Hkv, d]   any strides, last axis contiguous; list l reads head floor(l / group)
 *   indices  i32 [B, lists, n]                     contiguous; counts i32 [B, lists] of them hold
 *   o        f32 [B, lists, n, d]                  contiguous; must not alias x; zeros from the count to the end of its block of 64,
 *                                                  the rest is left as it is
 *
 * Item: p.chunk rows of one (batch, list).
 */
export function gatherColumns(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<GatherColumnsParams>(params);
  const bytes = elementBytes(p.xType);
  const rowBytes = (<usize>p.d) << 2;
  const chunks = (p.n + p.chunk - 1) / p.chunk;
  for (let item = begin; item < end; ++item) {
    const list = item / chunks;
    const first = (item - list * chunks) * p.chunk;
    const batch = list / p.lists;
    const head = (list - batch * p.lists) / p.group;
    const x = p.x + <usize>(batch * p.xStrideB + head * p.xStrideH) * bytes;
    const count = load<i32>(p.counts + ((<usize>list) << 2));
    const last = min(first + p.chunk, min(p.n, (count + BLOCK - 1) & -BLOCK));
    for (let j = first; j < last; ++j) {
      const at = list * p.n + j;
      const o = p.o + <usize>at * rowBytes;
      if (j < count) {
        const t = load<i32>(p.indices + ((<usize>at) << 2));
        widenRow(x + <usize>t * <usize>p.xStrideT * bytes, p.xType, o, p.d, 1);
      } else {
        memory.fill(o, 0, rowBytes);
      }
    }
  }
}

/**
 * Which gathered columns each row of queries sees: those that come `shift` places or more before one of its queries, and lie in none
 * of the blocks that the row sees anyway.
 *
 *   indices  i32 [B, H, n]                  contiguous, rising; counts i32 [B, H] of them hold
 *   blocks   i32 [B, H, R, blockWords]      contiguous; may be absent
 *   bits     i32 [B, H, R, ceil(n / 32)]    contiguous; must not alias an input
 *   places   i32 [B, H, n]                  contiguous: index + shift, out of reach past the count
 *
 * Row r is of the queries [r queryBlock, (r + 1) queryBlock), of which query i is at place i + offset. Item: one row.
 */
export function gatheredBits(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<GatheredBitsParams>(params);
  const words = (p.n + 31) >> 5;
  for (let item = begin; item < end; ++item) {
    const list = item / p.rows;
    const r = item - list * p.rows;
    const count = load<i32>(p.counts + ((<usize>list) << 2));
    const indices = p.indices + ((<usize>(list * p.n)) << 2);
    const blocks = p.blocks + ((<usize>(item * p.blockWords)) << 2);
    const last = min(p.queries, (r + 1) * p.queryBlock) - 1 + p.offset - p.shift;
    for (let w = 0; w < words; ++w) {
      let word: u32 = 0;
      const end = min(count, (w + 1) << 5);
      for (let j = w << 5; j < end; ++j) {
        const t = load<i32>(indices + ((<usize>j) << 2));
        if (t > last) break;
        const block = t / p.keyBlock;
        const seen: u32 = p.blocks ? load<u32>(blocks + ((<usize>(block >> 5)) << 2)) >> (block & 31) : 0;
        word |= (~seen & 1) << (j & 31);
      }
      store<u32>(p.bits + ((<usize>(item * words + w)) << 2), word);
    }
    if (r > 0) continue;
    const places = p.places + ((<usize>(list * p.n)) << 2);
    for (let j = 0; j < p.n; ++j) {
      const place = j < count ? load<i32>(indices + ((<usize>j) << 2)) + p.shift : i32.MAX_VALUE;
      store<i32>(places + ((<usize>j) << 2), place);
    }
  }
}

import { GatheredBitsParams } from '../params';

/** In place of a distance: columns before all queries of a row. */
const BEFORE: i32 = -1;

/**
 * Which gathered columns each row of queries sees: those that come so many places or more before one of its queries, and lie in none
 * of the blocks that the row sees anyway.
 *
 *   indices  i32 [B, H, n]                  contiguous, rising; counts i32 [B, H] of them hold
 *   shifts   i32 [H]                        least distance of a column, or BEFORE
 *   blocks   i32 [B, H, R, blockWords]      contiguous; may be absent
 *   bits     i32 [B, H, R, ceil(n / 32)]    contiguous; must not alias an input
 *   places   i32 [B, H, n]                  contiguous: index + distance, out of reach past the count
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
    const shift = load<i32>(p.shifts + ((<usize>(list % p.lists)) << 2));
    const last =
      p.offset + (shift == BEFORE ? r * p.queryBlock - 1 : min(p.queries, (r + 1) * p.queryBlock) - 1 - shift);
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
      const place = j < count ? load<i32>(indices + ((<usize>j) << 2)) + shift : i32.MAX_VALUE;
      store<i32>(places + ((<usize>j) << 2), place);
    }
  }
}

import { BlockTokensParams } from '../params';

/**
 * The tokens of chosen blocks as lists: those that a row sees, ascending.
 *
 *   a       i32 [B, L, R, words]      bits of blocks of keyBlock tokens; any strides, words contiguous
 *   o       i32 [B, L, R, capacity]   contiguous; what is behind the last token is left as it is
 *   counts  i32 [B, L, R]             contiguous
 *
 * Item: one row.
 */
export function blockTokens(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<BlockTokensParams>(params);
  const words = (<usize>p.words) << 2;
  const rowBytes = (<usize>p.capacity) << 2;
  for (let item = begin; item < end; ++item) {
    const list = item / p.rows;
    const batch = list / p.lists;
    const row = item - list * p.rows;
    const a = p.a + ((<usize>(batch * p.aStrideB + (list - batch * p.lists) * p.aStrideH + row * p.aStrideR)) << 2);
    const seen = max(0, min(p.length, row * p.visibleMul + p.visibleAdd));
    const o = p.o + <usize>item * rowBytes;
    const stop = o + rowBytes;
    let at = o;
    for (let w: usize = 0; w < words; w += 4) {
      for (let bits = load<u32>(a + w); bits != 0; bits &= bits - 1) {
        let token = (<i32>(w << 3) + <i32>ctz<u32>(bits)) * p.keyBlock;
        for (const last = min(seen, token + p.keyBlock); token < last && at < stop; ++token) {
          store<i32>(at, token);
          at += 4;
        }
      }
    }
    store<i32>(p.counts + ((<usize>item) << 2), <i32>((at - o) >> 2));
  }
}

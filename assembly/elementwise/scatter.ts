import { ScatterParams } from '../params';

/**
 * Rows back at chosen tokens, the opposite of `gather`: o[token_i] = x_i. Tokens that are not chosen stay as they are.
 *
 *   x     f32 [items, H, d]   contiguous
 *   rows  i32 [items, 2]      token batch * T + t of each row, no token twice, and a number that is not read
 *   o     f32 [B, T, H, d]    any strides, last axis contiguous; must not alias x
 *
 * Item: one row, all heads.
 */
export function scatter(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<ScatterParams>(params);
  // heads that lie together are one row
  const heads = p.oStrideH == p.d ? 1 : p.heads;
  const bytes = (<usize>((p.heads / heads) * p.d)) << 2;
  for (let item = begin; item < end; ++item) {
    const token = load<i32>(p.rows + ((<usize>item) << 3));
    const batch = token / p.length;
    const element = <usize>batch * <usize>p.oStrideB + <usize>(token - batch * p.length) * <usize>p.oStrideT;
    for (let h = 0; h < heads; ++h) {
      const x = p.x + <usize>(item * heads + h) * bytes;
      memory.copy(p.o + ((element + <usize>h * <usize>p.oStrideH) << 2), x, bytes);
    }
  }
}

import { StripeBlocksParams } from '../params';

/** Bit j of a row of words. */
// @ts-ignore: decorator
@inline
function bitAt(words: usize, j: i32): u32 {
  return (load<u32>(words + ((<usize>(j >> 5)) << 2)) >> (j & 31)) & 1;
}

/**
 * Blocks of causal attention on a square of blocks: chosen columns, chosen diagonals, and for some heads chosen pairs.
 *
 *   columns, diagonals  i32 [B, H, words]      contiguous; bit c shows key block c to all rows, bit x key block r - x to row r
 *   pairs               i32 [B, H, R, words]   contiguous; read where aware [B, H] is not 0
 *   bits                i32 [B, H, R, words]   contiguous; must not alias an input
 *
 * Item: one row.
 */
export function stripeBlocks(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<StripeBlocksParams>(params);
  const words = (<usize>p.words) << 2;
  for (let item = begin; item < end; ++item) {
    const list = item / p.rows;
    const r = item - list * p.rows;
    const columns = p.columns + <usize>list * words;
    const diagonals = p.diagonals + <usize>list * words;
    const aware = load<i32>(p.aware + ((<usize>list) << 2));
    const pairs = p.pairs + <usize>item * words;
    const bits = p.bits + <usize>item * words;
    for (let w = 0; w < p.words; ++w) {
      const at = (<usize>w) << 2;
      let word: u32 = aware ? load<u32>(pairs + at) : 0;
      const end = min(32, r + 1 - (w << 5));
      for (let j = 0; j < end; ++j) {
        const c = (w << 5) + j;
        word |= (bitAt(columns, c) | bitAt(diagonals, r - c)) << j;
      }
      store<u32>(bits + at, word);
    }
  }
}

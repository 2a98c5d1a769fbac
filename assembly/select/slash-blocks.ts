import { SlashBlocksParams } from '../params';

/** Whether any of the bits [low, high] of a row of words is set. */
function anyBit(words: usize, low: i32, high: i32): bool {
  const first = low >> 5;
  const last = high >> 5;
  for (let w = first; w <= last; ++w) {
    let word = load<u32>(words + ((<usize>w) << 2));
    if (w == first) word &= (<u32>0xffffffff) << (low & 31);
    if (w == last) word &= (<u32>0xffffffff) >> (31 - (high & 31));
    if (word) return true;
  }
  return false;
}

/** Blocks that chosen diagonals pass in the rows `from` to `to` of one list. */
function passBlocks(p: SlashBlocksParams, slashes: usize, from: i32, to: i32, bits: usize): void {
  for (let c = 0; c * p.keyBlock <= to; ++c) {
    // distances at which some key of the block comes before some query of the row
    const high = min(p.distances - 1, to - c * p.keyBlock);
    const low = max(0, from - (c + 1) * p.keyBlock + 1);
    if (low > high || !anyBit(slashes, low, high)) continue;
    const word = bits + ((<usize>(c >> 5)) << 2);
    store<u32>(word, load<u32>(word) | ((<u32>1) << (c & 31)));
  }
}

/**
 * Key blocks of causal attention by head: those that chosen diagonals pass, those that were chosen one by one, or none.
 *
 *   patterns  i32 [H]                    0: none, 1: diagonals, 2: chosen ones
 *   slashes   i32 [B, H, slashWords]     contiguous; bit x: every query sees the keys x before its place, and the blocks that hold them
 *   chosen    i32 [B, H, R, words]       contiguous
 *   bits      i32 [B, H, R, words]       contiguous; must not alias an input
 *
 *   Row r is of the queries [r queryBlock, (r + 1) queryBlock), of which query i is at place i + offset (MInference, Jiang 2024).
 *
 * Item: one row.
 */
export function slashBlocks(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<SlashBlocksParams>(params);
  const words = (<usize>p.words) << 2;
  for (let item = begin; item < end; ++item) {
    const list = item / p.rows;
    const r = item - list * p.rows;
    const pattern = load<i32>(p.patterns + ((<usize>(list % p.lists)) << 2));
    const bits = p.bits + <usize>item * words;
    if (pattern == 2) {
      memory.copy(bits, p.chosen + <usize>item * words, words);
      continue;
    }
    memory.fill(bits, 0, words);
    if (pattern == 0) continue;
    const from = r * p.queryBlock + p.offset;
    const to = min(p.queries, (r + 1) * p.queryBlock) - 1 + p.offset;
    passBlocks(p, p.slashes + <usize>list * ((<usize>p.slashWords) << 2), from, to, bits);
  }
}

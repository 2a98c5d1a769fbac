import { FarTokensParams, RepresentativesParams } from '../params';
import { elementBytes, widenRow } from '../simd/storage';
import { multiplyBy, reduceRow, SUM } from './reduction';

/**
 * What stands for blocks of keys: the mean of those with the highest scores, the earlier of equals.
 *
 *   k       f32, f16 or bf16 [B, T, H, d]   any strides, last axis contiguous
 *   scores  f32 [B, H, T]                   contiguous; absent: all keys of a block count
 *   o       f32 [B, blocks, H, d]           contiguous
 *
 * Block m has keys first + m * block on. InfLLM (Xiao 2024). Item: one (batch, block, head). Scratch: f32 [block + d].
 */
export function representatives(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<RepresentativesParams>(params);
  const bytes = elementBytes(p.kType);
  const row = scratch + ((<usize>p.block) << 2);
  for (let item = begin; item < end; ++item) {
    const h = item % p.heads;
    const m = (item / p.heads) % p.blocks;
    const batch = item / (p.heads * p.blocks);
    const from = p.first + m * p.block;
    const keys = p.k + (<usize>batch * <usize>p.kStrideB + <usize>h * <usize>p.kStrideH) * bytes;
    const o = p.o + ((<usize>item * <usize>p.d) << 2);
    const count = p.scores ? min(p.count, p.block) : p.block;
    memory.fill(o, 0, (<usize>p.d) << 2);
    if (p.scores) {
      const scores = p.scores + ((<usize>(batch * p.heads + h) * <usize>p.length + <usize>from) << 2);
      memory.copy(scratch, scores, (<usize>p.block) << 2);
    }
    for (let n = 0; n < count; ++n) {
      let best = p.scores ? -1 : n;
      let most: f32 = -Infinity;
      for (let j = 0; p.scores != 0 && j < p.block; ++j) {
        const score = load<f32>(scratch + ((<usize>j) << 2));
        // what was taken is no number any more
        if (score == score && (best < 0 || score > most)) {
          best = j;
          most = score;
        }
      }
      if (best < 0) break;
      store<f32>(scratch + ((<usize>best) << 2), NaN);
      widenRow(keys + <usize>(from + best) * <usize>p.kStrideT * bytes, p.kType, row, p.d, 1);
      reduceRow(o, row, p.d, SUM);
    }
    multiplyBy(o, p.d, 1 / <f32>count);
  }
}

/**
 * The keys beyond a query's window that it sees: the first, those of chosen blocks, and those that make no whole block yet.
 *
 *   bits    i32 [B, 1, rows, words]      contiguous: chosen blocks, all of whose keys are beyond the window
 *   o       i32 [B, 1, rows, capacity]   contiguous, ascending; what is behind the last is left as it is
 *   counts  i32 [B, 1, rows]             contiguous
 *
 * The window of row i ends with key columns - rows + i. InfLLM (Xiao 2024). Item: one row.
 */
export function farTokens(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<FarTokensParams>(params);
  for (let item = begin; item < end; ++item) {
    const edge = max(0, p.columns - p.rows + (item % p.rows) + 1 - p.window);
    const complete = max(0, edge - p.first) / p.block;
    const bits = p.bits + ((<usize>(item * p.words)) << 2);
    const o = p.o + ((<usize>(item * p.capacity)) << 2);
    let at = o;
    for (let j = 0; j < min(p.first, edge); ++j) {
      store<i32>(at, j);
      at += 4;
    }
    for (let m = 0; m < complete; ++m) {
      if (!((load<u32>(bits + ((<usize>(m >> 5)) << 2)) >> (m & 31)) & 1)) continue;
      for (let j = p.first + m * p.block, last = j + p.block; j < last; ++j) {
        store<i32>(at, j);
        at += 4;
      }
    }
    for (let j = p.first + complete * p.block; j < edge; ++j) {
      store<i32>(at, j);
      at += 4;
    }
    store<i32>(p.counts + ((<usize>item) << 2), <i32>((at - o) >> 2));
  }
}

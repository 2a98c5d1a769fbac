import { PoolVotesParams } from '../params';

/** Elements of a row of votes with its padding on both sides. */
// @ts-ignore: decorator
@inline
function paddedLength(p: PoolVotesParams): i32 {
  return ((p.prefix + 3) & ~3) + p.kernelSize + 3;
}

/** Bytes of scratch that one thread of `poolVotes` needs. */
export function poolVotesScratchBytes(params: usize, _scratch: usize): i32 {
  return paddedLength(changetype<PoolVotesParams>(params)) << 2;
}

/**
 * Votes of the heads that share a key/value head, added up and pooled with their neighbours.
 *
 *   sums   f32 [B, H, T]     weights that each key got; contiguous
 *   votes  f32 [B, Hkv, T]   contiguous; must not alias sums
 *
 *   s_j = sum of the group's sums_j for the first `prefix` keys; beyond them, and before the first, s is 0 for means, absent for maxima.
 *   votes_j = sum_{|i - j| <= r} s_i / (2 r + 1), or the largest of them, r = (kernelSize - 1) / 2; 0 from `prefix` on. SnapKV (Li 2024).
 *
 * Item: one (batch, key/value head). Scratch: poolVotesScratchBytes.
 */
export function poolVotes(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<PoolVotesParams>(params);
  const radius = p.kernelSize >> 1;
  const outside: f32 = p.largest ? -Infinity : 0;
  const row = scratch + ((<usize>radius) << 2);
  const rowEnd = row + ((<usize>p.prefix) << 2);
  const scratchEnd = scratch + ((<usize>paddedLength(p)) << 2);
  const inverse = f32x4.splat(<f32>1 / <f32>p.kernelSize);
  const taps = (<usize>p.kernelSize) << 2;
  for (let item = begin; item < end; ++item) {
    for (let at = scratch; at < row; at += 4) store<f32>(at, outside);
    for (let at = row; at < rowEnd; at += 4) store<f32>(at, 0);
    for (let r = 0; r < p.group; ++r) {
      const sums = p.sums + ((<usize>(item * p.group + r) * <usize>p.length) << 2);
      const bytes = (<usize>p.prefix) << 2;
      const whole = bytes & ~15;
      for (let i: usize = 0; i < whole; i += 16)
        v128.store(row + i, f32x4.add(v128.load(row + i), v128.load(sums + i)));
      for (let i = whole; i < bytes; i += 4) store<f32>(row + i, load<f32>(row + i) + load<f32>(sums + i));
    }
    for (let at = rowEnd; at < scratchEnd; at += 4) store<f32>(at, outside);
    const votes = p.votes + ((<usize>item * <usize>p.length) << 2);
    for (let j = 0; j < p.prefix; j += 4) {
      const from = scratch + ((<usize>j) << 2);
      let pooled = v128.load(from);
      if (p.largest) {
        for (let i: usize = 4; i < taps; i += 4) pooled = f32x4.max(pooled, v128.load(from + i));
      } else {
        for (let i: usize = 4; i < taps; i += 4) pooled = f32x4.add(pooled, v128.load(from + i));
        pooled = f32x4.mul(pooled, inverse);
      }
      const to = votes + ((<usize>j) << 2);
      const left = p.prefix - j;
      if (left >= 4) {
        v128.store(to, pooled);
      } else {
        v128.store_lane<f32>(to, pooled, 0);
        if (left > 1) v128.store_lane<f32>(to, pooled, 1, 4);
        if (left > 2) v128.store_lane<f32>(to, pooled, 2, 8);
      }
    }
    memory.fill(votes + ((<usize>p.prefix) << 2), 0, (<usize>(p.length - p.prefix)) << 2);
  }
}

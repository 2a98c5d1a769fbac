import { LogSumParams } from '../params';
import { EXP_LOG2E, ONE } from '../simd/constants';
import { exp24 } from '../simd/exp2';
import { fma } from '../simd/fma';
import { log4 } from '../simd/log4';
import { blocksOf, bytesTo, segmentAt, storeChannels } from './block';

/** Below every maximum of an empty sum, and finite, so that differences are. */
const EMPTY: f32 = -1e38;

/**
 * Running logarithm of a sum of exponentials, z_t = ln(e^{z_{t-1}} + e^{x_t}), kept as m + ln s with the maximum m; and the
 * gates that normalise such a sum: g_t = z_{t-1} - z_t (0 while the sum is empty), w_t = e^{x_t - z_t}.
 *
 *   x, o (z), g, w   f32 [tokens, channels]   contiguous; each of o, g and w may be absent, and any may be x
 *   initial, final   f32 [states, channels]   z before (absent: empty, -infinity) and after; final may be initial
 *
 * Item: a block of channels of one segment. Scratch: two rows of a block.
 */
export function logSum(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<LogSumParams>(params);
  const blocks = blocksOf(p);
  const stride = (<usize>p.channels) << 2;
  const sums = scratch + ((<usize>p.block) << 2);
  const log2e = v128.load(EXP_LOG2E);
  const one = v128.load(ONE);
  const empty = f32x4.splat(EMPTY);
  const zero = i32x4.splat(0);
  for (let item = begin; item < end; ++item) {
    const segment = segmentAt(p, item / blocks);
    const channel = (item % blocks) * p.block;
    const n = min(p.block, p.channels - channel);
    const all = (<usize>n) << 2;
    const before = p.initial && segment.initial >= 0 ? p.initial + bytesTo(p, segment.initial, channel) : 0;
    for (let c: usize = 0; c < all; c += 16) {
      const z = before ? v128.load(before + c) : empty;
      const none = f32x4.le(z, empty);
      v128.store(scratch + c, f32x4.pmax(z, empty));
      v128.store(sums + c, v128.andnot(one, none));
    }
    let at = bytesTo(p, segment.row, channel);
    for (let t = 0; t < segment.length; ++t) {
      for (let c: usize = 0; c < all; c += 16) {
        const left = n - <i32>(c >> 2);
        const x = v128.load(p.x + at + c);
        const m = v128.load(scratch + c);
        const s = v128.load(sums + c);
        const most = f32x4.pmax(m, x);
        const fall = f32x4.sub(m, most);
        const fresh = exp24(f32x4.mul(f32x4.sub(x, most), log2e));
        const sum = fma(exp24(f32x4.mul(fall, log2e)), s, fresh);
        v128.store(scratch + c, most);
        v128.store(sums + c, sum);
        const nothing = f32x4.eq(s, zero);
        if (p.o) {
          // ln 0 is taken of 1, and becomes -infinity
          const none = f32x4.eq(sum, zero);
          const z = f32x4.add(most, log4(v128.bitselect(one, sum, none)));
          storeChannels(p.o + at + c, v128.bitselect(f32x4.splat(-Infinity), z, none), left);
        }
        if (p.g) {
          const ratio = f32x4.div(v128.bitselect(one, s, nothing), sum);
          storeChannels(p.g + at + c, v128.andnot(f32x4.add(fall, log4(ratio)), nothing), left);
        }
        if (p.w) storeChannels(p.w + at + c, v128.andnot(f32x4.div(fresh, sum), f32x4.eq(sum, zero)), left);
      }
      at += stride;
    }
    const after = p.final + bytesTo(p, segment.state, channel);
    for (let c: usize = 0; c < all; c += 16) {
      const sum = v128.load(sums + c);
      const none = f32x4.eq(sum, zero);
      const z = f32x4.add(v128.load(scratch + c), log4(v128.bitselect(one, sum, none)));
      storeChannels(after + c, v128.bitselect(f32x4.splat(-Infinity), z, none), n - <i32>(c >> 2));
    }
  }
}

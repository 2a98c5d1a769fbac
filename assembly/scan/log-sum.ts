import { LogSumParams } from '../params';
import { ONE } from '../simd/constants';
import { exp4 } from '../simd/exp';
import { log4 } from '../simd/log4';
import { blocksOf, bytesTo, segmentAt, storeChannels } from './block';

/** Below every maximum of an empty sum, and finite, so that differences are. */
const EMPTY: f32 = -1e38;

/**
 * Running logarithm of a sum of exponentials, z_t = ln(e^{z_{t-1}} + e^{x_t}), kept as m + ln s with the maximum m; and the
 * gates that normalise such a sum: decay_t = e^{z_{t-1} - z_t} (1 while the sum is empty), w_t = e^{x_t - z_t}.
 *
 *   x, o (z), decay, w   f32 [tokens, channels]   contiguous; each of o, decay and w may be absent, and any may be x
 *   initial, final   f32 [states, channels]   z before (absent: empty, -infinity) and after; final may be initial
 *
 * Item: a block of channels of one segment. Scratch: three rows of a block.
 */
export function logSum(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<LogSumParams>(params);
  const blocks = blocksOf(p);
  const stride = (<usize>p.channels) << 2;
  const sums = scratch + ((<usize>p.block) << 2);
  const rests = sums + ((<usize>p.block) << 2);
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
      v128.store(rests + c, zero);
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
        const fresh = exp4(f32x4.sub(x, most));
        const share = exp4(fall);
        const kept = f32x4.mul(share, s);
        // the rounding of the sum is carried along: equal terms would all be rounded the same way
        const rough = f32x4.add(kept, fresh);
        const added = f32x4.sub(rough, kept);
        const lost = f32x4.add(f32x4.sub(kept, f32x4.sub(rough, added)), f32x4.sub(fresh, added));
        const rest = f32x4.add(f32x4.mul(share, v128.load(rests + c)), lost);
        const sum = f32x4.add(rough, rest);
        v128.store(scratch + c, most);
        v128.store(sums + c, sum);
        v128.store(rests + c, f32x4.sub(rest, f32x4.sub(sum, rough)));
        const nothing = f32x4.eq(s, zero);
        if (p.o) {
          // ln 0 is taken of 1, and becomes -infinity
          const none = f32x4.eq(sum, zero);
          const z = f32x4.add(most, log4(v128.bitselect(one, sum, none)));
          storeChannels(p.o + at + c, v128.bitselect(f32x4.splat(-Infinity), z, none), left);
        }
        if (p.decay) storeChannels(p.decay + at + c, v128.bitselect(one, f32x4.div(kept, sum), nothing), left);
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

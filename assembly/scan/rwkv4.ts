import { Rwkv4Params } from '../params';
import { EXP2_1, EXP2_2, EXP2_3, EXP2_4, EXP2_5, EXP2_FLUSH, EXP_LOG2E, ONE, ROUND } from '../simd/constants';
import { exp24, exp2With } from '../simd/exp2';
import { flushed4 } from '../simd/flush';
import { fma } from '../simd/fma';
import { blocksOf, bytesTo, segmentAt, startState, storeChannels } from './block';

/** One token of a block: output, then the states. */
function token(
  k: usize,
  v: usize,
  decay: usize,
  bonus: usize,
  num: usize,
  den: usize,
  max: usize,
  o: usize,
  n: i32,
): void {
  const round = v128.load(ROUND);
  const e1 = v128.load(EXP2_1);
  const e2 = v128.load(EXP2_2);
  const e3 = v128.load(EXP2_3);
  const e4 = v128.load(EXP2_4);
  const e5 = v128.load(EXP2_5);
  const one = v128.load(ONE);
  const flush = v128.load(EXP2_FLUSH);
  const log2e = v128.load(EXP_LOG2E);
  for (let left = n; left > 0; left -= 4) {
    const key = v128.load(k);
    const value = v128.load(v);
    const a = v128.load(num);
    const b = v128.load(den);
    const most = v128.load(max);
    // of the two weights e^{state - m} and e^{key - m} one is 1
    let ahead = f32x4.sub(f32x4.add(key, v128.load(bonus)), most);
    let newer = f32x4.gt(ahead, i32x4.splat(0));
    let weight = exp2With(f32x4.neg(f32x4.mul(f32x4.abs(ahead), log2e)), round, e1, e2, e3, e4, e5, one, flush);
    let old = v128.bitselect(weight, one, newer);
    let fresh = v128.bitselect(one, weight, newer);
    const above = fma(old, a, f32x4.mul(fresh, value));
    storeChannels(o, f32x4.div(above, fma(old, b, fresh)), left);
    const faded = f32x4.add(most, v128.load(decay));
    ahead = f32x4.sub(key, faded);
    newer = f32x4.gt(ahead, i32x4.splat(0));
    weight = exp2With(f32x4.neg(f32x4.mul(f32x4.abs(ahead), log2e)), round, e1, e2, e3, e4, e5, one, flush);
    old = v128.bitselect(weight, one, newer);
    fresh = v128.bitselect(one, weight, newer);
    storeChannels(num, flushed4(fma(old, a, f32x4.mul(fresh, value))), left);
    storeChannels(den, fma(old, b, fresh), left);
    storeChannels(max, f32x4.pmax(faded, key), left);
    k += 16;
    v += 16;
    decay += 16;
    bonus += 16;
    num += 16;
    den += 16;
    max += 16;
    o += 16;
  }
}

/**
 * RWKV-4 time mixing, sums kept relative to a running maximum m:
 * o_t = (a + e^{u + k_t} v_t) / (b + e^{u + k_t}); a <- e^{-e^w} a + e^{k_t} v_t, b <- e^{-e^w} b + e^{k_t}.
 *
 *   k, v, o   f32 [tokens, channels]   contiguous
 *   w, u      f32 [channels]
 *   states    f32 [states, channels]   a e^{-m}, b e^{-m}, m before (absent: 0, 0, -1e38) and after; after may be before
 *
 * RWKV, Peng 2023. Item: a block of channels of one segment. Scratch: one row of a block.
 */
export function rwkv4(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<Rwkv4Params>(params);
  const blocks = blocksOf(p);
  const stride = (<usize>p.channels) << 2;
  const log2e = v128.load(EXP_LOG2E);
  for (let item = begin; item < end; ++item) {
    const segment = segmentAt(p, item / blocks);
    const channel = (item % blocks) * p.block;
    const n = min(p.block, p.channels - channel);
    const offset = (<usize>channel) << 2;
    for (let c: usize = 0, all = (<usize>n) << 2; c < all; c += 16) {
      v128.store(scratch + c, f32x4.neg(exp24(f32x4.mul(log2e, v128.load(p.w + offset + c)))));
    }
    const state = bytesTo(p, segment.state, channel);
    startState(p.final + state, p.initial, p, segment.initial, channel, n, 0);
    startState(p.finalDen + state, p.initialDen, p, segment.initial, channel, n, 0);
    startState(p.finalMax + state, p.initialMax, p, segment.initial, channel, n, -1e38);
    let at = bytesTo(p, segment.row, channel);
    for (let t = 0; t < segment.length; ++t) {
      token(
        p.k + at,
        p.v + at,
        scratch,
        p.u + offset,
        p.final + state,
        p.finalDen + state,
        p.finalMax + state,
        p.o + at,
        n,
      );
      at += stride;
    }
  }
}

import { ScanCombineParams, ScanParams } from '../params';
import { EXP2_1, EXP2_2, EXP2_3, EXP2_4, EXP2_5, EXP2_FLUSH, EXP_LOG2E, LOG2E, ONE, ROUND } from '../simd/constants';
import { exp2, exp2With } from '../simd/exp2';
import { flushed4 } from '../simd/flush';
import { fma } from '../simd/fma';
import { softplus4 } from '../simd/softplus';
import { blocksOf, bytesTo, segmentAt, startState, storeChannels } from './block';

/** a[n] = e^g[n]. */
function decays(g: usize, a: usize, n: i32): void {
  const round = v128.load(ROUND);
  const e1 = v128.load(EXP2_1);
  const e2 = v128.load(EXP2_2);
  const e3 = v128.load(EXP2_3);
  const e4 = v128.load(EXP2_4);
  const e5 = v128.load(EXP2_5);
  const one = v128.load(ONE);
  const flush = v128.load(EXP2_FLUSH);
  const log2e = v128.load(EXP_LOG2E);
  const most = f32x4.splat(128);
  for (const end = a + ((<usize>n) << 2); a < end; a += 16) {
    const s = f32x4.pmin(f32x4.mul(v128.load(g), log2e), most);
    v128.store(a, exp2With(s, round, e1, e2, e3, e4, e5, one, flush));
    g += 16;
  }
}

/**
 * a[n] = 2^{rate r}, x'[n] = sqrt(1 - a^2) i x. The root's argument is -(2^s - 1), s = 2 rate r, from the polynomial without
 * its 1, so that it stays exact where a is nearly 1.
 */
function rgLruGates(rate: usize, r: usize, i: usize, x: usize, a: usize, to: usize, n: i32): void {
  const round = v128.load(ROUND);
  const e1 = v128.load(EXP2_1);
  const e2 = v128.load(EXP2_2);
  const e3 = v128.load(EXP2_3);
  const e4 = v128.load(EXP2_4);
  const e5 = v128.load(EXP2_5);
  const one = v128.load(ONE);
  const flush = v128.load(EXP2_FLUSH);
  const bytes = (<usize>n) << 2;
  for (let at: usize = 0; at < bytes; at += 16) {
    const exponent = f32x4.mul(v128.load(rate + at), v128.load(r + at));
    v128.store(a + at, exp2With(exponent, round, e1, e2, e3, e4, e5, one, flush));
    const s = f32x4.pmax(f32x4.add(exponent, exponent), flush);
    const shifted = f32x4.add(s, round);
    const f = f32x4.sub(s, f32x4.sub(shifted, round));
    const less = f32x4.mul(fma(fma(fma(fma(e5, f, e4), f, e3), f, e2), f, e1), f);
    const power = i32x4.shl(shifted, 23);
    const rest = f32x4.sub(f32x4.sub(one, power), f32x4.mul(power, less));
    const entering = f32x4.mul(v128.load(i + at), v128.load(x + at));
    v128.store(to + at, f32x4.mul(f32x4.sqrt(rest), entering));
  }
}

/** h[n] = a h + x, small values to zero; o = h. */
function advance(h: usize, a: usize, x: usize, o: usize, n: i32): void {
  let left = n;
  for (; left >= 4; left -= 4) {
    const next = flushed4(fma(v128.load(a), v128.load(h), v128.load(x)));
    v128.store(h, next);
    v128.store(o, next);
    h += 16;
    a += 16;
    x += 16;
    o += 16;
  }
  if (left > 0) {
    const next = flushed4(fma(v128.load(a), v128.load(h), v128.load(x)));
    storeChannels(h, next, left);
    storeChannels(o, next, left);
  }
}

/** to[n] = from a, small values flushed; `from` absent: a. */
function multiply(from: usize, a: usize, to: usize, n: i32): void {
  for (let left = n; left > 0; left -= 4) {
    const product = from ? f32x4.mul(v128.load(from), v128.load(a)) : v128.load(a);
    storeChannels(to, flushed4(product), left);
    a += 16;
    to += 16;
    if (from) from += 16;
  }
}

/** Work items of both element-wise scans; `gated`: of rgLru. */
// @ts-ignore: decorator
@inline
function scan(p: ScanParams, begin: i32, end: i32, scratch: usize, gated: bool): void {
  const blocks = blocksOf(p);
  const row = (<usize>p.block) << 2;
  const rate = scratch;
  const a = rate + row;
  const entering = a + row;
  const stride = (<usize>p.channels) << 2;
  for (let item = begin; item < end; ++item) {
    const segment = segmentAt(p, item / blocks);
    const channel = (item % blocks) * p.block;
    const n = min(p.block, p.channels - channel);
    const h = p.final + bytesTo(p, segment.state, channel);
    startState(h, p.initial, p, segment.initial, channel, n, 0);
    if (gated) {
      const factor = f32x4.splat(-p.c * LOG2E);
      const parameters = p.recurrentParam + ((<usize>channel) << 2);
      for (let c: usize = 0, all = (<usize>n) << 2; c < all; c += 16) {
        v128.store(rate + c, f32x4.mul(factor, softplus4(v128.load(parameters + c))));
      }
    }
    let at = bytesTo(p, segment.row, channel);
    for (let t = 0; t < segment.length; ++t) {
      let x = p.x + at;
      if (gated) {
        x = entering;
        rgLruGates(rate, p.g + at, p.inputGate + at, p.x + at, a, x, n);
        if (p.reset && segment.first && t == 0) {
          for (let c: usize = 0, all = (<usize>n) << 2; c < all; c += 16) {
            v128.store(a + c, i32x4.splat(0));
            v128.store(x + c, f32x4.mul(v128.load(p.inputGate + at + c), v128.load(p.x + at + c)));
          }
        }
      } else decays(p.g + at, a, n);
      advance(h, a, x, p.o + at, n);
      if (p.running) multiply(t > 0 ? p.running + at - stride : 0, a, p.running + at, n);
      at += stride;
    }
  }
}

/**
 * Element-wise gated recurrence h_t = e^{g_t} h_{t-1} + x_t, o = h.
 *
 *   x, g, o, running   f32 [tokens, channels]   contiguous; running holds the product of a segment's decays so far
 *   initial, final     f32 [states, channels]   final may be initial
 *
 * HGRN, Qin 2023. Item: a block of channels of one segment. Scratch: three rows of a block.
 */
export function hgrn(params: usize, begin: i32, end: i32, scratch: usize): void {
  scan(changetype<ScanParams>(params), begin, end, scratch, false);
}

/**
 * Real-gated linear recurrent unit: a_t = e^{-c softplus(param) r_t}, h_t = a_t h_{t-1} + sqrt(1 - a_t^2) i_t x_t, o = h.
 *
 *   x, g (r), inputGate (i), o, running   f32 [tokens, channels]   contiguous
 *   recurrentParam                        f32 [channels]
 *   initial, final                        f32 [states, channels]   final may be initial
 *
 * Griffin, De 2024. Item and scratch as of hgrn.
 */
export function rgLru(params: usize, begin: i32, end: i32, scratch: usize): void {
  scan(changetype<ScanParams>(params), begin, end, scratch, true);
}

/**
 * States between the segments of a sequence: h_{s+1} = decay_s h_s + local_s; local_s gives way to h_s, which enters segment s.
 *
 *   initial   f32 [segments, channels, n]    local states, the first with what came in; becomes the states before each
 *   final     f32 [sequences, channels, n]
 *   running   f32 [tokens, channels]         decays so far, or sums of step sizes where a is given
 *   a         f32 [channels, n]              may be absent (n = 1)
 *
 * Item: a block of channels of one sequence.
 */
export function scanCombine(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<ScanCombineParams>(params);
  const blocks = blocksOf(p);
  const size = p.channels * p.n;
  for (let item = begin; item < end; ++item) {
    const sequence = item / blocks;
    const first = load<i32>(p.sequences + ((<usize>sequence) << 3));
    const count = load<i32>(p.sequences + ((<usize>sequence) << 3), 4);
    const from = (item % blocks) * p.block;
    const to = min(from + p.block, p.channels);
    for (let channel = from; channel < to; ++channel) {
      for (let i = 0; i < p.n; ++i) {
        const element = channel * p.n + i;
        let h: f32 = 0;
        for (let s = first; s < first + count; ++s) {
          const segment = segmentAt(p, s);
          const at = p.initial + ((<usize>(s * size + element)) << 2);
          const local = load<f32>(at);
          store<f32>(at, h);
          let decay: f32 = 1;
          if (s > first) {
            const sum = load<f32>(p.running + bytesTo(p, segment.row + segment.length - 1, channel));
            decay = p.a ? exp2(sum * (load<f32>(p.a + ((<usize>element) << 2)) * LOG2E)) : sum;
          }
          h = decay * h + local;
        }
        store<f32>(p.final + ((<usize>(sequence * size + element)) << 2), h);
      }
    }
  }
}

/**
 * What a segment's incoming state adds to its outputs: o_t += running_t h, until the decays have vanished.
 *
 *   o, running   f32 [tokens, channels]     contiguous
 *   initial      f32 [segments, channels]   the states before each segment
 *
 * Item: a block of channels of one segment.
 */
export function scanFix(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<ScanParams>(params);
  const blocks = blocksOf(p);
  const stride = (<usize>p.channels) << 2;
  for (let item = begin; item < end; ++item) {
    const segment = segmentAt(p, item / blocks);
    if (segment.first) continue;
    const channel = (item % blocks) * p.block;
    const n = min(p.block, p.channels - channel);
    const h = p.initial + bytesTo(p, segment.state, channel);
    let at = bytesTo(p, segment.row, channel);
    for (let t = 0; t < segment.length; ++t) {
      let any = i32x4.splat(0);
      for (let c = 0; c < n; c += 4) {
        const offset = at + ((<usize>c) << 2);
        const decay = v128.load(p.running + offset);
        const o = fma(decay, v128.load(h + ((<usize>c) << 2)), v128.load(p.o + offset));
        storeChannels(p.o + offset, o, n - c);
        any = v128.or(any, decay);
      }
      if (!v128.any_true(any)) break;
      at += stride;
    }
  }
}

import { SelectiveScanParams } from '../params';
import {
  EXP2_1,
  EXP2_2,
  EXP2_3,
  EXP2_4,
  EXP2_5,
  EXP2_FLUSH,
  LOG2E,
  LOG2E_4,
  MAGNITUDE,
  ONE,
  ROUND,
  ROUND_INTEGER,
  STATE_FLUSH,
} from '../simd/constants';
import { exp2With } from '../simd/exp2';
import { fma } from '../simd/fma';
import { softplus4 } from '../simd/logarithm';
import { blocksOf, bytesTo, segmentAt, storeChannels, TOKENS } from './block';

/** Exponents up to here, in either direction, need no check for underflow or overflow. */
const REACH: f32 = 100;

// How a block of channels lies in scratch: for four channels and each n one A log2 e [4] and one h [4]; for a token and each n one
// B_n [4] and one C_n [4], so that both are read at the same offset; step sizes, step sizes times u and outputs [TOKENS][block].

/** [n] = A log2 e and h of four channels from two arrays [channels, n]; h absent: zeros. Returns the largest |A| log2 e. */
function packStates(a: usize, h: usize, pack: usize, n: i32, channels: i32): f32 {
  let largest: f32 = 0;
  for (let lane = 0; lane < 4; ++lane) {
    let to = pack + ((<usize>lane) << 2);
    for (let i = 0; i < n; ++i) {
      const inside = lane < channels;
      const value: f32 = inside ? load<f32>(a) * LOG2E : 0;
      // not by max, which would hide NaN
      if (!(abs(value) <= largest)) largest = abs(value);
      store<f32>(to, value);
      store<f32>(to, inside && h ? load<f32>(h) : 0, 16);
      a += 4;
      if (h) h += 4;
      to += 32;
    }
  }
  return largest;
}

/** Packed states of four channels back to [channels, n]. */
function unpackStates(pack: usize, h: usize, n: i32, channels: i32): void {
  for (let lane = 0; lane < channels; ++lane) {
    let from = pack + ((<usize>lane) << 2);
    for (let i = 0; i < n; ++i) {
      store<f32>(h, load<f32>(from, 16));
      h += 4;
      from += 32;
    }
  }
}

/** B and C of a token, every value four times. */
function spread(b: usize, c: usize, to: usize, n: i32): void {
  for (let i = 0; i < n; ++i) {
    v128.store(to, v128.load32_splat(b));
    v128.store(to, v128.load32_splat(c), 16);
    b += 4;
    c += 4;
    to += 32;
  }
}

/** Step sizes of a token, and times u: dt = delta + bias, through softplus if asked. Returns the largest |dt|. */
function stepSizes(delta: usize, bias: usize, u: usize, softplus: bool, dt: usize, dtu: usize, n: i32): v128 {
  const magnitude = v128.load(MAGNITUDE);
  let largest = i32x4.splat(0);
  const bytes = (<usize>n) << 2;
  for (let at: usize = 0; at < bytes; at += 16) {
    let step = v128.load(delta + at);
    if (bias) step = f32x4.add(step, v128.load(bias + at));
    if (softplus) step = softplus4(step);
    // what lies behind the last channel must not decide anything
    if (at + 16 > bytes) step = v128.and(step, i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(n & 3)));
    largest = f32x4.pmax(largest, v128.and(step, magnitude));
    v128.store(dt + at, step);
    v128.store(dtu + at, f32x4.mul(step, v128.load(u + at)));
  }
  return largest;
}

/** to[n] = from + dt; `from` absent: dt. */
function accumulate(from: usize, dt: usize, to: usize, n: i32): void {
  for (let left = n; left > 0; left -= 4) {
    const sum = from ? f32x4.add(v128.load(from), v128.load(dt)) : v128.load(dt);
    storeChannels(to, sum, left);
    dt += 16;
    to += 16;
    if (from) from += 16;
  }
}

/** 2^{dt a}, |dt a| <= REACH: the exponent goes in by an integer addition. */
// @ts-ignore: decorator
@inline
function decayNear(dt: v128, a: v128, round: v128, e1: v128, e2: v128, e3: v128, e4: v128, e5: v128, one: v128): v128 {
  let shifted: v128;
  let r: v128;
  if (ASC_FEATURE_RELAXED_SIMD) {
    shifted = f32x4.relaxed_madd(dt, a, round);
    r = f32x4.relaxed_madd(dt, a, f32x4.sub(round, shifted));
  } else {
    const s = f32x4.mul(dt, a);
    shifted = f32x4.add(s, round);
    r = f32x4.sub(s, f32x4.sub(shifted, round));
  }
  const p = fma(fma(fma(fma(fma(e5, r, e4), r, e3), r, e2), r, e1), r, one);
  return i32x4.add(p, i32x4.shl(shifted, 23));
}

/** h = 2^{dt a} h + dtu b, small values to zero if asked. */
// @ts-ignore: decorator
@inline
function stepped(decay: v128, h: v128, dtu: v128, b: v128, flush: bool): v128 {
  const next = fma(decay, h, f32x4.mul(dtu, b));
  if (!flush) return next;
  return v128.andnot(next, f32x4.lt(v128.and(next, v128.load(MAGNITUDE)), v128.load(STATE_FLUSH)));
}

/** A token through the states of a block, exponents within REACH: y = C h. `flush`: small states go to zero. */
// @ts-ignore: decorator
@inline
function nearToken(
  pack: usize,
  spreads: usize,
  dt: usize,
  dtu: usize,
  y: usize,
  groups: i32,
  n: i32,
  flush: bool,
): void {
  const round = v128.load(ROUND_INTEGER);
  const e1 = v128.load(EXP2_1);
  const e2 = v128.load(EXP2_2);
  const e3 = v128.load(EXP2_3);
  const e4 = v128.load(EXP2_4);
  const e5 = v128.load(EXP2_5);
  const one = v128.load(ONE);
  const pairs = n >> 1;
  let state = pack;
  for (let group = groups; group > 0; --group) {
    const step = v128.load(dt);
    const entering = v128.load(dtu);
    let sum = i32x4.splat(0);
    let bc = spreads;
    for (let left = pairs; left > 0; --left) {
      const decay0 = decayNear(step, v128.load(state), round, e1, e2, e3, e4, e5, one);
      const decay1 = decayNear(step, v128.load(state, 32), round, e1, e2, e3, e4, e5, one);
      const h0 = stepped(decay0, v128.load(state, 16), entering, v128.load(bc), flush);
      const h1 = stepped(decay1, v128.load(state, 48), entering, v128.load(bc, 32), flush);
      v128.store(state, h0, 16);
      v128.store(state, h1, 48);
      sum = fma(h0, v128.load(bc, 16), sum);
      sum = fma(h1, v128.load(bc, 48), sum);
      state += 64;
      bc += 64;
    }
    if (n & 1) {
      const decay = decayNear(step, v128.load(state), round, e1, e2, e3, e4, e5, one);
      const h = stepped(decay, v128.load(state, 16), entering, v128.load(bc), flush);
      v128.store(state, h, 16);
      sum = fma(h, v128.load(bc, 16), sum);
      state += 32;
    }
    v128.store(y, sum);
    dt += 16;
    dtu += 16;
    y += 16;
  }
}

/** One token, exponents within REACH. */
function tokenNear(pack: usize, bc: usize, dt: usize, dtu: usize, y: usize, groups: i32, n: i32): void {
  nearToken(pack, bc, dt, dtu, y, groups, n, false);
}

/** As tokenNear, and states below 2^-100 go to zero. */
function tokenNearFlushed(pack: usize, bc: usize, dt: usize, dtu: usize, y: usize, groups: i32, n: i32): void {
  nearToken(pack, bc, dt, dtu, y, groups, n, true);
}

/** One token, any exponents: decays below 2^-100 are zero; states below it go to zero too. */
function tokenFar(pack: usize, bc: usize, dt: usize, dtu: usize, y: usize, groups: i32, n: i32): void {
  const round = v128.load(ROUND);
  const e1 = v128.load(EXP2_1);
  const e2 = v128.load(EXP2_2);
  const e3 = v128.load(EXP2_3);
  const e4 = v128.load(EXP2_4);
  const e5 = v128.load(EXP2_5);
  const one = v128.load(ONE);
  const least = v128.load(EXP2_FLUSH);
  const most = f32x4.splat(128);
  let state = pack;
  for (let group = groups; group > 0; --group) {
    const step = v128.load(dt);
    const entering = v128.load(dtu);
    let sum = i32x4.splat(0);
    let at = bc;
    for (let left = n; left > 0; --left) {
      const exponent = f32x4.pmin(most, f32x4.mul(step, v128.load(state)));
      const decay = exp2With(exponent, round, e1, e2, e3, e4, e5, one, least);
      const h = stepped(decay, v128.load(state, 16), entering, v128.load(at), true);
      v128.store(state, h, 16);
      sum = fma(h, v128.load(at, 16), sum);
      state += 32;
      at += 32;
    }
    v128.store(y, sum);
    dt += 16;
    dtu += 16;
    y += 16;
  }
}

/** o[n] = (y + d u) silu(z); d and z may be absent. `add`: y silu(z) is added to o instead. */
function finish(y: usize, d: usize, u: usize, z: usize, o: usize, n: i32, add: bool): void {
  const round = v128.load(ROUND);
  const e1 = v128.load(EXP2_1);
  const e2 = v128.load(EXP2_2);
  const e3 = v128.load(EXP2_3);
  const e4 = v128.load(EXP2_4);
  const e5 = v128.load(EXP2_5);
  const one = v128.load(ONE);
  const least = v128.load(EXP2_FLUSH);
  const log2e = v128.load(LOG2E_4);
  const most = f32x4.splat(128);
  for (let left = n; left > 0; left -= 4) {
    let value = v128.load(y);
    if (d) {
      value = fma(v128.load(d), v128.load(u), value);
      d += 16;
      u += 16;
    }
    if (z) {
      const gate = v128.load(z);
      const exponent = f32x4.pmin(most, f32x4.neg(f32x4.mul(gate, log2e)));
      const e = exp2With(exponent, round, e1, e2, e3, e4, e5, one, least);
      value = f32x4.mul(value, f32x4.div(gate, f32x4.add(one, e)));
      z += 16;
    }
    if (add) value = f32x4.add(value, v128.load(o));
    storeChannels(o, value, left);
    y += 16;
    o += 16;
  }
}

/**
 * Selective state-space scan: dt = delta + bias, through softplus if asked; h_t = e^{dt A} h_{t-1} + dt u B_t;
 * o_t = (C_t h_t + D u_t) silu(z_t).
 *
 *   u, delta, z, o, running   f32 [tokens, channels]      contiguous; z may be absent; running: sums of dt of a segment so far
 *   a                         f32 [channels, n]
 *   b, c                      f32 [tokens, n]
 *   d, deltaBias              f32 [channels]              each may be absent
 *   initial, final            f32 [states, channels, n]   final may be initial
 *
 * Mamba, Gu and Dao 2023. Item: a block of channels of one segment. Scratch: 8 n block + 32 n TOKENS + 12 block TOKENS bytes.
 */
export function selectiveScan(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<SelectiveScanParams>(params);
  const blocks = blocksOf(p);
  const n = p.n;
  const groupBytes = (<usize>n) << 5;
  const row = (<usize>p.block) << 2;
  const stride = (<usize>p.channels) << 2;
  const spreads = scratch + <usize>(p.block >> 2) * groupBytes;
  const steps = spreads + <usize>TOKENS * groupBytes;
  const entering = steps + <usize>TOKENS * row;
  const y = entering + <usize>TOKENS * row;
  for (let item = begin; item < end; ++item) {
    const segment = segmentAt(p, item / blocks);
    const channel = (item % blocks) * p.block;
    const channels = min(p.block, p.channels - channel);
    const groups = (channels + 3) >> 2;
    let largest: f32 = 0;
    for (let group = 0; group < groups; ++group) {
      const first = channel + (group << 2);
      const element = bytesTo(p, 0, first) * <usize>n;
      const h = p.initial && segment.initial >= 0 ? p.initial + bytesTo(p, segment.initial, first) * <usize>n : 0;
      const most = packStates(p.a + element, h, scratch + <usize>group * groupBytes, n, p.channels - first);
      if (!(most <= largest)) largest = most;
    }
    const offset = (<usize>channel) << 2;
    const bias = p.deltaBias ? p.deltaBias + offset : 0;
    const d = p.d ? p.d + offset : 0;
    for (let t = 0; t < segment.length; t += TOKENS) {
      const tokens = min(TOKENS, segment.length - t);
      const at = bytesTo(p, segment.row + t, channel);
      const matrixRow = (<usize>(segment.row + t) * <usize>n) << 2;
      let far = i32x4.splat(0);
      for (let i = 0; i < tokens; ++i) {
        const token = at + <usize>i * stride;
        const dt = steps + <usize>i * row;
        const most = stepSizes(
          p.delta + token,
          bias,
          p.u + token,
          p.softplus != 0,
          dt,
          entering + <usize>i * row,
          channels,
        );
        far = v128.or(far, f32x4.gt(f32x4.mul(most, f32x4.splat(largest)), f32x4.splat(REACH)));
        const tokenRow = matrixRow + ((<usize>i * <usize>n) << 2);
        spread(p.b + tokenRow, p.c + tokenRow, spreads + <usize>i * groupBytes, n);
        if (p.running) accumulate(t + i > 0 ? p.running + token - stride : 0, dt, p.running + token, channels);
      }
      const near = !v128.any_true(far);
      for (let i = 0; i < tokens; ++i) {
        const within = <usize>i * row;
        const bc = spreads + <usize>i * groupBytes;
        if (!near) tokenFar(scratch, bc, steps + within, entering + within, y + within, groups, n);
        else if (i == tokens - 1)
          tokenNearFlushed(scratch, bc, steps + within, entering + within, y + within, groups, n);
        else tokenNear(scratch, bc, steps + within, entering + within, y + within, groups, n);
      }
      for (let i = 0; i < tokens; ++i) {
        const token = at + <usize>i * stride;
        finish(y + <usize>i * row, d, p.u + token, p.z ? p.z + token : 0, p.o + token, channels, false);
      }
    }
    for (let group = 0; group < groups; ++group) {
      const first = channel + (group << 2);
      const state = p.final + bytesTo(p, segment.state, first) * <usize>n;
      unpackStates(scratch + <usize>group * groupBytes, state, n, min(4, p.channels - first));
    }
  }
}

/**
 * What a segment's incoming state adds to its outputs: o_t += (C_t e^{A running_t} h) silu(z_t), until the decays have vanished.
 *
 *   Tensors as of selectiveScan; initial holds the states before each segment.
 *
 * Item: a block of channels of one segment. Scratch: 8 n block + 32 n + 4 block bytes.
 */
export function selectiveScanFix(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<SelectiveScanParams>(params);
  const blocks = blocksOf(p);
  const n = p.n;
  const groupBytes = (<usize>n) << 5;
  const stride = (<usize>p.channels) << 2;
  const bc = scratch + <usize>(p.block >> 2) * groupBytes;
  const y = bc + groupBytes;
  for (let item = begin; item < end; ++item) {
    const segment = segmentAt(p, item / blocks);
    if (segment.first) continue;
    const channel = (item % blocks) * p.block;
    const channels = min(p.block, p.channels - channel);
    const groups = (channels + 3) >> 2;
    for (let group = 0; group < groups; ++group) {
      const first = channel + (group << 2);
      const state = p.initial + bytesTo(p, segment.state, first) * <usize>n;
      const a = p.a + bytesTo(p, 0, first) * <usize>n;
      packStates(a, state, scratch + <usize>group * groupBytes, n, p.channels - first);
    }
    let at = bytesTo(p, segment.row, channel);
    let matrixRow = (<usize>segment.row * <usize>n) << 2;
    for (let t = 0; t < segment.length; ++t) {
      spread(p.b + matrixRow, p.c + matrixRow, bc, n);
      if (!fade(scratch, bc, p.running + at, y, groups, n)) break;
      finish(y, 0, 0, p.z ? p.z + at : 0, p.o + at, channels, true);
      at += stride;
      matrixRow += (<usize>n) << 2;
    }
  }
}

/** y = C e^{A sum} h for one token of a block; whether any decay is left. */
function fade(pack: usize, bc: usize, sum: usize, y: usize, groups: i32, n: i32): bool {
  const round = v128.load(ROUND);
  const e1 = v128.load(EXP2_1);
  const e2 = v128.load(EXP2_2);
  const e3 = v128.load(EXP2_3);
  const e4 = v128.load(EXP2_4);
  const e5 = v128.load(EXP2_5);
  const one = v128.load(ONE);
  const least = v128.load(EXP2_FLUSH);
  const most = f32x4.splat(128);
  let any = i32x4.splat(0);
  for (let group = groups; group > 0; --group) {
    const step = v128.load(sum);
    let total = i32x4.splat(0);
    let at = bc;
    for (let left = n; left > 0; --left) {
      const exponent = f32x4.pmin(most, f32x4.mul(step, v128.load(pack)));
      const decay = exp2With(exponent, round, e1, e2, e3, e4, e5, one, least);
      any = v128.or(any, decay);
      total = fma(f32x4.mul(decay, v128.load(pack, 16)), v128.load(at, 16), total);
      pack += 32;
      at += 32;
    }
    v128.store(y, total);
    sum += 16;
    y += 16;
  }
  return v128.any_true(any);
}

import { SelectiveScanParams } from '../params';
import {
  COARSE_100,
  COARSE_66,
  EXP2_1,
  EXP2_2,
  EXP2_3,
  EXP2_4,
  EXP2_5,
  EXP2_FLUSH,
  EXP_LOG2E,
  EXP_TWO,
  INFINITE_EXPONENT,
  LEAST_EXPONENT,
  LOG1P_P0,
  LOG2E,
  MAGNITUDE,
  ONE,
  ROUND,
  ROUND_INTEGER,
  STATE_FLUSH,
} from '../simd/constants';
import { exp2With } from '../simd/exp2';
import { flushedBelow } from '../simd/flush';
import { fma } from '../simd/fma';
import { max4 } from '../simd/reduce';
import { softplusExponentials, softplusWith } from '../simd/softplus';
import { blocksOf, bytesTo, segmentAt, storeChannels } from './block';

/**
 * Bits by which a state may fall in one token before more care is needed; small states are looked for before another such
 * token could take one of 2^-100, looked at last, over twice as many to 2^-126, the least that is not denormal.
 */
const REACH: f32 = 13;
/** Bits up to which an exponent needs no limits. */
const FAR: f32 = 120;

/** Bytes that come from memory together, and the tokens whose operands are asked for at a time. */
const LINE: usize = 64;
const FETCHED: i32 = 8;

// What is done about small states and exponents in a token.
const PLAIN: i32 = 0;
/** States below 2^-100 go to zero. */
const FLUSH: i32 = 1;
/**
 * Exponents beyond REACH: states become multiples of so coarse a unit that no product with a decay is denormal. A few units may
 * stay for good: 2^-100 each, or 2^-66 without relaxed SIMD.
 */
const COARSE: i32 = 2;
/** As COARSE, with exponents beyond FAR. */
const LIMITED: i32 = 3;

// How a block of channels lies in scratch: for four channels and each n one A log2 e [4] and one h [4]; for each n one
// B_n [4] and one C_n [4] of the token, which are read at the same offset; its step sizes, these times u, and outputs [block].

/** Four vectors as the columns of a 4 x 4 matrix: stores its rows, `step` bytes apart. */
// @ts-ignore: decorator
@inline
function storeTransposed(a: v128, b: v128, c: v128, d: v128, to: usize, step: usize): void {
  const ab0 = i32x4.shuffle(a, b, 0, 4, 1, 5);
  const ab1 = i32x4.shuffle(a, b, 2, 6, 3, 7);
  const cd0 = i32x4.shuffle(c, d, 0, 4, 1, 5);
  const cd1 = i32x4.shuffle(c, d, 2, 6, 3, 7);
  v128.store(to, i32x4.shuffle(ab0, cd0, 0, 1, 4, 5));
  v128.store(to + step, i32x4.shuffle(ab0, cd0, 2, 3, 6, 7));
  v128.store(to + 2 * step, i32x4.shuffle(ab1, cd1, 0, 1, 4, 5));
  v128.store(to + 3 * step, i32x4.shuffle(ab1, cd1, 2, 3, 6, 7));
}

/** Four channels of [channels, n] times a factor to every second vector of pack [n][2][4]; channels that are missing are zero. */
function packRows(from: usize, factor: f32, pack: usize, n: i32, channels: i32): void {
  const row = (<usize>n) << 2;
  const scale = f32x4.splat(factor);
  let i = 0;
  if (channels >= 4) {
    for (; i + 4 <= n; i += 4) {
      const at = from + ((<usize>i) << 2);
      const a = f32x4.mul(scale, v128.load(at));
      const b = f32x4.mul(scale, v128.load(at + row));
      const c = f32x4.mul(scale, v128.load(at + 2 * row));
      const d = f32x4.mul(scale, v128.load(at + 3 * row));
      storeTransposed(a, b, c, d, pack + ((<usize>i) << 5), 32);
    }
  }
  for (; i < n; ++i) {
    const to = pack + ((<usize>i) << 5);
    for (let lane = 0; lane < 4; ++lane) {
      const at = from + ((<usize>(lane * n + i)) << 2);
      store<f32>(to + ((<usize>lane) << 2), lane < channels ? load<f32>(at) * factor : 0);
    }
  }
}

/** Packs A log2 e, and h or zeros where it is absent, of four channels. Returns the largest |A| log2 e of each. */
function packStates(a: usize, h: usize, pack: usize, n: i32, channels: i32): v128 {
  packRows(a, LOG2E, pack, n, channels);
  if (h) packRows(h, 1, pack + 16, n, channels);
  const magnitude = v128.load(MAGNITUDE);
  let largest = i32x4.splat(0);
  for (let left = n; left > 0; --left) {
    largest = f32x4.pmax(largest, v128.and(magnitude, v128.load(pack)));
    if (!h) v128.store(pack, i32x4.splat(0), 16);
    pack += 32;
  }
  return largest;
}

/** Packed states of four channels back to [channels, n]. */
function unpackStates(pack: usize, h: usize, n: i32, channels: i32): void {
  const row = (<usize>n) << 2;
  let i = 0;
  if (channels >= 4) {
    for (; i + 4 <= n; i += 4) {
      const at = pack + ((<usize>i) << 5);
      storeTransposed(
        v128.load(at, 16),
        v128.load(at, 48),
        v128.load(at, 80),
        v128.load(at, 112),
        h + ((<usize>i) << 2),
        row,
      );
    }
  }
  for (; i < n; ++i) {
    const from = pack + ((<usize>i) << 5) + 16;
    for (let lane = 0; lane < min(4, channels); ++lane) {
      store<f32>(h + ((<usize>(lane * n + i)) << 2), load<f32>(from + ((<usize>lane) << 2)));
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

/** Reads a little of every line of n floats of each of `rows` rows: together they come as fast as those of one token alone. */
function fetch(from: usize, n: i32, stride: usize, rows: i32): i32 {
  let any = 0;
  const bytes = (<usize>n) << 2;
  for (; rows > 0; --rows) {
    for (let at: usize = 0; at < bytes; at += LINE) any |= load<i32>(from + at);
    from += stride;
  }
  return any;
}

/** Step sizes of a token, and times u: dt = delta + bias, through softplus if asked. Returns the largest |dt| of each lane. */
function stepSizes(delta: usize, bias: usize, u: usize, softplus: bool, dt: usize, dtu: usize, n: i32): v128 {
  let from = delta;
  if (bias) {
    for (let at: usize = 0, bytes = (<usize>n) << 2; at < bytes; at += 16) {
      v128.store(dt + at, f32x4.add(v128.load(delta + at), v128.load(bias + at)));
    }
    from = dt;
  }
  if (!softplus) return sized(false, from, u, dt, dtu, n);
  softplusExponentials(from, dtu, n);
  return sized(true, from, u, dt, dtu, n);
}

/** dt[n] from `from`, or its softplus, whose exponentials are in dtu; dtu = dt u. Returns the largest |dt| of each lane. */
// @ts-ignore: decorator
@inline
function sized(softplus: bool, from: usize, u: usize, dt: usize, dtu: usize, n: i32): v128 {
  const magnitude = v128.load(MAGNITUDE);
  const two = v128.load(EXP_TWO);
  const p0 = v128.load(LOG1P_P0);
  const p1 = v128.load(LOG1P_P0, 16);
  const p2 = v128.load(LOG1P_P0, 32);
  const p3 = v128.load(LOG1P_P0, 48);
  const bytes = (<usize>n) << 2;
  let largest = i32x4.splat(0);
  for (let at: usize = 0; at < bytes; at += 16) {
    let step = v128.load(from + at);
    if (softplus) step = softplusWith(step, v128.load(dtu + at), two, p0, p1, p2, p3);
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

/** 2^{dt a}: the exponent goes in by an integer addition. Limits as `care` asks. */
// @ts-ignore: decorator
@inline
function decayOf(
  care: i32,
  dt: v128,
  a: v128,
  round: v128,
  e1: v128,
  e2: v128,
  e3: v128,
  e4: v128,
  e5: v128,
  one: v128,
  least: v128,
): v128 {
  let shifted: v128;
  let r: v128;
  if (ASC_FEATURE_RELAXED_SIMD && care != LIMITED) {
    shifted = f32x4.relaxed_madd(dt, a, round);
    r = f32x4.relaxed_madd(dt, a, f32x4.sub(round, shifted));
  } else {
    let s = f32x4.mul(dt, a);
    if (care >= COARSE) s = f32x4.pmax(s, least);
    if (care == LIMITED) s = f32x4.pmin(s, v128.load(INFINITE_EXPONENT));
    shifted = f32x4.add(s, round);
    r = f32x4.sub(s, f32x4.sub(shifted, round));
  }
  const p = fma(fma(fma(fma(fma(e5, r, e4), r, e3), r, e2), r, e1), r, one);
  return i32x4.add(p, i32x4.shl(shifted, 23));
}

/** decay h + dtu b, small values treated as `care` asks: `grain` is the least that stays, or what rounds to coarse units. */
// @ts-ignore: decorator
@inline
function stepped(care: i32, decay: v128, h: v128, dtu: v128, b: v128, grain: v128): v128 {
  if (care >= COARSE) return f32x4.sub(fma(decay, h, fma(dtu, b, grain)), grain);
  const next = fma(decay, h, f32x4.mul(dtu, b));
  if (care == PLAIN) return next;
  return flushedBelow(next, grain);
}

/** A token through the states of a block: h = 2^{dt a} h + dtu B, y = C h. */
// @ts-ignore: decorator
@inline
function token(care: i32, pack: usize, spreads: usize, dt: usize, dtu: usize, y: usize, groups: i32, n: i32): void {
  const round = v128.load(ROUND_INTEGER);
  const e1 = v128.load(EXP2_1);
  const e2 = v128.load(EXP2_2);
  const e3 = v128.load(EXP2_3);
  const e4 = v128.load(EXP2_4);
  const e5 = v128.load(EXP2_5);
  const one = v128.load(ONE);
  const least = v128.load(LEAST_EXPONENT);
  // where a product is not rounded on its own it cannot be denormal either
  const coarse = ASC_FEATURE_RELAXED_SIMD ? COARSE_100 : COARSE_66;
  const grain = v128.load(care >= COARSE ? coarse : STATE_FLUSH);
  let state = pack;
  for (let group = groups; group > 0; --group) {
    const step = v128.load(dt);
    const entering = v128.load(dtu);
    let sum = i32x4.splat(0);
    let bc = spreads;
    // A decay is long in coming, so each begins before the state ahead of it is stepped: otherwise all that waits for one holds
    // the registers of a whole device. Three at a time: 16 and 64 states less the first are multiples.
    if (n > 0) {
      let decay = decayOf(care, step, v128.load(state), round, e1, e2, e3, e4, e5, one, least);
      for (let left = (n - 1) / 3; left > 0; --left) {
        const decay1 = decayOf(care, step, v128.load(state, 32), round, e1, e2, e3, e4, e5, one, least);
        const h0 = stepped(care, decay, v128.load(state, 16), entering, v128.load(bc), grain);
        v128.store(state, h0, 16);
        sum = fma(h0, v128.load(bc, 16), sum);
        const decay2 = decayOf(care, step, v128.load(state, 64), round, e1, e2, e3, e4, e5, one, least);
        const h1 = stepped(care, decay1, v128.load(state, 48), entering, v128.load(bc, 32), grain);
        v128.store(state, h1, 48);
        sum = fma(h1, v128.load(bc, 48), sum);
        decay = decayOf(care, step, v128.load(state, 96), round, e1, e2, e3, e4, e5, one, least);
        const h2 = stepped(care, decay2, v128.load(state, 80), entering, v128.load(bc, 64), grain);
        v128.store(state, h2, 80);
        sum = fma(h2, v128.load(bc, 80), sum);
        state += 96;
        bc += 96;
      }
      for (let left = (n - 1) % 3; left > 0; --left) {
        const next = decayOf(care, step, v128.load(state, 32), round, e1, e2, e3, e4, e5, one, least);
        const h = stepped(care, decay, v128.load(state, 16), entering, v128.load(bc), grain);
        v128.store(state, h, 16);
        sum = fma(h, v128.load(bc, 16), sum);
        decay = next;
        state += 32;
        bc += 32;
      }
      const h = stepped(care, decay, v128.load(state, 16), entering, v128.load(bc), grain);
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

// One function for each care, so that none asks for it in its loops.

function plainToken(pack: usize, bc: usize, dt: usize, dtu: usize, y: usize, groups: i32, n: i32): void {
  token(PLAIN, pack, bc, dt, dtu, y, groups, n);
}

function flushToken(pack: usize, bc: usize, dt: usize, dtu: usize, y: usize, groups: i32, n: i32): void {
  token(FLUSH, pack, bc, dt, dtu, y, groups, n);
}

function coarseToken(pack: usize, bc: usize, dt: usize, dtu: usize, y: usize, groups: i32, n: i32): void {
  token(COARSE, pack, bc, dt, dtu, y, groups, n);
}

function limitedToken(pack: usize, bc: usize, dt: usize, dtu: usize, y: usize, groups: i32, n: i32): void {
  token(LIMITED, pack, bc, dt, dtu, y, groups, n);
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
  const log2e = v128.load(EXP_LOG2E);
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
      const exponent = f32x4.pmin(f32x4.neg(f32x4.mul(gate, log2e)), most);
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
 * Mamba, Gu and Dao 2023. Item: a block of channels of one segment. Scratch: 8 n block + 32 n + 12 block bytes.
 */
export function selectiveScan(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<SelectiveScanParams>(params);
  const blocks = blocksOf(p);
  const n = p.n;
  const groupBytes = (<usize>n) << 5;
  const row = (<usize>p.block) << 2;
  const stride = (<usize>p.channels) << 2;
  const bc = scratch + <usize>(p.block >> 2) * groupBytes;
  const steps = bc + groupBytes;
  const entering = steps + row;
  const y = entering + row;
  for (let item = begin; item < end; ++item) {
    const segment = segmentAt(p, item / blocks);
    const channel = (item % blocks) * p.block;
    const channels = min(p.block, p.channels - channel);
    const groups = (channels + 3) >> 2;
    let furthest = i32x4.splat(0);
    for (let group = 0; group < groups; ++group) {
      const first = channel + (group << 2);
      const element = bytesTo(p, 0, first) * <usize>n;
      const h = p.initial && segment.initial >= 0 ? p.initial + bytesTo(p, segment.initial, first) * <usize>n : 0;
      const pack = scratch + <usize>group * groupBytes;
      furthest = f32x4.pmax(furthest, packStates(p.a + element, h, pack, n, p.channels - first));
    }
    const largest = max4(furthest);
    const offset = (<usize>channel) << 2;
    const bias = p.deltaBias ? p.deltaBias + offset : 0;
    const d = p.d ? p.d + offset : 0;
    // outputs that need nothing more go where they belong
    const direct = !p.d && !p.z && !(channels & 3);
    let at = bytesTo(p, segment.row, channel);
    let matrixRow = (<usize>segment.row * <usize>n) << 2;
    // bits by which a state may have fallen since small ones were last looked for
    let fallen: f32 = 0;
    for (let t = 0; t < segment.length; ++t) {
      if (t % FETCHED == 0) {
        const rows = min(FETCHED, segment.length - t);
        let any = fetch(p.delta + at, channels, stride, rows) | fetch(p.u + at, channels, stride, rows);
        if (p.z) any |= fetch(p.z + at, channels, stride, rows);
        // stored where it is soon overwritten: a value that goes nowhere need not be read
        store<i32>(y, any);
      }
      const most = stepSizes(p.delta + at, bias, p.u + at, p.softplus != 0, steps, entering, channels);
      if (p.running) accumulate(t > 0 ? p.running + at - stride : 0, steps, p.running + at, channels);
      spread(p.b + matrixRow, p.c + matrixRow, bc, n);
      const fall = max4(most) * largest;
      fallen += fall;
      const to = direct ? p.o + at : y;
      if (!(fall <= REACH)) {
        if (fall <= FAR) coarseToken(scratch, bc, steps, entering, to, groups, n);
        else limitedToken(scratch, bc, steps, entering, to, groups, n);
        fallen = 0;
      } else if (fallen + fall > 2 * REACH || t + 1 == segment.length) {
        flushToken(scratch, bc, steps, entering, to, groups, n);
        fallen = 0;
      } else plainToken(scratch, bc, steps, entering, to, groups, n);
      if (!direct) finish(y, d, p.u + at, p.z ? p.z + at : 0, p.o + at, channels, false);
      at += stride;
      matrixRow += (<usize>n) << 2;
    }
    for (let group = 0; group < groups; ++group) {
      const first = channel + (group << 2);
      const state = p.final + bytesTo(p, segment.state, first) * <usize>n;
      unpackStates(scratch + <usize>group * groupBytes, state, n, p.channels - first);
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
      const exponent = f32x4.pmin(f32x4.mul(step, v128.load(pack)), most);
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

import { sequenceAt, sequenceOfItem } from '../flash/sequence';
import { DiagonalScanParams } from '../params';
import { fma } from '../simd/fma';
import { sum4 } from '../simd/reduce';
import { tableBytes } from './discretize';

/** Steps that the states of four coefficients stay in registers for. */
const BLOCK: i32 = 64;
/** Up to this many steps states are not rescaled. */
const SHORT: i32 = 8;
/** Smaller states become zero after every few steps: products with denormals are slow, and some never decay. */
const FLUSH: f32 = 1e-25;
const FLUSH_STEPS: i32 = 16;

/** All ones in the first `count` lanes. */
// @ts-ignore: decorator
@inline
function firstLanes(count: i32): v128 {
  return i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(count));
}

/** Writes four complex states, of which `count` exist, as pairs. */
function storePairs(to: usize, re: v128, im: v128, count: i32): void {
  const low = i32x4.shuffle(re, im, 0, 4, 1, 5);
  const high = i32x4.shuffle(re, im, 2, 6, 3, 7);
  if (count == 1) {
    v128.store64_lane(to, low, 0);
    return;
  }
  v128.store(to, low);
  if (count == 3) v128.store64_lane(to + 16, high, 0);
  else if (count > 3) v128.store(to + 16, high);
}

/** x_t = a x_{t-1} + b u_t for a few steps, y added up lane by lane. */
function shortSteps(
  table: usize,
  from: usize,
  to: usize,
  count: i32,
  u: usize,
  stride: usize,
  steps: i32,
  sums: usize,
): void {
  const ar = v128.load(table);
  const ai = v128.load(table, 16);
  const br = v128.load(table, 32);
  const bi = v128.load(table, 48);
  const cr = v128.load(table, 64);
  const ci = v128.load(table, 80);
  let re = i32x4.splat(0);
  let im = re;
  if (from) {
    const exists = firstLanes(count);
    const low = v128.load(from);
    const high = v128.load(from, 16);
    re = v128.and(i32x4.shuffle(low, high, 0, 2, 4, 6), exists);
    im = v128.and(i32x4.shuffle(low, high, 1, 3, 5, 7), exists);
  }
  for (let t = 0; t < steps; ++t) {
    const x = v128.load32_splat(u);
    const next = fma(ar, re, f32x4.sub(f32x4.mul(br, x), f32x4.mul(ai, im)));
    im = fma(ar, im, fma(ai, re, f32x4.mul(bi, x)));
    re = next;
    v128.store(sums, fma(cr, re, f32x4.sub(v128.load(sums), f32x4.mul(ci, im))));
    u += stride;
    sums += 16;
  }
  storePairs(to, re, im, count);
}

/** s, zero where it is too small to count; NaN stays. */
// @ts-ignore: decorator
@inline
function settled(s: v128): v128 {
  return v128.andnot(s, f32x4.lt(f32x4.abs(s), f32x4.splat(FLUSH)));
}

/**
 * s_t = a s_{t-1} + u_t with s = x / b, for two groups of four states: without b on the input the recurrence is as short
 * as a complex product.
 */
function twoGroups(table: usize, states: usize, u: usize, stride: usize, steps: i32, sums: usize): void {
  const ar0 = v128.load(table);
  const ai0 = v128.load(table, 16);
  const nai0 = f32x4.neg(ai0);
  const cr0 = v128.load(table, 96);
  const ci0 = f32x4.neg(v128.load(table, 112));
  const ar1 = v128.load(table, 128);
  const ai1 = v128.load(table, 144);
  const nai1 = f32x4.neg(ai1);
  const cr1 = v128.load(table, 224);
  const ci1 = f32x4.neg(v128.load(table, 240));
  let re0 = v128.load(states);
  let im0 = v128.load(states, 16);
  let re1 = v128.load(states, 32);
  let im1 = v128.load(states, 48);
  for (let left = steps; left > 0; left -= FLUSH_STEPS) {
    for (let t = min(left, FLUSH_STEPS); t > 0; --t) {
      const x = v128.load32_splat(u);
      const next0 = fma(ar0, re0, fma(nai0, im0, x));
      im0 = fma(ar0, im0, f32x4.mul(ai0, re0));
      re0 = next0;
      const next1 = fma(ar1, re1, fma(nai1, im1, x));
      im1 = fma(ar1, im1, f32x4.mul(ai1, re1));
      re1 = next1;
      const real = fma(cr1, re1, fma(cr0, re0, v128.load(sums)));
      v128.store(sums, fma(ci1, im1, fma(ci0, im0, real)));
      sums += 16;
      u += stride;
    }
    re0 = settled(re0);
    im0 = settled(im0);
    re1 = settled(re1);
    im1 = settled(im1);
  }
  v128.store(states, re0);
  v128.store(states, im0, 16);
  v128.store(states, re1, 32);
  v128.store(states, im1, 48);
}

/** As twoGroups for one group. */
function oneGroup(table: usize, states: usize, u: usize, stride: usize, steps: i32, sums: usize): void {
  const ar = v128.load(table);
  const ai = v128.load(table, 16);
  const nai = f32x4.neg(ai);
  const cr = v128.load(table, 96);
  const ci = f32x4.neg(v128.load(table, 112));
  let re = v128.load(states);
  let im = v128.load(states, 16);
  for (let left = steps; left > 0; left -= FLUSH_STEPS) {
    for (let t = min(left, FLUSH_STEPS); t > 0; --t) {
      const x = v128.load32_splat(u);
      const next = fma(ar, re, fma(nai, im, x));
      im = fma(ar, im, f32x4.mul(ai, re));
      re = next;
      v128.store(sums, fma(cr, re, fma(ci, im, v128.load(sums))));
      sums += 16;
      u += stride;
    }
    re = settled(re);
    im = settled(im);
  }
  v128.store(states, re);
  v128.store(states, im, 16);
}

function allGroups(table: usize, states: usize, groups: i32, u: usize, stride: usize, steps: i32, sums: usize): void {
  let g = 0;
  for (; g + 2 <= groups; g += 2) {
    twoGroups(table + ((<usize>g) << 7), states + ((<usize>g) << 5), u, stride, steps, sums);
  }
  if (g < groups) oneGroup(table + ((<usize>g) << 7), states + ((<usize>g) << 5), u, stride, steps, sums);
}

/** Where the real part of b of state n is; its imaginary part is 16 bytes further on. */
// @ts-ignore: decorator
@inline
function inputWeight(table: usize, n: i32): usize {
  return table + ((<usize>(n >> 2)) << 7) + ((<usize>(n & 3)) << 2) + 32;
}

/** states = x / b, as groups of four real and four imaginary parts. */
function divided(table: usize, from: usize, n: i32, states: usize): void {
  for (let i = 0; i < n; ++i) {
    const b = inputWeight(table, i);
    const br = <f64>load<f32>(b);
    const bi = <f64>load<f32>(b, 16);
    const xr = <f64>load<f32>(from);
    const xi = <f64>load<f32>(from, 4);
    const inverse = 1 / (br * br + bi * bi);
    const at = states + ((<usize>(i >> 2)) << 5) + ((<usize>(i & 3)) << 2);
    store<f32>(at, <f32>((xr * br + xi * bi) * inverse));
    store<f32>(at, <f32>((xi * br - xr * bi) * inverse), 16);
    from += 8;
  }
}

/** x = states * b. */
function multiplied(table: usize, states: usize, n: i32, to: usize): void {
  for (let i = 0; i < n; ++i) {
    const b = inputWeight(table, i);
    const br = <f64>load<f32>(b);
    const bi = <f64>load<f32>(b, 16);
    const at = states + ((<usize>(i >> 2)) << 5) + ((<usize>(i & 3)) << 2);
    const sr = <f64>load<f32>(at);
    const si = <f64>load<f32>(at, 16);
    store<f32>(to, <f32>(sr * br - si * bi));
    store<f32>(to, <f32>(sr * bi + si * br), 4);
    to += 8;
  }
}

function flush(states: usize, groups: i32): void {
  const least = f32x4.splat(FLUSH);
  for (let end = states + ((<usize>groups) << 5); states < end; states += 16) {
    const s = v128.load(states);
    v128.store(states, v128.and(s, f32x4.ge(f32x4.abs(s), least)));
  }
}

/** y_t = sum of the lanes + d u_t. */
function writeOutput(sums: usize, u: usize, stride: usize, d: f32, o: usize, oStride: usize, steps: i32): void {
  for (let t = 0; t < steps; ++t) {
    store<f32>(o, sum4(v128.load(sums)) + d * load<f32>(u));
    sums += 16;
    u += stride;
    o += oStride;
  }
}

/** Bytes of scratch: sums of a block of time, and the states of a block of channels. */
export function diagonalScanScratchBytes(params: usize): i32 {
  const p = changetype<DiagonalScanParams>(params);
  return (BLOCK << 4) + p.blockD * (((p.states + 3) >> 2) << 5);
}

/**
 * Complex diagonal recurrence of every channel: x_t = a x_{t-1} + b u_t, o_t = Re sum_n c x_t + d u_t.
 *
 *   u             f32 [B, T, H]     any strides of B and T
 *   table         as diagonalTable writes it
 *   initialState  f32 [S, H, N, 2]  complex x before the first step; may be absent
 *   finalState    f32 [S, H, N, 2]  may be initialState
 *   d             f32 [H]           may be absent
 *   o             f32 [B, T, H]     any strides of B and T
 *
 * S4D (Gu 2022), equation 2. Item: (sequence, block of blockD channels).
 */
export function diagonalScan(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<DiagonalScanParams>(params);
  const n = p.states;
  const groups = (n + 3) >> 2;
  const bytes = tableBytes(n);
  const stride: usize = (<usize>p.uStrideT) << 2;
  const oStride: usize = (<usize>p.oStrideT) << 2;
  const stateBytes: usize = (<usize>n) << 3;
  const keptBytes: usize = (<usize>groups) << 5;
  const kept = scratch + ((<usize>BLOCK) << 4);
  for (let item = begin; item < end; ++item) {
    const index = sequenceOfItem(p.sequences, p.sequenceCount, item);
    const sequence = sequenceAt(p.sequences, index);
    const first = (item - sequence.firstItem) * p.blockD;
    const count = min(p.blockD, p.channels - first);
    const length = sequence.qLength;
    const u = p.u + ((<usize>(sequence.batch * p.uStrideB + sequence.qStart * p.uStrideT + first)) << 2);
    const o = p.o + ((<usize>(sequence.batch * p.oStrideB + sequence.qStart * p.oStrideT + first)) << 2);
    const state = <usize>(index * p.channels + first) * stateBytes;
    const table = p.table + <usize>first * bytes;
    const short = length <= SHORT;
    if (!short) {
      memory.fill(kept, 0, <usize>count * keptBytes);
      if (p.initialState) {
        for (let h = 0; h < count; ++h) {
          const from = p.initialState + state + <usize>h * stateBytes;
          divided(table + <usize>h * bytes, from, n, kept + <usize>h * keptBytes);
        }
      }
    }
    for (let t = 0; t == 0 || t < length; t += BLOCK) {
      const steps = min(BLOCK, length - t);
      for (let h = 0; h < count; ++h) {
        const own = table + <usize>h * bytes;
        const at = u + <usize>t * stride + ((<usize>h) << 2);
        memory.fill(scratch, 0, (<usize>steps) << 4);
        if (short) {
          const from = p.initialState ? p.initialState + state + <usize>h * stateBytes : 0;
          const to = p.finalState + state + <usize>h * stateBytes;
          for (let g = 0; g < groups; ++g) {
            const byte = (<usize>g) << 5;
            const group = own + ((<usize>g) << 7);
            shortSteps(group, from ? from + byte : 0, to + byte, min(4, n - (g << 2)), at, stride, steps, scratch);
          }
        } else {
          const states = kept + <usize>h * keptBytes;
          allGroups(own, states, groups, at, stride, steps, scratch);
        }
        const d: f32 = p.d ? load<f32>(p.d + ((<usize>(first + h)) << 2)) : 0;
        writeOutput(scratch, at, stride, d, o + <usize>t * oStride + ((<usize>h) << 2), oStride, steps);
      }
    }
    if (short) continue;
    for (let h = 0; h < count; ++h) {
      const to = p.finalState + state + <usize>h * stateBytes;
      multiplied(table + <usize>h * bytes, kept + <usize>h * keptBytes, n, to);
    }
  }
}

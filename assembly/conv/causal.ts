import { sequenceAt, sequenceOfItem } from '../flash/sequence';
import { CausalConvParams } from '../params';
import { SILU, siluRow } from '../simd/activation';
import { fma } from '../simd/fma';

/** Writes the first `count` lanes, 1 to 3. */
export function storeLanes(to: usize, x: v128, count: i32): void {
  store<f32>(to, f32x4.extract_lane(x, 0));
  if (count > 1) store<f32>(to, f32x4.extract_lane(x, 1), 4);
  if (count > 2) store<f32>(to, f32x4.extract_lane(x, 2), 8);
}

/** Four rows of four channels: output row r takes rows r to r + taps - 1 of x. */
// @ts-ignore: decorator
@inline
function tile4(
  x: usize,
  stride: usize,
  table: usize,
  width: usize,
  taps: i32,
  o: usize,
  oStride: usize,
  left: i32,
): void {
  let x0 = v128.load(x);
  let x1 = v128.load(x + stride);
  let x2 = v128.load(x + 2 * stride);
  let at = x + 3 * stride;
  let x3 = v128.load(at);
  const bias = v128.load(table);
  let weights = table + width;
  let w = v128.load(weights);
  let a0 = fma(x0, w, bias);
  let a1 = fma(x1, w, bias);
  let a2 = fma(x2, w, bias);
  let a3 = fma(x3, w, bias);
  if (taps > 1) {
    at += stride;
    weights += width;
    w = v128.load(weights);
    x0 = v128.load(at);
    a0 = fma(x1, w, a0);
    a1 = fma(x2, w, a1);
    a2 = fma(x3, w, a2);
    a3 = fma(x0, w, a3);
  }
  if (taps > 2) {
    at += stride;
    weights += width;
    w = v128.load(weights);
    x1 = v128.load(at);
    a0 = fma(x2, w, a0);
    a1 = fma(x3, w, a1);
    a2 = fma(x0, w, a2);
    a3 = fma(x1, w, a3);
  }
  if (taps > 3) {
    at += stride;
    weights += width;
    w = v128.load(weights);
    x2 = v128.load(at);
    a0 = fma(x3, w, a0);
    a1 = fma(x0, w, a1);
    a2 = fma(x1, w, a2);
    a3 = fma(x2, w, a3);
  }
  if (taps > 4) {
    for (let tap = 4; tap < taps; ++tap) {
      at += stride;
      weights += width;
      w = v128.load(weights);
      x3 = v128.load(at);
      a0 = fma(x0, w, a0);
      a1 = fma(x1, w, a1);
      a2 = fma(x2, w, a2);
      a3 = fma(x3, w, a3);
      x0 = x1;
      x1 = x2;
      x2 = x3;
    }
  }
  if (left >= 4) {
    v128.store(o, a0);
    v128.store(o + oStride, a1);
    v128.store(o + 2 * oStride, a2);
    v128.store(o + 3 * oStride, a3);
  } else {
    storeLanes(o, a0, left);
    storeLanes(o + oStride, a1, left);
    storeLanes(o + 2 * oStride, a2, left);
    storeLanes(o + 3 * oStride, a3, left);
  }
}

/** The rows of `rows` that make whole fours, for one number of taps so that tile4 holds no test of it. */
// @ts-ignore: decorator
@inline
function rowsOf(
  x: usize,
  stride: usize,
  table: usize,
  width: usize,
  taps: i32,
  activation: i32,
  o: usize,
  oStride: usize,
  rows: i32,
  n: i32,
): void {
  for (let left = rows >> 2; left > 0; --left) {
    for (let d = 0; d < n; d += 4) {
      const byte = (<usize>d) << 2;
      tile4(x + byte, stride, table + byte, width, taps, o + byte, oStride, n - d);
    }
    // in a pass of its own the activation keeps its constants in registers
    for (let i = 0; i < 4; ++i) {
      if (activation == SILU) siluRow(o, n);
      o += oStride;
    }
    x += 4 * stride;
  }
}

/** `rows` rows of n channels, one by one. */
function singleRows(
  x: usize,
  stride: usize,
  table: usize,
  width: usize,
  taps: i32,
  activation: i32,
  o: usize,
  oStride: usize,
  rows: i32,
  n: i32,
): void {
  for (; rows > 0; --rows) {
    for (let d = 0; d < n; d += 4) {
      const byte = (<usize>d) << 2;
      let at = x + byte;
      let weights = table + byte;
      let sum = v128.load(weights);
      for (let tap = 0; tap < taps; ++tap) {
        weights += width;
        sum = fma(v128.load(at), v128.load(weights), sum);
        at += stride;
      }
      if (n - d >= 4) v128.store(o + byte, sum);
      else storeLanes(o + byte, sum, n - d);
    }
    if (activation == SILU) siluRow(o, n);
    x += stride;
    o += oStride;
  }
}

function convRows(
  x: usize,
  stride: usize,
  table: usize,
  width: usize,
  taps: i32,
  activation: i32,
  o: usize,
  oStride: usize,
  rows: i32,
  n: i32,
): void {
  if (taps == 4) rowsOf(x, stride, table, width, 4, activation, o, oStride, rows, n);
  else if (taps == 3) rowsOf(x, stride, table, width, 3, activation, o, oStride, rows, n);
  else if (taps == 2) rowsOf(x, stride, table, width, 2, activation, o, oStride, rows, n);
  else rowsOf(x, stride, table, width, taps, activation, o, oStride, rows, n);
  const whole = <usize>(rows & ~3);
  singleRows(x + whole * stride, stride, table, width, taps, activation, o + whole * oStride, oStride, rows & 3, n);
}

/** to[c][n] = from[n][c] of rows of `columns`; rows of `to` are `width` bytes apart. */
function transposed(from: usize, n: i32, columns: i32, to: usize, width: usize): void {
  for (let d = 0; d < n; ++d) {
    let at = to + ((<usize>d) << 2);
    for (let c = 0; c < columns; ++c) {
      store<f32>(at, load<f32>(from));
      at += width;
      from += 4;
    }
  }
}

/** Floats of scratch: a row of biases, the taps, and the rows around the beginning of a sequence. */
export function causalConvScratchBytes(params: usize): i32 {
  const p = changetype<CausalConvParams>(params);
  return 4 * p.blockD * (1 + p.taps + 2 * (p.taps - 1));
}

/**
 * Depthwise causal convolution along time, a cross-correlation: o_t = act(bias + sum_w weight[w] x[t - taps + 1 + w]).
 * Rows before the first come from the initial state, zeros without one.
 *
 *   x             f32 [B, T, D]         any strides of B and T
 *   weight        f32 [D, taps]         contiguous
 *   bias          f32 [D]               may be absent
 *   initialState  f32 [N, D, taps - 1]  inputs before the first, oldest first; may be absent
 *   finalState    f32 [N, D, taps - 1]  the last inputs; may be initialState where a sequence has one block of time
 *   o             f32 [B, T, D]         any strides of B and T; must not alias x
 *
 * Short convolutions of H3 (Fu 2022) and Mamba (Gu and Dao 2023). Item: (sequence, block of time, block of channels);
 * blockT is at least taps, blockD a multiple of 4.
 */
export function causalConv(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<CausalConvParams>(params);
  const taps = p.taps;
  const history = taps - 1;
  const width: usize = (<usize>p.blockD) << 2;
  const head = scratch + <usize>(1 + taps) * width;
  const stride: usize = (<usize>p.xStrideT) << 2;
  const oStride: usize = (<usize>p.oStrideT) << 2;
  const blocksD = (p.channels + p.blockD - 1) / p.blockD;
  for (let item = begin; item < end; ++item) {
    const index = sequenceOfItem(p.sequences, p.sequenceCount, item);
    const sequence = sequenceAt(p.sequences, index);
    const local = item - sequence.firstItem;
    const block = local / blocksD;
    const d0 = (local - block * blocksD) * p.blockD;
    const n = min(p.blockD, p.channels - d0);
    const length = sequence.qLength;
    const first = block * p.blockT;
    const last = min(first + p.blockT, length);
    const x = p.x + ((<usize>(sequence.batch * p.xStrideB + sequence.qStart * p.xStrideT + d0)) << 2);
    const o = p.o + ((<usize>(sequence.batch * p.oStrideB + sequence.qStart * p.oStrideT + d0)) << 2);
    const states = (<usize>((index * p.channels + d0) * history)) << 2;
    if (p.bias) memory.copy(scratch, p.bias + ((<usize>d0) << 2), (<usize>n) << 2);
    else memory.fill(scratch, 0, width);
    transposed(p.weight + ((<usize>(d0 * taps)) << 2), n, taps, scratch + width, width);
    let from = first;
    if (first == 0) {
      from = min(history, length);
      if (p.initialState) transposed(p.initialState + states, n, history, head, width);
      else memory.fill(head, 0, <usize>history * width);
      for (let r = 0; r < from; ++r) {
        memory.copy(head + <usize>(history + r) * width, x + <usize>r * stride, (<usize>n) << 2);
      }
      convRows(head, width, scratch, width, taps, p.activation, o, oStride, from, n);
    }
    const rows = last - from;
    if (rows > 0) {
      const at = x + <usize>(from - history) * stride;
      convRows(at, stride, scratch, width, taps, p.activation, o + <usize>from * oStride, oStride, rows, n);
    }
    if (last < length) continue;
    // a state that is written in place is read ahead of where it is written
    for (let d = 0; d < n; ++d) {
      const state = states + ((<usize>(d * history)) << 2);
      for (let r = 0; r < history; ++r) {
        const t = length - history + r;
        let value: f32 = 0;
        if (t >= 0) value = load<f32>(x + <usize>t * stride + ((<usize>d) << 2));
        else if (p.initialState) value = load<f32>(p.initialState + state + ((<usize>(length + r)) << 2));
        store<f32>(p.finalState + state + ((<usize>r) << 2), value);
      }
    }
  }
}

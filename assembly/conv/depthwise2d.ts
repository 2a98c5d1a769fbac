import { DepthwiseConv2dParams } from '../params';
import { fma } from '../simd/fma';
import { storeLanes } from './causal';

/** Four pixels of four channels next to each other; every column of x that they take exists. */
function tile4(
  x: usize,
  row: usize,
  pixel: usize,
  weight: usize,
  weightRow: usize,
  high: i32,
  wide: i32,
  bias: v128,
  o: usize,
  left: i32,
): void {
  let a0 = bias;
  let a1 = bias;
  let a2 = bias;
  let a3 = bias;
  for (let i = 0; i < high; ++i) {
    let at = x;
    let tap = weight;
    let x0 = v128.load(at);
    let x1 = v128.load(at + pixel);
    let x2 = v128.load(at + 2 * pixel);
    at += 3 * pixel;
    for (let j = 0; j < wide; ++j) {
      const w = v128.load(tap);
      const x3 = v128.load(at);
      a0 = fma(x0, w, a0);
      a1 = fma(x1, w, a1);
      a2 = fma(x2, w, a2);
      a3 = fma(x3, w, a3);
      x0 = x1;
      x1 = x2;
      x2 = x3;
      at += pixel;
      tap += pixel;
    }
    x += row;
    weight += weightRow;
  }
  if (left >= 4) {
    v128.store(o, a0);
    v128.store(o + pixel, a1);
    v128.store(o + 2 * pixel, a2);
    v128.store(o + 3 * pixel, a3);
  } else {
    storeLanes(o, a0, left);
    storeLanes(o + pixel, a1, left);
    storeLanes(o + 2 * pixel, a2, left);
    storeLanes(o + 3 * pixel, a3, left);
  }
}

/** One pixel of four channels. */
function tile1(
  x: usize,
  row: usize,
  pixel: usize,
  weight: usize,
  weightRow: usize,
  high: i32,
  wide: i32,
  bias: v128,
  o: usize,
  left: i32,
): void {
  let sum = bias;
  for (let i = 0; i < high; ++i) {
    let at = x;
    let tap = weight;
    for (let j = 0; j < wide; ++j) {
      sum = fma(v128.load(at), v128.load(tap), sum);
      at += pixel;
      tap += pixel;
    }
    x += row;
    weight += weightRow;
  }
  if (left >= 4) v128.store(o, sum);
  else storeLanes(o, sum, left);
}

/**
 * Depthwise convolution of images, a cross-correlation with zeros around them: o[y, x] = bias + sum_ij weight[i, j]
 * x[y + i - (kh - 1) / 2, x + j - (kw - 1) / 2].
 *
 *   x, o    f32 [B, height, width, C]   contiguous; o must not alias x
 *   weight  f32 [kh, kw, C]             contiguous
 *   bias    f32 [C]                     may be absent
 *
 * The convolution of V in FLatten (Han 2023) and SLAB (Guo 2024). Item: one row of an image.
 */
export function depthwiseConv2d(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<DepthwiseConv2dParams>(params);
  const pixel: usize = (<usize>p.channels) << 2;
  const row = pixel * <usize>p.width;
  const weightRow = pixel * <usize>p.kw;
  const above = (p.kh - 1) >> 1;
  const before = (p.kw - 1) >> 1;
  // the first pixel whose taps all exist, and the first behind them
  const whole = p.width - p.kw + 1 + before;
  for (let item = begin; item < end; ++item) {
    const y = item % p.height;
    const image = p.x + <usize>(item - y) * row;
    const out = p.o + <usize>item * row;
    const i0 = max(0, above - y);
    const high = min(p.kh, p.height + above - y) - i0;
    const from = image + <usize>(y + i0 - above) * row;
    const weight = p.weight + <usize>i0 * weightRow;
    let x = 0;
    while (x < p.width) {
      const four = x >= before && x + 4 <= whole;
      const j0 = max(0, before - x);
      const wide = min(p.kw, p.width + before - x) - j0;
      for (let c = 0; c < p.channels; c += 4) {
        const byte = (<usize>c) << 2;
        const bias = p.bias ? v128.load(p.bias + byte) : i32x4.splat(0);
        const at = from + <usize>(x + j0 - before) * pixel + byte;
        const to = out + <usize>x * pixel + byte;
        const left = p.channels - c;
        if (four) tile4(at, row, pixel, weight + byte, weightRow, high, p.kw, bias, to, left);
        else tile1(at, row, pixel, weight + <usize>j0 * pixel + byte, weightRow, high, wide, bias, to, left);
      }
      x += four ? 4 : 1;
    }
  }
}

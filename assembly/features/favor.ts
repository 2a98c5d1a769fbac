import { FavorParams } from '../params';
import { exp4 } from '../simd/exp';
import { maxRow, squareRow } from '../simd/row';
import { featureRow, inputRow, storeLanes } from './row';

/** o = ratio * (e^(scale * o - shift) + epsilon), or max(scale * o, 0) in place of the exponential, over n values. */
// @ts-ignore: decorator
@inline
function finishRow(o: usize, n: i32, p: FavorParams, shift: f32, relu: bool): void {
  const scale = f32x4.splat(p.scale);
  const s = f32x4.splat(shift);
  const epsilon = f32x4.splat(p.epsilon);
  const ratio = f32x4.splat(p.ratio);
  const zero = i32x4.splat(0);
  for (let i: usize = 0, all = (<usize>n) << 2; i < all; i += 16) {
    const y = f32x4.mul(v128.load(o + i), scale);
    const f = relu ? f32x4.pmax(y, zero) : exp4(f32x4.sub(y, s));
    const z = f32x4.mul(f32x4.add(f, epsilon), ratio);
    if (all - i >= 16) v128.store(o + i, z);
    else storeLanes(o + i, z, <i32>((all - i) >> 2));
  }
}

/**
 * Largest projection of each (batch, head), over all positions and features.
 *
 *   o       f32 [B, T, H, F]  contiguous: projections w x
 *   maxima  f32 [B, H]
 *
 * Item: one (batch, head).
 */
export function favorMaxima(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<FavorParams>(params);
  for (let item = begin; item < end; ++item) {
    const batch = item / p.heads;
    const first = batch * p.length * p.heads + item - batch * p.heads;
    let most: f32 = -Infinity;
    for (let t = 0; t < p.length; ++t) {
      const row = maxRow(featureRow(p, first + t * p.heads), p.features);
      if (row > most) most = row;
    }
    store<f32>(p.maxima + ((<usize>item) << 2), most);
  }
}

/**
 * Positive random features from projections, in place: o = ratio (e^(scale w x - square |x|^2 - c) + epsilon), c a
 * constant, a row's largest scale w x, or that of its (batch, head); or ratio (max(scale w x, 0) + epsilon).
 *
 *   x       f32 [B, T, H, d]  any strides, last axis contiguous
 *   o       f32 [B, T, H, F]  contiguous: projections w x in, features out
 *   maxima  f32 [B, H]        where c is the (batch, head)'s
 *
 * Choromanski 2021 (FAVOR+). Item: one row.
 */
export function favor(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<FavorParams>(params);
  for (let item = begin; item < end; ++item) {
    const o = featureRow(p, item);
    if (p.relu) {
      finishRow(o, p.features, p, 0, true);
      continue;
    }
    let c = p.constant;
    if (p.stabilizer == 1) c = p.scale * maxRow(o, p.features);
    if (p.stabilizer == 2) {
      const batch = item / (p.heads * p.length);
      c = p.scale * load<f32>(p.maxima + ((<usize>(batch * p.heads + (item % p.heads))) << 2));
    }
    finishRow(o, p.features, p, p.square * squareRow(inputRow(p, item), p.d, 0) + c, false);
  }
}

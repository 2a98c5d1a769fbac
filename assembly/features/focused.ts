import { FocusedParams } from '../params';
import { exp4 } from '../simd/exp';
import { fma } from '../simd/fma';
import { log4 } from '../simd/log4';
import { max4, sum4 } from '../simd/reduce';
import { featureRow, inputRow, scaleRow, storeLanes } from './row';

/** The first n of four lanes, zeros behind them. */
function firstLanes(x: v128, n: i32): v128 {
  return v128.and(x, i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(n)));
}

/** u^power for 0 <= u <= 1; products for small whole powers, else e^(power ln u), 0 at 0. */
// @ts-ignore: decorator
@inline
function power4(u: v128, power: f32): v128 {
  if (power == 3) return f32x4.mul(f32x4.mul(u, u), u);
  if (power == 2) return f32x4.mul(u, u);
  return exp4(f32x4.mul(log4(u), f32x4.splat(power)));
}

/**
 * o = |r| r^power / |r^power|, r = max(x, 0): the direction sharpened, the length kept; 0 where r = 0.
 *
 *   x  f32 [B, T, H, d]  any strides, last axis contiguous
 *   o  f32 [B, T, H, d]  contiguous; may be x
 *
 * Han 2023 (FLatten). Item: one row.
 */
export function featureFocused(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<FocusedParams>(params);
  const n = (<usize>p.d) << 2;
  const zero = i32x4.splat(0);
  for (let item = begin; item < end; ++item) {
    const x = inputRow(p, item);
    const o = featureRow(p, item);
    let most = zero;
    let sums = zero;
    for (let i: usize = 0; i < n; i += 16) {
      const r = f32x4.pmax(firstLanes(v128.load(x + i), <i32>((n - i) >> 2)), zero);
      most = f32x4.pmax(most, r);
      sums = f32x4.add(sums, r);
    }
    const size = max4(most);
    // the maximum passes NaN over, the sum does not
    const empty = size == 0 && sum4(sums) == 0;
    // powers of r over its maximum neither overflow nor vanish together
    const unit: f32 = empty ? 1 : size;
    const u = f32x4.splat(unit);
    let squares = zero;
    let powers = zero;
    for (let i: usize = 0; i < n; i += 16) {
      const left = <i32>((n - i) >> 2);
      const r = f32x4.div(f32x4.pmax(firstLanes(v128.load(x + i), left), zero), u);
      const w = power4(r, p.power);
      squares = fma(r, r, squares);
      powers = fma(w, w, powers);
      if (left >= 4) v128.store(o + i, w);
      else storeLanes(o + i, w, left);
    }
    scaleRow(o, o, p.d, empty ? 0 : unit * sqrt<f32>(sum4(squares) / sum4(powers)));
  }
}

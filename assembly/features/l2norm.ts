import { L2NormParams } from '../params';
import { maxAbsRow, squareRow } from '../simd/row';
import { featureRow, inputRow, scaleRow, storeLanes } from './row';

/** Squares of values between these neither overflow nor vanish beside each other. */
const SMALL: f32 = 1e-15;
const LARGE: f32 = 1e15;

/** o[n] = x[n] / unit. */
function divideRow(x: usize, o: usize, n: i32, unit: f32): void {
  const u = f32x4.splat(unit);
  let i: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) v128.store(o + i, f32x4.div(v128.load(x + i), u));
  storeLanes(o + i, f32x4.div(v128.load(x + i), u), n & 3);
}

/**
 * o = x / max(sqrt(sum x^2 + epsilon), floor) over each row; a row of zeros stays zeros.
 *
 *   x  f32 [B, T, H, d]  any strides, last axis contiguous
 *   o  f32 [B, T, H, d]  contiguous; may be x
 *
 * Item: one row.
 */
export function featureL2Norm(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<L2NormParams>(params);
  for (let item = begin; item < end; ++item) {
    let x = inputRow(p, item);
    const o = featureRow(p, item);
    const size = maxAbsRow(x, p.d);
    let unit: f32 = 1;
    if (size != 0 && !(size > SMALL && size < LARGE)) {
      unit = size;
      divideRow(x, o, p.d, unit);
      x = o;
    }
    const square = <f64>squareRow(x, p.d, 0) * <f64>unit * <f64>unit + <f64>p.epsilon;
    // zeros stay zeros without epsilon too
    const norm = max<f64>(sqrt<f64>(square), <f64>p.floor);
    scaleRow(x, o, p.d, square == 0 ? <f32>0 : <f32>(<f64>unit / norm));
  }
}

import { PointwiseParams } from '../params';
import { exp4 } from '../simd/exp';
import { sigmoid4 } from '../simd/sigmoid';
import { logSigmoid4, softplus4 } from '../simd/softplus';
import { tanh4 } from '../simd/tanh';
import { featureRow, inputRow, storeLanes } from './row';

const ELU1: i32 = 0;
const RELU: i32 = 1;
const SQUARED_RELU: i32 = 2;
const SIGMOID: i32 = 3;
const EXP: i32 = 4;
const SILU: i32 = 5;
const TANH: i32 = 6;
const SOFTPLUS: i32 = 7;
const LOG_SIGMOID: i32 = 8;

/** A function by number. NaN stays NaN: pmax gives its first operand unless that is the smaller one. */
// @ts-ignore: decorator
@inline
function map4(x: v128, map: i32): v128 {
  const zero = i32x4.splat(0);
  if (map == RELU) return f32x4.pmax(x, zero);
  if (map == SQUARED_RELU) {
    const y = f32x4.pmax(x, zero);
    return f32x4.mul(y, y);
  }
  if (map == SIGMOID) return sigmoid4(x);
  if (map == EXP) return exp4(x);
  if (map == SILU) return f32x4.mul(x, sigmoid4(x));
  if (map == TANH) return tanh4(x);
  if (map == SOFTPLUS) return softplus4(x);
  if (map == LOG_SIGMOID) return logSigmoid4(x);
  return v128.bitselect(f32x4.add(x, f32x4.splat(1)), exp4(x), f32x4.gt(x, zero));
}

/** o[n] = factor * map(x[n]), inlined once for each function so that no loop asks for it. */
// @ts-ignore: decorator
@inline
function mapAs(x: usize, o: usize, n: i32, map: i32, factor: f32): void {
  const f = f32x4.splat(factor);
  for (; n > 0; n -= 4) {
    const y = f32x4.mul(map4(v128.load(x), map), f);
    if (n >= 4) v128.store(o, y);
    else storeLanes(o, y, n);
    x += 16;
    o += 16;
  }
}

function mapRow(x: usize, o: usize, n: i32, map: i32, factor: f32): void {
  if (map == RELU) mapAs(x, o, n, RELU, factor);
  else if (map == SQUARED_RELU) mapAs(x, o, n, SQUARED_RELU, factor);
  else if (map == SIGMOID) mapAs(x, o, n, SIGMOID, factor);
  else if (map == EXP) mapAs(x, o, n, EXP, factor);
  else if (map == SILU) mapAs(x, o, n, SILU, factor);
  else if (map == TANH) mapAs(x, o, n, TANH, factor);
  else if (map == SOFTPLUS) mapAs(x, o, n, SOFTPLUS, factor);
  else if (map == LOG_SIGMOID) mapAs(x, o, n, LOG_SIGMOID, factor);
  else mapAs(x, o, n, ELU1, factor);
}

/**
 * o = factor * f(x), f by number: elu(x) + 1, max(x, 0), its square, 1 / (1 + e^-x), e^x, x / (1 + e^-x), tanh x,
 * ln(1 + e^x), -ln(1 + e^-x).
 *
 *   x  f32 [B, T, H, d]  any strides, last axis contiguous
 *   o  f32 [B, T, H, d]  contiguous; may be x
 *
 * Katharopoulos 2020 (elu + 1); So 2021 (squared relu). Item: one row of d elements, of which the last may have fewer.
 */
export function featurePointwise(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<PointwiseParams>(params);
  for (let item = begin; item < end; ++item) {
    mapRow(inputRow(p, item), featureRow(p, item), min(p.d, p.size - item * p.d), p.map, p.factor);
  }
}

import { AttentionParams, Sequence } from '../params';
import { LN2, LOG2E } from '../simd/constants';
import { exp2 } from '../simd/exp2';
import { ln } from '../simd/log';

/** Result of one softmax row before it is written: lse, the factor on the unnormalised output, and the one on what o holds. */
@unmanaged
export class RowEnd {
  lse: f32;
  inverse: f32;
  keep: f32;
}

/**
 * Closes a row: adds the sink to the denominator and takes its logarithm.
 *
 *   m     log2 reference; -Infinity where no key was visible
 *   l     sum of 2^(s - m)
 *   base  natural units, what keyBiasBase subtracted
 */
export function closeRow(p: AttentionParams, h: i32, m: f32, l: f32, base: f64, end: RowEnd): void {
  let weight: f32 = 1;
  if (p.sinks) {
    const sink = <f32>(<f64>load<f32>(p.sinks + ((<usize>h) << 2)) - base) * LOG2E;
    const top = max(m, sink);
    weight = m == -Infinity ? 0 : exp2(m - top);
    l = l * weight + (sink == -Infinity ? 0 : exp2(sink - top));
    m = top;
  }
  if (m == -Infinity && l == 0) {
    end.lse = -Infinity;
    end.inverse = 0;
  } else {
    const lse: f64 = l != l ? NaN : <f64>m * LN2 + ln(<f64>l) + base;
    end.lse = <f32>lse;
    end.inverse = weight / l;
  }
}

/** Values of `accumulate`. */
const OVERWRITE = 0;
export const ADD = 1;

/**
 * What becomes of query row i's o and lse that are there already: overwritten, added to, or a result over other keys, which is joined.
 *
 *   lse = ln(e^before + e^now),  o = e^(before - lse) o + e^(now - lse) now's
 */
export function joinRow(p: AttentionParams, s: Sequence, h: i32, i: i32, end: RowEnd): void {
  end.keep = p.accumulate == OVERWRITE ? 0 : 1;
  if (p.accumulate <= ADD) return;
  const at = s.batch * p.lseStrideB + (s.qStart + i) * p.lseStrideT + h * p.lseStrideH;
  const before = load<f32>(p.lse + ((<usize>at) << 2));
  const top = max(before, end.lse);
  const base: f32 = top == -Infinity ? 0 : top;
  const old = exp2((before - base) * LOG2E);
  const now = exp2((end.lse - base) * LOG2E);
  const sum = old + now;
  const inverse: f32 = sum == 0 ? 0 : 1 / sum;
  end.inverse *= now * inverse;
  end.keep = old * inverse;
  end.lse = sum == 0 ? -Infinity : <f32>(<f64>base + ln(<f64>sum));
}

/** Factor on the output of a head. */
// @ts-ignore: decorator
@inline
export function outGain(p: AttentionParams, s: Sequence, h: i32): f32 {
  return p.outScale ? load<f32>(p.outScale + ((<usize>(s.batch * p.outScaleStrideB + h)) << 2)) : 1;
}

/** Writes the lse of query row i. */
export function writeLse(p: AttentionParams, s: Sequence, h: i32, i: i32, lse: f32): void {
  if (!p.lse) return;
  const at = s.batch * p.lseStrideB + (s.qStart + i) * p.lseStrideT + h * p.lseStrideH;
  store<f32>(p.lse + ((<usize>at) << 2), lse);
}

/** Address of o for query row i. */
// @ts-ignore: decorator
@inline
export function outputRow(p: AttentionParams, s: Sequence, h: i32, i: i32): usize {
  return p.o + ((<usize>(s.batch * p.oStrideB + (s.qStart + i) * p.oStrideT + h * p.oStrideH)) << 2);
}

/** o[c..c+4] (+)= x, as many of the four as are below dv. */
// @ts-ignore: decorator
@inline
export function writeOutput(p: AttentionParams, row: usize, c: i32, x: v128): void {
  const to = row + ((<usize>c) << 2);
  if (c + 4 <= p.dv) {
    v128.store(to, p.accumulate ? f32x4.add(x, v128.load(to)) : x);
    return;
  }
  for (let d: usize = 0; d < <usize>(p.dv - c); ++d) {
    const old: f32 = p.accumulate ? load<f32>(to + (d << 2)) : 0;
    store<f32>(to + (d << 2), f32x4.extract_lane(x, 0) + old);
    x = i32x4.shuffle(x, x, 1, 2, 3, 0);
  }
}

/** A row of o = factor * the row of 8-wide strips at `acc`, `stride` bytes apart, + keep * what it holds unless that is 0. */
export function writeStrips(acc: usize, stride: usize, row: usize, dv: i32, factor: f32, keep: f32): void {
  const x = f32x4.splat(factor);
  const y = f32x4.splat(keep);
  const old = keep != 0;
  for (let left = dv >> 3; left > 0; --left) {
    let low = f32x4.mul(v128.load(acc), x);
    let high = f32x4.mul(v128.load(acc, 16), x);
    if (old) {
      low = f32x4.add(low, f32x4.mul(v128.load(row), y));
      high = f32x4.add(high, f32x4.mul(v128.load(row, 16), y));
    }
    v128.store(row, low);
    v128.store(row, high, 16);
    acc += stride;
    row += 32;
  }
  for (let c: usize = 0; c < (<usize>(dv & 7)) << 2; c += 4) {
    const held: f32 = old ? load<f32>(row + c) * keep : 0;
    store<f32>(row + c, load<f32>(acc + c) * factor + held);
  }
}

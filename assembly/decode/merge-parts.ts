import { MergePartsParams } from '../params';
import { LOG2E } from '../simd/constants';
import { exp2 } from '../simd/exp2';
import { ln } from '../simd/log';

/** o[n] = weight * x[n], or added to it. */
function addPart(x: usize, o: usize, n: i32, weight: f32, add: i32): void {
  const w = f32x4.splat(weight);
  let i: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) {
    const y = f32x4.mul(v128.load(x + i), w);
    v128.store(o + i, add ? f32x4.add(v128.load(o + i), y) : y);
  }
  for (const all = (<usize>n) << 2; i < all; i += 4) {
    const y = load<f32>(x + i) * weight;
    store<f32>(o + i, add ? load<f32>(o + i) + y : y);
  }
}

/**
 * Joins several attention results of one row, each over keys of its own; keys that are in several count as often.
 *
 *   parts     f32 [rows, count, d]   contiguous
 *   lseParts  f32 [rows, count]      natural units; -Infinity: no key was seen
 *   o         f32 [rows, d]          contiguous; must not alias parts
 *   lse       f32 [rows]             may be absent
 *
 *   lse = ln sum_i e^lse_i,  o = sum_i e^(lse_i - lse) o_i;  zeros and -Infinity where no part saw a key
 *
 * Item: one row. Scratch: f32 [count].
 */
export function mergeParts(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<MergePartsParams>(params);
  const count = <usize>p.count;
  const rowBytes = (<usize>p.d) << 2;
  for (let item = begin; item < end; ++item) {
    const lseParts = p.lseParts + ((<usize>item * count) << 2);
    let most: f32 = -Infinity;
    for (let i: usize = 0; i < count; ++i) most = max<f32>(most, load<f32>(lseParts + (i << 2)));
    const base: f32 = most == -Infinity ? 0 : most;
    let sum: f32 = 0;
    for (let i: usize = 0; i < count; ++i) {
      const weight = exp2((load<f32>(lseParts + (i << 2)) - base) * LOG2E);
      store<f32>(scratch + (i << 2), weight);
      sum += weight;
    }
    const inverse: f32 = sum == 0 ? 0 : 1 / sum;
    const o = p.o + <usize>item * rowBytes;
    for (let i: usize = 0; i < count; ++i) {
      const weight = load<f32>(scratch + (i << 2)) * inverse;
      addPart(p.parts + (<usize>item * count + i) * rowBytes, o, p.d, weight, i > 0 ? 1 : 0);
    }
    if (!p.lse) continue;
    const lse: f64 = sum == 0 ? -Infinity : <f64>base + ln(<f64>sum);
    store<f32>(p.lse + ((<usize>item) << 2), <f32>lse);
  }
}

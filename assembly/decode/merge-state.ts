import { MergeStateParams } from '../params';
import { LOG2E } from '../simd/constants';
import { exp2 } from '../simd/exp2';
import { ln } from '../simd/log';

/**
 * Joins two attention results over disjoint keys.
 *
 *   oA, oB, o        f32 [rows, d]   contiguous; o may be oA or oB
 *   lseA, lseB, lse  f32 [rows]      natural units; -Infinity: no key was seen
 *
 *   lse = ln(e^lseA + e^lseB),  o = oA e^(lseA - lse) + oB e^(lseB - lse)
 *
 * Item: one row.
 */
export function mergeState(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<MergeStateParams>(params);
  for (let item = begin; item < end; ++item) {
    const lseA = load<f32>(p.lseA + ((<usize>item) << 2));
    const lseB = load<f32>(p.lseB + ((<usize>item) << 2));
    const m = max(lseA, lseB);
    const base: f32 = m == -Infinity ? 0 : m;
    const a = exp2((lseA - base) * LOG2E);
    const b = exp2((lseB - base) * LOG2E);
    const sum = a + b;
    const inverse: f32 = sum == 0 ? 0 : 1 / sum;
    const wa = a * inverse;
    const wb = b * inverse;
    const row = <usize>item * ((<usize>p.d) << 2);
    const va = f32x4.splat(wa);
    const vb = f32x4.splat(wb);
    let c: usize = 0;
    for (const whole = (<usize>(p.d & ~3)) << 2; c < whole; c += 16) {
      const x = f32x4.mul(va, v128.load(p.oA + row + c));
      v128.store(p.o + row + c, f32x4.add(x, f32x4.mul(vb, v128.load(p.oB + row + c))));
    }
    for (const all = (<usize>p.d) << 2; c < all; c += 4) {
      store<f32>(p.o + row + c, wa * load<f32>(p.oA + row + c) + wb * load<f32>(p.oB + row + c));
    }
    const lse: f64 = sum == 0 ? -Infinity : <f64>base + ln(<f64>sum);
    store<f32>(p.lse + ((<usize>item) << 2), <f32>lse);
  }
}

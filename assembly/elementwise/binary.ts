import { BinaryParams } from '../params';

/** Elements of one work item. */
const SPAN: i32 = 4096;

/**
 * o = a + b or a * b, b repeated along leading axes.
 *
 *   a, o  f32 [n]        o may be a
 *   b     f32 [period]   period divides n
 *
 * Item: 4096 elements.
 */
export function binary(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<BinaryParams>(params);
  const stop = min(p.n, end * SPAN);
  let i = begin * SPAN;
  while (i < stop) {
    // up to where b starts again
    const from = i % p.period;
    const n = min(stop - i, p.period - from);
    const a = p.a + ((<usize>i) << 2);
    const b = p.b + ((<usize>from) << 2);
    const o = p.o + ((<usize>i) << 2);
    let j: usize = 0;
    for (const whole = (<usize>(n & ~3)) << 2; j < whole; j += 16) {
      const x = v128.load(a + j);
      const y = v128.load(b + j);
      v128.store(o + j, p.operation ? f32x4.mul(x, y) : f32x4.add(x, y));
    }
    for (const all = (<usize>n) << 2; j < all; j += 4) {
      const x = load<f32>(a + j);
      const y = load<f32>(b + j);
      store<f32>(o + j, p.operation ? x * y : x + y);
    }
    i += n;
  }
}

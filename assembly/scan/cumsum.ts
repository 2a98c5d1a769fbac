import { CumsumParams } from '../params';

/**
 * Running sum along time in f64, so that differences of a long sum keep an f32's precision: o_t = factor * sum_{s <= t} x_s.
 *
 *   x  f32 [B, T, H]   contiguous
 *   o  f64 [B, T, H]   contiguous; must not alias x
 *
 * Item: one (batch, head).
 */
export function cumsum(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<CumsumParams>(params);
  for (let item = begin; item < end; ++item) {
    const batch = item / p.heads;
    let at: usize = (<usize>(batch * p.length * p.heads + (item - batch * p.heads))) << 2;
    let sum: f64 = 0;
    for (let t = 0; t < p.length; ++t) {
      sum += <f64>load<f32>(p.x + at);
      store<f64>(p.o + (at << 1), <f64>p.factor * sum);
      at += (<usize>p.heads) << 2;
    }
  }
}

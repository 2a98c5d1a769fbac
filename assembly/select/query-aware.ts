import { QueryAwareParams } from '../params';
import { ln } from '../simd/log';

/** m ((1 + e) ln(1 + e) + (1 - e) ln(1 - e)), which is x ln(x / m) + y ln(y / m) for m = (x + y) / 2 and e = (x - y) / (x + y). */
function divergenceTerm(x: f64, y: f64): f64 {
  const m = (x + y) / 2;
  if (!(m > 0)) return m == 0 ? 0 : NaN;
  const e = abs((x - y) / (x + y));
  if (e < 0.25) {
    // sum over n of e^2n / (n (2n - 1)): the difference of two logarithms would round away a small e
    const t = e * e;
    let series: f64 = 1.0 / 120;
    series = series * t + 1.0 / 91;
    series = series * t + 1.0 / 66;
    series = series * t + 1.0 / 45;
    series = series * t + 1.0 / 28;
    series = series * t + 1.0 / 15;
    series = series * t + 1.0 / 6;
    series = series * t + 1;
    return m * t * series;
  }
  const low = 1 - e;
  return m * ((1 + e) * ln(1 + e) + (low > 0 ? low * ln(low) : 0));
}

/**
 * Which heads are query-aware: those whose guess of the blocks' weights is close to the true ones. Their budgets become the least.
 *
 *   guess, sums  f32 [B, H, C]   contiguous; sums over p.count rows
 *   aware        i32 [B, H]      contiguous
 *   budgets      i32 [2, B, H]   contiguous, in place
 *
 *   aware = sqrt(JSD(guess, sums / count)) < tau, JSD(x, y) = sum (x ln(x / m) + y ln(y / m)) / 2, m = (x + y) / 2 (FlexPrefill, Lai 2025).
 *
 * Item: one (batch, head).
 */
export function queryAware(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<QueryAwareParams>(params);
  const share = 1 / <f64>p.count;
  for (let item = begin; item < end; ++item) {
    const row = (<usize>(item * p.columns)) << 2;
    let sum: f64 = 0;
    for (let at = row; at < row + ((<usize>p.columns) << 2); at += 4) {
      sum += divergenceTerm(<f64>load<f32>(p.guess + at), <f64>load<f32>(p.sums + at) * share);
    }
    const aware = sqrt(max<f64>(0, sum / 2)) < <f64>p.tau;
    const at = (<usize>item) << 2;
    store<i32>(p.aware + at, aware ? 1 : 0);
    if (!aware) continue;
    store<i32>(p.budgets + at, p.least);
    store<i32>(p.budgets + ((<usize>p.lists) << 2) + at, p.least);
  }
}

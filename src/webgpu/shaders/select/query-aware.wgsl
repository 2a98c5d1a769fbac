//! params QueryAwareParams
//! use group, lanes
//! extra lines: u32
// Which heads are query-aware: those whose guess of the blocks' weights is close to the true ones. Their budgets become the least.
//
//   guess, sums  f32 [B, H, C]   contiguous; sums over p.count rows
//   aware        i32 [B, H]      contiguous
//   budgets      i32 [2, B, H]   contiguous, in place
//
//   aware = sqrt(JSD(guess, sums / count)) < tau, JSD(x, y) = sum (x ln(x / m) + y ln(y / m)) / 2, m = (x + y) / 2 (FlexPrefill, Lai 2025).
//
// LANES threads: one head.

// m ((1 + e) ln(1 + e) + (1 - e) ln(1 - e)) for m = (x + y) / 2 and e = (x - y) / (x + y).
fn divergenceTerm(x: f32, y: f32) -> f32 {
  let m = (x + y) * 0.5;
  if (m <= 0.0) { return 0.0; }
  let e = abs((x - y) / (x + y));
  if (e < 0.25) {
    // sum over n of e^2n / (n (2n - 1)): the difference of two logarithms would round away a small e
    let s = e * e;
    var series = 1.0 / 45.0 + s * (1.0 / 66.0 + s * (1.0 / 91.0 + s * (1.0 / 120.0)));
    series = 1.0 + s * (1.0 / 6.0 + s * (1.0 / 15.0 + s * (1.0 / 28.0 + s * series)));
    return m * s * series;
  }
  var low = 0.0;
  if (e < 1.0) { low = (1.0 - e) * log(1.0 - e); }
  return m * ((1.0 + e) * log(1.0 + e) + low);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let item = g * (256u / LANES) + t / LANES;
  let lane = t % LANES;
  let live = item < p.lines;
  let end = select(0u, u32(p.columns), live);
  let share = 1.0 / f32(p.count);
  var sum = 0.0;
  for (var c = lane; c < end; c += LANES) {
    let at = (item * u32(p.columns) + c) * 4u;
    sum += divergenceTerm(loadF(p.guess + at), loadF(p.sums + at) * share);
  }
  sum = sumLanes(t, sum);
  if (!live || lane > 0u) { return; }
  let aware = sqrt(max(0.0, sum * 0.5)) < p.tau;
  storeI(p.aware + item * 4u, i32(aware));
  if (aware) {
    storeI(p.budgets + item * 4u, p.least);
    storeI(p.budgets + (item + u32(p.lists)) * 4u, p.least);
  }
}

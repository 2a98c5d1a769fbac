// Sums and maxima over 128 threads. All threads of the workgroup must come here.

var<workgroup> shares: array<f32, 128>;

// The sum over `lanes` threads beside each other, a power of two.
fn sumOfLanes(t: u32, lanes: u32, x: f32) -> f32 {
  workgroupBarrier();
  shares[t] = x;
  for (var step = lanes / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if ((t & (lanes - 1u)) < step) { shares[t] += shares[t + step]; }
  }
  workgroupBarrier();
  return shares[t & ~(lanes - 1u)];
}

fn largestOfAll(t: u32, x: f32) -> f32 {
  workgroupBarrier();
  shares[t] = x;
  for (var step = 64u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (t < step) { shares[t] = max(shares[t], shares[t + step]); }
  }
  workgroupBarrier();
  return shares[0];
}

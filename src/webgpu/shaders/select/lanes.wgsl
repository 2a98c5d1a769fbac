//! const LANES
// Sums and maxima over LANES threads in a row, a power of two, of a workgroup of 256. Every thread of the workgroup takes part.

var<workgroup> laneValues: array<f32, 256>;

fn sumLanes(t: u32, x: f32) -> f32 {
  laneValues[t] = x;
  for (var step = LANES / 2u; step > 0u; step >>= 1u) {
    workgroupBarrier();
    if ((t & (LANES - 1u)) < step) { laneValues[t] += laneValues[t + step]; }
  }
  workgroupBarrier();
  let sum = laneValues[t & ~(LANES - 1u)];
  workgroupBarrier();
  return sum;
}

fn maxLanes(t: u32, x: f32) -> f32 {
  laneValues[t] = x;
  for (var step = LANES / 2u; step > 0u; step >>= 1u) {
    workgroupBarrier();
    if ((t & (LANES - 1u)) < step) { laneValues[t] = max(laneValues[t], laneValues[t + step]); }
  }
  workgroupBarrier();
  let most = laneValues[t & ~(LANES - 1u)];
  workgroupBarrier();
  return most;
}

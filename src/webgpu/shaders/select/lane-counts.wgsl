//! const LANES
// Whole numbers over LANES threads in a row, a power of two, of a workgroup of 256. Every thread of the workgroup takes part.

var<workgroup> laneCounts: array<u32, 256>;

// vec2u(sum over the threads before, sum over all).
fn countLanes(t: u32, x: u32) -> vec2u {
  let lane = t & (LANES - 1u);
  laneCounts[t] = x;
  workgroupBarrier();
  var sum = x;
  for (var step = 1u; step < LANES; step <<= 1u) {
    if (lane >= step) { sum += laneCounts[t - step]; }
    workgroupBarrier();
    laneCounts[t] = sum;
    workgroupBarrier();
  }
  let all = laneCounts[t | (LANES - 1u)];
  workgroupBarrier();
  return vec2u(sum - x, all);
}

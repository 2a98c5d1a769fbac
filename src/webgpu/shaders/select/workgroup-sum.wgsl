// Sums over a workgroup of 256; every thread takes part.

var<workgroup> summands: array<f32, 256>;

fn workgroupSum(t: u32, x: f32) -> f32 {
  summands[t] = x;
  for (var step = 128u; step > 0u; step >>= 1u) {
    workgroupBarrier();
    if (t < step) { summands[t] += summands[t + step]; }
  }
  workgroupBarrier();
  let sum = summands[0];
  workgroupBarrier();
  return sum;
}

fn workgroupMax(t: u32, x: f32) -> f32 {
  summands[t] = x;
  for (var step = 128u; step > 0u; step >>= 1u) {
    workgroupBarrier();
    if (t < step) { summands[t] = max(summands[t], summands[t + step]); }
  }
  workgroupBarrier();
  let most = summands[0];
  workgroupBarrier();
  return most;
}

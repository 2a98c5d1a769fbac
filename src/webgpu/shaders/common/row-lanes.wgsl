// Sixteen threads to a row, sixteen rows to a group of 256 threads: what all threads of a row have together.

const LANES = 16u;

var<workgroup> laneValues: array<f32, 256>;

fn rowSum(t: u32, x: f32) -> f32 {
  workgroupBarrier();
  laneValues[t] = x;
  workgroupBarrier();
  let first = t & ~15u;
  var sum = 0.0;
  for (var i = 0u; i < LANES; i += 1u) { sum += laneValues[first + i]; }
  return sum;
}

fn rowMax(t: u32, x: f32) -> f32 {
  workgroupBarrier();
  laneValues[t] = x;
  workgroupBarrier();
  let first = t & ~15u;
  var most = laneValues[first];
  for (var i = 1u; i < LANES; i += 1u) { most = max(most, laneValues[first + i]); }
  return most;
}

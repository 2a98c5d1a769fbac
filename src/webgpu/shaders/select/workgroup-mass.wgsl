//! use mass
// Sums of weights over a workgroup of 256.

var<workgroup> floatSums: array<f32, 256>;
var<workgroup> unitSums: array<atomic<u32>, 4>;

// About the sum of x.
fn aboutSum(t: u32, x: f32) -> f32 {
  floatSums[t] = x;
  for (var step = 128u; step > 0u; step >>= 1u) {
    workgroupBarrier();
    if (t < step) { floatSums[t] += floatSums[t + step]; }
  }
  workgroupBarrier();
  let sum = floatSums[0];
  workgroupBarrier();
  return sum;
}

// Sums of two kinds of units, each as vec2u(low, high) that is not carried yet; the parts of a thread are.
fn sumUnits(t: u32, a: vec2u, b: vec2u, fine: u32) -> vec4u {
  if (t < 4u) { atomicStore(&unitSums[t], 0u); }
  workgroupBarrier();
  atomicAdd(&unitSums[0], a.x);
  atomicAdd(&unitSums[1], a.y);
  atomicAdd(&unitSums[2], b.x);
  atomicAdd(&unitSums[3], b.y);
  workgroupBarrier();
  let first = carried(vec2u(atomicLoad(&unitSums[0]), atomicLoad(&unitSums[1])), fine);
  let second = carried(vec2u(atomicLoad(&unitSums[2]), atomicLoad(&unitSums[3])), fine);
  workgroupBarrier();
  return vec4u(first, second);
}

//! params AdaptivePoolParams
//! use group, gate-sums
// Means of bins of tokens, of which only two numbers are kept: their product with the mean of all tokens, and the sum of their channels.
//
//   x     f32 [B, T, d]      any strides, last axis contiguous
//   mean  f32 [B, d]         mean of all tokens
//   bins  i32 [P, 2]         first token of each bin, and one past its last; bins may overlap
//   o     f32 [B, P, 2]      product, sum
//
// Adaptive average pooling as in PyTorch, for the gate of ASAM. Workgroup: one (batch, bin).

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let batch = i32(group / u32(p.count));
  let bin = p.bins + (group % u32(p.count)) * 8u;
  let first = loadI(bin);
  let last = loadI(bin + 4u);
  var product = 0.0;
  var sum = 0.0;
  for (var c = i32(t); c < p.d; c += 128) {
    var value = 0.0;
    for (var token = first; token < last; token++) {
      value += loadF(p.x + u32(batch * p.xStrideB + token * p.xStrideT + c) * 4u);
    }
    product = fma(value, loadF(p.mean + u32(batch * p.d + c) * 4u), product);
    sum += value;
  }
  let products = sumOfLanes(t, 128u, product);
  let sums = sumOfLanes(t, 128u, sum);
  if (t > 0u) { return; }
  let count = f32(max(1, last - first));
  storeF(p.o + group * 8u, products / count);
  storeF(p.o + group * 8u + 4u, sums / count);
}

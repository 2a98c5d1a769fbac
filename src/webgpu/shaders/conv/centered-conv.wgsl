//! params CenteredConvParams
//! extra elements: u32
//! use group
// Convolution along time around every token: o_t = sum_w weight[w] x[t + w - (taps - 1) / 2], zeros past the ends.
//
//   tensors as of the kernel centeredConv
//
// Thread: one element.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  if (i >= p.elements) { return; }
  let row = i32(i / u32(p.d));
  let c = i32(i) - row * p.d;
  let item = row / p.heads;
  let h = row - item * p.heads;
  let batch = item / p.length;
  let time = item - batch * p.length;
  let reach = (p.taps - 1) / 2;
  let x = batch * p.xStrideB + h * p.xStrideH + c;
  let weight = h * p.taps + reach - time;
  var sum = 0.0;
  for (var s = max(0, time - reach); s <= min(p.length - 1, time + reach); s += 1) {
    sum += loadF(p.weight + u32(weight + s) * 4u) * loadF(p.x + u32(x + s * p.xStrideT) * 4u);
  }
  storeF(p.o + u32(batch * p.oStrideB + time * p.oStrideT + h * p.oStrideH + c) * 4u, sum);
}

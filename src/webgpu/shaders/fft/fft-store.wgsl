//! params FftConvParams
//! extra z: u32, first: u32, count: u32
//! use group
// Outputs of `count` channels from `first` on: the inverse transform, d u and what is added.
//
//   z  f32 [m, (1 + B) count, 2]   an inverse leaves even elements as imaginary and odd ones as real parts
//
// Thread: one output.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  let inputs = u32(p.batch) * p.count;
  if (i >= u32(p.length) * inputs) { return; }
  let time = i / inputs;
  let input = i - time * inputs;
  let b = i32(input / p.count);
  let h = i32(p.first + input % p.count);
  let at = (time / 2u) * (inputs + p.count) + p.count + input;
  var y = loadF(p.z + at * 8u + 4u * (1u - (time & 1u)));
  if (p.d != 0u) { y += loadF(p.d + u32(h) * 4u) * loadF(p.u + u32(b * p.uStrideB + i32(time) * p.uStrideT + h) * 4u); }
  if (p.added != 0u) { y += loadF(p.added + u32((b * p.channels + h) * p.addedStride + i32(time)) * 4u); }
  storeF(p.o + u32(b * p.oStrideB + i32(time) * p.oStrideT + h) * 4u, y);
}

//! params BitWeightsParams
//! use group
//! extra elements: u32
// Bits as numbers: 1 where a bit is `value`, else 0.
//
//   bits     i32 [rows, words]     contiguous
//   weights  f32 [rows, columns]   contiguous
//
// Thread: one element.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let row = e / u32(p.columns);
  let c = e - row * u32(p.columns);
  let bit = (loadU(p.bits + (row * u32(p.words) + (c >> 5u)) * 4u) >> (c & 31u)) & 1u;
  storeF(p.weights + e * 4u, select(0.0, 1.0, i32(bit) == p.value));
}

//! params LinearParams
//! extra strips: u32, zFrom: u32, count: u32
//! use group
// A copy of the sums of keys zIn f32 [N, HV, K] (zeros if absent) for each strip of columns: zFrom f32 [N, HV, strips, K].
//
// Thread: one of `count` elements.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  if (i >= p.count) { return; }
  let dk = u32(p.dk);
  let row = i / dk;
  var z = 0.0;
  if (p.zIn != 0u) { z = loadF(p.zIn + ((row / p.strips) * dk + (i - row * dk)) * 4u); }
  storeF(p.zFrom + i * 4u, z);
}

//! params NearestParams
//! use group
//! extra space: u32, elements: u32
// |c|^2 / 2 of packed centroids.
//
//   cPack  f32 [B, H, ceil8(count) / 8, d, 8]   as score-pack writes it
//   space  f32 [B, H, ceil8(count)]
//
// Thread: one centroid.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let at = p.cPack + ((e >> 3u) * u32(p.d) * 8u + (e & 7u)) * 4u;
  var sum = 0.0;
  for (var c = 0u; c < u32(p.d); c += 1u) {
    let x = loadF(at + c * 32u);
    sum += x * x;
  }
  storeF(p.space + e * 4u, sum * 0.5);
}

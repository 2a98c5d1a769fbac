//! params GatheredBitsParams
//! use group
//! extra elements: u32
// Places of gathered columns: index + distance, out of reach past the count.
//
//   indices  i32 [B, H, n], counts i32 [B, H], shifts i32 [H]
//   places   i32 [B, H, n]   contiguous
//
// Thread: one place.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let list = i32(e) / p.n;
  let j = i32(e) - list * p.n;
  var place = 2147483647;
  if (j < loadI(p.counts + u32(list) * 4u)) {
    place = loadI(p.indices + e * 4u) + loadI(p.shifts + u32(list % p.lists) * 4u);
  }
  storeI(p.places + e * 4u, place);
}

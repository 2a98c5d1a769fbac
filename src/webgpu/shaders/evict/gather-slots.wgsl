//! params GatherSlotsParams
//! use group
//! extra elements: u32
// Rows of slots copied to other slots, other ones for each head.
//
//   x        [heads, slots, rowBytes]     bytes of any type, rows of whole words
//   o        [heads, outSlots, rowBytes]  the first `count` of each head are written; must not alias x
//   indices  i32 [heads, count]           slots of x; contiguous
//
// Thread: one word.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let words = u32(p.rowBytes) / 4u;
  let item = e / words;
  let w = (e - item * words) * 4u;
  let h = item / u32(p.count);
  let j = item - h * u32(p.count);
  let slot = loadU(p.indices + item * 4u);
  storeU(p.o + (h * u32(p.outSlots) + j) * u32(p.rowBytes) + w, loadU(p.x + (h * u32(p.slots) + slot) * u32(p.rowBytes) + w));
}

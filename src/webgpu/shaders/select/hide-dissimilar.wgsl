//! params DissimilarParams
//! use group, special, map-rows, alike
//! extra elements: u32
// Scores of key blocks that are not alike in themselves become -Infinity.
//
//   map     f32 [B, H, R, C]    in place; what a row does not see stays
//   alikeK  f32 [B, C, Hkv]     as self-similarity writes it
//   theta   f32 [H]
//
// Thread: one element.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let line = i32(e) / p.columns;
  let c = i32(e) - line * p.columns;
  let list = line / p.rows;
  let i = line - list * p.rows;
  let batch = list / p.lists;
  let h = list - batch * p.lists;
  if (c >= visibleColumns(i) || isKeyAlike(batch, h, c, loadF(p.theta + u32(h) * 4u))) { return; }
  storeU(mapRow(list, i) + u32(c) * 4u, NEGATIVE_INFINITY_BITS);
}

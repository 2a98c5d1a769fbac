//! params DissimilarParams
//! use group, special, map-rows, alike, lines
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
  let at = lineOf(line);
  if (c >= visibleColumns(at.row) || isKeyAlike(at.batch, at.head, c, loadF(p.theta + u32(at.head) * 4u))) { return; }
  storeU(mapRow(at.list, at.row) + u32(c) * 4u, NEGATIVE_INFINITY_BITS);
}

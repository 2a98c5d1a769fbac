//! params DissimilarParams
//! use group, map-rows, alike, lines
//! extra elements: u32
// Key blocks that are not alike in themselves are shown to every row that they are visible to, and all visible ones to rows that are not.
//
//   bits    i32 [B, H, R, words]   contiguous, in place
//   alikeQ  f32 [B, R, H]          as self-similarity writes it; alikeK f32 [B, C, Hkv] and theta f32 [H] too
//
// With sink block 0 is shown too. Thread: one word.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let item = i32(e) / p.words;
  let first = (i32(e) - item * p.words) * 32;
  let at = lineOf(item);
  let theta = loadF(p.theta + u32(at.head) * 4u);
  let all = !isAlike(p.alikeQ, p.rows, p.lists, at.batch, at.row, at.head, theta);
  let end = min(32, visibleColumns(at.row) - first);
  var word = loadU(p.bits + e * 4u);
  for (var j = 0; j < end; j += 1) {
    let c = first + j;
    if (all || (c == 0 && p.sink != 0) || !isKeyAlike(at.batch, at.head, c, theta)) { word |= 1u << u32(j); }
  }
  storeU(p.bits + e * 4u, word);
}

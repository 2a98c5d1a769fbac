//! params StripeBlocksParams
//! use group
//! extra elements: u32
// Blocks of causal attention on a square of blocks: chosen columns, chosen diagonals, and for some heads chosen pairs.
//
//   columns, diagonals  i32 [B, H, words]      contiguous; bit c shows key block c to all rows, bit x key block r - x to row r
//   pairs               i32 [B, H, R, words]   contiguous; read where aware [B, H] is not 0
//   bits                i32 [B, H, R, words]   contiguous; must not alias an input
//
// Thread: one word.

fn bitAt(words: u32, j: i32) -> u32 { return (loadU(words + u32(j >> 5u) * 4u) >> u32(j & 31)) & 1u; }

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let item = i32(e) / p.words;
  let w = i32(e) - item * p.words;
  let list = item / p.rows;
  let r = item - list * p.rows;
  let columns = p.columns + u32(list * p.words) * 4u;
  let diagonals = p.diagonals + u32(list * p.words) * 4u;
  var word = 0u;
  if (loadI(p.aware + u32(list) * 4u) != 0) { word = loadU(p.pairs + e * 4u); }
  let end = min(32, r + 1 - w * 32);
  for (var j = 0; j < end; j += 1) {
    let c = w * 32 + j;
    word |= (bitAt(columns, c) | bitAt(diagonals, r - c)) << u32(j);
  }
  storeU(p.bits + e * 4u, word);
}

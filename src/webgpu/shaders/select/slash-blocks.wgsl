//! params SlashBlocksParams
//! use group
//! extra elements: u32
// Key blocks of causal attention by head: those that chosen diagonals pass, those that were chosen one by one, or none.
//
//   patterns  i32 [H]                    0: none, 1: diagonals, 2: chosen ones
//   slashes   i32 [B, H, slashWords]     contiguous; bit x: every query sees the keys x before its place, and the blocks that hold them
//   chosen    i32 [B, H, R, words]       contiguous
//   bits      i32 [B, H, R, words]       contiguous; must not alias an input
//
//   Row r is of the queries [r queryBlock, (r + 1) queryBlock), of which query i is at place i + offset (MInference, Jiang 2024).
//
// Thread: one word.

// Whether any of the bits [low, high] of a row of words is set.
fn anyBit(words: u32, low: u32, high: u32) -> bool {
  let first = low >> 5u;
  let last = high >> 5u;
  for (var w = first; w <= last; w += 1u) {
    var word = loadU(words + w * 4u);
    if (w == first) { word &= 0xffffffffu << (low & 31u); }
    if (w == last) { word &= 0xffffffffu >> (31u - (high & 31u)); }
    if (word != 0u) { return true; }
  }
  return false;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let item = i32(e) / p.words;
  let c0 = (i32(e) - item * p.words) * 32;
  let list = item / p.rows;
  let r = item - list * p.rows;
  let pattern = loadI(p.patterns + u32(list % p.lists) * 4u);
  var word = 0u;
  if (pattern == 2) { word = loadU(p.chosen + e * 4u); }
  if (pattern == 1) {
    let slashes = p.slashes + u32(list * p.slashWords) * 4u;
    let begin = r * p.queryBlock + p.offset;
    let end = min(p.queries, (r + 1) * p.queryBlock) - 1 + p.offset;
    for (var j = 0; j < 32; j += 1) {
      let c = c0 + j;
      if (c * p.keyBlock > end) { break; }
      // distances at which some key of the block comes before some query of the row
      let high = min(p.distances - 1, end - c * p.keyBlock);
      let low = max(0, begin - (c + 1) * p.keyBlock + 1);
      if (low <= high && anyBit(slashes, u32(low), u32(high))) { word |= 1u << u32(j); }
    }
  }
  storeU(p.bits + e * 4u, word);
}

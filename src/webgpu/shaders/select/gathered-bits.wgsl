//! params GatheredBitsParams
//! use group
//! extra words: u32, elements: u32
// Which gathered columns each row of queries sees: those that come so many places or more before one of its queries, and lie in none
// of the blocks that the row sees anyway.
//
//   indices  i32 [B, H, n]                  contiguous, rising; counts i32 [B, H] of them hold
//   shifts   i32 [H]                        least distance of a column, or -1: before all queries of a row
//   blocks   i32 [B, H, R, blockWords]      contiguous; may be absent
//   bits     i32 [B, H, R, ceil(n / 32)]    contiguous; must not alias an input
//
// Row r is of the queries [r queryBlock, (r + 1) queryBlock), of which query i is at place i + offset. Thread: one word.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let item = i32(e / p.words);
  let first = i32(e - u32(item) * p.words) * 32;
  let list = item / p.rows;
  let r = item - list * p.rows;
  let count = loadI(p.counts + u32(list) * 4u);
  let shift = loadI(p.shifts + u32(list % p.lists) * 4u);
  var last = p.offset;
  if (shift == -1) { last += r * p.queryBlock - 1; } else { last += min(p.queries, (r + 1) * p.queryBlock) - 1 - shift; }
  var word = 0u;
  for (var j = first; j < min(count, first + 32); j += 1) {
    let token = loadI(p.indices + u32(list * p.n + j) * 4u);
    if (token > last) { break; }
    var seen = 0u;
    if (p.blocks != 0u) {
      let block = u32(token / p.keyBlock);
      seen = loadU(p.blocks + (u32(item * p.blockWords) + (block >> 5u)) * 4u) >> (block & 31u);
    }
    word |= (~seen & 1u) << u32(j - first);
  }
  storeU(p.bits + e * 4u, word);
}

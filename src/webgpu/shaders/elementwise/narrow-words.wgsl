//! params NarrowParams
//! extra count: u32
//! const EACH
//! use group, narrow-places
// Copies rows between layouts, as they are or f32 rounded to 16-bit floats, where no word of o belongs to two rows.
//
//   x  [B, T, H, d]  of o's type, or f32; any strides (0 repeats), last axis contiguous
//   o  [B, T, H, d]  any type of 1, 2 or 4 bytes, f16 or bf16 if x is f32; rows that begin and end with a word, or no gaps at all;
//                    must not alias x
//
// Thread: one word of o, EACH elements; count of them in all. What is behind them in their last word stays.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let first = (groupIndex(wg, grid) * 256u + t) * EACH;
  if (first >= p.count) { return; }
  let at = narrowPlace(first);
  var word = 0u;
  for (var j = 0u; j < min(EACH, p.count - first); j++) { word |= narrowed(first + j) << (j * (32u / EACH)); }
  let missing = first + EACH - min(first + EACH, p.count);
  if (missing > 0u) { word |= loadU(at) & (0xffffffffu << ((EACH - missing) * (32u / EACH))); }
  storeU(at, word);
}

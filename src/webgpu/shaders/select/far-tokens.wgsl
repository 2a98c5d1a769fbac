//! params FarTokensParams
//! use group, lane-counts
//! extra rowCount: u32
// The keys beyond a query's window that it sees: the first, those of chosen blocks, and those that make no whole block yet.
//
//   bits    i32 [B, 1, rows, words]      contiguous: chosen blocks, all of whose keys are beyond the window
//   o       i32 [B, 1, rows, capacity]   contiguous, ascending; what is behind the last is left as it is
//   counts  i32 [B, 1, rows]             contiguous
//
// The window of row i ends with key columns - rows + i. InfLLM (Xiao 2024). LANES threads: one row, a word each.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let item = g * (256u / LANES) + t / LANES;
  let lane = t % LANES;
  let live = item < p.rowCount;
  let edge = max(0, p.columns - p.rows + (i32(item) % p.rows) + 1 - p.window);
  let complete = max(0, edge - p.first) / p.block;
  let o = p.o + item * u32(p.capacity) * 4u;
  let first = u32(min(p.first, edge));
  if (live) { for (var j = lane; j < first; j += LANES) { storeU(o + j * 4u, j); } }
  var done = 0u;
  for (var w0 = 0u; w0 < u32(p.words); w0 += LANES) {
    let w = w0 + lane;
    var bits = 0u;
    let known = complete - i32(w) * 32;
    if (live && w < u32(p.words) && known > 0) {
      bits = loadU(p.bits + (item * u32(p.words) + w) * 4u);
      if (known < 32) { bits &= (1u << u32(known)) - 1u; }
    }
    let found = countLanes(t, countOneBits(bits));
    var at = first + (done + found.x) * u32(p.block);
    done += found.y;
    for (; bits != 0u; bits &= bits - 1u) {
      let token = u32(p.first) + (w * 32u + firstTrailingBit(bits)) * u32(p.block);
      for (var j = 0u; j < u32(p.block); j += 1u) { storeU(o + (at + j) * 4u, token + j); }
      at += u32(p.block);
    }
  }
  if (!live) { return; }
  let at = first + done * u32(p.block);
  let begin = p.first + complete * p.block;
  let rest = u32(max(0, edge - begin));
  for (var n = lane; n < rest; n += LANES) { storeU(o + (at + n) * 4u, u32(begin) + n); }
  if (lane == 0u) { storeU(p.counts + item * 4u, at + rest); }
}

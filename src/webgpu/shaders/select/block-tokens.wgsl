//! params BlockTokensParams
//! use group, bit-rows, lane-counts
//! extra rowCount: u32
// The tokens of chosen blocks as lists: those that a row sees, ascending.
//
//   a       i32 [B, L, R, words]      bits of blocks of keyBlock tokens; any strides, words contiguous
//   o       i32 [B, L, R, capacity]   contiguous; what is behind the last token is left as it is
//   counts  i32 [B, L, R]             contiguous
//
// LANES threads: one row, a word each.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let item = g * (256u / LANES) + t / LANES;
  let lane = t % LANES;
  let live = item < p.rowCount;
  let row = aRow(i32(item));
  let seen = max(0, min(p.length, (i32(item) % p.rows) * p.visibleMul + p.visibleAdd));
  let capacity = u32(p.capacity);
  let o = p.o + item * capacity * 4u;
  var done = 0u;
  for (var w0 = 0u; w0 < u32(p.words); w0 += LANES) {
    let w = w0 + lane;
    var bits = 0u;
    if (live && w < u32(p.words)) { bits = loadU(row + w * 4u); }
    var count = 0u;
    for (var rest = bits; rest != 0u; rest &= rest - 1u) {
      let token = i32(w * 32u + firstTrailingBit(rest)) * p.keyBlock;
      count += u32(clamp(seen - token, 0, p.keyBlock));
    }
    let found = countLanes(t, count);
    var at = done + found.x;
    done += found.y;
    for (; bits != 0u && at < capacity; bits &= bits - 1u) {
      let token = i32(w * 32u + firstTrailingBit(bits)) * p.keyBlock;
      let end = min(seen, token + p.keyBlock);
      for (var j = token; j < end && at < capacity; j += 1) {
        storeI(o + at * 4u, j);
        at += 1u;
      }
    }
  }
  if (live && lane == 0u) { storeU(p.counts + item * 4u, min(done, capacity)); }
}

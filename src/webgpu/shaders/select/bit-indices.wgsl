//! params BitsParams
//! use group, bit-rows, lane-counts
//! extra rowCount: u32
// Numbers of the bits of each row that are set, in ascending order: the first `capacity`, and -1 behind them.
//
//   a       i32 [B, L, R, words]      any strides, words contiguous
//   o       i32 [B, L, R, capacity]   contiguous
//   counts  i32 [B, L, R]             contiguous; how many there are in o
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
  let capacity = u32(p.capacity);
  let o = p.o + item * capacity * 4u;
  var done = 0u;
  for (var w0 = 0u; w0 < u32(p.words); w0 += LANES) {
    let w = w0 + lane;
    var bits = 0u;
    if (live && w < u32(p.words)) { bits = loadU(row + w * 4u); }
    let found = countLanes(t, countOneBits(bits));
    var at = done + found.x;
    done += found.y;
    for (; bits != 0u && at < capacity; bits &= bits - 1u) {
      storeU(o + at * 4u, w * 32u + firstTrailingBit(bits));
      at += 1u;
    }
  }
  if (!live) { return; }
  done = min(done, capacity);
  if (lane == 0u) { storeU(p.counts + item * 4u, done); }
  for (var at = done + lane; at < capacity; at += LANES) { storeU(o + at * 4u, 0xffffffffu); }
}

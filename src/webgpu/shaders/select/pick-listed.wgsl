//! params PickParams
//! use group, lane-counts
//! extra rowCount: u32
// The entries of lists whose bits are set, with the first and the last keys that a query sees.
//
//   indices  i32 [B, L, Tq, width]      contiguous, ascending; listCounts i32 [B, L, Tq]
//   bits     i32 [B, L, Tq, words]      contiguous: bit n of entry n; those past the last entry say nothing
//   o        i32 [B, L, Tq, capacity]   contiguous; -1 behind the last
//   counts   i32 [B, L, Tq]             contiguous
//
// Query i sees keys [0, columns - rows + i + 1). LANES threads: one row, a word each.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let item = g * (256u / LANES) + t / LANES;
  let lane = t % LANES;
  let live = item < p.rowCount;
  let entries = p.indices + item * u32(p.width) * 4u;
  var listed = 0u;
  if (live) { listed = loadU(p.listCounts + item * 4u); }
  let capacity = u32(p.capacity);
  let o = p.o + item * capacity * 4u;
  let seen = max(0, p.columns - p.rows + (i32(item) % p.rows) + 1);
  let first = min(p.first, seen);
  let last = max(first, seen - p.last);
  if (live) { for (var j = lane; j < min(u32(first), capacity); j += LANES) { storeU(o + j * 4u, j); } }
  var done = u32(first);
  for (var w0 = 0u; w0 < u32(p.words); w0 += LANES) {
    let w = w0 + lane;
    var bits = 0u;
    if (live && w < u32(p.words)) { bits = loadU(p.bits + (item * u32(p.words) + w) * 4u); }
    var kept = 0u;
    for (; bits != 0u; bits &= bits - 1u) {
      let n = w * 32u + firstTrailingBit(bits);
      if (n >= listed) { break; }
      let j = loadI(entries + n * 4u);
      if (j >= first && j < last) { kept |= 1u << (n & 31u); }
    }
    let found = countLanes(t, countOneBits(kept));
    var at = done + found.x;
    done += found.y;
    for (; kept != 0u && at < capacity; kept &= kept - 1u) {
      storeU(o + at * 4u, loadU(entries + (w * 32u + firstTrailingBit(kept)) * 4u));
      at += 1u;
    }
  }
  if (!live) { return; }
  let rest = u32(max(0, seen - last));
  for (var n = lane; n < rest && done + n < capacity; n += LANES) { storeU(o + (done + n) * 4u, u32(last) + n); }
  done = min(done + rest, capacity);
  if (lane == 0u) { storeU(p.counts + item * 4u, done); }
  for (var at = done + lane; at < capacity; at += LANES) { storeU(o + at * 4u, 0xffffffffu); }
}

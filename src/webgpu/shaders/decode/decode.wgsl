//! params DecodeParams
//! use group
//! extra tiles: u32
// Attention of a few queries over one span of a long cache, unnormalised: see assembly/decode/decode.ts. Here a row of partials whose
// split saw no key has m = HIDDEN, not -Infinity.
//
// All query rows that share a key/value head go through its keys together, ROWS at a time. Flash-Decoding (Dao 2023).
//
// Workgroup: one (sequence, split, key/value head, ROWS query rows).

var<private> firstRow: i32;

fn queryOfRow(r: u32) -> i32 { return (firstRow + i32(r)) / p.group; }
fn headOfRow(r: u32) -> i32 { return kvHead * p.group + (firstRow + i32(r)) % p.group; }
fn keyOf(n: u32) -> i32 { return i32(n); }

fn scoreOf(r: u32, n: u32, j: i32, product: f32) -> f32 {
  let i = queryOfRow(r);
  if (j < firstKey(sequence, i) || j >= endKey(sequence, i)) { return HIDDEN; }
  if (!RULES) { return product; }
  return ruledScore(sequence, headOfRow(r), i, j, product);
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let index = groupIndex(wg, grid);
  if (index >= p.groups) { return; }
  let item = index / p.tiles;
  let splits = u32(p.splits);
  let kvHeads = u32(p.kvHeads);
  let split = i32((item / kvHeads) % splits);
  let number = item / (kvHeads * splits);
  kvHead = i32(item % kvHeads);
  firstRow = i32((index % p.tiles) * ROWS);
  sequence = sequenceAt(number);
  prepareUnits(number);
  live = u32(clamp(sequence.qLength * p.group - firstRow, 0, i32(ROWS)));
  if (t == 0u) {
    var range = vec2u();
    if (live > 0u) {
      let low = max(split * p.splitKeys, firstKey(sequence, firstRow / p.group));
      let high = min((split + 1) * p.splitKeys, endKey(sequence, queryOfRow(live - 1u)));
      if (low < high) { range = vec2u(u32(low), u32(high)); }
    }
    keyRange = range;
  }
  loadQueries(t);
  let range = workgroupUniformLoad(&keyRange);
  let rowBytes = u32((p.dv + 7) & ~7) * 4u + 32u;
  let partial = ((number * kvHeads + u32(kvHead)) * splits + u32(split)) * u32(p.rows) + u32(firstRow);
  attendKeys(range.x, range.y, t, p.partials + partial * rowBytes, rowBytes);
}

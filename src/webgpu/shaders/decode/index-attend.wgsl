//! params IndexAttendParams
//! use group
//! extra tiles: u32, splits: u32, first: u32, partials: u32
// Attention of every query on its own list of keys, unnormalised: see assembly/decode/index-attend.ts for the operands.
//
// The heads of a list that share a key/value head go through its keys together, ROWS at a time; lists are cut into `splits` parts of
// equal length, so that a few queries keep the GPU busy. Rows of partials lie by row, then by split.
//
// Workgroup: one (query of an item, ROWS of its heads, split), from number `first` on.

var<private> firstHead: i32;
var<private> query: i32;
var<private> entries: u32;

fn queryOfRow(r: u32) -> i32 { return query; }
fn headOfRow(r: u32) -> i32 { return firstHead + i32(r); }
// a list with keys that are not there must not reach other memory
fn keyOf(n: u32) -> i32 { return clamp(loadI(p.indices + (entries + n) * 4u), 0, sequence.kLength - 1); }

fn scoreOf(r: u32, n: u32, j: i32, product: f32) -> f32 {
  if (!RULES) { return product; }
  var score = product;
  if (p.softcap != 0.0) { score = tanhOf(score) * (p.softcap * LOG2E); }
  if (p.entryBias != 0u) { score = plusBias(score, loadF(p.entryBias + (entries + n) * 4u)); }
  return score;
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let own = groupIndex(wg, grid);
  if (own >= p.groups) { return; }
  let index = own + p.first;
  let split = index % p.splits;
  let tile = (index / p.splits) % p.tiles;
  let slot = index / (p.splits * p.tiles);
  let item = i32(slot / u32(p.blockQ));
  sequence = sequenceAt(sequenceOfItem(item));
  let blocks = max((sequence.qLength + p.blockQ - 1) / p.blockQ, 1);
  let local = item - sequence.firstItem;
  let heads = local / blocks;
  query = (local - heads * blocks) * p.blockQ + i32(slot % u32(p.blockQ));
  firstHead = heads * p.rows + i32(tile * ROWS);
  kvHead = firstHead / p.group;
  live = u32(clamp(p.rows - i32(tile * ROWS), 0, i32(ROWS)));
  let list = firstHead / p.listGroup;
  let row = sequence.qStart + query;
  if (t == 0u) {
    var range = vec2u();
    if (query < sequence.qLength && sequence.kLength > 0) {
      let count = loadI(p.counts + u32(sequence.batch * p.countStrideB + list * p.countStrideL + row * p.countStrideT) * 4u);
      let length = (u32(max(count, 0)) + p.splits * 64u - 1u) / (p.splits * 64u) * 64u;
      range = min(vec2u(split, split + 1u) * length, vec2u(u32(max(count, 0))));
    }
    keyRange = range;
  }
  entries = u32(sequence.batch) * u32(p.indexStrideB) + u32(list) * u32(p.indexStrideL) + u32(row) * u32(p.indexStrideT);
  if (query >= sequence.qLength) { live = 0u; }
  loadQueries(t);
  let range = workgroupUniformLoad(&keyRange);
  let rowBytes = u32((p.dv + 7) & ~7) * 4u + 32u;
  let partial = ((slot * u32(p.rows) + tile * ROWS) - p.first / (p.splits * p.tiles) * u32(p.rows)) * p.splits + split;
  attendKeys(range.x, range.y, t, p.partials + partial * rowBytes, rowBytes * p.splits);
}

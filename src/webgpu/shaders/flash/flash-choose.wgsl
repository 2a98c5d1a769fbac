//! params FlashParams
//! extra subs: i32, chosen: u32, chosenStride: i32
//! use group, attention-sequence, pair-choice
//! const BM, BN
// For each workgroup of flash, in order: the tiles of BN keys of which any of its BM rows may see some, by selection, places and window.
//
//   chosen  i32 [groups, chosenStride]: a number, and as many tiles
//
// Workgroup: one of flash's. The bits that any row has are brought together first; sets of more bits than there is room for count as full.

const ROOM = 3072u;

var<workgroup> some: array<atomic<u32>, ROOM>;
var<workgroup> least: atomic<i32>;
var<workgroup> most: atomic<i32>;
var<workgroup> counts: array<u32, 256>;
var<workgroup> span: Sequence;

fn alive(s: Sequence, h: i32, tile: i32, full: bool) -> bool {
  let first = tile * i32(BN);
  let end = min(first + i32(BN), s.kLength);
  if (p.qPositions != 0u) {
    var low = placeOfKey(s, first);
    var high = low;
    for (var j = first + 1; j < end; j++) {
      let place = placeOfKey(s, j);
      low = min(low, place);
      high = max(high, place);
    }
    if (p.placesLeft >= 0 && high < atomicLoad(&least) - p.placesLeft) { return false; }
    if (p.placesRight >= 0 && low > atomicLoad(&most) + p.placesRight) { return false; }
  }
  if (p.selected == 0u || full) { return true; }
  for (var j = first; j < end; j++) {
    let bit = u32(bitOfKey(s, h, j));
    if (bit < u32(p.selectedWords) * 32u && ((atomicLoad(&some[bit / 32u]) >> (bit % 32u)) & 1u) != 0u) { return true; }
    // keys of one block have one bit
    if (p.keyLabels == 0u) { j = max(j, (i32(bit) + 1) * p.keyBlock - s.kStart - 1); }
  }
  return false;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let item = i32(group) / p.subs;
  if (t == 0u) { span = sequenceAt(sequenceOfItem(item)); }
  let s = workgroupUniformLoad(&span);
  let local = item - s.firstItem;
  let blocksQ = (s.qLength + p.blockQ - 1) / p.blockQ;
  let h = local / blocksQ;
  let block0 = (blocksQ - 1 - (local - h * blocksQ)) * p.blockQ;
  let q0 = block0 + (p.subs - 1 - i32(group) % p.subs) * i32(BM);
  let rows = min(i32(BM), min(block0 + p.blockQ, s.qLength) - q0);
  let list = p.chosen + group * u32(p.chosenStride) * 4u;
  if (rows <= 0) { return; }

  let words = u32(p.selectedWords);
  let full = words > ROOM;
  for (var word = t; word < min(words, ROOM); word += 256u) { atomicStore(&some[word], 0u); }
  if (t == 0u) {
    atomicStore(&least, 2147483647);
    atomicStore(&most, -2147483647);
  }
  workgroupBarrier();
  if (p.selected != 0u && !full) {
    for (var n = t; n < u32(rows) * words; n += 256u) {
      let row = rowOfQuery(s, h, q0 + i32(n / words));
      if (u32(row) < u32(p.selectedRows)) {
        let bits = loadU(bitsRow(s, h, row) + (n % words) * 4u);
        if (bits != 0u) { atomicOr(&some[n % words], bits); }
      }
    }
  }
  if (p.qPositions != 0u && i32(t) < rows) {
    let place = placeOfQuery(s, q0 + i32(t));
    atomicMin(&least, place);
    atomicMax(&most, place);
  }
  workgroupBarrier();

  let begin = firstKey(s, q0) / i32(BN);
  let end = (endKey(s, q0 + rows - 1) + i32(BN) - 1) / i32(BN);
  var count = 0u;
  for (var row = begin; row < end; row += 256) {
    let tile = row + i32(t);
    var mine = 0u;
    if (tile < end) { mine = select(0u, 1u, alive(s, h, tile, full)); }
    // places of the living ones by sums over the threads before
    var sum = mine;
    for (var step = 1u; step < 256u; step = step << 1u) {
      counts[t] = sum;
      workgroupBarrier();
      if (t >= step) { sum += counts[t - step]; }
      workgroupBarrier();
    }
    counts[t] = sum;
    workgroupBarrier();
    if (mine != 0u) { storeI(list + (count + sum) * 4u, tile); }
    count += counts[255];
    workgroupBarrier();
  }
  if (t == 0u) { storeU(list, count); }
}

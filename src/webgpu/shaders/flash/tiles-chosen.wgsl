//! use pair-choice
// The key tiles of a query block that flash-choose has found: for each workgroup their number, then the tiles, at p.chosen.

const ALL_SEEN = false;

var<workgroup> chosenCount: i32;

fn openTiles(s: Sequence, h: i32, q0: i32, rows: i32, group: u32, t: u32) -> i32 {
  if (t == 0u) { chosenCount = loadI(p.chosen + group * u32(p.chosenStride) * 4u); }
  return workgroupUniformLoad(&chosenCount);
}

fn tileAt(s: Sequence, q0: i32, group: u32, step: i32) -> i32 {
  return loadI(p.chosen + (group * u32(p.chosenStride) + 1u + u32(step)) * 4u);
}

fn bitsOf(s: Sequence, h: i32, q0: i32, group: u32, step: i32, i: i32, j0: i32) -> vec4<bool> {
  var seen = vec4<bool>(true);
  if (p.selected != 0u) {
    let row = rowOfQuery(s, h, i);
    if (u32(row) >= u32(p.selectedRows)) { return vec4<bool>(false); }
    let bits = bitsRow(s, h, row);
    for (var e = 0; e < 4; e++) {
      if (j0 + e >= s.kLength) { continue; }
      let bit = u32(bitOfKey(s, h, j0 + e));
      seen[e] = false;
      if (bit < u32(p.selectedWords) * 32u) { seen[e] = ((loadU(bits + (bit / 32u) * 4u) >> (bit % 32u)) & 1u) != 0u; }
    }
  }
  if (p.qPositions != 0u) {
    let place = placeOfQuery(s, i);
    for (var e = 0; e < 4; e++) {
      if (j0 + e >= s.kLength) { continue; }
      let key = placeOfKey(s, j0 + e);
      seen[e] = seen[e] && (p.placesLeft < 0 || key >= place - p.placesLeft) && (p.placesRight < 0 || key <= place + p.placesRight);
    }
  }
  return seen;
}

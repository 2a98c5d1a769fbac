// Which pairs a selection and places show (assembly/flash/selection.ts): bits of rows of queries, places of queries and keys.

// Number of the row of bits of query i, and of the bit of key j; negative or past the end where there is none.
fn rowOfQuery(s: Sequence, h: i32, i: i32) -> i32 {
  if (p.queryLabels == 0u) { return (s.qStart + i) / p.queryBlock; }
  let list = h * p.selectedLists / p.heads;
  let at = s.batch * p.queryLabelsStrideB + list * p.queryLabelsStrideL + s.qStart + i;
  return loadI(p.queryLabels + u32(at) * 4u);
}
fn bitOfKey(s: Sequence, h: i32, j: i32) -> i32 {
  if (p.keyLabels == 0u) { return (s.kStart + j) / p.keyBlock; }
  let list = h * p.selectedLists / p.heads;
  return loadI(p.keyLabels + u32(s.batch * p.keyLabelsStrideB + list * p.keyLabelsStrideL + s.kStart + j) * 4u);
}

// Address of a row of bits.
fn bitsRow(s: Sequence, h: i32, row: i32) -> u32 {
  let list = h * p.selectedLists / p.heads;
  return p.selected + u32(s.batch * p.selectedStrideB + (list * p.selectedRows + row) * p.selectedWords) * 4u;
}

fn placeOfQuery(s: Sequence, i: i32) -> i32 {
  return loadI(p.qPositions + u32(s.batch * p.qPositionsStrideB + s.qStart + i) * 4u);
}
fn placeOfKey(s: Sequence, j: i32) -> i32 {
  return loadI(p.kPositions + u32(s.batch * p.kPositionsStrideB + s.kStart + j) * 4u);
}

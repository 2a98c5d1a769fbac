// Rows of a map, of params that begin with those of MapParams.

// Columns that row i sees: the first so many.
fn visibleColumns(i: i32) -> i32 {
  let x = i * p.visibleMul + p.visibleAdd;
  if (x <= 0) { return 0; }
  return min(x / p.visibleDiv, p.columns);
}

// Columns that any of the rows from begin to end - 1 sees: the number is linear in the row's, so that one of the two ends sees most.
fn visibleToAny(begin: u32, end: u32) -> i32 { return max(visibleColumns(i32(begin)), visibleColumns(i32(end) - 1)); }

// Address of row i of list `list` (batch * lists + head).
fn mapRow(list: i32, i: i32) -> u32 {
  let batch = list / p.lists;
  let head = list - batch * p.lists;
  return p.map + u32(batch * p.mapStrideB + head * p.mapStrideH + i * p.mapStrideR) * 4u;
}

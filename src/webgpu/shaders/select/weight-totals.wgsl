//! params WeightSumsParams
//! use group, map-rows
//! const DIAGONALS
//! extra space: u32, firstList: u32, firstRow: u32, rowCount: u32, firstGroup: u32, groupCount: u32, outs: u32
// Weights of groups of rows, added up over columns or over diagonals.
//
//   space         f32 [lists, rowCount, M]                     rows of softmax, 0 where nothing is seen
//   columnSums    f32 [B, H, G, ceil(M / columnGroup)]         contiguous
//   diagonalSums  f32 [B, H, G, M]                             contiguous; by the distance from the last column that a row sees
//
//   The first firstColumns, firstDiagonals i32 [H] of them are Infinity: a choice takes them before all others. A group of which rows
//   came before is added to what is there.
//
// Thread: one sum.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.outs) { return; }
  let columns = u32(p.columns);
  let group = u32(p.columnGroup);
  let width = select((columns + group - 1u) / group, columns, DIAGONALS);
  let line = e / width;
  let x = e - line * width;
  let part = line / p.groupCount;
  let rowGroup = p.firstGroup + line - part * p.groupCount;
  let start = max(p.firstRow, rowGroup * u32(p.rowGroup));
  let to = min(p.firstRow + p.rowCount, (rowGroup + 1u) * u32(p.rowGroup));
  let list = p.firstList + part;
  let groups = u32((p.rows + p.rowGroup - 1) / p.rowGroup);
  let out = select(p.columnSums, p.diagonalSums, DIAGONALS) + ((list * groups + rowGroup) * width + x) * 4u;
  let h = list % u32(p.lists);
  let table = select(p.firstColumns, p.firstDiagonals, DIAGONALS);
  if (table != 0u && i32(x) < loadI(table + h * 4u)) {
    storeU(out, 0x7f800000u);
    return;
  }
  var sum = 0.0;
  if (start > rowGroup * u32(p.rowGroup)) { sum = loadF(out); }
  for (var i = start; i < to; i += 1u) {
    let row = p.space + (part * p.rowCount + i - p.firstRow) * columns * 4u;
    if (DIAGONALS) {
      let j = visibleColumns(i32(i)) - 1 - i32(x);
      if (j >= 0) { sum += loadF(row + u32(j) * 4u); }
    } else {
      let end = min(columns, (x + 1u) * group);
      for (var j = x * group; j < end; j += 1u) { sum += loadF(row + j * 4u); }
    }
  }
  storeF(out, sum);
}

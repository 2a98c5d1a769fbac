//! params ReduceMapParams
//! use group, map-rows, reduction, lanes
//! extra outs: u32
// Mean, sum, largest or least over groups of heads, rows and columns of a map, of what the rows see.
//
//   map  f32 [B, L, N, M]                                        columns contiguous; what a row does not see is not read
//   o    f32 [B, L / heads, ceil(N / rows), ceil(M / columns)]   contiguous; must not alias map
//
// A group at the end is of what there is. Where nothing is seen, mean and sum are 0, largest is -Infinity, least Infinity; the mean is
// over what is seen. LANES threads: one element of o.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let out = g * (256u / LANES) + t / LANES;
  let lane = i32(t % LANES);
  let live = out < p.outs;
  let item = i32(out) / p.outColumns;
  let start = (i32(out) - item * p.outColumns) * p.groupColumns;
  let lists = p.lists / p.groupHeads;
  let list = item / p.outRows;
  let first = (item - list * p.outRows) * p.groupRows;
  let last = min(first + p.groupRows, p.rows);
  let batch = list / lists;
  let head = (list - batch * lists) * p.groupHeads;
  let to = min(start + p.groupColumns, p.columns);
  let width = to - start;
  var value = emptyOf(p.kind);
  var count = 0.0;
  let cells = select(0, width * (last - first), live && width > 0);
  for (var h = head; h < head + p.groupHeads; h += 1) {
    for (var x = lane; x < cells; x += i32(LANES)) {
      let r = x / width;
      let i = first + r;
      let j = start + x - r * width;
      if (j >= visibleColumns(i)) { continue; }
      value = reduced(value, loadF(mapRow(batch * p.lists + h, i) + u32(j) * 4u), p.kind);
      count += 1.0;
    }
  }
  if (LANES > 1u) {
    count = sumLanes(t, count);
    if (p.kind == MAX_KIND) { value = maxLanes(t, value); }
    else if (p.kind == MIN_KIND) { value = -maxLanes(t, -value); }
    else { value = sumLanes(t, value); }
  }
  if (!live || lane != 0) { return; }
  if (p.kind == MEAN_KIND && count > 0.0) { value /= count; }
  storeReduced(p.o + out * 4u, value, count > 0.0, p.kind);
}

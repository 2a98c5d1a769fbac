//! params CollisionParams
//! use group, map-rows
//! extra elements: u32
// In how many tables the hash of a query is that of a key.
//
//   q    i32 [B, L * tables, Tq]              contiguous
//   k    i32 [B, L / group * tables, Tk]      any strides, last axis contiguous
//   map  f32 [B, L, Tq, Tk]                   columns contiguous; what a row does not see is left as it is
//
// MagicPIG (Chen 2024). Thread: one element.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let line = i32(e) / p.columns;
  let j = i32(e) - line * p.columns;
  let list = line / p.rows;
  let i = line - list * p.rows;
  if (j >= visibleColumns(i)) { return; }
  let batch = list / p.lists;
  let h = list - batch * p.lists;
  var q = p.q + u32(list * p.tables * p.rows + i) * 4u;
  var k = p.k + u32(batch * p.kStrideB + (h / p.group) * p.tables * p.kStrideL + j) * 4u;
  var count = 0;
  for (var n = 0; n < p.tables; n += 1) {
    count += i32(loadU(q) == loadU(k));
    q += u32(p.rows) * 4u;
    k += u32(p.kStrideL) * 4u;
  }
  storeF(mapRow(list, i) + u32(j) * 4u, f32(count));
}

//! params CollisionParams
//! use group, map-rows, lines
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
  let at = lineOf(line);
  if (j >= visibleColumns(at.row)) { return; }
  var q = p.q + u32(at.list * p.tables * p.rows + at.row) * 4u;
  var k = p.k + u32(at.batch * p.kStrideB + (at.head / p.group) * p.tables * p.kStrideL + j) * 4u;
  var count = 0;
  for (var n = 0; n < p.tables; n += 1) {
    count += i32(loadU(q) == loadU(k));
    q += u32(p.rows) * 4u;
    k += u32(p.kStrideL) * 4u;
  }
  storeF(mapRow(at.list, at.row) + u32(j) * 4u, f32(count));
}

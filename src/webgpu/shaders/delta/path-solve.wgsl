//! params PathBlocksParams
//! extra first: i32, count: i32, scratch: u32
//! use group, path-scratch, unit-lower-tile
// The systems of PaTH's blocks in place: [X | Z] = (I - A)^-1 [-beta w | -tril_<(beta w k^T)], A = -tril_<(beta w w^T).
//
// Workgroup: one (block, 64 columns); thread: one column.

// four rows of a column of floats, `step` bytes apart
fn column4(at: u32, step: u32) -> vec4f { return vec4f(loadF(at), loadF(at + step), loadF(at + 2u * step), loadF(at + 3u * step)); }
fn putColumn4(at: u32, step: u32, x: vec4f) {
  storeF(at, x.x);
  storeF(at + step, x.y);
  storeF(at + 2u * step, x.z);
  storeF(at + 3u * step, x.w);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let columns = width4() + 64u;
  let strips = (columns + 63u) / 64u;
  let i = group / strips;
  let column = (group - i * strips) * 64u + t;
  let there = column < columns;
  let a = overlapTile(i);
  let x = xzTile(i) + min(column, columns - 1u) * 4u;
  let step = xzRow();
  for (var row = 0u; row < 64u; row += 16u) {
    let at = x + row * step;
    var s0 = column4(at, step);
    var s1 = column4(at + 4u * step, step);
    var s2 = column4(at + 8u * step, step);
    var s3 = column4(at + 12u * step, step);
    for (var j = 0u; j <= row; j += 16u) {
      workgroupBarrier();
      tile[t] = -column4(a + (row + (t % 4u) * 4u) * 256u + (j + t / 4u) * 4u, 256u);
      workgroupBarrier();
      if (j < row) {
        for (var e = 0u; e < 16u; e += 1u) {
          let y = loadF(x + (j + e) * step);
          s0 -= tile[e * 4u] * y;
          s1 -= tile[e * 4u + 1u] * y;
          s2 -= tile[e * 4u + 2u] * y;
          s3 -= tile[e * 4u + 3u] * y;
        }
      }
    }
    let y = solveTile(array<vec4f, 4>(s0, s1, s2, s3));
    if (there) {
      putColumn4(at, step, y[0]);
      putColumn4(at + 4u * step, step, y[1]);
      putColumn4(at + 8u * step, step, y[2]);
      putColumn4(at + 12u * step, step, y[3]);
    }
  }
}

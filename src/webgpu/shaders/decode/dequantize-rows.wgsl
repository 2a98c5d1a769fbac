//! params QuantizeParams
//! use group, coded-rows
// Rows of codes to floats: see assembly/decode/codes/quantize.ts for the operands.
//
// Workgroup: one (batch, token, head).

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let index = groupIndex(wg, grid);
  if (index >= p.groups) { return; }
  let c = codedRowsAt(p.rows);
  let h = i32(index) % p.heads;
  let item = i32(index) / p.heads;
  let batch = item / p.count;
  let token = item - batch * p.count;
  let row = p.x + u32(batch * p.xStrideB + token * p.xStrideT + h * p.xStrideH) * 4u;
  for (var c4 = i32(t) * 4; c4 < c.d; c4 += 256) {
    let x = codedVector(c, batch, h, p.first + token, c4);
    for (var e = 0; e < min(4, c.d - c4); e++) { storeF(row + u32(c4 + e) * 4u, x[e]); }
  }
}

//! params HammingParams
//! use group, map-rows, lines
//! extra elements: u32
// How many bits of signatures agree, less how many do not.
//
//   q    i32 [B, L, Tq]              any strides
//   k    i32 [B, L / group, Tk]      last axis contiguous
//   map  f32 [B, L, Tq, Tk]          columns contiguous; what a row does not see is left as it is
//
//   map_ij = bits - 2 popcnt(q_i xor k_j); bits that no signature has are 0 in both. HashAttention (Desai 2024). Thread: one element.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let line = i32(e) / p.columns;
  let j = i32(e) - line * p.columns;
  let at = lineOf(line);
  if (j >= visibleColumns(at.row)) { return; }
  let q = loadU(p.q + u32(at.batch * p.qStrideB + at.head * p.qStrideH + at.row * p.qStrideT) * 4u);
  let k = loadU(p.k + u32(at.batch * p.kStrideB + (at.head / p.group) * p.kStrideH + j) * 4u);
  storeF(mapRow(at.list, at.row) + u32(j) * 4u, f32(p.bits - 2 * i32(countOneBits(q ^ k))));
}

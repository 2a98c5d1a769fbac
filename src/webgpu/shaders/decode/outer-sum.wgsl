//! params OuterSumParams
//! use group, storage
//! extra n: u32
// Rows of heads from their factors: see assembly/elementwise/outer-sum.ts for the operands.
//
//   o_h = scale sum_r a_r[h] b_r.  Tensor Product Attention (Zhang 2025)
//
// Thread: one element.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let index = groupIndex(wg, grid) * 256u + t;
  if (index >= p.n) { return; }
  let c = i32(index % u32(p.d));
  let row = index / u32(p.d);
  let h = i32(row % u32(p.heads));
  let token = i32(row / u32(p.heads));
  let batch = token / p.length;
  let time = token - batch * p.length;
  let a = batch * p.aStrideB + time * p.aStrideT + h;
  let b = batch * p.bStrideB + time * p.bStrideT + c;
  var sum = 0.0;
  for (var r = 0; r < p.rank; r++) { sum += loadAs(p.aType, p.a, a + r * p.aStrideR) * loadAs(p.bType, p.b, b + r * p.bStrideR); }
  storeF(p.o + index * 4u, sum * p.scale);
}

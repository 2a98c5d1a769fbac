//! params OuterSumParams
//! extra items: u32
//! use group, storage, element-place
// Rows of heads from their factors: o_h = scale sum_r a_r[h] b_r.
//
//   a  [B, T, R, H]       f32, f16 or bf16; any strides, last axis contiguous
//   b  [B, T, R, D]       likewise
//   o  f32 [B, T, H, D]   contiguous; must not alias a or b
//
// Tensor Product Attention (Zhang 2025), eq. of Q, K and V. Thread: one element.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  let at = placeOf(i, u32(p.d));
  if (at.item >= p.items) { return; }
  var a = at.batch * p.aStrideB + at.time * p.aStrideT + at.head;
  var b = at.batch * p.bStrideB + at.time * p.bStrideT + at.c;
  var sum = 0.0;
  for (var r = 0; r < p.rank; r++) {
    sum = fma(loadAs(p.aType, p.a, a) * p.scale, loadAs(p.bType, p.b, b), sum);
    a += p.aStrideR;
    b += p.bStrideR;
  }
  storeF(p.o + i * 4u, sum);
}

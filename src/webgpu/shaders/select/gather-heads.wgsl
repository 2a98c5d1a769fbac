//! params GatherHeadsParams
//! use group, storage
//! extra elements: u32
// Rows of each head in an order of its own, widened to f32.
//
//   x      f32, f16, bf16 or i8 [B, T, H, d]   any strides, last axis contiguous
//   order  i32 [B, L, n]                       last axis contiguous; what is no token gives a row of zeros
//   rows   f32 [B, G, n, d]                    contiguous; must not alias x
//
// Group g of G = max(H, L) is of head floor(g H / G) and list floor(g L / G). Thread: one element.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let line = i32(e) / p.d;
  let c = i32(e) - line * p.d;
  let group = line / p.n;
  let i = line - group * p.n;
  let batch = group / p.groups_;
  let g = group - batch * p.groups_;
  let list = (g * p.lists) / p.groups_;
  let head = (g * p.heads) / p.groups_;
  let token = loadI(p.order + u32(batch * p.orderStrideB + list * p.orderStrideH + i) * 4u);
  var x = 0.0;
  if (u32(token) < u32(p.length)) {
    x = loadAs(p.xType, p.x, batch * p.xStrideB + head * p.xStrideH + token * p.xStrideT + c);
  }
  storeF(p.rows + e * 4u, x);
}

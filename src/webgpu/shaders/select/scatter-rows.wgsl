//! params GatherHeadsParams
//! use group
//! const SUMMED
//! extra space: u32, order_: u32, elements: u32
// Rows of each group at their tokens, zeros where none is.
//
//   rows   f32 [B, G, n, d]   contiguous
//   space  u32 [B, L, T] as scatter-last writes it; SUMMED: offsets [B, L, T + 1] into order_ u32 [B, L, n], rows by token
//   x      f32 [B, T, G, d]   any strides, last axis contiguous; must not alias rows
//
// Several rows of one token: the last, or SUMMED their sum or mean, in the order of the rows. Thread: one element of x.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let line = i32(e) / p.d;
  let c = i32(e) - line * p.d;
  let group = line / p.length;
  let token = line - group * p.length;
  let batch = group / p.groups_;
  let g = group - batch * p.groups_;
  let list = batch * p.lists + (g * p.lists) / p.groups_;
  let rows = p.rows + u32(group * p.n * p.d + c) * 4u;
  var value = 0.0;
  if (SUMMED) {
    let at = p.space + u32(list * (p.length + 1) + token) * 4u;
    let begin = loadI(at);
    let end = loadI(at + 4u);
    for (var i = begin; i < end; i += 1) { value += loadF(rows + loadU(p.order_ + u32(list * p.n + i) * 4u) * u32(p.d) * 4u); }
    if (p.combine == 2 && end - begin > 1) { value *= 1.0 / f32(end - begin); }
  } else {
    let row = loadU(p.space + u32(list * p.length + token) * 4u);
    if (row > 0u) { value = loadF(rows + (row - 1u) * u32(p.d) * 4u); }
  }
  storeF(p.x + u32(batch * p.xStrideB + token * p.xStrideT + g * p.xStrideH + c) * 4u, value);
}

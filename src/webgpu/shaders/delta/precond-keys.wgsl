//! params PrecondParams
//! extra items: u32
//! use group, storage, element-place
// Keys times a bounded power of their curvature: o = k e^(-ln x r / (1 + |r|)), r = ln(a + epsilon) - c.
//
//   k  any storage [B, T, H, d]  any strides, last axis contiguous
//   a  f32 [B, T, H, d]          contiguous, at least 0
//   c  f32 [H]                   absent: the number `center`
//   o  f32 [B, T, H, d]          contiguous; must not alias the others
//
// Preconditioned DeltaNet (2026). Thread: one element.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  let at = placeOf(i, u32(p.d));
  if (at.item >= p.items) { return; }
  let k = loadAs(p.kType, p.k, offsetOf(at, p.kStrideB, p.kStrideT, p.kStrideH));
  var center = p.center;
  if (p.c != 0u) { center = loadF(p.c + u32(at.head) * 4u); }
  let r = log(loadF(p.a + i * 4u) + p.epsilon) - center;
  storeF(p.o + i * 4u, k * exp(-p.logX * (r / (1.0 + abs(r)))));
}

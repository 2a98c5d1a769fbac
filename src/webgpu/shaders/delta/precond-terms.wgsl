//! params PrecondParams
//! extra items: u32
//! use group, storage, element-place
// What the curvature of preconditioned delta rules, A_t = e^g_t A_{t-1} + beta_t k_t^2, is scanned from: terms = beta k^2, and gates = g for
// every element.
//
//   k             any storage [B, T, H, d]  any strides, last axis contiguous
//   g, beta       f32 [B, T, H]             any strides
//   terms, gates  f32 [B, T, H, d]          contiguous; must not alias the others
//
// Preconditioned DeltaNet (2026). Thread: one element.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  let at = placeOf(i, u32(p.d));
  if (at.item >= p.items) { return; }
  let k = loadAs(p.kType, p.k, offsetOf(at, p.kStrideB, p.kStrideT, p.kStrideH));
  let beta = loadF(p.beta + u32(rowOf(at, p.betaStrideB, p.betaStrideT, p.betaStrideH)) * 4u);
  storeF(p.terms + i * 4u, beta * k * k);
  // as bits: a gate may be -Infinity
  storeU(p.gates + i * 4u, loadU(p.g + u32(rowOf(at, p.gStrideB, p.gStrideT, p.gStrideH)) * 4u));
}

//! params PrecondParams
//! extra items: u32
//! use group, storage
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
  let row = i / u32(p.d);
  let item = row / u32(p.heads);
  if (item >= p.items) { return; }
  let c = i32(i - row * u32(p.d));
  let h = i32(row - item * u32(p.heads));
  let b = i32(item) / p.length;
  let time = i32(item) - b * p.length;
  let k = loadAs(p.kType, p.k, b * p.kStrideB + time * p.kStrideT + h * p.kStrideH + c);
  let beta = loadF(p.beta + u32(b * p.betaStrideB + time * p.betaStrideT + h * p.betaStrideH) * 4u);
  storeF(p.terms + i * 4u, beta * k * k);
  // as bits: a gate may be -Infinity
  storeU(p.gates + i * 4u, loadU(p.g + u32(b * p.gStrideB + time * p.gStrideT + h * p.gStrideH) * 4u));
}

//! params PseudoInverseParams
//! extra v: u32
//! use group
// V = K^T / most of every matrix, where the iteration for its pseudo-inverse begins.
//
//   k     f32 [matrices, n, n]   contiguous
//   most  f32 [matrices]         divisors, or the largest of them for all (shared)
//   v     f32 [matrices, n, n]   must not alias k
//
// Thread: one element.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  let n = u32(p.n);
  let line = i / n;
  let matrix = line / n;
  if (matrix >= u32(p.matrices)) { return; }
  var most = loadF(p.most + matrix * 4u);
  if (p.shared_ != 0) {
    for (var j = 0u; j < u32(p.matrices); j++) { most = max(most, loadF(p.most + j * 4u)); }
  }
  let row = line - matrix * n;
  let c = i - line * n;
  storeF(p.v + i * 4u, loadF(p.k + ((matrix * n + c) * n + row) * 4u) / most);
}

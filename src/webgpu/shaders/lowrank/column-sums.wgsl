//! params PseudoInverseParams
//! use group, special
// Largest column sum of each matrix of non-negative numbers, whose row sums are 1.
//
//   k     f32 [matrices, n, n]   contiguous
//   most  f32 [matrices]
//
// Group: one matrix; a thread has every 256th column.

var<workgroup> found: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let n = u32(p.n);
  var most = LOWEST;
  for (var c = t; c < n; c += 256u) {
    var sum = 0.0;
    for (var i = 0u; i < n; i += 1u) { sum += loadF(p.k + ((group * n + i) * n + c) * 4u); }
    most = max(most, sum);
  }
  found[t] = most;
  workgroupBarrier();
  for (var half = 128u; half > 0u; half /= 2u) {
    if (t < half) { found[t] = max(found[t], found[t + half]); }
    workgroupBarrier();
  }
  if (t == 0u) { storeF(p.most + group * 4u, found[0]); }
}

//! params PrincipalParams
//! use group, storage
//! extra means: u32, matrices: u32, elements: u32
// Means of products of what is left of keys less their mean.
//
//   k         f32, f16 or bf16 [B, T, H, d]   any strides, last axis contiguous
//   means     f32 [H, d]
//   matrices  f32 [H, d, d]
//
// Thread: one element.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let line = i32(e) / p.d;
  let b = i32(e) - line * p.d;
  let h = line / p.d;
  let a = line - h * p.d;
  let meanA = loadF(p.means + u32(line) * 4u);
  let meanB = loadF(p.means + u32(h * p.d + b) * 4u);
  var sum = 0.0;
  for (var batch = 0; batch < p.batch; batch += 1) {
    // sums of a batch's tokens by themselves, so that long ones lose little
    var part = 0.0;
    for (var token = 0; token < p.length; token += 1) {
      let at = batch * p.kStrideB + token * p.kStrideT + h * p.kStrideH;
      part = fma(loadAs(p.kType, p.k, at + a) - meanA, loadAs(p.kType, p.k, at + b) - meanB, part);
    }
    sum += part;
  }
  storeF(p.matrices + e * 4u, sum / f32(p.batch * p.length));
}

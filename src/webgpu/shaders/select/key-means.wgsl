//! params PrincipalParams
//! use group, storage
//! extra means: u32, spans: u32
// Means of the keys of a head over batches and tokens.
//
//   k      f32, f16 or bf16 [B, T, H, d]   any strides, last axis contiguous
//   means  f32 [H, d]
//
// Workgroup: 16 channels of one head, 16 threads a channel.

var<workgroup> parts: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let h = i32(g / p.spans);
  let c = i32((g % p.spans) * 16u + (t & 15u));
  var sum = 0.0;
  if (c < p.d) {
    for (var n = i32(t >> 4u); n < p.batch * p.length; n += 16) {
      let batch = n / p.length;
      sum += loadAs(p.kType, p.k, batch * p.kStrideB + (n - batch * p.length) * p.kStrideT + h * p.kStrideH + c);
    }
  }
  parts[t] = sum;
  workgroupBarrier();
  if (t >= 16u || c >= p.d) { return; }
  for (var n = 1u; n < 16u; n += 1u) { sum += parts[t + n * 16u]; }
  storeF(p.means + u32(h * p.d + c) * 4u, sum / f32(p.batch * p.length));
}

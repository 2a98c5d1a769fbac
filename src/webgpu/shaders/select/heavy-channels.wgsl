//! params HeavyChannelParams
//! use group, storage
//! extra spans: u32
// How much each channel has to say in the scores of a key head, not yet over the largest.
//
//   q        f32, f16 or bf16 [B, Tq, H, d]           any strides, last axis contiguous
//   k        f32, f16 or bf16 [B, Tk, H / group, d]   likewise
//   weights  f32 [H / group, d]                       contiguous: sum |q_c| sum |k_c|. Double Sparsity (Yang 2024)
//
// Workgroup: 16 channels of one key head, 16 threads a channel.

var<workgroup> magnitudes: array<vec2f, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let h = i32(g / p.spans);
  let c = i32((g % p.spans) * 16u + (t & 15u));
  let slice = i32(t >> 4u);
  var sums = vec2f();
  if (c < p.d) {
    for (var n = slice; n < p.batch * p.queries * p.group; n += 16) {
      let token = n / p.group;
      let batch = token / p.queries;
      let head = h * p.group + n - token * p.group;
      let at = batch * p.qStrideB + (token - batch * p.queries) * p.qStrideT + head * p.qStrideH + c;
      sums.x += abs(loadAs(p.qType, p.q, at));
    }
    for (var n = slice; n < p.batch * p.length; n += 16) {
      let batch = n / p.length;
      sums.y += abs(loadAs(p.kType, p.k, batch * p.kStrideB + (n - batch * p.length) * p.kStrideT + h * p.kStrideH + c));
    }
  }
  magnitudes[t] = sums;
  workgroupBarrier();
  if (slice > 0 || c >= p.d) { return; }
  for (var n = 1u; n < 16u; n += 1u) { sums += magnitudes[t + n * 16u]; }
  storeF(p.weights + u32(h * p.d + c) * 4u, sums.x * sums.y);
}

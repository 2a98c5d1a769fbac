//! params HeadClustersParams
//! use group, special, storage
//! extra weights: u32, elements: u32
// Softmax rows of the first tokens of each query head, 0 where a key is not seen.
//
//   q        f32, f16 or bf16 [B, >= tokens, H, d]     any strides, last axis contiguous
//   k        likewise [B, >= tokens, H / group, d]
//   weights  f32 [B, H, tokens, tokens]
//
// Thread: one row.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let n = p.tokens;
  let line = i32(e) / n;
  let i = i32(e) - line * n;
  let batch = line / p.heads;
  let h = line - batch * p.heads;
  let q = batch * p.qStrideB + i * p.qStrideT + h * p.qStrideH;
  let k = batch * p.kStrideB + (h / p.group) * p.kStrideH;
  let row = p.weights + e * u32(n) * 4u;
  let seen = select(n, i + 1, p.causal != 0);
  var most = LOWEST;
  for (var j = 0; j < seen; j += 1) {
    var score = 0.0;
    for (var c = 0; c < p.d; c += 1) {
      score = fma(loadAs(p.qType, p.q, q + c) * (p.scale * LOG2E), loadAs(p.kType, p.k, k + j * p.kStrideT + c), score);
    }
    storeF(row + u32(j) * 4u, score);
    most = max(most, score);
  }
  var sum = 0.0;
  for (var j = 0; j < seen; j += 1) { sum += exp2(loadF(row + u32(j) * 4u) - most); }
  for (var j = 0; j < n; j += 1) {
    var w = 0.0;
    if (j < seen) { w = exp2(loadF(row + u32(j) * 4u) - most) / sum; }
    storeF(row + u32(j) * 4u, w);
  }
}

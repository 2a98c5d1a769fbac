//! params HeadClustersParams
//! use group
//! extra weights: u32, distances: u32, elements: u32
// How far the weights of two heads are apart: 1 - w_a w_b / (|w_a| |w_b|), as half of the squared distance of the two at length 1,
// which keeps its digits where heads are nearly alike.
//
//   weights    f32 [B, H, tokens, tokens]
//   distances  f32 [B, H, H]
//
// Thread: one pair.

fn inverseNorm(row: u32, n: u32) -> f32 {
  var sum = 0.0;
  for (var x = 0u; x < n; x += 1u) {
    let w = loadF(row + x * 4u);
    sum = fma(w, w, sum);
  }
  return 1.0 / sqrt(sum);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let heads = u32(p.heads);
  let n = u32(p.tokens * p.tokens);
  let line = e / heads;
  let b = e - line * heads;
  let batch = line / heads;
  let first = p.weights + line * n * 4u;
  let second = p.weights + (batch * heads + b) * n * 4u;
  let x = inverseNorm(first, n);
  let y = inverseNorm(second, n);
  var sum = 0.0;
  for (var j = 0u; j < n; j += 1u) {
    let difference = loadF(first + j * 4u) * x - loadF(second + j * 4u) * y;
    sum = fma(difference, difference, sum);
  }
  storeF(p.distances + e * 4u, sum * 0.5);
}

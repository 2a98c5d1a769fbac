//! params HeadClustersParams
//! use group
//! extra distances: u32
// Query heads whose attention is alike, by agglomerative clustering.
//
//   distances  f32 [B, H, H]   of heads, then of clusters by their first heads
//   labels     i32 [B, H]      first head of each head's cluster; contiguous; H at most 1024
//
//   The two clusters with the least mean distance of their heads are joined, of equals the first ones, until p.clusters are left. CHAI
//   (Agarwal 2024).
//
// Workgroup: one batch entry.

const NO_PAIR = 0xffffffffu;

var<workgroup> sizes: array<u32, 1024>;
var<workgroup> least: array<f32, 256>;
var<workgroup> pairs: array<u32, 256>;
var<workgroup> nearestPair: u32;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let item = groupIndex(wg, grid);
  if (item >= p.groups) { return; }
  let heads = u32(p.heads);
  let distances = p.distances + item * heads * heads * 4u;
  let labels = p.labels + item * heads * 4u;
  for (var h = t; h < heads; h += 256u) {
    sizes[h] = 1u;
    storeU(labels + h * 4u, h);
  }
  for (var left = p.heads; left > p.clusters; left -= 1) {
    storageBarrier();
    workgroupBarrier();
    var best = 3.4e38;
    var pair = NO_PAIR;
    for (var x = t; x < heads * heads; x += 256u) {
      let a = x / heads;
      let b = x - a * heads;
      if (a >= b || sizes[a] == 0u || sizes[b] == 0u) { continue; }
      let bits = loadU(distances + x * 4u);
      // a distance that is NaN is taken where there is no other
      let distance = select(bitcast<f32>(bits), 3.3e38, (bits & 0x7fffffffu) > 0x7f7fffffu);
      if (distance < best) {
        best = distance;
        pair = x;
      }
    }
    least[t] = best;
    pairs[t] = pair;
    for (var step = 128u; step > 0u; step >>= 1u) {
      workgroupBarrier();
      if (t < step && (least[t + step] < least[t] || (least[t + step] == least[t] && pairs[t + step] < pairs[t]))) {
        least[t] = least[t + step];
        pairs[t] = pairs[t + step];
      }
    }
    if (t == 0u) { nearestPair = pairs[0]; }
    let found = workgroupUniformLoad(&nearestPair);
    let first = found / heads;
    let second = found - first * heads;
    let m = f32(sizes[first]);
    let n = f32(sizes[second]);
    for (var c = t; c < heads; c += 256u) {
      let x = (m * loadF(distances + (first * heads + c) * 4u) + n * loadF(distances + (second * heads + c) * 4u)) / (m + n);
      // the row of the second is not read any more, the one of the first by its own thread alone
      if (c != first && c != second) {
        storeF(distances + (first * heads + c) * 4u, x);
        storeF(distances + (c * heads + first) * 4u, x);
      }
      if (loadU(labels + c * 4u) == second) { storeU(labels + c * 4u, first); }
    }
    workgroupBarrier();
    if (t == 0u) {
      sizes[first] = sizes[first] + sizes[second];
      sizes[second] = 0u;
    }
  }
}

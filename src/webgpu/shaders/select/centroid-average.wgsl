//! params CentroidAverageParams
//! use group, lanes
//! extra centroidCount: u32
// Centroids moved towards their members: decay c + (1 - decay) s / |s|, s the sum of the members in all of the batch; those without
// members stay.
//
//   centroids  f32 [H, C, d]      contiguous
//   sums       f32 [B, C, H, d]   contiguous: sums of rows of each centroid
//   o          f32 [H, C, d]      contiguous
//
// Routing Transformer (Roy 2021). LANES threads: one centroid.

fn memberSum(h: u32, c: u32, i: u32) -> f32 {
  let at = p.sums + ((c * u32(p.heads) + h) * u32(p.d) + i) * 4u;
  var sum = 0.0;
  for (var batch = 0u; batch < u32(p.batch); batch += 1u) { sum += loadF(at + batch * u32(p.count * p.heads * p.d) * 4u); }
  return sum;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let item = g * (256u / LANES) + t / LANES;
  let lane = t % LANES;
  let h = item / u32(p.count);
  let c = item - h * u32(p.count);
  let end = select(0u, u32(p.d), item < p.centroidCount);
  var square = 0.0;
  for (var i = lane; i < end; i += LANES) {
    let sum = memberSum(h, c, i);
    square += sum * sum;
  }
  square = sumLanes(t, square);
  var gain = 0.0;
  var kept = 1.0;
  if (square > 0.0) {
    gain = (1.0 - p.decay) / sqrt(square);
    kept = p.decay;
  }
  for (var i = lane; i < end; i += LANES) {
    let at = (item * u32(p.d) + i) * 4u;
    storeF(p.o + at, loadF(p.centroids + at) * kept + memberSum(h, c, i) * gain);
  }
}

//! params Int4KeyParams
//! use group, storage, lanes
//! extra lines: u32
// Keys in four bits, each between the least and the largest of its elements.
//
//   k      f32, f16 or bf16 [B, T, H, d]   any strides, last axis contiguous
//   codes  u8 [B, T, H, width]             strides of whole words, last axis contiguous: byte c has channel c below and c + width above
//   range  f32 [B, T, H, 2]                any strides, last axis contiguous: step and least
//
//   k_c = least + step code_c, |error| at most step / 2. LANES threads: one key.

fn codeOf(k: i32, c: i32, least: f32, factor: f32) -> u32 {
  if (c >= p.d) { return 0u; }
  return u32(clamp(round((loadAs(p.kType, p.k, k + c) - least) * factor), 0.0, 15.0));
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let line = g * (256u / LANES) + t / LANES;
  let lane = i32(t % LANES);
  let live = line < p.lines;
  let item = i32(line) / p.heads;
  let h = i32(line) - item * p.heads;
  let batch = item / p.length;
  let token = item - batch * p.length;
  let k = batch * p.kStrideB + token * p.kStrideT + h * p.kStrideH;
  var least = 3.4e38;
  var most = -3.4e38;
  if (live) {
    for (var c = lane; c < p.d; c += i32(LANES)) {
      let x = loadAs(p.kType, p.k, k + c);
      least = min(least, x);
      most = max(most, x);
    }
  }
  most = maxLanes(t, most);
  least = -maxLanes(t, -least);
  if (!live) { return; }
  let step = (most - least) / 15.0;
  var factor = 0.0;
  if (step > 0.0) { factor = 1.0 / step; }
  let codes = p.codes + u32(batch * p.codesStrideB + token * p.codesStrideT + h * p.codesStrideH);
  for (var w = lane; w * 4 < p.width; w += i32(LANES)) {
    var word = 0u;
    for (var b = 0; b < 4; b += 1) {
      let c = w * 4 + b;
      word |= (codeOf(k, c, least, factor) | (codeOf(k, c + p.width, least, factor) << 4u)) << u32(b * 8);
    }
    storeU(codes + u32(w) * 4u, word);
  }
  if (lane > 0) { return; }
  let range = p.range + u32(batch * p.rangeStrideB + token * p.rangeStrideT + h * p.rangeStrideH) * 4u;
  storeF(range, step);
  storeF(range + 4u, least);
}

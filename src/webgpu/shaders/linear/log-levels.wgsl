// What linear-prepare-body leaves open, for log-linear attention: products count by the levels of their keys, and a chunk's sum of gates
// is written in two parts.
//
//   levelScales  f32 [B, T, HV, L]
//   decays       f32 [chunks][4]    high and low part; two more for log-sums

var<workgroup> scales: array<f32, 448>;

fn openLevels(c: Chunk, head: u32, t: u32) {
  for (var n = t; n < 448u; n += 128u) {
    let i = n % 64u;
    if (!has(c, i)) { continue; }
    let row = c.batch * p.levelScalesStrideB + (c.start + i32(i)) * p.levelScalesStrideT + i32(head) * p.levelScalesStrideH;
    scales[n] = loadF(p.levelScales + u32(row + i32(n / 64u)) * 4u);
  }
}

fn levelScale(i: u32, j: u32) -> f32 {
  return scales[select(1u + firstLeadingBit(i ^ j), 0u, i == j) * 64u + i];
}

fn levels4(i: u32, j: u32) -> vec4f {
  return vec4f(levelScale(i, j), levelScale(i + 1u, j), levelScale(i + 2u, j), levelScale(i + 3u, j));
}

fn closeChunk(group: u32, t: u32, high: f32, low: f32) {
  if (t == 0u) { storeF4(p.decays + group * 16u, vec4f(high, low, 0.0, 0.0)); }
}

//! params DpfpParams
//! extra rows: u32
//! use group, feature-row
// o = [r * roll(r, 1), ..., r * roll(r, shifts)], r = [max(x, 0), max(-x, 0)], roll(r, i)[j] = r[j - i].
//
//   x  f32 [B, T, H, d]            any strides, last axis contiguous
//   o  f32 [B, T, H, 2d * shifts]  contiguous; must not alias x
//
// Thread: one element of o. Schlag 2021.

fn rectified(x: u32, j: u32) -> f32 {
  let d = u32(p.d);
  let value = loadF(x + select(j, j - d, j >= d) * 4u);
  return max(select(value, -value, j >= d), 0.0);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  let row = i / u32(p.features);
  let c = i - row * u32(p.features);
  if (row >= p.rows) { return; }
  let n = 2u * u32(p.d);
  let shift = c / n;
  let j = c - shift * n;
  let x = inputRow(row);
  let other = (j + n - (shift + 1u) % n) % n;
  storeF(p.o + i * 4u, rectified(x, j) * rectified(x, other));
}

//! params L2NormParams
//! extra rows: u32
//! use group, feature-row, row-lanes
// o = x / max(sqrt(sum x^2 + epsilon), floor) over each row; a row of zeros stays zeros.
//
//   x  f32 [B, T, H, d]  any strides, last axis contiguous
//   o  f32 [B, T, H, d]  contiguous; may be x
//
// Sixteen threads: one row. Rows of very large or small numbers are divided by the largest first.

const SMALL = 1e-15;
const LARGE = 1e15;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let row = group * 16u + t / LANES;
  let end = select(0u, u32(p.d), row < p.rows);
  let x = inputRow(min(row, p.rows - 1u));
  let o = featureRow(row);
  var most = 0.0;
  for (var i = t % LANES; i < end; i += LANES) { most = max(most, abs(loadF(x + i * 4u))); }
  most = rowMax(t, most);
  let unit = select(most, 1.0, most == 0.0 || (most > SMALL && most < LARGE));
  var square = 0.0;
  for (var i = t % LANES; i < end; i += LANES) {
    let y = loadF(x + i * 4u) / unit;
    square = fma(y, y, square);
  }
  square = rowSum(t, square);
  // epsilon in units of the row, where that is a number
  let dwarfed = unit < SMALL && p.epsilon > 1e-20;
  let epsilon = select(min(p.epsilon / unit, 1e30) / unit, 0.0, dwarfed);
  let norm = max(sqrt(square + epsilon), p.floor / max(unit, 1e-30));
  let factor = select(1.0 / norm, unit / max(sqrt(p.epsilon), p.floor), dwarfed);
  let nothing = square == 0.0 && p.epsilon == 0.0;
  for (var i = t % LANES; i < end; i += LANES) {
    storeF(o + i * 4u, select((loadF(x + i * 4u) / unit) * factor, 0.0, nothing));
  }
}

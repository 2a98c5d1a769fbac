//! params FftConvParams
//! extra z: u32, first: u32, count: u32
//! use group
// Kernels and inputs of `count` channels from `first` on as complex numbers, even elements the real parts, zeros behind them.
//
//   z  f32 [m, (1 + B) count, 2]  rows of kernels first, then those of every batch entry
//
// Thread: one complex element of one row.

fn inputAt(row: u32, i: u32) -> f32 {
  let part = row / p.count;
  let h = p.first + row - part * p.count;
  if (part == 0u) {
    if (i >= u32(p.taps)) { return 0.0; }
    return loadF(p.kernel + (h * u32(p.kernelStride) + i) * 4u);
  }
  if (i >= u32(p.length)) { return 0.0; }
  return loadF(p.u + u32(i32(part - 1u) * p.uStrideB + i32(i) * p.uStrideT + i32(h)) * 4u);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  let rows = (1u + u32(p.batch)) * p.count;
  if (i >= u32(p.m) * rows) { return; }
  let k = i / rows;
  let row = i - k * rows;
  storeF(p.z + i * 8u, inputAt(row, 2u * k));
  storeF(p.z + i * 8u + 4u, inputAt(row, 2u * k + 1u));
}

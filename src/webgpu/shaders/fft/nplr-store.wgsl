//! params NplrKernelParams
//! extra z: u32
//! use group
// Kernels from the inverse transform [m, H, 2], which leaves even elements as imaginary and odd ones as real parts; or, without one,
// from spectra [length / 2 + 1, H, 2] by the definition.
//
//   o      f32 [H, length]
//   roots  f64 [length, 2]
//
// Thread: one element.

// The f32 nearest to zero from an f64.
fn roundedAt(at: u32) -> f32 {
  let low = loadU(at);
  let high = loadU(at + 4u);
  let exponent = i32((high >> 20u) & 2047u) - 1023;
  if (exponent < -100) { return 0.0; }
  // the first bit that is left out rounds
  let bits = ((u32(exponent + 127) << 23u) | ((high & 0xfffffu) << 3u) | (low >> 29u)) + ((low >> 28u) & 1u);
  return bitcast<f32>((high & 0x80000000u) | bits);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  let channels = u32(p.channels);
  let length = u32(p.length);
  if (i >= channels * length) { return; }
  let h = i / length;
  let l = i - h * length;
  if (p.m != 0) {
    let at = (l / 2u) * channels + h;
    storeF(p.o + i * 4u, 0.5 / f32(p.m) * loadF(p.z + at * 8u + 4u * (1u - (l & 1u))));
    return;
  }
  var sum = 0.0;
  var place = 0u;
  for (var k = 1u; k <= (length - 1u) / 2u; k += 1u) {
    place += l;
    if (place >= length) { place -= length; }
    let at = p.z + (k * channels + h) * 8u;
    sum += loadF(at) * roundedAt(p.roots + place * 16u) - loadF(at + 4u) * roundedAt(p.roots + place * 16u + 8u);
  }
  sum = 2.0 * sum + loadF(p.z + h * 8u);
  if ((length & 1u) == 0u) {
    let middle = loadF(p.z + ((length / 2u) * channels + h) * 8u);
    sum += select(middle, -middle, (l & 1u) != 0u);
  }
  storeF(p.o + i * 4u, sum / f32(length));
}

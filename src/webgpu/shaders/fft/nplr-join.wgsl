//! params NplrKernelParams
//! extra spectrum: u32, z: u32
//! use group, real-spectrum
// What an inverse transform takes from the spectra of real kernels.
//
//   spectrum  f32 [m + 1, H, 2]
//   z         f32 [m, H, 2]   real and imaginary parts swapped
//
// Thread: elements k and m - k of one channel.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  let m = u32(p.m);
  let channels = u32(p.channels);
  if (i >= (m / 2u + 1u) * channels) { return; }
  let k = i / channels;
  let h = i - k * channels;
  let x = complexAt(p.spectrum, i);
  let y = complexAt(p.spectrum, (m - k) * channels + h);
  if (k == 0u) {
    storeComplex(p.z, h, vec2f(x.x - y.x, x.x + y.x));
    return;
  }
  let joined = joinSpectrum(x, vec2f(y.x, -y.y), complexAt(p.twiddles, k));
  storeComplex(p.z, i, joined.low);
  storeComplex(p.z, (m - k) * channels + h, joined.high);
}

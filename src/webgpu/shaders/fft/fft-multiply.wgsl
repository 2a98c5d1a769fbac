//! params FftConvParams
//! extra z: u32, count: u32
//! use group, real-spectrum
// Transformed inputs times transformed kernels, as the spectra of the real signals that they are of; in place, with real and
// imaginary parts swapped as an inverse transform wants them.
//
//   z  f32 [m, (1 + B) count, 2]   as fft-load, transformed
//
// Thread: elements k and m - k of one row of inputs.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  let m = u32(p.m);
  let inputs = u32(p.batch) * p.count;
  let rows = inputs + p.count;
  if (i >= (m / 2u + 1u) * inputs) { return; }
  let k = i / inputs;
  let input = i - k * inputs;
  let row = p.count + input;
  let kernel = input % p.count;
  let scale = 0.125 / f32(m);
  let x = complexAt(p.z, k * rows + row);
  let h = complexAt(p.z, k * rows + kernel);
  if (k == 0u) {
    let first = 4.0 * scale * (h.x + h.y) * (x.x + x.y);
    let middle = 4.0 * scale * (h.x - h.y) * (x.x - x.y);
    storeComplex(p.z, row, vec2f(first - middle, first + middle));
    return;
  }
  let mirror = (m - k) * rows;
  let w = complexAt(p.twiddles, k);
  let a = splitSpectrum(x, complexAt(p.z, mirror + row), w);
  let b = splitSpectrum(h, complexAt(p.z, mirror + kernel), w);
  let low = scale * times(a.low, b.low);
  // conj of the product at m - k
  let high = scale * times(a.high, b.high);
  let joined = joinSpectrum(low, high, w);
  storeComplex(p.z, k * rows + row, joined.low);
  storeComplex(p.z, mirror + row, joined.high);
}

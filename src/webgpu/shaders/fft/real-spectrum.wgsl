// Spectra of real signals from transforms of half their length, whose real parts are the even elements.

fn complexAt(base: u32, i: u32) -> vec2f { return vec2f(loadF(base + i * 8u), loadF(base + i * 8u + 4u)); }

fn storeComplex(base: u32, i: u32, x: vec2f) {
  storeF(base + i * 8u, x.x);
  storeF(base + i * 8u + 4u, x.y);
}

fn times(a: vec2f, b: vec2f) -> vec2f { return vec2f(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x); }

// Element k, and the conjugate of element m - k.
struct Mirrored { low: vec2f, high: vec2f }

// Twice the spectrum of the real signal from elements k and m - k of the transform, with w = e^(-2 pi i k / (2 m)).
fn splitSpectrum(a: vec2f, b: vec2f, w: vec2f) -> Mirrored {
  let even = vec2f(a.x + b.x, a.y - b.y);
  // -i (a - conj b)
  let odd = times(w, vec2f(a.y + b.y, b.x - a.x));
  return Mirrored(even + odd, even - odd);
}

// Elements k and m - k of what an inverse transform takes, real and imaginary parts swapped.
fn joinSpectrum(low: vec2f, high: vec2f, w: vec2f) -> Mirrored {
  let even = low + high;
  let difference = low - high;
  let odd = vec2f(w.x * difference.x + w.y * difference.y, w.x * difference.y - w.y * difference.x);
  return Mirrored(vec2f(even.y + odd.x, even.x - odd.y), vec2f(odd.x - even.y, even.x + odd.y));
}

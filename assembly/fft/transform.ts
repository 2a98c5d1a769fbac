import { fma } from '../simd/fma';

// Four channels at a time, one in each lane: an element is 32 bytes, four real parts and four imaginary parts, so that
// no step shuffles. Twiddles are f32 pairs e^(-2 pi i k / n), the same for all lanes.

/** Two halves of a radix-2 pass: `stride` butterflies without twiddles. */
function pass2(x: usize, y: usize, stride: i32): void {
  const half: usize = (<usize>stride) << 5;
  for (const end = x + half; x < end; x += 16) {
    const a = v128.load(x);
    const b = v128.load(x + half);
    v128.store(y, f32x4.add(a, b));
    v128.store(y + half, f32x4.sub(a, b));
    y += 16;
  }
}

/** The last radix-4 pass: `stride` butterflies without twiddles. */
function last4(x: usize, y: usize, stride: i32): void {
  const step: usize = (<usize>stride) << 5;
  for (const end = x + step; x < end; x += 32) {
    const x1 = x + step;
    const x2 = x1 + step;
    const x3 = x2 + step;
    const ar = v128.load(x);
    const ai = v128.load(x, 16);
    const br = v128.load(x1);
    const bi = v128.load(x1, 16);
    const cr = v128.load(x2);
    const ci = v128.load(x2, 16);
    const dr = v128.load(x3);
    const di = v128.load(x3, 16);
    const y1 = y + step;
    const y2 = y1 + step;
    const y3 = y2 + step;
    const sr = f32x4.add(ar, cr);
    const si = f32x4.add(ai, ci);
    const tr = f32x4.add(br, dr);
    const ti = f32x4.add(bi, di);
    v128.store(y, f32x4.add(sr, tr));
    v128.store(y, f32x4.add(si, ti), 16);
    v128.store(y2, f32x4.sub(sr, tr));
    v128.store(y2, f32x4.sub(si, ti), 16);
    const er = f32x4.sub(ar, cr);
    const ei = f32x4.sub(ai, ci);
    const fr = f32x4.sub(br, dr);
    const fi = f32x4.sub(bi, di);
    v128.store(y1, f32x4.add(er, fi));
    v128.store(y1, f32x4.sub(ei, fr), 16);
    v128.store(y3, f32x4.sub(er, fi));
    v128.store(y3, f32x4.add(ei, fr), 16);
    y += 32;
  }
}

/** One group of butterflies, all with the same twiddles. */
function group4(x: usize, quarter: usize, y: usize, stride: i32, w1: usize, w2: usize, w3: usize): void {
  const step: usize = (<usize>stride) << 5;
  const c1 = v128.load32_splat(w1);
  const s1 = v128.load32_splat(w1 + 4);
  const c2 = v128.load32_splat(w2);
  const s2 = v128.load32_splat(w2 + 4);
  const c3 = v128.load32_splat(w3);
  const s3 = v128.load32_splat(w3 + 4);
  for (const end = x + step; x < end; x += 32) {
    const x1 = x + quarter;
    const x2 = x1 + quarter;
    const x3 = x2 + quarter;
    const ar = v128.load(x);
    const ai = v128.load(x, 16);
    const cr = v128.load(x2);
    const ci = v128.load(x2, 16);
    const sr = f32x4.add(ar, cr);
    const si = f32x4.add(ai, ci);
    const er = f32x4.sub(ar, cr);
    const ei = f32x4.sub(ai, ci);
    const br = v128.load(x1);
    const bi = v128.load(x1, 16);
    const dr = v128.load(x3);
    const di = v128.load(x3, 16);
    const tr = f32x4.add(br, dr);
    const ti = f32x4.add(bi, di);
    const fr = f32x4.sub(br, dr);
    const fi = f32x4.sub(bi, di);
    const y1 = y + step;
    const y2 = y1 + step;
    const y3 = y2 + step;
    v128.store(y, f32x4.add(sr, tr));
    v128.store(y, f32x4.add(si, ti), 16);
    const gr = f32x4.sub(sr, tr);
    const gi = f32x4.sub(si, ti);
    v128.store(y2, f32x4.sub(f32x4.mul(c2, gr), f32x4.mul(s2, gi)));
    v128.store(y2, fma(c2, gi, f32x4.mul(s2, gr)), 16);
    const hr = f32x4.add(er, fi);
    const hi = f32x4.sub(ei, fr);
    v128.store(y1, f32x4.sub(f32x4.mul(c1, hr), f32x4.mul(s1, hi)));
    v128.store(y1, fma(c1, hi, f32x4.mul(s1, hr)), 16);
    const kr = f32x4.sub(er, fi);
    const ki = f32x4.add(ei, fr);
    v128.store(y3, f32x4.sub(f32x4.mul(c3, kr), f32x4.mul(s3, ki)));
    v128.store(y3, fma(c3, ki, f32x4.mul(s3, kr)), 16);
    y += 32;
  }
}

/**
 * Complex FFT of m elements, m a power of two: Stockham's order needs no reversal, so that each pass goes from one
 * buffer to the other. The inverse is the same on elements whose real and imaginary parts are swapped, over m.
 *
 *   x, y      f32 [m, 2, 4]   both are overwritten
 *   twiddles  f32 [2 m, 2]    e^(-2 pi i k / (2 m))
 *
 * @returns the one of x and y that holds the result.
 */
export function transform(x: usize, y: usize, m: i32, twiddles: usize): usize {
  let n = m;
  let stride = 1;
  while (n > 4) {
    const quarter: usize = (<usize>m) << 3;
    // twiddles of n are every (2 m / n)-th of the table, 8 bytes each
    const apart: usize = (<usize>stride) << 4;
    const groups = n >> 2;
    for (let g: usize = 0; g < <usize>groups; ++g) {
      const w1 = twiddles + g * apart;
      const w2 = twiddles + 2 * g * apart;
      const w3 = twiddles + 3 * g * apart;
      group4(x + g * ((<usize>stride) << 5), quarter, y + g * ((<usize>stride) << 7), stride, w1, w2, w3);
    }
    const swap = x;
    x = y;
    y = swap;
    n >>= 2;
    stride <<= 2;
  }
  if (n == 4) {
    last4(x, y, stride);
    return y;
  }
  if (n == 2) {
    pass2(x, y, stride);
    return y;
  }
  return x;
}

/**
 * Splits the transform of z_j = x_2j + i x_2j+1 into the spectrum of the real x, times 2 scale for elements 1 to m - 1 and
 * 4 scale for the real elements 0 and m.
 *
 *   z  f32 [m, 2, 4]        spectrum  f32 [m + 1, 2, 4]
 */
export function splitReal(z: usize, spectrum: usize, m: i32, twiddles: usize, scale: f32): void {
  const factor = f32x4.splat(scale);
  const zero = i32x4.splat(0);
  const last = spectrum + ((<usize>m) << 5);
  const double = f32x4.splat(4 * scale);
  v128.store(spectrum, f32x4.mul(double, f32x4.add(v128.load(z), v128.load(z, 16))));
  v128.store(last, f32x4.mul(double, f32x4.sub(v128.load(z), v128.load(z, 16))));
  v128.store(spectrum, zero, 16);
  v128.store(last, zero, 16);
  for (let k: usize = 1; k <= <usize>(m >> 1); ++k) {
    const a = z + (k << 5);
    const b = z + ((<usize>m - k) << 5);
    const c = v128.load32_splat(twiddles + (k << 3));
    const s = v128.load32_splat(twiddles + (k << 3) + 4);
    const ar = v128.load(a);
    const ai = v128.load(a, 16);
    const br = v128.load(b);
    const bi = v128.load(b, 16);
    const er = f32x4.add(ar, br);
    const ei = f32x4.sub(ai, bi);
    // -i (a - conj b)
    const or = f32x4.add(ai, bi);
    const oi = f32x4.sub(br, ar);
    const wr = f32x4.sub(f32x4.mul(c, or), f32x4.mul(s, oi));
    const wi = fma(c, oi, f32x4.mul(s, or));
    const to = spectrum + (k << 5);
    const mirror = spectrum + ((<usize>m - k) << 5);
    v128.store(to, f32x4.mul(factor, f32x4.add(er, wr)));
    v128.store(to, f32x4.mul(factor, f32x4.add(ei, wi)), 16);
    v128.store(mirror, f32x4.mul(factor, f32x4.sub(er, wr)));
    v128.store(mirror, f32x4.mul(factor, f32x4.sub(wi, ei)), 16);
  }
}

/**
 * The inverse of splitReal, with real and imaginary parts swapped as an inverse transform wants them: twice the transform
 * of z from the spectrum of the real x.
 */
export function joinReal(spectrum: usize, z: usize, m: i32, twiddles: usize): void {
  const last = spectrum + ((<usize>m) << 5);
  const first = v128.load(spectrum);
  const middle = v128.load(last);
  v128.store(z, f32x4.sub(first, middle));
  v128.store(z, f32x4.add(first, middle), 16);
  for (let k: usize = 1; k <= <usize>(m >> 1); ++k) {
    const a = spectrum + (k << 5);
    const b = spectrum + ((<usize>m - k) << 5);
    const c = v128.load32_splat(twiddles + (k << 3));
    const s = v128.load32_splat(twiddles + (k << 3) + 4);
    joinPair(
      v128.load(a),
      v128.load(a, 16),
      v128.load(b),
      f32x4.neg(v128.load(b, 16)),
      c,
      s,
      z + (k << 5),
      z + ((<usize>m - k) << 5),
    );
  }
}

/** From y_k and conj y_{m-k} to swapped z_k and z_{m-k}. */
// @ts-ignore: decorator
@inline
export function joinPair(ar: v128, ai: v128, br: v128, bi: v128, c: v128, s: v128, to: usize, mirror: usize): void {
  const er = f32x4.add(ar, br);
  const ei = f32x4.add(ai, bi);
  const dr = f32x4.sub(ar, br);
  const di = f32x4.sub(ai, bi);
  // conj w times the difference
  const or = fma(c, dr, f32x4.mul(s, di));
  const oi = f32x4.sub(f32x4.mul(c, di), f32x4.mul(s, dr));
  v128.store(to, f32x4.add(ei, or));
  v128.store(to, f32x4.sub(er, oi), 16);
  v128.store(mirror, f32x4.sub(or, ei));
  v128.store(mirror, f32x4.add(er, oi), 16);
}

/**
 * z = joinReal(splitReal(z) * kernel), for pairs k and m - k at once. The kernel's spectrum holds all factors.
 */
export function multiplySpectra(z: usize, kernel: usize, to: usize, m: i32, twiddles: usize): void {
  const last = kernel + ((<usize>m) << 5);
  const first = f32x4.mul(v128.load(kernel), f32x4.add(v128.load(z), v128.load(z, 16)));
  const middle = f32x4.mul(v128.load(last), f32x4.sub(v128.load(z), v128.load(z, 16)));
  v128.store(to, f32x4.sub(first, middle));
  v128.store(to, f32x4.add(first, middle), 16);
  for (let k: usize = 1; k <= <usize>(m >> 1); ++k) {
    const other = (<usize>m - k) << 5;
    const a = z + (k << 5);
    const b = z + other;
    const c = v128.load32_splat(twiddles + (k << 3));
    const s = v128.load32_splat(twiddles + (k << 3) + 4);
    const ar = v128.load(a);
    const ai = v128.load(a, 16);
    const br = v128.load(b);
    const bi = v128.load(b, 16);
    const er = f32x4.add(ar, br);
    const ei = f32x4.sub(ai, bi);
    const or = f32x4.add(ai, bi);
    const oi = f32x4.sub(br, ar);
    const wr = f32x4.sub(f32x4.mul(c, or), f32x4.mul(s, oi));
    const wi = fma(c, oi, f32x4.mul(s, or));
    const pr = f32x4.add(er, wr);
    const pi = f32x4.add(ei, wi);
    const qr = f32x4.sub(er, wr);
    const qi = f32x4.sub(ei, wi);
    const hr = v128.load(kernel + (k << 5));
    const hi = v128.load(kernel + (k << 5), 16);
    const gr = v128.load(kernel + other);
    const gi = v128.load(kernel + other, 16);
    joinPair(
      f32x4.sub(f32x4.mul(pr, hr), f32x4.mul(pi, hi)),
      fma(pr, hi, f32x4.mul(pi, hr)),
      fma(qr, gr, f32x4.mul(qi, gi)),
      f32x4.sub(f32x4.mul(qi, gr), f32x4.mul(qr, gi)),
      c,
      s,
      to + (k << 5),
      to + other,
    );
  }
}

/**
 * Numbers that are the same on every device.
 *
 * @module
 */

/** Uniform numbers in [0, 1) from a seed (mulberry32). */
export function uniformFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Normal numbers of this deviation (Box and Muller). */
export function normals(seed: number, count: number, deviation = 1): Float32Array {
  const uniform = uniformFrom(seed);
  const numbers = new Float32Array(count);
  for (let n = 0; n < count; n += 2) {
    const radius = deviation * Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    numbers[n] = radius * Math.cos(angle);
    if (n + 1 < count) numbers[n + 1] = radius * Math.sin(angle);
  }
  return numbers;
}

/** A hash of two numbers of 32 bits. */
export function mix(a: number, b: number): number {
  let x = Math.imul(a ^ (b + 0x9e3779b9 + (a << 6) + (a >>> 2)), 0x85ebca6b);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

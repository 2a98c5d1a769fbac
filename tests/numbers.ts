import assert from 'node:assert/strict';

/** Numbers in [0, 1) from a seed. */
export function randomNumbers(seed: number): () => number {
  let state = (seed * 2654435761 + 1) >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Values in [-2, 2). */
export function values(n: number, next: () => number): Float32Array {
  return Float32Array.from({ length: n }, () => next() * 4 - 2);
}

/** Checks every value against the one expected, relative to it where it is above 1. */
export function expectClose(got: ArrayLike<number>, want: ArrayLike<number>, what: string, tolerance = 4e-6): void {
  assert.equal(got.length, want.length);
  for (let i = 0; i < got.length; ++i) {
    const [x, y] = [got[i]!, want[i]!];
    assert.ok(
      x === y || Math.abs(x - y) <= tolerance * Math.max(1, Math.abs(y)),
      `${what}[${i}] is ${x}, expected ${y}`,
    );
  }
}

/**
 * Random projections of FAVOR+, the same on every host: only operations that IEEE 754 rounds correctly are used.
 *
 * @module
 */

import { uniformFrom } from './uniform.ts';

/** Options of `favorProjection`. */
export interface FavorProjectionOptions {
  /** Chooses the projections, a whole number from 0 to 2^32 - 1. Default 0. */
  readonly seed?: number;
  /** Rows at right angles, in blocks of as many as there are dimensions. Default true. */
  readonly orthogonal?: boolean;
  /** Norms of the rows: those of normal vectors, or all sqrt(dim). Default 'chi'. */
  readonly scaling?: 'chi' | 'sqrt';
}

/** ln x for 0 < x < 1, by a series: `Math.log` differs between hosts. */
function ln(x: number): number {
  let exponent = 0;
  let mantissa = x;
  while (mantissa < Math.SQRT1_2) {
    mantissa *= 2;
    exponent -= 1;
  }
  const s = (mantissa - 1) / (mantissa + 1);
  let series = 0;
  for (let k = 21; k >= 1; k -= 2) series = series * s * s + 1 / k;
  return 2 * s * series + exponent * Math.LN2;
}

/** Normal numbers by the polar method (Marsaglia 1964). */
export function normalFrom(uniform: () => number): () => number {
  let spare: number | undefined;
  return () => {
    if (spare !== undefined) {
      const value = spare;
      spare = undefined;
      return value;
    }
    for (;;) {
      const [u, v] = [2 * uniform() - 1, 2 * uniform() - 1];
      const square = u * u + v * v;
      if (square >= 1 || square === 0) continue;
      const factor = Math.sqrt((-2 * ln(square)) / square);
      spare = v * factor;
      return u * factor;
    }
  };
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

/** Rows made orthonormal by Gram-Schmidt, each taken twice: the Q of a QR decomposition whose R has a positive diagonal. */
function orthonormal(rows: readonly Float64Array[]): void {
  for (const [i, row] of rows.entries()) {
    for (let pass = 0; pass < 2; ++pass) {
      for (const done of rows.slice(0, i)) {
        const along = dot(row, done);
        for (let c = 0; c < row.length; ++c) row[c]! -= along * done[c]!;
      }
      const norm = Math.sqrt(dot(row, row));
      for (let c = 0; c < row.length; ++c) row[c]! /= norm;
    }
  }
}

/** Projections [features, dim], row by row. */
export function projectionRows(features: number, dim: number, options: FavorProjectionOptions = {}): Float32Array {
  const { seed = 0, orthogonal = true, scaling = 'chi' } = options;
  const normal = normalFrom(uniformFrom(seed));
  const fresh = () => Float64Array.from({ length: dim }, normal);
  const out = new Float32Array(features * dim);
  for (let first = 0; first < features; first += dim) {
    const block = Array.from({ length: Math.min(dim, features - first) }, fresh);
    if (orthogonal) orthonormal(block);
    for (const [i, row] of block.entries()) {
      // a normal row has its norm; one of length 1 takes that of another
      const other = orthogonal ? fresh() : row;
      const norm = scaling === 'sqrt' ? Math.sqrt(dim) : Math.sqrt(dot(other, other));
      const factor = norm / Math.sqrt(dot(row, row));
      out.set(
        row.map((value) => value * factor),
        (first + i) * dim,
      );
    }
  }
  return out;
}

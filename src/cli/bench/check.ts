import type { Reference } from './reference.ts';

/** What comparing a result with the float64 reference gave. */
export interface Check {
  ok: boolean;
  /** largest difference over the rows that were compared; NaN when the result holds one */
  error: number;
  tolerance: number;
  rows: number;
  /** why it failed, when it did */
  reason?: string;
}

/**
 * Compares a result with the reference. The bound is the package's own: twice the error of a naive float32 version plus 1e-6;
 * `relative` widens it to that share of the largest value (peers, and int8 caches, which round the query).
 */
export function checkResult(got: ArrayLike<number>, reference: Reference, relative = 0): Check {
  const tolerance = Math.max(2 * reference.naiveError + 1e-6, relative * reference.largest);
  const rows = reference.rows.length;
  const fail = (error: number, reason: string): Check => ({ ok: false, error, tolerance, rows, reason });
  if (got.length !== reference.length) return fail(Number.NaN, `${got.length} elements, expected ${reference.length}`);
  for (let i = 0; i < got.length; i++) {
    if (!Number.isFinite(got[i]!)) return fail(Number.NaN, `element ${i} is ${got[i]}`);
  }
  let error = 0;
  for (const { offset, stride, values } of reference.rows) {
    for (let i = 0; i < values.length; i++) error = Math.max(error, Math.abs(got[offset + i * stride]! - values[i]!));
  }
  if (error > tolerance)
    return fail(error, `off by ${error.toExponential(1)}, at most ${tolerance.toExponential(1)} is allowed`);
  return { ok: true, error, tolerance, rows };
}

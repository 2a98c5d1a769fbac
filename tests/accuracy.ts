import assert from 'node:assert/strict';
import { float32, float32Base2, float64, type NdArray, type Round } from './reference/ndarray.ts';

/** Largest |got - want|; equal values, infinities and NaN in the same places count as 0, anything else non-finite as Infinity. */
export function maxError(got: NdArray, want: NdArray): { error: number; where: number } {
  assert.deepEqual([...got.shape], [...want.shape]);
  let error = 0;
  let where = -1;
  for (let n = 0; n < want.data.length; n++) {
    const g = got.data[n]!;
    const w = want.data[n]!;
    if (Object.is(g, w) || g === w) continue;
    const difference = Math.abs(g - w);
    if (Number.isNaN(difference) || difference > error) {
      error = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
      where = n;
    }
    if (error === Number.POSITIVE_INFINITY) break;
  }
  return { error, where };
}

/** Fails unless `got` is within `limit` of `want`. */
export function assertNear(got: NdArray, want: NdArray, limit: number, what: string): void {
  const { error, where } = maxError(got, want);
  if (error > limit) {
    assert.fail(
      `${what}: error ${error} > ${limit} at element ${where} of [${want.shape}]: got ${got.data[where]}, want ${want.data[where]}`,
    );
  }
}

/** Fails unless every element has the same bits. */
export function assertSameBits(got: NdArray, want: NdArray, what: string): void {
  assert.deepEqual([...got.shape], [...want.shape], what);
  for (let n = 0; n < want.data.length; n++) {
    if (!Object.is(got.data[n], want.data[n]))
      assert.fail(`${what}: element ${n} of [${want.shape}] is ${got.data[n]}, not ${want.data[n]}`);
  }
}

/** A reference's outputs in float64, and how far each may be missed. */
export interface Expected<Name extends string> {
  want: Record<Name, NdArray>;
  limit: Record<Name, number>;
}

function largest({ data }: NdArray): number {
  let most = 0;
  for (let n = 0; n < data.length; n++)
    if (Number.isFinite(data[n]) && Math.abs(data[n]!) > most) most = Math.abs(data[n]!);
  return most;
}

/**
 * Evaluates a reference, given the precision to compute in. Each output may be missed by twice the error of a naive float32 version, the
 * worse of the one in base e and the one in base 2, plus 1e-6, for outputs beyond 1 relative to the largest. `forms` are other ways in
 * which the same is naively computed; what they do not give counts as exact.
 */
export function expected<Name extends string>(
  reference: (round: Round) => Record<Name, NdArray>,
  forms: readonly ((round: Round) => Partial<Record<Name, NdArray>>)[] = [],
): Expected<Name> {
  const want = reference(float64);
  const naive = [reference, ...forms].flatMap((form) => [form(float32), form(float32Base2)]);
  const limit = {} as Record<Name, number>;
  for (const name in want) {
    const error = Math.max(...naive.map((outputs) => maxError(outputs[name] ?? want[name], want[name]).error));
    limit[name] = 2 * error + 1e-6 * Math.max(1, largest(want[name]));
  }
  return { want, limit };
}

/** Fails unless every output of the reference is there and as accurate as `expected` asks. */
export function assertAccurate<Name extends string>(
  got: Record<Name, NdArray>,
  { want, limit }: Expected<Name>,
  what: string,
): void {
  for (const name in want) {
    assertNear(got[name] ?? assert.fail(`${what}: no output ${name}`), want[name], limit[name], `${what}: ${name}`);
  }
}

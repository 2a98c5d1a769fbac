import assert from 'node:assert/strict';
import fc from 'fast-check';

// One seed for all runs of the suite; another one explores other cases.
const seed = Number(process.env.WATTN_SEED ?? 6);

/** How many times as many cases as usual. */
const effort = Number(process.env.WATTN_EFFORT ?? 1);

/** Checks `check` on `runs` random cases; a failure prints the seed and the smallest failing case found within a minute. */
export async function property<T>(
  cases: fc.Arbitrary<T>,
  runs: number,
  check: (sample: T) => Promise<void>,
): Promise<void> {
  await fc.assert(fc.asyncProperty(cases, check), {
    seed,
    numRuns: Math.ceil(runs * effort),
    interruptAfterTimeLimit: 60_000 * effort,
    includeErrorInReport: true,
  });
}

/** `some` in one case of four, else undefined. */
export function sometimes<T>(some: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: some });
}

/**
 * Asserts that the random cases have met what they are there for. Of fewer cases than usual nothing is asked: they are the first of
 * those that the whole run meets.
 */
export function assertMet(met: boolean, message: string): void {
  if (effort >= 1) assert.ok(met, message);
}

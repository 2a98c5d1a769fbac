/**
 * A place where the package must work: a runtime in one setting, and how to run the suite there.
 *
 * @module
 */
import assert from 'node:assert/strict';
import process from 'node:process';
import { type TestContext, test } from 'node:test';
import type { Check, Report } from './suite.ts';

/** What a place reports. */
export interface Outcome extends Report {
  /** Version that the runtime says of itself. */
  readonly version: string;
}

/** A runtime in one setting. */
export interface Place {
  readonly runtime: string;
  /** What is special about it; empty if nothing is. */
  readonly setting: string;
  /** Whether it is part of `npm test`. */
  readonly quick: boolean;
  /** What is not installed that it needs; empty if all is there. */
  missing(): string;
  /** @param quick whether only what belongs to `npm test` is wanted, where a place takes long. */
  run(quick?: boolean): Promise<Outcome>;
}

/** The name of a place. */
export function nameOf({ runtime, setting }: Pick<Place, 'runtime' | 'setting'>): string {
  return setting === '' ? runtime : `${runtime}: ${setting}`;
}

/** Makes each place of `npm test` a test, and each check in it a test of its own. */
export function testPlaces(places: readonly Place[]): void {
  for (const place of places) {
    if (!place.quick) continue;
    test(nameOf(place), async (t) => {
      const what = place.missing();
      if (what !== '') return missing(t, what);
      const { checks } = await place.run(true);
      assert.ok(checks.length > 0, 'no check ran');
      for (const { name, failure, detail } of checks) {
        await t.test(name, (t) => {
          if (detail !== '') t.diagnostic(detail);
          assert.equal(failure, '');
        });
      }
    });
  }
}

/** Skips a test aloud where its runtime is missing; on CI that is a failure. */
export function missing(t: TestContext, what: string): void {
  const message = `${what} is missing: tests/runtimes/install.sh installs it`;
  assert.ok(!process.env.CI, message);
  t.skip(message);
}

/** A check of the host's own: what `body` returns is its detail. */
export async function checked(name: string, body: () => string | Promise<string>): Promise<Check> {
  try {
    return { name, failure: '', detail: await body() };
  } catch (error) {
    return { name, failure: (error as Error).message, detail: '' };
  }
}

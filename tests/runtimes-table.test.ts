import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PLACES } from './portable/matrix.ts';
import { ROOT } from './portable/package.ts';
import { nameOf } from './portable/place.ts';
import { RESULTS, type Results, withTable } from './portable/results.ts';

const results = JSON.parse(readFileSync(RESULTS, 'utf8')) as Results;

test("the README's table of runtimes is what the last run of the matrix found", () => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
  assert.equal(readme, withTable(readme, results), 'npm run test:everywhere writes the table');
});

test('the last run of the matrix went through every place, and all of it passed', () => {
  assert.deepEqual(results.rows.map(nameOf), PLACES.map(nameOf), 'npm run test:everywhere runs the places');
  assert.deepEqual(
    results.rows.filter(({ passed, failed }) => failed > 0 || passed === 0),
    [],
  );
});

/**
 * `npm run test:everywhere [words]`: the packed package in every runtime. Without words it writes the results to
 * tests/portable/results.json and the README's table; with words it runs only the places whose name has all of them.
 *
 * @module
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { closeBrowsers } from '../tests/portable/browsers.ts';
import { GOLDEN_CASES } from '../tests/portable/cases.ts';
import { PLACES } from '../tests/portable/matrix.ts';
import { packed, ROOT } from '../tests/portable/package.ts';
import { nameOf, type Outcome, type Place } from '../tests/portable/place.ts';
import { RESULTS, type Results, type Row, table, withTable } from '../tests/portable/results.ts';
import { publishDryRun } from './jsr.ts';

/** Longest that a place may take; one on WebGPU compiles every kernel for a software driver. */
const PLACE_MS = 240_000;
const GPU_PLACE_MS = 900_000;

/** Runs the suite at a place; what it cannot run is one failed check. */
async function outcomeOf(place: Place): Promise<Outcome> {
  const failed = (failure: string): Outcome => ({
    version: '',
    seen: undefined,
    checks: [{ name: 'the suite runs', failure, detail: '' }],
  });
  const what = place.missing();
  if (what !== '') return failed(`${what} is missing`);
  const most = place.setting.includes('WebGPU') ? GPU_PLACE_MS : PLACE_MS;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Outcome>((resolve) => {
    timer = setTimeout(() => resolve(failed(`no answer in ${most / 1000} s`)), most);
  });
  return Promise.race([place.run().catch((error: Error) => failed(`${error.name}: ${error.message}`)), late]).finally(
    () => clearTimeout(timer),
  );
}

async function rowOf(place: Place): Promise<Row> {
  const start = performance.now();
  const { version, seen, checks } = await outcomeOf(place);
  const seconds = (performance.now() - start) / 1000;
  const failures = checks.filter(({ failure }) => failure !== '');
  const notes: string[] = [];
  if (seen?.variant === 'simd') notes.push(seen.variantReason);
  if (seen?.threads === 1) notes.push(seen.threadsReason);
  notes.push(...failures.map(({ name, failure }) => `FAILED ${name}: ${failure}`));
  return {
    runtime: place.runtime,
    setting: place.setting,
    version,
    build: seen?.build ?? '',
    threads: seen?.threads ?? 0,
    passed: checks.length - failures.length,
    failed: failures.length,
    seconds: Math.round(seconds * 10) / 10,
    notes,
  };
}

for (const folder of ['runtimes', 'everywhere']) {
  spawnSync('sh', [join(ROOT, 'tests', folder, 'install.sh')], { stdio: 'inherit' });
}
const words = process.argv.slice(2).map((word) => word.toLowerCase());
const chosen = PLACES.filter((place) => words.every((word) => nameOf(place).toLowerCase().includes(word)));
const { bytes, root } = packed();
process.stdout.write(`${bytes} bytes packed; ${chosen.length} places\n`);
const rows: Row[] = [];
for (const place of chosen) {
  const row = await rowOf(place);
  rows.push(row);
  const { version, build, threads, passed, failed, seconds, notes } = row;
  process.stdout.write(
    `${failed === 0 ? 'ok    ' : 'FAILED'} ${nameOf(place)} ${version}: ${build}, ${threads} threads, ` +
      `${passed} passed, ${failed} failed, ${seconds} s${notes.map((note) => `\n         ${note}`).join('')}\n`,
  );
}
await closeBrowsers();

const { name, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Results['package'];
const results: Results = {
  package: { name, version, bytes },
  machine: `${process.platform} ${process.arch} with ${availableParallelism()} processors`,
  goldenCases: GOLDEN_CASES.length,
  rows,
};
process.stdout.write(`\n${table(results)}\n`);
let failed = rows.reduce((sum, row) => sum + row.failed, 0);
const passed = rows.reduce((sum, row) => sum + row.passed, 0);
if (words.length === 0) {
  writeFileSync(RESULTS, `${JSON.stringify(results, undefined, 2)}\n`);
  const readme = join(ROOT, 'README.md');
  writeFileSync(readme, withTable(readFileSync(readme, 'utf8'), results));
  const failure = publishDryRun();
  process.stdout.write(`\n${failure === '' ? 'ok     JSR: deno publish --dry-run' : `FAILED JSR: ${failure}`}\n`);
  if (failure !== '') failed += 1;
}
process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
// a place that gave no answer may still hold timers
process.exit(failed === 0 && passed > 0 ? 0 : 1);

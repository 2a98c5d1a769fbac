import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { packed, ROOT } from './package.ts';

const command = join(packed().folder, 'node_modules/.bin/wattn');
const wattn = (...args: string[]) => spawnSync(process.execPath, [command, ...args], { cwd: ROOT, encoding: 'utf8' });

test('the installed command tells about the device', () => {
  const { status, stdout, stderr } = wattn('info');
  assert.equal(status, 0, stderr);
  assert.match(stdout, /build +simd/);
});

test('the installed command replays cases, and fails where one fails', () => {
  const passing = wattn('conform', 'tests/vectors', '--ops', 'rope', 'mla', '--variant', 'simd');
  assert.equal(passing.status, 0, passing.stderr);
  assert.match(passing.stdout, /4 passed, 0 failed\n$/);
  const missing = wattn('conform', 'tests/nowhere');
  assert.equal(missing.status, 1);
  assert.match(missing.stderr, /nowhere/);
});

test('the installed command measures', () => {
  const { status, stdout, stderr } = wattn('bench', 'size', '--json');
  assert.equal(status, 0, stderr);
  assert.ok(JSON.parse(stdout));
});

test('an explicit request that cannot be had is refused by name', () => {
  const { status, stderr } = wattn('info', '--variant', 'relaxed', '--threads', '0');
  assert.notEqual(status, 0);
  assert.match(stderr, /whole number/);
});

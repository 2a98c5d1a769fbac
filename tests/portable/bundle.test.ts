import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { bundle } from './bundle.ts';
import { packed } from './package.ts';

for (const [entry, path] of Object.entries(packed().entries)) {
  if (!path.endsWith('.js')) continue;
  const name = entry.replace('.', 'wattn');
  test(`the entry '${name}' bundles into one file for the browser`, async (t) => {
    const text = await bundle(`export * from '${name}'`, { globalName: 'bundle' });
    t.diagnostic(`${text.length} bytes, ${gzipSync(text).length} gzipped`);
    assert.doesNotMatch(text, /\b(import|require|fetch|importScripts)\s*\(/);
  });
}

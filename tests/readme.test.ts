import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ONNX_OPS } from '../src/onnx/registry.ts';
import { OPS } from '../src/ops/registry.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

test('README.md and docs/architecture.md name every operation', () => {
  const names = [...OPS, ...ONNX_OPS].map(({ name }) => name.replace(/^features\..*/, 'features.*'));
  const words = (file: string, word: RegExp) =>
    new Set(Array.from(readFileSync(`${root}${file}`, 'utf8').matchAll(word), ([, name]) => name));
  const readme = words('README.md', /`([\w.*]+)`/g);
  const architecture = words('docs/architecture.md', /(onnx:\w+|[\w.*]+)/g);
  const missing = names.filter((name) => !readme.has(name.replace('onnx:', '')) || !architecture.has(name));
  assert.deepEqual(missing, []);
});

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ONNX_OPS } from '../src/onnx/registry.ts';
import { OPS } from '../src/ops/registry.ts';
import { inSource } from './doc-samples.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

test('the samples of the README run', () => {
  const samples = [...readFileSync(`${root}README.md`, 'utf8').matchAll(/```ts\n([\s\S]*?)```/g)];
  assert.ok(samples.length > 0);
  for (const [i, [, code]] of samples.entries()) {
    const file = `${root}tests/.readme-${process.pid}-${i}.mts`;
    writeFileSync(file, inSource(code!));
    try {
      const { status, stderr } = spawnSync(process.execPath, ['--import', 'tsx', file], {
        encoding: 'utf8',
        cwd: root,
      });
      assert.equal(status, 0, `${code}\n${stderr}`);
    } finally {
      rmSync(file);
    }
  }
});

test('README.md and docs/architecture.md name every operation', () => {
  const names = [...OPS, ...ONNX_OPS].map(({ name }) => name.replace(/^features\..*/, 'features.*'));
  const words = (file: string, word: RegExp) =>
    new Set(Array.from(readFileSync(`${root}${file}`, 'utf8').matchAll(word), ([, name]) => name));
  const readme = words('README.md', /`([\w.*]+)`/g);
  const architecture = words('docs/architecture.md', /(onnx:\w+|[\w.*]+)/g);
  const missing = names.filter((name) => !readme.has(name.replace('onnx:', '')) || !architecture.has(name));
  assert.deepEqual(missing, []);
});

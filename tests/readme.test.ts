import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

test('the samples of the README run', () => {
  const samples = [...readFileSync(`${root}README.md`, 'utf8').matchAll(/```ts\n([\s\S]*?)```/g)];
  assert.ok(samples.length > 0);
  for (const [i, [, code]] of samples.entries()) {
    const file = `${root}tests/.readme-${process.pid}-${i}.mts`;
    writeFileSync(
      file,
      code!.replaceAll("'wattn'", "'../src/index.ts'").replaceAll("'wattn/onnx'", "'../src/onnx/index.ts'"),
    );
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

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inSource } from './doc-samples.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

test('the samples of docs/compact-kv.md run', () => {
  const text = readFileSync(`${root}docs/compact-kv.md`, 'utf8');
  const samples = Array.from(text.matchAll(/```ts\n([\s\S]*?)```/g), ([, code]) => code!);
  assert.equal(samples.length, 3);
  const file = `${root}tests/.compact-kv-${process.pid}.mts`;
  // one program of all: each in a block of its own behind the imports
  const imports = new Set(samples.flatMap((code) => inSource(code).match(/^import .*$/gm) ?? []));
  const names = new Map<string, Set<string>>();
  for (const [, list, path] of [...imports].map((line) => /\{(.*)\} from '(.*)'/.exec(line)!)) {
    const known = names.get(path!) ?? new Set();
    names.set(path!, new Set([...known, ...list!.split(',').map((name) => name.trim())]));
  }
  const joined = Array.from(names, ([path, list]) => `import { ${[...list].join(', ')} } from '${path}'\n`).join('');
  const bodies = samples.map((code) => `{\n${code.replaceAll(/^import .*$/gm, '')}}\n`);
  writeFileSync(file, `${joined}${bodies.join('')}`);
  try {
    const run = spawnSync(process.execPath, ['--import', 'tsx', file], { encoding: 'utf8', cwd: root });
    assert.equal(run.status, 0, run.stderr);
    // 64 + 16 numbers of 16 bits for each of 103 tokens
    assert.match(run.stdout, /^103 16480\n/);
  } finally {
    rmSync(file);
  }
});

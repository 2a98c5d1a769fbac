import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { build, type Metafile } from 'esbuild';
import { type Workspace, workspace } from './workspace.ts';

/** Most gzipped bytes; a KB has 1000 of them. */
const MAIN_ENTRY = 250_000;
const ONE_OPERATION = 25_000;

let space: Workspace;
before(() => {
  space = workspace();
});
after(() => space?.remove());

interface Bundle {
  /** The script, without what it loads on demand. */
  readonly text: string;
  readonly gzipped: number;
  readonly onDemand: readonly string[];
  readonly metafile: Metafile;
}

/** Bundles and minifies a module as a page would have it, against the packed package. */
async function bundle(contents: string): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: space.folder },
    absWorkingDir: space.folder,
    bundle: true,
    format: 'esm',
    splitting: true,
    minify: true,
    target: 'es2022',
    outdir: 'out',
    write: false,
    metafile: true,
    logLevel: 'silent',
  });
  // what the entry imports at once belongs to it
  const eager = new Set(['out/stdin.js']);
  for (const path of eager) {
    for (const { path: imported, kind } of metafile.outputs[path]!.imports) {
      if (kind === 'import-statement') eager.add(imported);
    }
  }
  const texts = outputFiles.map(({ path, text }) => ({ path: path.slice(space.folder.length + 1), text }));
  const text = texts.filter(({ path }) => eager.has(path)).map(({ text }) => text);
  return {
    text: text.join(''),
    gzipped: text.reduce((sum, file) => sum + gzipSync(file, { level: 9 }).length, 0),
    onDemand: texts.filter(({ path }) => !eager.has(path)).map(({ path }) => path),
    metafile,
  };
}

function tell(t: TestContext, { text, gzipped, onDemand }: Bundle): void {
  t.diagnostic(`${text.length} bytes, ${gzipped} gzipped; on demand: ${onDemand.join(', ') || 'nothing'}`);
}

test(`the main entry with all that it exports is at most ${MAIN_ENTRY} bytes gzipped`, async (t) => {
  const all = await bundle("export * from 'wattn'");
  tell(t, all);
  assert.ok(all.gzipped <= MAIN_ENTRY, `${all.gzipped} bytes`);
});

for (const name of ['attention', 'gatedDeltaRule', 'rope']) {
  test(`one operation, ${name}, with builds as files is at most ${ONE_OPERATION} bytes of script gzipped`, async (t) => {
    const one = await bundle(`export { createRuntime, ${name} } from 'wattn/external'`);
    tell(t, one);
    const inputs = Object.entries(one.metafile.outputs['out/stdin.js']!.inputs);
    const largest = inputs.sort((a, b) => b[1].bytesInOutput - a[1].bytesInOutput).slice(0, 5);
    for (const [path, { bytesInOutput }] of largest) t.diagnostic(`${bytesInOutput} bytes of ${path}`);
    assert.ok(one.gzipped <= ONE_OPERATION, `${one.gzipped} bytes`);
    const builds = Object.keys(one.metafile.inputs).filter((path) => path.endsWith('generated/wasm.js'));
    assert.deepEqual(
      builds.map((path) => one.metafile.outputs['out/stdin.js']!.inputs[path]?.bytesInOutput ?? 0),
      [],
    );
  });
}

test('other entries, for what they are worth', async (t) => {
  await t.test('createRuntime alone, with builds as files', async (t) =>
    tell(t, await bundle("export { createRuntime } from 'wattn/external'")),
  );
  for (const name of ['wattn/external', 'wattn/cache', 'wattn/explain', 'wattn/lm', 'wattn/onnx']) {
    await t.test(name, async (t) => tell(t, await bundle(`export * from '${name}'`)));
  }
});

test('what is imported and not used leaves nothing', async () => {
  for (const name of ['wattn', 'wattn/cache', 'wattn/explain', 'wattn/external', 'wattn/lm', 'wattn/onnx']) {
    const { text } = await bundle(`import '${name}'; import * as all from '${name}';`);
    assert.equal(text, '', name);
  }
});

test('`sideEffects: false` is true: no import changes what is outside of it', () => {
  const script = `
    const before = Reflect.ownKeys(globalThis);
    for (const name of ['', '/cache', '/explain', '/external', '/lm', '/onnx']) await import('wattn' + name);
    const after = Reflect.ownKeys(globalThis);
    console.log(JSON.stringify(after.filter((key) => !before.includes(key)).map(String)));
  `;
  // built-in objects are frozen: to change one throws
  const run = spawnSync(process.execPath, ['--frozen-intrinsics', '--input-type=module', '-e', script], {
    cwd: space.folder,
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.equal(run.status, 0, run.stderr);
  assert.equal(run.stdout, '[]\n');
});

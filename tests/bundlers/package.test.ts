import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ROOT } from '../portable/package.ts';
import { BUNDLERS, missingTool, type Workspace, workspace } from './workspace.ts';

let space: Workspace;
let packed: readonly string[];
before(() => {
  space = workspace();
  packed = readdirSync(space.installed, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(space.installed, join(entry.parentPath, entry.name)));
});
after(() => space?.remove());

type Target = string | { readonly types: string; readonly default: string };
const { exports: entries } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  exports: Record<string, Target>;
};
/** Names of the modules, as they are imported. */
const MODULES = Object.entries(entries)
  .filter(([, target]) => typeof target === 'object')
  .map(([name]) => name.replace('.', 'wattn'));
const FILES = Object.entries(entries).filter((entry): entry is [string, string] => typeof entry[1] === 'string');

test('the tarball holds what is named here, and nothing else', () => {
  const kinds = [/^build\/([\w-]+\/)*[\w-]+\.(js|d\.ts)$/, /^build\/wasm\/(simd|relaxed)(-shared)?\.wasm$/];
  const single = ['package.json', 'README.md', 'LICENSE'];
  const unexpected = packed.filter((path) => !single.includes(path) && !kinds.some((kind) => kind.test(path)));
  assert.deepEqual(unexpected, []);
  for (const path of single) assert.ok(packed.includes(path), `${path} is missing`);
  // a build/ of an older state of src/ must not travel along
  const stale = packed.filter(
    (path) => path.endsWith('.js') && !existsSync(join(ROOT, path.replace(/^build/, 'src').replace(/js$/, 'ts'))),
  );
  assert.deepEqual(stale, []);
  for (const path of packed.filter((path) => path.endsWith('.js'))) {
    assert.ok(packed.includes(path.replace(/js$/, 'd.ts')), `${path} has no declarations`);
    assert.doesNotMatch(readFileSync(join(space.installed, path), 'utf8'), /\/\/# sourceMappingURL=/);
  }
});

test('every entry of `exports` is in the tarball and opens in Node', () => {
  for (const target of Object.values(entries)) {
    for (const path of typeof target === 'string' ? [target] : Object.values(target)) {
      assert.ok(packed.includes(path.slice(2)), `${path} is missing`);
    }
  }
  const script = `for (const name of ${JSON.stringify(MODULES)}) {
    console.log(name, Object.keys(await import(name)).length);
  }`;
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    cwd: space.folder,
    encoding: 'utf8',
  });
  assert.equal(run.stderr, '');
  const counts = run.stdout.trimEnd().split('\n');
  assert.equal(counts.length, MODULES.length);
  for (const line of counts) assert.match(line, /^wattn\S* [1-9]\d*$/);
  const require = createRequire(join(space.folder, 'app.js'));
  for (const [name] of FILES) {
    const path = require.resolve(name.replace('.', 'wattn'));
    if (name.endsWith('.wasm') && !name.includes('relaxed')) assert.ok(WebAssembly.validate(readFileSync(path)), name);
  }
});

test('the README shows what the fixtures do', () => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const [, sample] = /## In a bundler[\s\S]*?```js\n([\s\S]*?)```/.exec(readme)!;
  const fixture = readFileSync(join(BUNDLERS, 'webpack/url.js'), 'utf8');
  const modules = /^const modules = \{\n[\s\S]*?^\};\n/m.exec(fixture)![0];
  assert.ok(sample!.includes(modules), modules);
});

test('publint finds nothing', async (t) => {
  if (missingTool(t, 'publint')) return;
  const path = createRequire(join(BUNDLERS, 'package.json')).resolve('publint');
  const { publint } = (await import(pathToFileURL(path).href)) as {
    publint(options: object): Promise<{ messages: readonly object[] }>;
  };
  const { messages } = await publint({ pkgDir: space.installed, pack: false, strict: true });
  assert.deepEqual(messages, []);
});

test('the types are those of ES modules, for every entry', (t) => {
  if (missingTool(t, '@arethetypeswrong/cli')) return;
  // a file of WebAssembly has the type that the bundler's way of loading it gives: an address, bytes or a module
  const files = FILES.map(([name]) => name).filter((name) => name.endsWith('.wasm'));
  const args = [space.tarball, '--profile', 'esm-only', '--format', 'json', '--exclude-entrypoints', ...files];
  const attw = spawnSync(
    process.execPath,
    [join(BUNDLERS, 'node_modules/@arethetypeswrong/cli/dist/index.js'), ...args],
    {
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
    },
  );
  assert.equal(attw.status, 0, attw.stdout + attw.stderr);
  const { analysis } = JSON.parse(attw.stdout) as { analysis: { entrypoints: Readonly<Record<string, unknown>> } };
  assert.deepEqual(
    Object.keys(analysis.entrypoints),
    Object.keys(entries).filter((name) => !files.includes(name)),
  );
});

for (const [module, moduleResolution] of [
  ['esnext', 'bundler'],
  ['node16', 'node16'],
] as const) {
  test(`a strict TypeScript consumer type-checks, moduleResolution ${moduleResolution}`, () => {
    const config = {
      compilerOptions: {
        target: 'es2022',
        lib: ['es2022', 'dom', 'esnext.disposable'],
        module,
        moduleResolution,
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        skipLibCheck: false,
        noEmit: true,
        types: [],
      },
      files: ['consumer.ts'],
    };
    writeFileSync(join(space.folder, 'package.json'), '{ "type": "module" }\n');
    writeFileSync(join(space.folder, 'tsconfig.json'), JSON.stringify(config));
    writeFileSync(join(space.folder, 'consumer.ts'), readFileSync(join(BUNDLERS, 'types/consumer.ts')));
    try {
      execFileSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', space.folder]);
    } catch (error) {
      assert.fail(String((error as { stdout: Buffer }).stdout));
    }
  });
}

/**
 * The package, the suite and the golden cases in one file, for places that take nothing else.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { type BuildOptions, build } from 'esbuild';
import { GOLDEN_CASES } from './cases.ts';
import { packed, ROOT } from './package.ts';

/** Bundles an entry for the browser; esbuild fails on an import that a browser cannot resolve, `node:` ones among them. */
export async function bundle(contents: string, options: BuildOptions = {}): Promise<string> {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: packed().folder, sourcefile: 'entry.js' },
    bundle: true,
    platform: 'browser',
    format: 'iife',
    target: 'es2022',
    minify: true,
    write: false,
    metafile: true,
    outdir: 'out',
    logLevel: 'silent',
    loader: { '.safetensors': 'binary', '.wasm': 'binary' },
    ...options,
  });
  assert.equal(outputFiles!.length, 1);
  const imports = Object.values(metafile!.outputs).flatMap((output) => output.imports.map(({ path }) => path));
  assert.deepEqual(imports, options.external ?? []);
  return outputFiles![0]!.text;
}

/** Bundles `entry` with the suite; `tail` is code that calls `run(expected, runtimeOptions?)`. */
export function bundleSuite(tail: string, entry = 'wattn', options: BuildOptions = {}): Promise<string> {
  const { root } = packed();
  const imports = GOLDEN_CASES.map(({ path }, i) => `import case${i} from '${path}';`);
  const cases = GOLDEN_CASES.map(({ name }, i) => `{ name: '${name}', bytes: case${i} }`);
  return bundle(
    `
    import * as wattn from '${entry}';
    import * as cache from 'wattn/cache';
    import { replay } from 'wattn/cli';
    import { CONTROL as control } from '${root}/build/runtime/control.js';
    import { runSuite } from '${ROOT}tests/portable/suite.ts';
    ${imports.join('\n')}
    const cases = [${cases}];
    const run = (expected, given = {}) => {
      const createRuntime = (options) => wattn.createRuntime({ ...given, ...options });
      return runSuite({ wattn: { ...wattn, createRuntime }, cache, replay, control }, cases, expected);
    };
    ${tail}`,
    options,
  );
}

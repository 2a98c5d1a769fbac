import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const app = import.meta.dirname;

/** Builds the app into dist/; returns what esbuild warned of. */
export default async function make() {
  const options = {
    absWorkingDir: app,
    outdir: 'dist',
    bundle: true,
    format: 'esm',
    splitting: true,
    minify: true,
    target: 'es2022',
    logLevel: 'silent',
  };
  const results = [
    await build({ ...options, entryPoints: ['index.js'] }),
    await build({ ...options, entryPoints: ['external.js'], loader: { '.wasm': 'file' } }),
    await build({ ...options, entryPoints: ['binary.js'], loader: { '.wasm': 'binary' } }),
  ];
  for (const page of ['index', 'external', 'binary']) cpSync(join(app, `${page}.html`), join(app, `dist/${page}.html`));
  return results.flatMap(({ warnings }) => warnings.map(({ text }) => text));
}

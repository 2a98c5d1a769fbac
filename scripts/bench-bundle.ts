/**
 * `npm run bench:bundle DIR`: the benchmark on a GPU in one file, the replay of golden cases in another, and, in a checkout that has
 * the kit for bare machines beside it, Node, Dawn and the libraries they need. Then, on that machine:
 * `bash DIR/run.sh DIR/bench.mjs [names]`, `bash DIR/run.sh DIR/conform.mjs FOLDER [ops]`.
 *
 * @module
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { build } from 'esbuild';

const KIT = '../shared/webgpu-kit/pack.sh';

const folder = process.argv[2];
if (folder === undefined) throw new Error('expected a folder: npm run bench:bundle DIR');
mkdirSync(folder, { recursive: true });
await build({
  entryPoints: { bench: 'bench/webgpu.ts', conform: 'bench/webgpu-conform.ts' },
  outdir: folder,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'es2022',
  minify: true,
  // errors are told by their names
  keepNames: true,
});
if (existsSync(KIT) && !existsSync(join(folder, 'run.sh'))) {
  const { status } = spawnSync('bash', [KIT, folder], { stdio: 'inherit' });
  if (status !== 0) throw new Error(`${KIT} failed`);
} else if (!existsSync(KIT)) {
  process.stdout.write('without Node and Dawn: set WEBGPU_JS to a module of WebGPU, or run it in Deno\n');
}

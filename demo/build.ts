/**
 * Builds the page into demo/build: a folder of static files that any host can serve, from any path, and that the page's service worker
 * keeps for use without a network.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BuildOptions, Plugin } from 'esbuild';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const ROOT = join(HERE, '..');
/** Where the page is built to. */
export const OUT = join(HERE, 'build');

/** The packages of this folder, which are not there before its install. */
const tools = createRequire(join(HERE, 'package.json'));
/** The package itself, by its own name. */
const wattn = createRequire(join(ROOT, 'package.json'));

const ownPackage: Plugin = {
  name: 'wattn',
  setup(build) {
    build.onResolve({ filter: /^wattn(\/|$)/ }, ({ path }) => ({ path: wattn.resolve(path), sideEffects: false }));
  },
};

const shared: BuildOptions = {
  absWorkingDir: HERE,
  bundle: true,
  format: 'esm',
  target: ['es2023', 'chrome120', 'firefox120', 'safari17'],
  minify: true,
  metafile: true,
  outdir: OUT,
  loader: { '.txt': 'text' },
  plugins: [ownPackage],
  logLevel: 'warning',
};

/** Paths of all files under a folder, relative to it, with forward slashes. */
function filesUnder(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .sort();
}

/** Paths in the page of a folder's models, beside their expected logits that tests have. */
function modelsIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder).filter((name) => /(?<!\.logits)\.safetensors$/.test(name));
  return names.sort().map((name) => `models/${name}`);
}

/**
 * Builds the page; returns its files and their bytes.
 *
 * @param folder of the models that are put beside the page, to be fetched when one is asked for.
 */
export async function buildPage(folder = join(ROOT, 'zoo/models')): Promise<{ path: string; bytes: number }[]> {
  if (!existsSync(join(ROOT, 'build/index.js'))) throw new Error('the package is not built: npm run build');
  const { build } = tools('esbuild') as typeof import('esbuild');
  rmSync(OUT, { recursive: true, force: true });
  mkdirSync(OUT, { recursive: true });

  const entryNames = '[name]-[hash]';
  await build({ ...shared, entryPoints: { work: 'src/work/main.ts' }, entryNames });
  const worker = filesUnder(OUT)[0]!;
  const models = modelsIn(folder).map((path) => ({ path, bytes: readFileSync(join(folder, basename(path))) }));
  const listed = models.map(({ path, bytes }) => ({
    name: basename(path, '.safetensors'),
    path,
    bytes: bytes.length,
  }));
  await build({
    ...shared,
    entryPoints: { page: 'src/page/main.ts', style: 'src/page/style.css' },
    entryNames,
    define: { WORKER: JSON.stringify(`./${worker}`), MODELS: JSON.stringify(listed) },
  });
  const named = (start: string) => filesUnder(OUT).find((path) => path.startsWith(start))!;
  cpSync(join(HERE, 'static'), OUT, { recursive: true });
  const html = readFileSync(join(HERE, 'static/index.html'), 'utf8');
  writeFileSync(join(OUT, 'index.html'), html.replace('page.js', named('page-')).replace('style.css', named('style-')));

  const kept = filesUnder(OUT);
  const version = createHash('sha256');
  for (const path of kept) version.update(path).update(readFileSync(join(OUT, path)));
  for (const { path, bytes } of models) {
    version.update(path).update(bytes);
    mkdirSync(join(OUT, 'models'), { recursive: true });
    writeFileSync(join(OUT, path), bytes);
  }
  await build({
    ...shared,
    entryPoints: { offline: 'src/offline.ts' },
    format: 'iife',
    define: { FILES: JSON.stringify(kept), VERSION: JSON.stringify(version.digest('hex').slice(0, 12)) },
  });
  return filesUnder(OUT).map((path) => ({ path, bytes: readFileSync(join(OUT, path)).length }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const { path, bytes } of await buildPage()) console.log(`${(bytes / 1024).toFixed(1).padStart(9)} KB  ${path}`);
  console.log(`the page is in ${OUT}`);
}

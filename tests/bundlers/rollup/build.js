import { cpSync } from 'node:fs';
import { join } from 'node:path';
import resolve from '@rollup/plugin-node-resolve';
import terser from '@rollup/plugin-terser';
import url from '@rollup/plugin-url';
import { rollup } from 'rollup';

const app = import.meta.dirname;

/** Builds the app into dist/; returns what Rollup warned of. */
export default async function make() {
  const warnings = [];
  const bundle = await rollup({
    input: ['index', 'external'].map((name) => join(app, `${name}.js`)),
    plugins: [resolve({ browser: true }), url({ include: ['**/*.wasm'], limit: 0 }), terser()],
    onwarn: ({ message }) => warnings.push(message),
  });
  await bundle.write({ dir: join(app, 'dist'), format: 'es' });
  await bundle.close();
  for (const page of ['index', 'external']) cpSync(join(app, `${page}.html`), join(app, `dist/${page}.html`));
  return warnings;
}

import { cpSync } from 'node:fs';
import { join } from 'node:path';
import webpack from 'webpack';

const app = import.meta.dirname;

/** Builds the app into dist/; returns what webpack warned of. */
export default async function make() {
  const compiler = webpack({
    context: app,
    mode: 'production',
    entry: { index: './index.js', external: './external.js', url: './url.js' },
    output: { path: join(app, 'dist'), publicPath: 'auto' },
    // url.js needs no rule
    module: { rules: [{ test: /\.wasm$/, issuer: /external\.js$/, type: 'asset/resource' }] },
    // what the pages share, they load once
    optimization: {
      // most of the time of a build; the apps of the other bundlers are minified
      minimize: false,
      splitChunks: { cacheGroups: { shared: { name: 'shared', chunks: 'initial', minChunks: 2, enforce: true } } },
    },
    // the builds inside 'wattn' are larger than webpack's hint of 244 KiB
    performance: { hints: false },
  });
  const stats = await new Promise((resolve, reject) => {
    compiler.run((error, stats) => (error ? reject(error) : resolve(stats)));
  });
  await new Promise((resolve) => compiler.close(resolve));
  for (const page of ['index', 'external', 'url']) cpSync(join(app, `${page}.html`), join(app, `dist/${page}.html`));
  const { warnings, errors } = stats.toJson({ all: false, warnings: true, errors: true });
  return [...errors, ...warnings].map(({ message }) => message);
}

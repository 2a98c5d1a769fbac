/**
 * `npm run docs`: the documentation site, docs/site.
 *
 * @module
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { entries, exported, ROOT } from './entries.ts';
import { FAMILIES } from './families.ts';
import { methods, methodsTable } from './methods.ts';
import { linker, PAGES, writePages } from './pages.ts';

function run(command: string, args: readonly string[]): void {
  const { status } = spawnSync(command, args, { stdio: 'inherit', cwd: ROOT });
  if (status !== 0) process.exit(status ?? 1);
}

/** Categories of the site: families of operations, then what is around them; by the file that a symbol is in. */
function categories(rows: ReturnType<typeof methods>) {
  const familyOf = new Map(rows.map(({ symbol, family }) => [symbol, family]));
  const files: Record<string, string> = {};
  for (const name of readdirSync(join(ROOT, 'src/ops'))) {
    const text = readFileSync(join(ROOT, 'src/ops', name), 'utf8');
    for (const [, symbol] of text.matchAll(/^export (?:async )?function (\w+)/gm)) {
      const family = familyOf.get(symbol!);
      if (family) files[`src/ops/${name}`] ??= family;
    }
  }
  const folders = {
    'src/ops/features.ts': 'Feature maps',
    'src/ops/explain.ts': 'Runtime and tensors',
    'src/runtime/': 'Runtime and tensors',
    'src/tensor.ts': 'Runtime and tensors',
    'src/errors.ts': 'Errors',
    'src/cache/': 'Caches',
    'src/block-mask.ts': 'Masks and patterns',
    'src/pattern': 'Masks and patterns',
    'src/mask/': 'Masks and patterns',
    'src/onnx/': 'ONNX operators',
  };
  const order = [
    'Runtime and tensors',
    ...FAMILIES.map(({ title }) => title),
    'Caches',
    'Masks and patterns',
    'Errors',
  ];
  return {
    symbols: Object.fromEntries(familyOf),
    files: { ...files, ...folders },
    order: [...new Set([...order, '*'])],
  };
}

run('sh', ['docs/install.sh']);
const names = await exported();
const rows = methods(names);
const pages = writePages(names, methodsTable(rows, linker(names)));
const { order, ...categoryOf } = categories(rows);
writeFileSync(join(PAGES, 'categories.json'), JSON.stringify(categoryOf));
writeFileSync(
  join(PAGES, 'typedoc.json'),
  JSON.stringify({
    extends: [join(ROOT, 'docs/typedoc.json')],
    entryPoints: Object.entries(entries())
      .filter(([entry]) => entry !== 'wattn/external')
      .map(([, file]) => join(ROOT, file)),
    projectDocuments: pages,
    readme: join(PAGES, 'README.md'),
    categoryOrder: order,
  }),
);
run(process.execPath, ['docs/node_modules/typedoc/bin/typedoc', '--options', join(PAGES, 'typedoc.json')]);

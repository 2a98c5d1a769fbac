/**
 * The Markdown pages as the site takes them: in order, with titles, the table of methods, and names linked to what they name.
 *
 * @module
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ROOT } from './entries.ts';

/** Pages in the order of the site's list, with their names in it. */
const PAGE_NAMES: Readonly<Record<string, string>> = {
  'docs/quick-start.md': 'Quick start',
  'docs/choosing.md': 'Choosing a method',
  'docs/methods.md': 'All methods',
  'docs/porting.md': 'Porting from PyTorch',
  'docs/threads.md': 'Threads and headers',
  'docs/webgpu.md': 'WebGPU',
  'docs/memory.md': 'Memory',
  'docs/errors.md': 'Errors',
  'docs/compact-kv.md': 'Compact keys and values',
  'docs/sparse-quality.md': 'Sparse attention, measured',
  'docs/which-attention.md': 'Which attention on this device?',
  'docs/quantised-quality.md': 'Quantised attention, measured',
  'docs/architecture.md': 'Architecture',
  'bench/README.md': 'Benchmarks',
};

/** The line of docs/methods.md that the table stands for. */
export const TABLE = '<!-- table of methods -->';

/** Folder that the pages are written to. */
export const PAGES = join(ROOT, 'docs/.pages');

/** What the site calls a symbol, as TypeDoc's links name it. */
export function reference(entry: string, symbol: string): string {
  return `"${entry}".${symbol}`;
}

/** A link to what documents a symbol. @throws Error if no entry exports it. */
export function linker(exported: ReadonlyMap<string, string>): (symbol: string, text: string) => string {
  return (symbol, text) => {
    const entry = exported.get(symbol);
    if (!entry) throw new Error(`'${symbol}' is linked to, but no entry exports it`);
    return `{@link ${reference(entry, symbol)} ${text}}`;
  };
}

/** Links the code spans that are names of exports, but for those in code, headings, links and HTML. */
export function linkNames(text: string, exported: ReadonlyMap<string, string>): string {
  const link = linker(exported);
  let fenced = false;
  return text
    .split('\n')
    .map((line) => {
      if (line.startsWith('```')) fenced = !fenced;
      if (fenced || line.startsWith('```') || /^(#|<!--)/.test(line)) return line;
      return line.replace(/\[[^\]]*\]\([^)]*\)|\{@link [^}]*\}|`([\w.]+)`/g, (whole, name?: string) =>
        name && exported.has(name) ? link(name, whole) : whole,
      );
    })
    .join('\n');
}

/** Writes README.md, bench/README.md and docs/*.md to `PAGES`; returns the paths of those that the site lists. */
export function writePages(exported: ReadonlyMap<string, string>, table: string): string[] {
  rmSync(PAGES, { recursive: true, force: true });
  const write = (path: string, front: string, text: string) => {
    const target = join(PAGES, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, front + linkNames(text, exported));
    return target;
  };
  const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
  // the site has a title of its own above it
  write('README.md', '', read('README.md').replace(/^# .*\n+/, ''));
  const unnamed = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md') && !PAGE_NAMES[`docs/${name}`]);
  if (unnamed.length > 0) throw new Error(`scripts/docs/pages.ts has no name for ${unnamed.join(', ')}`);
  return Object.entries(PAGE_NAMES).map(([path, name]) =>
    write(path, `---\ntitle: ${name}\n---\n`, read(path).replace(TABLE, table)),
  );
}

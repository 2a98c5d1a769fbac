/**
 * The package as users get it: packed by npm, and installed by npm from that file into a folder of its own.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

/** Folder of the repository. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const BUILD = join(ROOT, 'build');

/** Names the folder that a parent process installed the package into. */
const SHARED = 'WATTN_PACKED';

/** The installed package. */
export interface Packed {
  /** A folder with the package in node_modules, and beside it the compiled child.js and suites. */
  readonly folder: string;
  /** The package itself. */
  readonly root: string;
  /** The packed file, and its bytes. */
  readonly file: string;
  readonly bytes: number;
  /** What is at an entry, such as '.' or './onnx', by its path in the package. */
  readonly entries: Readonly<Record<string, string>>;
}

/** Fails unless build/ holds what src/ says now. */
export function requireBuild(): void {
  for (const entry of readdirSync(join(ROOT, 'src'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
    const source = join(entry.parentPath, entry.name);
    const built = source.replace(join(ROOT, 'src'), BUILD).replace(/\.ts$/, '.js');
    const fresh = existsSync(built) && statSync(built).mtimeMs >= statSync(source).mtimeMs;
    assert.ok(fresh, `${built} is missing or older than its source: npm run build`);
  }
}

/** JavaScript of a module of tests/, for hosts that do not take TypeScript. */
export function compiled(path: string): string {
  // it takes a second to load, which most that use this module need not
  const ts = createRequire(import.meta.url)('typescript') as typeof import('typescript');
  const { outputText } = ts.transpileModule(readFileSync(join(ROOT, 'tests', path), 'utf8'), {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true },
  });
  return outputText;
}

function npm(cwd: string, ...args: string[]): string {
  // under `npm test` the path begins with packages' commands, an old npm among them
  const folders = process.env.PATH!.split(delimiter).filter((folder) => !folder.includes('node_modules'));
  const env: Record<string, string | undefined> = { ...process.env, PATH: folders.join(delimiter) };
  for (const name of Object.keys(env)) if (/^npm_(package|lifecycle|command|execpath)/.test(name)) delete env[name];
  const { status, stdout, stderr } = spawnSync('npm', [...args, '--ignore-scripts', '--silent'], {
    cwd,
    env,
    encoding: 'utf8',
  });
  assert.equal(status, 0, `npm ${args.join(' ')}: ${stderr}${stdout}`);
  return stdout;
}

/** Packs build/ and installs the file into a new folder, which is the caller's to remove. */
function install(): string {
  requireBuild();
  const folder = mkdtempSync(join(tmpdir(), 'wattn-packed-'));
  const file = npm(ROOT, 'pack', '--pack-destination', folder).trim().split('\n').at(-1)!;
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n');
  npm(folder, 'install', '--no-audit', '--no-fund', '--prefer-offline', '--no-save', `./${file}`);
  for (const name of ['child', 'suite', 'gpu-suite'])
    writeFileSync(join(folder, `${name}.js`), compiled(`portable/${name}.ts`));
  return folder;
}

function look(folder: string): Packed {
  const root = join(folder, 'node_modules/wattn');
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    exports: Record<string, string | { default: string }>;
  };
  const entries: Record<string, string> = {};
  for (const [name, target] of Object.entries(exports))
    entries[name] = (typeof target === 'string' ? target : target.default).replace(/^\.\//, '');
  const file = join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz'))!);
  return { folder, root, entries, file, bytes: statSync(file).size };
}

let current: Packed | undefined;

/** The installed package: one for all processes that a caller of `packed` starts, removed when it ends. */
export function packed(): Packed {
  if (current) return current;
  let folder = process.env[SHARED];
  if (folder === undefined) {
    const own = install();
    folder = own;
    process.env[SHARED] = own;
    process.on('exit', () => rmSync(own, { recursive: true, force: true }));
  }
  current = look(folder);
  return current;
}

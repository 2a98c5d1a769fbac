/**
 * Compiles the wasm builds, checks what the ABI promises of them, writes src/generated/, and clears build/ of what has no
 * source any more.
 *
 * @module
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { applyPatch } from '../src/runtime/patch.ts';
import { makePatch } from './make-patch.ts';

const ARENA_START = 8192;
const TARGETS = ['simd', 'relaxed'];
/** Limits of an imported memory: least and most pages; the same of a shared one. */
const PRIVATE = 1;
const SHARED = 3;
const GENERATED = '// Written by scripts/build-wasm.ts from assembly/. Not for editing.\n';

interface Field {
  name: string;
  type: 'usize' | 'i32' | 'f32';
}

/** The classes of params.ts with their fields, in order. */
function readParams(source: string): Map<string, Field[]> {
  const classes = new Map<string, Field[]>();
  for (const [, name, base, body] of source.matchAll(/export class (\w+)(?: extends (\w+))? \{\n([\s\S]*?)\n\}/g)) {
    const fields: Field[] = base ? [...classes.get(base)!] : [];
    for (const line of body!.split('\n')) {
      const text = line.replace(/\/\*\*.*\*\//, '').trim();
      if (text === '' || text.startsWith('*') || text.startsWith('/*')) continue;
      const match = /^(\w+): (usize|i32|f32);$/.exec(text);
      if (!match) throw new Error(`params.ts, class ${name}: '${text}' is not a four-byte field`);
      fields.push({ name: match[1]!, type: match[2] as Field['type'] });
    }
    classes.set(name!, fields);
  }
  return classes;
}

/** Names of the exported kernels and of the exported functions that measure scratch. */
function readExports(source: string): { kernels: string[]; scratch: string[] } {
  const names = [...source.matchAll(/export \{([^}]*)\}/g)].flatMap(([, list]) =>
    list!
      .split(',')
      .map((name) => name.trim())
      .filter(Boolean),
  );
  return {
    kernels: names.filter((name) => !name.endsWith('ScratchBytes')),
    scratch: names.filter((name) => name.endsWith('ScratchBytes')),
  };
}

/** A build must import only its memory, hold no mutable global, and keep its data below the arena. */
function checkModule(target: string): void {
  const text = readFileSync(`build/wasm/${target}.wat`, 'utf8');
  const imports = [...text.matchAll(/\(import "(\w+)" "(\w+)"/g)].map(([, module, name]) => `${module}.${name}`);
  if (imports.join() !== 'env.memory') throw new Error(`${target}.wasm imports ${imports.join()}, not only env.memory`);
  if (/\(global [^\n]*\(mut /.test(text)) throw new Error(`${target}.wasm has a mutable global`);
  for (const [, at, data] of text.matchAll(/\(data [^\n]*\(i32\.const (\d+)\) "((?:[^"\\]|\\.)*)"/g)) {
    const length = data!.replace(/\\([0-9a-f]{2}|.)/g, '.').length;
    if (Number(at) + length > ARENA_START) throw new Error(`${target}.wasm has data at ${at}, inside the arena`);
  }
}

/** Where a module says what kind of memory it imports: the kernels have no other trace of it. */
function memoryFlagAt(target: string, module: Uint8Array): number {
  const entry = Buffer.from('\x03env\x06memory\x02', 'latin1');
  const at = Buffer.from(module).indexOf(entry) + entry.length;
  if (module[at] !== PRIVATE) throw new Error(`${target}.wasm does not import a private memory with a limit`);
  return at;
}

/** Removes compiled modules whose source is gone: they would travel in the package. */
function removeStale(): void {
  for (const entry of readdirSync('build', { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const source = path.replace(/^build/, 'src').replace(/(\.d\.ts|\.js)$/, '.ts');
    if (source.endsWith('.ts') && !existsSync(source)) rmSync(path);
  }
}

mkdirSync('build/wasm', { recursive: true });
mkdirSync('src/generated', { recursive: true });
const modules = new Map<string, Uint8Array<ArrayBuffer>>();
for (const target of TARGETS) {
  const text = ['--textFile', `build/wasm/${target}.wat`];
  execFileSync('node', ['node_modules/assemblyscript/bin/asc.js', '--target', target, ...text], { stdio: 'inherit' });
  modules.set(target, new Uint8Array(readFileSync(`build/wasm/${target}.wasm`)));
}
for (const target of TARGETS) checkModule(target);
const flags = new Map([...modules].map(([target, module]) => [target, memoryFlagAt(target, module)]));
for (const [target, module] of modules) {
  const shared = module.slice();
  shared[flags.get(target)!] = SHARED;
  writeFileSync(`build/wasm/${target}-shared.wasm`, shared);
}

let params = GENERATED;
for (const [name, fields] of readParams(readFileSync('assembly/params.ts', 'utf8'))) {
  params += `\nexport interface ${name} {\n${fields.map((f) => `  ${f.name}: number;\n`).join('')}}\n`;
  params += `export const ${name} = [\n${fields.map((f) => `  ['${f.name}', '${f.type}'],\n`).join('')}] as const;\n`;
}
writeFileSync('src/generated/params.ts', params);

const { kernels, scratch } = readExports(readFileSync('assembly/index.ts', 'utf8'));
const list = (names: string[]) => `[${names.map((n) => `\n  '${n}',`).join('')}\n] as const`;
writeFileSync(
  'src/generated/kernels.ts',
  `${GENERATED}
export const KERNELS = ${list(kernels)};
export type Kernel = (typeof KERNELS)[number];
export const SCRATCH_MEASURES = ${list(scratch)};
export type ScratchMeasure = (typeof SCRATCH_MEASURES)[number];
/** First byte that the host may allocate: the kernels' constants end below it. */
export const ARENA_START = ${ARENA_START};
/** Byte that says what kind of memory a build imports, and its value for a shared one. */
export const MEMORY_FLAG = { ${TARGETS.map((t) => `${t}: ${flags.get(t)}`).join(', ')} } as const;
export const SHARED_MEMORY = ${SHARED};
`,
);
const [relaxed, simd] = [modules.get('relaxed')!, modules.get('simd')!];
const patch = makePatch(relaxed, simd);
if (Buffer.compare(applyPatch(relaxed, patch), simd) !== 0) throw new Error('the patch does not make the simd build');
const packed = (bytes: Uint8Array) => deflateRawSync(bytes, { level: 9 }).toString('base64');
writeFileSync(
  'src/generated/wasm.ts',
  `${GENERATED}
/** The relaxed build, deflated, in base64. */
export const RELAXED: string =
  '${packed(relaxed)}';
/** What makes the simd build of it (runtime/patch.ts), likewise. */
export const SIMD_PATCH: string =
  '${packed(patch)}';
`,
);
removeStale();

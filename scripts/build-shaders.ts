/**
 * Packs src/webgpu/shaders/ into src/generated/shaders.ts: the text without comments, and what each file says of itself.
 *
 * @module
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

const FOLDER = 'src/webgpu/shaders';

/** The lines `//! word rest` of a file, by word. */
function directives(source: string): Map<string, string> {
  return new Map([...source.matchAll(/^\/\/! (\w+) (.*)$/gm)].map(([, word, rest]) => [word!, rest!.trim()]));
}

/** Comments and blank space mean nothing to a compiler, and half of a file is comments. */
function minified(source: string): string {
  const lines = source.replace(/\/\/.*$/gm, '').split('\n');
  return lines
    .map((line) => line.trim().replace(/\s+/g, ' '))
    .filter(Boolean)
    .join('\n');
}

const entries = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.wgsl'))
  .sort()
  .map((name) => {
    const source = readFileSync(join(FOLDER, name), 'utf8');
    const said = directives(source);
    const list = (word: string) => said.get(word)?.split(/[\s,]+/) ?? [];
    const unknown = [...said.keys()].find((word) => !['params', 'extra', 'use', 'const', 'enable'].includes(word));
    if (unknown) throw new Error(`${name}: a line '//! ${unknown}' means nothing`);
    const extra = (said.get('extra') ?? '').split(',').flatMap((field) => {
      const [, field_, type] = /^\s*(\w+)\s*:\s*(u32|i32|f32)\s*$/.exec(field) ?? [];
      if (field.trim() && !field_) throw new Error(`${name}: '${field}' is not a field`);
      return field_ ? [[field_, type]] : [];
    });
    const entry = {
      params: said.get('params') ?? '',
      extra,
      use: list('use'),
      constants: list('const'),
      enable: list('enable'),
      source: minified(source),
    };
    return [basename(name, '.wgsl'), entry] as const;
  });

// a module of its own: what GPU kernels name of it stays in the chunk that is loaded with them
writeFileSync('src/generated/gpu-params.ts', readFileSync('src/generated/params.ts', 'utf8'));

const names = entries.map(([name]) => name);
const twice = names.find((name, i) => names.indexOf(name) !== i);
if (twice) throw new Error(`two shaders are named '${twice}'`);
mkdirSync('src/generated', { recursive: true });
writeFileSync(
  'src/generated/shaders.ts',
  `// Written by scripts/build-shaders.ts from ${FOLDER}/. Not for editing.

/** A shader file: what it says of itself, and its text. */
export interface ShaderFile {
  /** Class of assembly/params.ts whose fields it takes; empty for a part of others. */
  readonly params: string;
  /** Fields behind those of the class. */
  readonly extra: readonly (readonly [name: string, type: 'u32' | 'i32' | 'f32'])[];
  /** Files that it needs. */
  readonly use: readonly string[];
  /** Constants that it is specialised by. */
  readonly constants: readonly string[];
  /** Extensions of the language that it needs. */
  readonly enable: readonly string[];
  readonly source: string;
}

export type ShaderName = ${names.map((name) => `'${name}'`).join(' | ') || 'never'};

export const SHADERS: Record<ShaderName, ShaderFile> = ${JSON.stringify(Object.fromEntries(entries), null, 1)} as never;
`,
);

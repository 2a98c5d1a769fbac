/**
 * Puts the text of a shader together: params, the parts it uses, constants.
 *
 * @module
 */
import { SHADERS, type ShaderName } from '../generated/shaders.ts';
import type { Layout } from '../runtime/params.ts';
import { type Banks, banksText } from './banks-text.ts';
import type { Pass } from './kernel.ts';
import { unrolled } from './unrolled.ts';

/** Parts that stand for each other: how the memory is seen. */
const MEMORIES: readonly string[] = ['words', 'wide'];

/** All parts that a shader uses, each behind those that it uses itself. */
function partsOf(name: ShaderName, found: ShaderName[] = []): ShaderName[] {
  for (const part of SHADERS[name].use) partsOf(part as ShaderName, found);
  if (!found.includes(name)) found.push(name);
  return found;
}

/** Names of fields that the language keeps for itself get a line behind them. */
const RESERVED = new Set(['final', 'move', 'partition', 'shared', 'target', 'type']);

/** Fields of a params object behind those of its class: every shader has the number of workgroups with work. */
export function extraFields(name: ShaderName): readonly (readonly [name: string, type: string])[] {
  return [...SHADERS[name].extra, ['groups', 'u32']];
}

/** What pipelines are told apart by. */
export function shaderKey({ shader, parts = [], constants = {}, memory = 'words' }: Pass): string {
  return `${shader} ${parts.join('+')} ${memory} ${Object.entries(constants).join(' ')}`;
}

/** The text of a shader for a pass, on an arena of so many buffers. @param guardsLoops as `unrolled`. */
export function shaderText(layout: Layout, pass: Pass, banks: Banks, guardsLoops: boolean): string {
  const { shader, constants = {}, memory = 'words' } = pass;
  const parts: ShaderName[] = [];
  for (const part of [...(pass.parts ?? []), shader]) partsOf(part, parts);
  const asked = parts.flatMap((part) => SHADERS[part].constants);
  const lacking = asked.find((name) => !(name in constants));
  if (lacking) throw new Error(`shader '${shader}' lacks its constant ${lacking}`);
  const extra = extraFields(shader);
  const fields = [...layout, ...extra].map(([name, type], i) => {
    const taken = i < layout.length && extra.some(([other]) => other === name);
    const field = taken || RESERVED.has(name) ? `${name}_` : name;
    return `${field}: ${type === 'usize' ? 'u32' : type}`;
  });
  const text = [
    ...new Set(parts.flatMap((part) => SHADERS[part].enable.map((name) => `enable ${name};`))),
    ...Object.entries(constants).map(([name, value]) => `const ${name} = ${literal(value)};`),
    `struct Params { ${fields.join(', ')} }`,
    '@group(0) @binding(1) var<uniform> p: Params;',
    banksText(memory, banks),
    SHADERS[memory].source,
    ...parts.filter((part) => !MEMORIES.includes(part)).map((part) => SHADERS[part].source),
  ].join('\n');
  return unrolled(text, constants, guardsLoops);
}

function literal(value: number | boolean): string {
  if (typeof value === 'boolean') return String(value);
  return Number.isInteger(value) && value >= 0 ? `${value}u` : `f32(${value})`;
}

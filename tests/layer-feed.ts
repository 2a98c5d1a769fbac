// Feeding prompts to cache layers.
import assert from 'node:assert/strict';
import type { LayerCache } from '../src/cache/layer-cache.ts';
import type { Runtime, Tensor } from '../src/index.ts';
import { runSync } from '../src/runtime/program.ts';
import type { NdArray } from './reference/ndarray.ts';
import { type FloatSample, normal, randomFrom } from './samples.ts';

/** Queries, keys and values of a sequence. */
export interface Prompt {
  readonly q: FloatSample;
  readonly k: FloatSample;
  readonly v: FloatSample;
}

/** A random prompt of t tokens. */
export function promptOf(seed: number, t: number, hkv: number, group: number, d: number, std = 1): Prompt {
  const random = randomFrom(seed);
  return {
    q: normal(random, [1, t, hkv * group, d], std),
    k: normal(random, [1, t, hkv, d]),
    v: normal(random, [1, t, hkv, d]),
  };
}

/** Tokens [from, to) of x [1, T, H, D]. */
export function tokens(x: FloatSample, from: number, to: number): FloatSample {
  const row = x.shape[2]! * x.shape[3]!;
  return { shape: [1, to - from, ...x.shape.slice(2)], data: x.data.slice(from * row, to * row) };
}

/** How tokens are fed. */
export interface Feed {
  /** Append in a program of its own. */
  readonly apart?: boolean;
  readonly softcap?: number;
}

/** Feeds tokens [from, to) to a layer; their o. */
export function feed(
  rt: Runtime,
  layer: LayerCache,
  prompt: Prompt,
  from: number,
  to: number,
  options: Feed = {},
): NdArray {
  const { apart = false, softcap = 0 } = options;
  return rt.scope(() => {
    const [q, k, v] = [prompt.q, prompt.k, prompt.v].map((x) => {
      const part = tokens(x, from, to);
      return rt.tensor(part.data, part.shape);
    }) as [Tensor, Tensor, Tensor];
    rt.poison();
    layer.reserve(to - from);
    if (apart) runSync('append', { k, v }, (b) => layer.append(b, k, v)).commit();
    const done = runSync('attend', { q, k, v }, (b) => {
      const appended = apart ? undefined : layer.append(b, k, v);
      return { appended, ...layer.attend(b, { q, scale: q.shape[3]! ** -0.5, softcap }) };
    });
    done.appended?.commit();
    done.commit?.();
    return { shape: done.o.shape, data: done.o.dataSync() };
  });
}

/** Feeds all tokens in parts that end at `ends`; o of all of them. */
export function feedParts(rt: Runtime, layer: LayerCache, prompt: Prompt, ends: readonly number[], from = 0): NdArray {
  let begin = from;
  const parts = ends.map((end) => {
    const o = feed(rt, layer, prompt, begin, end, { apart: end % 3 === 0 });
    begin = end;
    return o;
  });
  const [, , heads = 0, d = 0] = prompt.q.shape;
  return { shape: [1, begin - from, heads, d], data: parts.flatMap(({ data }) => Array.from(data)) };
}

/** Sizes of a layer for a prompt. */
export function sizeFor({ k }: Prompt, capacity: number) {
  return { layer: 1, layers: 4, kvHeads: k.shape[2]!, headDim: k.shape[3]!, capacity };
}

/** Runs `check` and asserts that it leaves no memory behind. */
export function leavingNothing(rt: Runtime, check: () => void): void {
  const { blocks } = rt.memory();
  check();
  // scratch that the first call takes for good
  assert.ok(rt.memory().blocks - blocks <= 1, `${rt.memory().blocks - blocks} blocks are left`);
}

import type { CachePolicy, CacheType } from '../src/index.ts';
import type { Keeps } from './reference/kv-cache.ts';
import { type FloatSample, mapped, normal, randomFrom, roundToBfloat, roundToHalf } from './samples.ts';

/** q, k and v of a sequence. */
export interface CacheSample {
  q: FloatSample;
  k: FloatSample;
  v: FloatSample;
}

/** Normal queries, keys and values. */
export function cacheSample(
  seed: number,
  { T, heads, kvHeads, d, std = 1 }: { T: number; heads: number; kvHeads: number; d: number; std?: number },
): CacheSample {
  const random = randomFrom(seed);
  return {
    q: normal(random, [1, T, heads, d], std),
    k: normal(random, [1, T, kvHeads, d], std),
    v: normal(random, [1, T, kvHeads, d], std),
  };
}

/** x [..., D] as a storage keeps it. */
export function stored(x: FloatSample, dtype: CacheType): FloatSample {
  if (dtype === 'f32') return x;
  if (dtype !== 'int8') return mapped(x, dtype === 'f16' ? roundToHalf : roundToBfloat);
  const d = x.shape.at(-1)!;
  const values = x.data.slice();
  for (let row = 0; row < x.data.length; row += d) {
    const part = values.subarray(row, row + d);
    const most = part.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    const scale = Math.fround(most / 127);
    const inverse = Math.fround(127 / most);
    for (let c = 0; c < d; c++) part[c] = most === 0 ? 0 : nearestEven(Math.fround(part[c]! * inverse)) * scale;
  }
  return { shape: x.shape, data: values };
}

function nearestEven(x: number): number {
  const low = Math.floor(x);
  if (x - low !== 0.5) return Math.round(x);
  return low % 2 === 0 ? low : low + 1;
}

/** What each head of a layer keeps by a policy. */
export function keepsOf(policy: 'full' | CachePolicy, kvHeads: number, layer = 0): Keeps[] {
  const all = { sinks: 0, window: Number.POSITIVE_INFINITY };
  return Array.from({ length: kvHeads }, (_, h) => {
    if (policy === 'full' || policy.kind === 'full') return all;
    if (policy.kind === 'window') return { sinks: 0, window: policy.window };
    if (policy.kind === 'streaming') return { sinks: policy.sinks ?? 4, window: policy.window };
    return policy.heads[layer]![h] === 'full' ? all : { sinks: policy.sinks ?? 64, window: policy.window ?? 256 };
  });
}

/**
 * How far an int8 cache may be beside the reference over its own numbers: single queries are rounded to 14 bits, and so are the weights of
 * values, which costs a score at most max |q| / 16382 times the sum of |k|.
 */
export function int8Room({ q, k, v }: CacheSample): number {
  const most = (x: FloatSample) => x.data.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const d = q.shape[3]!;
  let longest = 0;
  for (let row = 0; row < k.data.length; row += d) {
    const sum = k.data.subarray(row, row + d).reduce((a, b) => a + Math.abs(b), 0);
    longest = Math.max(longest, sum);
  }
  return most(v) * ((2 * d ** -0.5 * most(q) * longest) / 16382 + 2 / 16382);
}

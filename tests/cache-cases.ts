import {
  type CacheType,
  type DuoPolicy,
  type FullPolicy,
  KVCache,
  type StreamingPolicy,
  type WindowPolicy,
} from '../src/cache/index.ts';
import type { Runtime, Tensor } from '../src/index.ts';
import type { Keeps } from './reference/kv-cache.ts';
import { type FloatSample, floats, mapped, normal, randomFrom, roundToBfloat, roundToHalf } from './samples.ts';

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

/** Units that are tried for a row of at most 32 in int8: from the largest number over 127 up to half as much again. */
const units = Array.from({ length: 41 }, (_, trial) => Math.fround(1 + Math.fround(trial / 80)));

/** Codes of a row in 8 bits and their scale: of all units the one whose codes, times their best scale, miss the row least. */
function quantised(row: Float32Array): { codes: number[]; scale: number } {
  const most = row.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  if (most === 0) return { codes: Array.from(row, () => 0), scale: 0 };
  let best = { codes: [] as number[], scale: 0, missed: Number.POSITIVE_INFINITY };
  for (const unit of units) {
    const inverse = Math.fround(1 / Math.fround(Math.fround(most / 127) * unit));
    const codes = Array.from(row, (x) => nearestEven(Math.fround(x * inverse)));
    const scale = codes.reduce((sum, c, i) => sum + c * row[i]!, 0) / codes.reduce((sum, c) => sum + c * c, 0);
    const missed = row.reduce((sum, x, i) => sum + (x - codes[i]! * scale) ** 2, 0);
    if (missed < best.missed) best = { codes, scale, missed };
  }
  return best;
}

/** x [..., D] as a storage keeps it. */
export function stored(x: FloatSample, dtype: CacheType): FloatSample {
  if (dtype === 'f32') return x;
  if (dtype !== 'int8') return mapped(x, dtype === 'f16' ? roundToHalf : roundToBfloat);
  const d = x.shape.at(-1)!;
  const data = new Float32Array(x.data.length);
  for (let at = 0; at < data.length; at += d) {
    const { codes, scale } = quantised(x.data.subarray(at, at + d));
    data.set(
      codes.map((c) => c * scale),
      at,
    );
  }
  return { shape: x.shape, data };
}

/** What a cache of one layer gives back of k and v [1, T, Hkv, D]: codes times scales, with what smoothing took away. */
export function readBack(
  rt: Runtime,
  { k, v }: Pick<CacheSample, 'k' | 'v'>,
  dtype: CacheType,
  smoothKeys = false,
): { k: FloatSample; v: FloatSample } {
  const [, T, kvHeads, headDim] = k.shape as [number, number, number, number];
  using cache = new KVCache(rt, { layers: 1, kvHeads, headDim, capacity: T, dtype, pageSize: 1, smoothKeys });
  rt.scope(() => cache.appendSync(0, { k: rt.tensor(k.data, k.shape), v: rt.tensor(v.data, v.shape) }));
  // pages of one token are taken head by head, in order
  const { storage } = cache.pool!;
  const rows = (codes: Tensor, scale: Tensor | undefined, first?: Float32Array): FloatSample => {
    const numbers = codes.dataSync();
    const scales = scale?.dataSync();
    return floats(k.shape, (n) => {
      const [c, h, t] = [n % headDim, Math.floor(n / headDim) % kvHeads, Math.floor(n / headDim / kvHeads)];
      const page = h * T + t;
      const x = numbers[page * headDim + c]! * (scales?.[page] ?? 1);
      return first ? x + first[h * headDim + c]! : x;
    });
  };
  return {
    k: rows(storage.k, storage.kScale, smoothKeys ? k.data.subarray(0, kvHeads * headDim) : undefined),
    v: rows(storage.v, storage.vScale),
  };
}

function nearestEven(x: number): number {
  const low = Math.floor(x);
  if (x - low !== 0.5) return Math.round(x);
  return low % 2 === 0 ? low : low + 1;
}

/** Policies that keep tokens by their places. */
export type PagedPolicy = FullPolicy | WindowPolicy | StreamingPolicy | DuoPolicy;

/** What each head of a layer keeps by a policy. */
export function keepsOf(policy: 'full' | PagedPolicy, kvHeads: number, layer = 0): Keeps[] {
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

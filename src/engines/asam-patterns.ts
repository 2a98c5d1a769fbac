/**
 * The sparse branch of ASAM.
 *
 * @module
 */
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import type { AttentionCall } from './attention-call.ts';
import { attendColumns, type ColumnPattern } from './columns.ts';
import { asFloats } from './copy.ts';
import { l2norm } from './features.ts';
import { flashAttend } from './flash.ts';
import { indexAttend } from './index-attention.ts';
import { selectAbove } from './select/choose.ts';
import { scoreMap } from './select/score-map.ts';
import { selectScored } from './select/scored.ts';
import { softmaxMap } from './select/softmax-map.ts';
import { uniformFrom } from './uniform.ts';

/** Masks of one call that may be kept for later ones. */
const MOST_KEPT = 8;

/** Which pairs a query of `strided` sees: those at most `window` away, and every `stride`-th key. */
export function strided(length: number, stride: number, window: number): ColumnPattern {
  return {
    key: `every ${stride}, ${window} around`,
    columns: Array.from({ length: Math.ceil(length / stride) }, (_, n) => n * stride),
    reach: window,
    near: (i, j) => Math.abs(i - j) <= window && j % stride !== 0,
  };
}

/** Strided patterns of several scales, a window of a quarter of each, of which those that a pair is in weigh more than a half. */
export function hierarchical(length: number, scales: readonly number[], weights: readonly number[]): ColumnPattern {
  const total = (test: (scale: number) => boolean) =>
    scales.reduce((sum, scale, n) => sum + (test(scale) ? weights[n]! : 0), 0);
  const column = (j: number) => total((scale) => j % scale === 0) > 0.5;
  const seen = (i: number, j: number) =>
    total((scale) => j % scale === 0 || Math.abs(i - j) <= Math.floor(scale / 4)) > 0.5;
  const columns: number[] = [];
  for (let j = 0; j < length; ++j) if (column(j)) columns.push(j);
  return {
    key: `scales ${scales} of ${weights}`,
    columns,
    reach: Math.max(...scales.map((scale) => Math.floor(scale / 4))),
    near: (i, j) => !column(j) && seen(i, j),
  };
}

/** A 32-bit number that depends on all bits of two. */
function mixed(a: number, b: number): number {
  let x = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) ^ b;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** `count` different keys of `length` for row i of a head, all that there are if there are fewer. */
export function randomKeys(seed: number, head: number, i: number, count: number, length: number): number[] {
  const uniform = uniformFrom(mixed(seed + head, i));
  // the first of a permutation, of which only what was moved is kept
  const moved = new Map<number, number>();
  return Array.from({ length: Math.min(count, length) }, (_, n) => {
    const at = n + Math.floor(uniform() * (length - n));
    const key = moved.get(at) ?? at;
    moved.set(at, moved.get(n) ?? n);
    return key;
  });
}

/** Lists of random keys, the last ones used. */
const lists = new Map<string, Int32Array>();
const MOST_LISTS = 2;

/** Ascending keys [heads, T, count] of every row. */
function randomLists(seed: number, heads: number, length: number, count: number): Int32Array {
  const key = `${[seed, heads, length, count]}`;
  let words = lists.get(key);
  if (!words) {
    words = new Int32Array(heads * length * count);
    for (let row = 0; row < heads * length; ++row) {
      const keys = randomKeys(seed, Math.floor(row / length), row % length, count, length);
      words.subarray(row * count, (row + 1) * count).set(keys.sort((i, j) => i - j));
    }
  }
  lists.delete(key);
  lists.set(key, words);
  if (lists.size > MOST_LISTS) lists.delete(lists.keys().next().value!);
  return words;
}

/** Adds a call in which each row of each head sees keys of its own at random. */
export function attendRandom(b: Builder, call: AttentionCall, count: number, seed: number): void {
  const [B, T, heads] = call.q.shape as [number, number, number];
  if (count >= T) {
    flashAttend(b, call);
    return;
  }
  const indices = b.temporary([1, heads, T, count], 'i32');
  indices.write(randomLists(seed, heads, T, count));
  const counts = b.temporary([1, 1, 1], 'i32');
  counts.write([count]);
  indexAttend(b, call, { indices: indices.broadcast([B, heads, T, count]), counts: counts.broadcast([B, heads, T]) });
}

/** Rows x [B, T, H, C]: softmax over centroids f32 [H, C, D] of the cosines / temperature. */
function assignments(
  b: Builder,
  x: Tensor,
  centroids: Tensor,
  temperature: number,
  shares: Tensor | undefined,
): Tensor {
  const [H, C, D] = centroids.shape as [number, number, number];
  const floor = { eps: 0, floor: 1e-12 };
  const directions = l2norm(b, centroids, floor).restride([x.shape[0]!, C, H, D], [0, D, C * D, 1]);
  const q = l2norm(b, asFloats(b, x), floor);
  const map = softmaxMap(b, scoreMap(b, { q, k: directions, scale: 1 / temperature, shares }));
  return map.permute([0, 2, 1, 3]);
}

/** Adds a call in which queries see the keys whose soft assignments to clusters have a product above `least`. */
export function attendClustered(
  b: Builder,
  call: AttentionCall,
  centroids: Tensor,
  temperature: number,
  least: number,
): void {
  const shares = call.outScale;
  const q = assignments(b, call.q, centroids, temperature, shares);
  const k = assignments(b, call.k, centroids, temperature, shares);
  const bits = selectScored(b, { q, k, scale: 1, shares }, (map, slab) => {
    selectAbove(b, map, { threshold: least, ...slab });
  });
  flashAttend(b, call, { selection: { bits, queryBlock: 1, keyBlock: 1 } });
}

/** The call on heads [from, to). */
export function someHeads(call: AttentionCall, from: number, to: number): AttentionCall {
  const cut = (x: Tensor) => x.slice(2, from, to);
  return {
    ...call,
    q: cut(call.q),
    k: cut(call.k),
    v: cut(call.v),
    o: cut(call.o),
    outScale: call.outScale?.slice(1, from, to),
  };
}

/** Adds a call of the scales' patterns, weighted f32 [scales, H] by their softmax: heads alike go together. */
export function attendHierarchical(
  b: Builder,
  call: AttentionCall,
  scales: readonly number[],
  weights: Tensor | undefined,
): void {
  const [, T, heads] = call.q.shape as [number, number, number];
  const given = weights?.dataSync();
  const shares = Array.from({ length: heads }, (_, h) => {
    const logits = scales.map((_, n) => given?.[n * heads + h] ?? 1);
    const most = Math.max(...logits);
    const each = logits.map((x) => Math.exp(x - most));
    const sum = each.reduce((all, x) => all + x, 0);
    return each.map((x) => x / sum);
  });
  // heads whose weights decide alike see the same
  const decisions = (head: readonly number[]) =>
    Array.from({ length: 2 ** scales.length }, (_, set) =>
      head.reduce((sum, weight, n) => sum + ((set >> n) & 1 ? weight : 0), 0) > 0.5 ? 1 : 0,
    ).join('');
  const runs: { from: number; to: number; own: string }[] = [];
  for (const [h, head] of shares.entries()) {
    const own = decisions(head);
    const last = runs.at(-1);
    if (last?.own === own) last.to = h + 1;
    else runs.push({ from: h, to: h + 1, own });
  }
  for (const { from, to, own } of runs) {
    const pattern = { ...hierarchical(T, scales, shares[from]!), key: `scales ${scales} by ${own}` };
    attendColumns(b, someHeads(call, from, to), pattern, runs.length <= MOST_KEPT);
  }
}

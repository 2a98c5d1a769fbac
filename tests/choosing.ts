// Decoding on chosen tokens: what was chosen is compared as sets, and near decisions may fall either way.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Runtime } from '../src/index.ts';
import { type CallInputs, call } from './call.ts';
import { type ChosenShape, qkv } from './chosen-cases.ts';
import { type NdArray, zeros } from './reference/ndarray.ts';
import type { Visible } from './reference/select.ts';
import { seen } from './reference/select.ts';

/** `call` of an op that has options which must be given. */
export function callWith<Inputs, Options extends object, Result extends object>(
  rt: Runtime,
  op: (inputs: Inputs, options: Options) => Promise<Result>,
  inputs: CallInputs,
  options: Options,
): Promise<{ [name in keyof Result]: NdArray }> {
  return call(rt, op as (inputs: Inputs, options?: Options) => Promise<Result>, inputs, options);
}

/** Remembers what was made for a choice: variants mostly choose alike, and references are slow. */
export function perChoice<T>(make: (chosen: NdArray) => T): (chosen: NdArray) => T {
  const made = new Map<string, T>();
  return (chosen) => {
    const key = Array.from(chosen.data).join('');
    const found = made.get(key) ?? make(chosen);
    made.set(key, found);
    return found;
  };
}

/** What a row must have chosen. */
export interface TopRule {
  /** How many of the unforced, or how many in all where the forced ones count. */
  k: number;
  first?: number;
  last?: number;
  forced?: 'counted' | 'added';
  visible?: Visible | undefined;
}

/** Scores as far apart as this share of the largest of the row must be ordered as the definition orders them. */
const MARGIN = 1e-5;

/** Fails unless `chosen` [B, L, R, C] are the forced and the highest of `scores`, but for scores that are almost equal. */
export function assertTopK(
  scores: NdArray,
  chosen: NdArray,
  { k, first = 0, last = 0, forced = 'counted', visible }: TopRule,
  what: string,
): void {
  assert.deepEqual([...chosen.shape], [...scores.shape], what);
  const [, , R, C] = scores.shape as [number, number, number, number];
  for (let row = 0; row * C < scores.data.length; row++) {
    const n = seen(visible, row % R, C);
    let [count, free, barred, least, most, largest] = [0, 0, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];
    for (let j = 0; j < C; j++) {
      const [taken, score] = [chosen.data[row * C + j] === 1, scores.data[row * C + j]!];
      if (j >= n) assert.ok(!taken, `${what}: row ${row} chose ${j}, of ${n} that it sees`);
      if (j >= n) continue;
      if (Number.isFinite(score)) largest = Math.max(largest, Math.abs(score));
      count += taken ? 1 : 0;
      if (j < first || j >= n - last) {
        assert.ok(taken, `${what}: row ${row} left ${j} out, which it must have`);
        continue;
      }
      // what is no candidate scores -Infinity
      if (score === Number.NEGATIVE_INFINITY) {
        assert.ok(!taken, `${what}: row ${row} chose ${j}, which is no candidate`);
        barred++;
        continue;
      }
      free++;
      if (taken) least = Math.min(least, score);
      else most = Math.max(most, score);
    }
    const unfree = n - free - barred;
    const want = unfree + Math.min(free, Math.max(0, forced === 'counted' ? k - unfree : k));
    assert.equal(count, want, `${what}: row ${row} of [${scores.shape}] chose ${count}`);
    assert.ok(least >= most - MARGIN * largest, `${what}: row ${row} took ${least} and left ${most}`);
  }
}

/** Ones [B, L, R, C] of lists i32 [B, L, (R,) K], -1 behind the last entry. */
export function onesOf(lists: NdArray, columns: number): NdArray {
  const [B, L] = lists.shape as [number, number];
  const [R, K] = lists.shape.length === 3 ? [1, lists.shape[2]!] : [lists.shape[2]!, lists.shape[3]!];
  const ones = zeros([B, L, R, columns]);
  for (let row = 0; row < B * L * R; row++) {
    let before = -1;
    for (let n = 0; n < K; n++) {
      const j = lists.data[row * K + n]!;
      if (j === -1) {
        before = columns;
        continue;
      }
      assert.ok(j > before && j < columns, `entry ${n} of row ${row} is ${j} behind ${before}`);
      ones.data[row * columns + j] = 1;
      before = j;
    }
  }
  return ones;
}

/** Shapes of decoding: one query, sometimes a few, on caches of odd lengths. */
export const decodeShapes: fc.Arbitrary<ChosenShape> = fc
  .record({
    seed: fc.nat(),
    batch: fc.constantFrom(1, 1, 2),
    tq: fc.constantFrom(1, 1, 1, 2, 5),
    tk: fc.constantFrom(1, 2, 15, 63, 64, 65, 200, 333),
    hkv: fc.integer({ min: 1, max: 2 }),
    group: fc.constantFrom(1, 1, 2, 3),
    d: fc.constantFrom(1, 3, 18, 64, 80),
    dv: fc.constantFrom(undefined, 1, 20, 64),
  })
  .map(({ dv, ...rest }) => ({ ...rest, dv: dv ?? rest.d }));

export { qkv };

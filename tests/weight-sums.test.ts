// The kernels under the methods that choose blocks and columns, one by one against float64.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { coverCount } from '../src/engines/select/cover-count.ts';
import { selfSimilarity } from '../src/engines/select/self-similarity.ts';
import { queryAware } from '../src/engines/select/stripe-blocks.ts';
import { weightSums } from '../src/engines/select/weight-sums.ts';
import type { Runtime, Tensor } from '../src/index.ts';
import { type Builder, runSync } from '../src/runtime/program.ts';
import { assertNear } from './accuracy.ts';
import { chosenShapes, qkv } from './chosen-cases.ts';
import { property } from './property.ts';
import { falling } from './reference/block-choice.ts';
import { rootDivergence } from './reference/flex-prefill.ts';
import type { NdArray } from './reference/ndarray.ts';
import { selfSimilarity as similarityReference } from './reference/sparge-attn.ts';
import { weightSums as reference } from './reference/weight-sums.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, normal, randomFrom } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

/** Runs what `build` lays out on samples, with NaN in all free memory, and copies its tensors out. */
function outputs<Name extends string>(
  rt: Runtime,
  inputs: Record<string, FloatSample>,
  build: (b: Builder, tensors: Record<string, Tensor>) => Partial<Record<Name, Tensor>>,
): Record<Name, NdArray> {
  const found = {} as Record<Name, NdArray>;
  rt.scope(() => {
    const tensors: Record<string, Tensor> = {};
    for (const [name, { data, shape }] of Object.entries(inputs)) tensors[name] = rt.tensor(data, shape);
    rt.poison();
    const made = runSync('kernels', tensors, (b) => {
      const result = build(b, tensors);
      for (const tensor of Object.values(result) as (Tensor | undefined)[]) if (tensor) b.keep(tensor);
      return result;
    });
    for (const name in made) if (made[name]) found[name] = { shape: made[name].shape, data: made[name].dataSync() };
  });
  return found;
}

test('sums of weights over columns and diagonals, whatever rows see and however they are grouped', () =>
  property(
    fc.record({
      shape: chosenShapes([1, 2, 9, 63, 65, 130], 8e5),
      interleave: fc.constantFrom(1, 1, 2, 3, 8),
      rowGroup: fc.constantFrom(1, 5, 16, 200),
      columnGroup: fc.constantFrom(1, 4, 7),
      visible: fc.constantFrom(
        undefined,
        { mul: 1, add: 1, div: 1 },
        { mul: 3, add: -20, div: 2 },
        { mul: 0, add: 5, div: 1 },
      ),
      spread: fc.constantFrom(0.5, 3),
    }),
    50,
    async ({ shape, interleave, rowGroup, columnGroup, visible, spread }) => {
      const { q, k } = qkv(shape, spread);
      const scale = shape.d ** -0.5 / interleave;
      const seen = (i: number) =>
        visible ? Math.floor((i * visible.mul + visible.add) / visible.div) : Number.POSITIVE_INFINITY;
      const want = reference({ q, k }, { scale, interleave, rowGroup, columnGroup, seen });
      for (const rt of runtimes) {
        const got = outputs<'columns' | 'diagonals'>(rt, { q, k }, (b, t) => {
          const call = { q: t.q!, k: t.k!, scale, interleave, rowGroup, columnGroup, visible, diagonals: true };
          return weightSums(b, call);
        });
        // each row's weights sum to 1, and so do their errors at most to that of a softmax
        const limit = 4e-6 * Math.min(rowGroup, Math.ceil(shape.tq / interleave));
        assertNear(got.columns, want.columns, limit, `${rt.variant}: columns`);
        assertNear(got.diagonals, want.diagonals, limit, `${rt.variant}: diagonals`);
      }
    },
  ));

test('sums that come before all others', () => {
  const { q, k } = qkv({ seed: 1, batch: 2, tq: 9, tk: 20, hkv: 1, group: 2, d: 5, dv: 5 });
  for (const rt of runtimes) {
    const got = outputs<'columns' | 'diagonals'>(rt, { q, k }, (b, t) =>
      weightSums(b, {
        q: t.q!,
        k: t.k!,
        scale: 1,
        rowGroup: 9,
        diagonals: true,
        firstColumns: [3, 100],
        firstDiagonals: [0, 7],
      }),
    );
    const infinite = ({ data }: NdArray) =>
      [0, 1, 2, 3].map(
        (list) => Array.from({ length: 20 }, (_, j) => data[list * 20 + j]).filter((x) => x === Infinity).length,
      );
    assert.deepEqual(infinite(got.columns), [3, 20, 3, 20]);
    assert.deepEqual(infinite(got.diagonals), [0, 7, 0, 7]);
    assert.equal(got.diagonals.data[20 + 6], Number.POSITIVE_INFINITY);
  }
});

test('counts of the largest numbers that hold a share', () =>
  property(
    fc.record({
      seed: fc.nat(),
      columns: fc.constantFrom(1, 7, 48, 49, 300, 2000),
      share: fc.constantFrom(0, 0.2, 0.9, 1),
    }),
    40,
    async ({ seed, columns, share }) => {
      const random = randomFrom(seed);
      // many are equal, some are below 0
      const map = floats([1, 2, 3, columns], () => Math.round(8 * (random() ** 3 - 0.05)) / 8);
      const shares = [share, 0.5];
      const call = { add: 2, div: 3, plus: 1, least: 2, most: 40 };
      const want = Array.from({ length: 6 }, (_, row) => {
        const values = Array.from(map.data.slice(row * columns, (row + 1) * columns), (x) => Math.max(0, x));
        const target = shares[Math.floor(row / 3)]! * values.reduce((a, b) => a + b, 0);
        let [sum, n] = [0, 0];
        for (const i of falling(values)) {
          if (n > 0 && sum >= target) break;
          sum += values[i]!;
          n++;
        }
        if (shares[Math.floor(row / 3)]! >= 1) return 40;
        return Math.min(40, Math.max(2, Math.floor((n + 2) / 3) + 1));
      });
      for (const rt of runtimes) {
        const got = outputs<'o'>(rt, { map }, (b, t) => {
          const o = b.temporary([1, 2, 3], 'i32');
          coverCount(b, t.map!, { share: shares, ...call }, o);
          return { o };
        });
        assert.deepEqual(Array.from(got.o.data), want, rt.variant);
      }
    },
  ));

test('self-similarity of blocks, less a mean, of zero rows', () =>
  property(
    fc.record({
      seed: fc.nat(),
      length: fc.constantFrom(1, 7, 64, 130),
      heads: fc.constantFrom(1, 3),
      d: fc.constantFrom(1, 3, 18, 64),
      block: fc.constantFrom(1, 16, 64),
      centred: fc.boolean(),
    }),
    30,
    async ({ seed, length, heads, d, block, centred }) => {
      const random = randomFrom(seed);
      const x = normal(random, [2, length, heads, d]);
      const mean = normal(random, [2, 1, heads, d]);
      if (!centred && length > 5) x.data.fill(0, 5 * heads * d, 6 * heads * d);
      const less = floats(x.shape, (n) => {
        const [batch, rest] = [Math.floor(n / (length * heads * d)), n % (heads * d)];
        return x.data[n]! - (centred ? mean.data[batch * heads * d + rest]! : 0);
      });
      const want = similarityReference(less, block);
      for (const rt of runtimes) {
        const got = outputs<'o'>(rt, { x, mean }, (b, t) => ({
          o: selfSimilarity(b, t.x!, block, centred ? t.mean : undefined),
        }));
        assertNear(got.o, want, 2e-6, rt.variant);
        want.data.forEach((y, n) => {
          assert.equal(Number.isNaN(got.o.data[n]), Number.isNaN(y), `${rt.variant}: ${n}`);
        });
      }
    },
  ));

test('query-aware heads by the root of the divergence, also where it is tiny', () => {
  const random = randomFrom(8);
  const columns = 50;
  const spread = (x: number[]) => {
    const sum = x.reduce((a, b) => a + b, 0);
    return x.map((y) => y / sum);
  };
  for (const difference of [0, 1e-5, 1e-3, 0.1, 1]) {
    const p = spread(Array.from({ length: columns }, () => random()));
    const q = spread(p.map((x) => x * Math.exp(difference * (random() - 0.5))));
    if (difference === 1) q[0] = 0;
    const guess = { shape: [1, 1, 1, columns], data: Float32Array.from(p) };
    const sums = { shape: [1, 1, 1, columns], data: Float32Array.from(q, (x) => 64 * x) };
    const distance = rootDivergence(
      Array.from(guess.data),
      Array.from(sums.data, (x) => x / 64),
    );
    for (const rt of runtimes) {
      for (const [factor, is] of [
        [0.9999, 0],
        [1.0001, 1],
      ] as const) {
        const tau = difference === 0 ? (is ? 1e-7 : 0) : distance * factor;
        const got = outputs<'aware' | 'budgets'>(rt, { guess, sums }, (b, t) => {
          const budgets = b.temporary([2, 1, 1], 'i32');
          (budgets.view() as Int32Array).set([8, 9]);
          const call = { guess: t.guess!, sums: t.sums!, count: 64, tau, budgets, least: 3 };
          return { aware: queryAware(b, call), budgets };
        });
        assert.equal(got.aware.data[0], is, `${rt.variant}: ${distance} against ${tau}`);
        assert.deepEqual(Array.from(got.budgets.data), is ? [3, 3] : [8, 9]);
      }
    }
  }
});

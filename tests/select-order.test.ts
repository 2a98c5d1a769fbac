import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type BitOperation, combineBits, countBits, selectIndices } from '../src/engines/select/bits.ts';
import { diagonalSums } from '../src/engines/select/diagonal-sums.ts';
import { type Combination, gatherHeads, scatterHeads } from '../src/engines/select/gather.ts';
import { lshBuckets, simHash } from '../src/engines/select/hash.ts';
import { kMeans, type Nearness, nearestCentroid } from '../src/engines/select/k-means.ts';
import type { Visible } from '../src/engines/select/map.ts';
import { sortByLabel } from '../src/engines/select/sort.ts';
import type { Tensor } from '../src/index.ts';
import { assertAccurate, assertSameBits, expected } from './accuracy.ts';
import { call } from './call.ts';
import { property } from './property.ts';
import * as reference from './reference/select.ts';
import { variants } from './runtimes.ts';
import { floats, ints, normal, randomFrom } from './samples.ts';
import { program } from './select-calls.ts';

const rts = await variants();
// most kernels here need no scratch: the block that the first one takes is not one that a call left behind
for (const rt of rts) rt.probe('read', 4096);

/** Small whole numbers: sums of their products are exact, and many are equal. */
function wholes(random: () => number, shape: readonly number[], most = 3) {
  return floats(shape, () => Math.floor(random() * (2 * most + 1)) - most);
}

const joined = program((b, { x, y }: { x: Tensor; y: Tensor }, { operation }: { operation: BitOperation }) => ({
  bits: combineBits(b, x, y, operation),
}));
const listed = program((b, { x }: { x: Tensor }, { capacity }: { capacity: number }) => ({
  ...selectIndices(b, x, capacity),
  all: countBits(b, x),
}));

test('bits are joined, counted and listed', async () => {
  await property(
    fc.record({
      shape: fc.tuple(
        fc.constantFrom(1, 2),
        fc.constantFrom(1, 3),
        fc.constantFrom(0, 1, 5),
        fc.constantFrom(0, 1, 2, 9),
      ),
      operation: fc.constantFrom<BitOperation>('and', 'or', 'andNot'),
      capacity: fc.constantFrom(0, 1, 7, 40, 300),
      density: fc.constantFrom(0, 0.1, 0.9, 1),
      shared: fc.boolean(),
      seed: fc.nat(),
    }),
    50,
    async ({ shape, operation, capacity, density, shared, seed }) => {
      const random = randomFrom(seed);
      const [B, L, R, W] = shape;
      const word = () =>
        Array.from({ length: 32 }).reduce<number>((w, _, j) => w | (random() < density ? 1 << j : 0), 0);
      const sample = (of: readonly number[]) => ints(Array.from({ length: of.reduce((n, m) => n * m, 1) }, word), of);
      const [x, y] = [sample(shape), sample(shared ? [B, 1, R, W] : shape)];
      const yAt = (n: number) => (shared ? (Math.floor(n / (L * R * W)) * R * W || 0) + (n % (R * W)) : n);
      const want = x.data.map((a, n) => {
        const other = y.data[yAt(n)]!;
        return operation === 'and' ? a & other : operation === 'or' ? a | other : a & ~other;
      });
      const rows = Array.from({ length: B * L * R }, (_, row) =>
        Array.from({ length: 32 * W }, (_, j) => j).filter((j) => (x.data[row * W + (j >> 5)]! >>> (j & 31)) & 1),
      );
      const indices = rows.flatMap((row) => Array.from({ length: capacity }, (_, i) => row[i] ?? -1));
      for (const rt of rts) {
        const { bits } = await call(rt, joined, { x, y }, { operation });
        assertSameBits(bits, { shape, data: want }, operation);
        const got = await call(rt, listed, { x }, { capacity });
        assertSameBits(got.indices, { shape: [B, L, R, capacity], data: indices }, 'indices');
        assertSameBits(
          got.counts,
          { shape: [B, L, R], data: rows.map((row) => Math.min(capacity, row.length)) },
          'counts',
        );
        assertSameBits(got.all, { shape: [B, L, R], data: rows.map((row) => row.length) }, 'all');
      }
    },
  );
});

const sorted = program((b, { labels }: { labels: Tensor }, { count }: { count: number }) => ({
  ...sortByLabel(b, labels, count),
}));

test('tokens are sorted by label, in their own order within one', async () => {
  await property(
    fc.record({
      B: fc.constantFrom(1, 2),
      L: fc.constantFrom(1, 3),
      T: fc.constantFrom(0, 1, 2, 64, 100),
      count: fc.constantFrom(1, 4, 33),
      seed: fc.nat(),
    }),
    30,
    async ({ B, L, T, count, seed }) => {
      const random = randomFrom(seed);
      const labels = ints(
        Array.from({ length: B * L * T }, () => Math.floor(random() * (count + 2)) - 1),
        [B, L, T],
      );
      const want = reference.sortByLabel(labels, count);
      for (const rt of rts) {
        const got = await call(rt, sorted, { labels }, { count });
        assertSameBits(got.order, want.order, 'order');
        assertSameBits(got.offsets, want.offsets, 'offsets');
      }
    },
  );
});

const gathered = program((b, { x, order }: { x: Tensor; order: Tensor }, { values }: { values: boolean }) => {
  if (!values) return { rows: gatherHeads(b, x, order) };
  return { rows: gatherHeads(b, x.restride(x.shape.slice(0, 3), x.strides.slice(0, 3)), order) };
});
const scattered = program(
  (b, { rows, order }: { rows: Tensor; order: Tensor }, { T, combine }: { T: number; combine: Combination }) => ({
    o: scatterHeads(b, rows, order, T, combine),
  }),
);

test('rows of heads are gathered and scattered by lists', async () => {
  await property(
    fc.record({
      B: fc.constantFrom(1, 2),
      T: fc.constantFrom(1, 5, 64, 1100),
      n: fc.constantFrom(0, 1, 7, 60),
      heads: fc.constantFrom([1, 1], [2, 1], [2, 2], [2, 6], [4, 2]),
      D: fc.constantFrom(1, 3, 18),
      combine: fc.constantFrom<Combination>('assign', 'add', 'mean'),
      seed: fc.nat(),
    }),
    40,
    async ({ B, T, n, heads, D, combine, seed }) => {
      const random = randomFrom(seed);
      const [H, L] = heads as [number, number];
      const x = normal(random, [B, T, H, D]);
      const most = Math.min(T, 20);
      const order = ints(
        Array.from({ length: B * L * n }, () => Math.floor(random() * (most + 2)) - 1),
        [B, L, n],
      );
      const tokens = { shape: order.shape, data: order.data.map((t) => (t < T ? t : -1)) };
      const want = reference.gatherHeads(x, tokens);
      const rows = normal(random, want.shape);
      const wantBack = expected((round) => ({ o: reference.scatterHeads(rows, tokens, T, combine, round) }));
      for (const rt of rts) {
        const got = await call(rt, gathered, { x, order }, { values: false });
        assertSameBits(got.rows, want, 'rows');
        const back = await call(rt, scattered, { rows, order }, { T, combine });
        assertAccurate(back, wantBack, `${rt.variant} ${combine}`);
        if (D > 1) continue;
        const values = await call(rt, gathered, { x, order }, { values: true });
        assertSameBits(values.rows, { shape: want.shape.slice(0, 3), data: want.data }, 'values');
      }
    },
  );
});

const hashed = program((b, { x, planes }: { x: Tensor; planes: Tensor }, { signs }: { signs: boolean }) => ({
  labels: signs ? simHash(b, x, planes) : lshBuckets(b, x, planes),
}));

test('hashes name the nearest of directions and their opposites, or the sides of planes', async () => {
  await property(
    fc.record({
      B: fc.constantFrom(1, 2),
      T: fc.constantFrom(0, 1, 7, 100),
      H: fc.constantFrom(1, 3),
      D: fc.constantFrom(1, 18, 64),
      rounds: fc.constantFrom(1, 3),
      n: fc.constantFrom(1, 4, 8, 13, 32),
      shared: fc.boolean(),
      signs: fc.boolean(),
      seed: fc.nat(),
    }),
    40,
    async ({ B, T, H, D, rounds, n, shared, signs, seed }) => {
      const random = randomFrom(seed);
      const [x, planes] = [wholes(random, [B, T, H, D]), wholes(random, [shared ? 1 : H, D, rounds, n])];
      const want = reference.hash(x, planes, signs);
      for (const rt of rts) {
        const { labels } = await call(rt, hashed, { x, planes }, { signs });
        assertSameBits(labels, want, `${rt.variant} T${T} D${D} n${n}`);
      }
    },
  );
});

const placed = program((b, { x, centroids }: { x: Tensor; centroids: Tensor }, { by }: { by: Nearness }) => ({
  labels: nearestCentroid(b, x, centroids, by),
}));
const clustered = program(
  (b, { x, initial }: { x: Tensor; initial?: Tensor }, options: { clusters: number; iterations: number }) => ({
    ...kMeans(b, x, { ...options, initial }),
  }),
);

test('rows go to the nearest centroid, the first of equals', async () => {
  await property(
    fc.record({
      B: fc.constantFrom(1, 2),
      T: fc.constantFrom(1, 7, 100),
      H: fc.constantFrom(1, 3),
      D: fc.constantFrom(1, 3, 64),
      count: fc.constantFrom(1, 2, 9, 64, 65, 130),
      by: fc.constantFrom<Nearness>('euclidean', 'dot'),
      seed: fc.nat(),
    }),
    40,
    async ({ B, T, H, D, count, by, seed }) => {
      const random = randomFrom(seed);
      const [x, centroids] = [wholes(random, [B, T, H, D], 1), wholes(random, [B, count, H, D], 1)];
      const want = reference.nearestCentroid(x, centroids, by);
      for (const rt of rts) {
        const { labels } = await call(rt, placed, { x, centroids }, { by });
        assertSameBits(labels, want, `${rt.variant} T${T} D${D} count ${count} ${by}`);
      }
    },
  );
});

test('k-means finds clusters that lie apart, and keeps centroids that no row is near', async () => {
  const random = randomFrom(11);
  const [B, T, H, D, clusters] = [2, 120, 2, 18, 6];
  const centres = normal(random, [clusters, D], 10);
  const noise = normal(random, [B, T, H, D]);
  const x = floats([B, T, H, D], (n) => {
    const t = Math.floor(n / H / D) % T;
    return centres.data[((t * 7) % clusters) * D + (n % D)]! + noise.data[n]!;
  });
  for (const iterations of [1, 4]) {
    const want = reference.kMeans(x, clusters, iterations);
    for (const rt of rts) {
      const got = await call(rt, clustered, { x }, { clusters, iterations });
      assertSameBits(got.labels, want.labels, 'labels');
      assertAccurate({ c: got.centroids }, { want: { c: want.centroids }, limit: { c: 1e-4 } }, 'centroids');
    }
  }
  const far = floats([B, 2, H, D], (n) => (Math.floor(n / H / D) % 2 === 0 ? 0 : 1e4));
  for (const rt of rts) {
    const got = await call(rt, clustered, { x, initial: far }, { clusters: 2, iterations: 2 });
    assert.deepEqual([...(got.counts.data as Int32Array)], Array.from({ length: B * H }, () => [T, 0]).flat());
    const second = (n: number) => Math.floor(n / H / D) % 2 === 1;
    assert.ok(Array.from(got.centroids.data).every((value, n) => !second(n) || value === 1e4));
  }
});

const summed = program(
  (b, { map }: { map: Tensor }, options: { offset: number; count: number; visible?: Visible }) => ({
    o: diagonalSums(b, map, options),
  }),
);

test('diagonals of a map are summed', async () => {
  await property(
    fc.record({
      shape: fc.tuple(
        fc.constantFrom(1, 2),
        fc.constantFrom(1, 3),
        fc.constantFrom(0, 1, 7, 20),
        fc.constantFrom(1, 5, 64, 70),
      ),
      offset: fc.constantFrom(0, 5, 60, -3),
      count: fc.constantFrom(1, 30, 70, 100),
      visible: fc.constantFrom<Visible | undefined>(undefined, { mul: 1, add: 6, div: 1 }),
      seed: fc.nat(),
    }),
    50,
    async ({ shape, offset, count, visible, seed }) => {
      const map = normal(randomFrom(seed), shape);
      const want = expected((round) => ({ o: reference.diagonalSums(map, offset, count, visible, round) }));
      for (const rt of rts) {
        const got = await call(rt, summed, { map }, { offset, count, ...(visible && { visible }) });
        assertAccurate(got, want, `${rt.variant} [${shape}] offset ${offset} count ${count}`);
      }
    },
  );
});

// Clustered head attention.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { attention, chai, chaiClusters, chaiClustersSync, chaiSync, OptionError, ShapeError } from '../src/index.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { call } from './call.ts';
import { assertMet, property } from './property.ts';
import { chaiClusters as clustersReference, chai as reference } from './reference/chai.ts';
import { variants } from './runtimes.ts';
import { floats, ints, normal, randomFrom } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

test('heads are joined as by the definition', async () => {
  let met = 0;
  await property(
    fc.record({
      seed: fc.nat(),
      batch: fc.integer({ min: 1, max: 2 }),
      t: fc.constantFrom(1, 3, 5, 70),
      hkv: fc.constantFrom(1, 4, 7),
      group: fc.constantFrom(1, 2),
      d: fc.constantFrom(1, 3, 18, 64),
      left: fc.integer({ min: 0, max: 13 }),
      tokens: fc.constantFrom(undefined, 2, 66),
      causal: fc.boolean(),
    }),
    40,
    async ({ seed, batch, t, hkv, group, d, left, tokens, causal }) => {
      const random = randomFrom(seed);
      const inputs = {
        q: normal(random, [batch, t, hkv * group, d], 2),
        k: normal(random, [batch, t, hkv, d]),
      };
      const clusters = 1 + (left % (hkv * group));
      const options = { clusters, causal, ...(tokens && { tokens }) };
      const { gap, ...want } = clustersReference(inputs, options);
      if (gap < 1e-5) return;
      for (const rt of runtimes) {
        const got = await call(rt, (x: never) => chaiClusters(x, options), inputs);
        assertSameBits(got.clusters, want.clusters, rt.variant);
      }
      if (clusters > 1 && clusters < hkv * group - 1) met++;
    },
  );
  assertMet(met >= 5, `${met} cases with several joins`);
});

test('heads take the softmax of the first head of their cluster', async () => {
  const met = { apart: 0, together: 0, decode: 0 };
  await property(
    fc
      .record({
        seed: fc.nat(),
        batch: fc.integer({ min: 1, max: 2 }),
        tq: fc.constantFrom(1, 2, 63, 65),
        more: fc.constantFrom(0, 40),
        hkv: fc.constantFrom(1, 3, 6),
        group: fc.constantFrom(1, 2),
        d: fc.constantFrom(1, 3, 18, 64),
        dv: fc.constantFrom(1, 20, 64, 600),
        causal: fc.boolean(),
        each: fc.boolean(),
      })
      .filter(({ tq, hkv, group, d, dv }) => tq * tq * hkv * group * (d + dv) < 1e6),
    30,
    async ({ seed, batch, tq, more, hkv, group, d, dv, causal, each }) => {
      const random = randomFrom(seed);
      const heads = hkv * group;
      const rows = each ? batch : 1;
      const labels = floats([rows, heads], () => 0);
      for (let n = 0; n < rows * heads; n++) {
        const h = n % heads;
        const before = [...labels.data.subarray(n - h, n)].filter((first, i) => first === i);
        labels.data[n] = random() < 0.4 || h === 0 ? h : before[Math.floor(random() * before.length)]!;
      }
      const inputs = {
        q: normal(random, [batch, tq, heads, d]),
        k: normal(random, [batch, tq + more, hkv, d]),
        v: normal(random, [batch, tq + more, hkv, dv]),
        clusters: ints(Array.from(labels.data), [rows, heads]),
      };
      const wanted = expected((round) => reference(inputs, { causal }, round));
      for (const rt of runtimes) {
        assertAccurate(await call(rt, (x: never) => chai(x, { causal }), inputs), wanted, rt.variant);
      }
      const jumps = labels.data.some(
        (first, n) => n % heads > 1 && first < (n % heads) - 1 && labels.data[n - 1] !== first,
      );
      ++met[jumps ? 'apart' : 'together'];
      if (tq < 3) ++met.decode;
    },
  );
  for (const [name, count] of Object.entries(met)) assertMet(count >= 2, `${count} cases of ${name}`);
});

test('as many clusters as heads are plain attention, heads alike are one cluster', async () => {
  const random = randomFrom(2);
  const one = normal(random, [1, 30, 1, 18]);
  const repeated = floats([1, 30, 4, 18], (n) => one.data[Math.floor(n / 72) * 18 + (n % 18)]!);
  const q = normal(random, [1, 30, 4, 18]);
  const v = normal(random, [1, 30, 4, 18]);
  for (const rt of runtimes) {
    const dense = await call(rt, attention, { q, k: repeated, v }, { causal: true });
    const all = await call(rt, (x: never) => chaiClusters(x, { clusters: 4 }), { q, k: repeated });
    assert.deepEqual(Array.from(all.clusters.data), [0, 1, 2, 3]);
    const clusters = ints([0, 1, 2, 3], [1, 4]);
    const { o } = await call(rt, (x: never) => chai(x, { causal: true }), { q, k: repeated, v, clusters });
    assertNear(o, dense.o, 2e-6, rt.variant);
    const pairs = floats([1, 30, 4, 18], (n) => q.data[n - (n % 36) + (n % 18)]!);
    const two = await call(rt, (x: never) => chaiClusters(x, { clusters: 2 }), { q: pairs, k: repeated });
    assert.deepEqual(Array.from(two.clusters.data), [0, 0, 2, 2]);
  }
});

test('clusters and options that do not fit are named', () => {
  const [rt] = runtimes;
  rt!.scope(() => {
    const x = rt!.zeros([1, 4, 3, 8]);
    const of = (labels: number[], shape = [1, 3]) =>
      chaiSync({ q: x, k: x, v: x, clusters: rt!.tensor(Int32Array.from(labels), shape) });
    assert.throws(() => of([0, 2, 1]), /clusters gives head 1 the softmax of head 2/);
    assert.throws(() => of([0, 0, 3]), OptionError);
    assert.throws(() => of([-1, 0, 0]), OptionError);
    assert.throws(() => of([0, 1], [1, 2]), ShapeError);
    const q = { q: x, k: x };
    assert.throws(() => chaiClustersSync(q, { clusters: 4 }), /clusters is 4/);
    assert.throws(() => chaiClustersSync(q, {} as never), /clusters is NaN/);
    assert.throws(() => chaiClustersSync(q, { clusters: 2, tokens: 0 }), /tokens is 0/);
    const none = rt!.zeros([1, 0, 3, 8]);
    assert.throws(() => chaiClustersSync({ q: none, k: none }, { clusters: 2 }), /at least one token/);
  });
});

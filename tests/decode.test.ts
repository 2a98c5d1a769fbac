import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { attention, mla, pagedAttention } from '../src/index.ts';
import { assertAccurate, assertNear, expected } from './accuracy.ts';
import { call, codesOn } from './call.ts';
import { property, sometimes } from './property.ts';
import { attention as attentionReference, forEachRow } from './reference/attention.ts';
import { mlaAbsorbed, mla as mlaReference } from './reference/mla.ts';
import { float64 } from './reference/ndarray.ts';
import { pagedAttention as pagedReference } from './reference/paged.ts';
import { variants } from './runtimes.ts';
import {
  type FloatSample,
  floats,
  ints,
  mapped,
  normal,
  type Quantised,
  quantised,
  randomFrom,
  roundToBfloat,
  roundToHalf,
  type Sample,
} from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

const storage = { f32: (x: number) => x, f16: roundToHalf, bf16: roundToBfloat };
type Storage = keyof typeof storage;
const anyStorage = fc.constantFrom<Storage>('f32', 'f16', 'bf16');

const decodeCases = fc
  .record({
    seed: fc.nat(),
    batch: fc.integer({ min: 1, max: 2 }),
    tq: fc.constantFrom(1, 1, 1, 2, 3, 5, 8, 15, 16),
    tk: fc.constantFrom(1, 2, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1000, 2049, 5000),
    hkv: fc.integer({ min: 1, max: 2 }),
    group: fc.constantFrom(1, 2, 3, 4, 7, 8),
    d: fc.constantFrom(1, 3, 18, 64, 80, 128),
    dv: fc.constantFrom(undefined, undefined, 1, 20, 64),
    stored: anyStorage,
    causal: fc.boolean(),
    window: sometimes(fc.tuple(fc.integer({ min: -1, max: 600 }), fc.integer({ min: -1, max: 3 }))),
    softcap: sometimes(fc.double({ min: 1, max: 50, noNaN: true })),
    sinks: sometimes(fc.constant(true)),
    alibi: sometimes(fc.constant(true)),
    kvLens: sometimes(fc.constant(true)),
  })
  .filter(({ batch, hkv, group, tq, tk, d, dv = d }) => batch * hkv * group * tq * tk * (d + dv) < 4e6);

test('few queries against long caches', () =>
  property(
    decodeCases,
    70,
    async ({ seed, batch, tq, tk, hkv, group, d, dv = d, stored, causal, window, softcap, sinks, alibi, kvLens }) => {
      const random = randomFrom(seed);
      const heads = hkv * group;
      const [q, k, v] = [
        normal(random, [batch, tq, heads, d]),
        normal(random, [batch, tk, hkv, d]),
        normal(random, [batch, tk, hkv, dv]),
      ];
      const extra: Record<string, Sample> = {};
      if (sinks) extra.sinks = normal(random, [heads]);
      if (alibi) extra.alibiSlopes = floats([heads], () => random() / 100);
      if (kvLens) extra.kvLens = ints(Array.from({ length: batch }, () => Math.floor(random() * (tk + 1))));
      const options = { causal, ...(window && { window: window as [number, number] }), ...(softcap && { softcap }) };
      const kept = { q, k: mapped(k, storage[stored]), v: mapped(v, storage[stored]), ...extra };
      const wanted = expected((round) => attentionReference(kept, options, round));
      for (const rt of runtimes) {
        await rt.scope(async () => {
          const [kt, vt] = [rt.tensor(k.data, [...k.shape], stored), rt.tensor(v.data, [...v.shape], stored)];
          assertAccurate(
            await call(rt, attention, { ...extra, q, k: kt, v: vt }, options as object),
            wanted,
            `${rt.variant}, ${stored}`,
          );
        });
      }
    },
  ));

test('large logits against a long cache', async () => {
  for (const std of [30, 1e4]) {
    for (const stored of ['f32', 'bf16'] as const) {
      const random = randomFrom(std);
      const q = normal(random, [2, 16, 8, 64], std);
      const [k, v] = [normal(random, [2, 300, 2, 64]), normal(random, [2, 300, 2, 64])];
      const kept = { q, k: mapped(k, storage[stored]), v: mapped(v, storage[stored]) };
      const wanted = expected((round) => attentionReference(kept, { causal: true }, round));
      for (const rt of runtimes) {
        await rt.scope(async () => {
          const [kt, vt] = [rt.tensor(k.data, k.shape, stored), rt.tensor(v.data, v.shape, stored)];
          const got = await call(rt, attention, { q, k: kt, v: vt }, { causal: true });
          assertAccurate(got, wanted, `${rt.variant}, ${stored}, std ${std}`);
        });
      }
    }
  }
});

test('one query against a long cache of many heads', async () => {
  const random = randomFrom(3);
  for (const [hkv, group, d, tk] of [
    [2, 4, 128, 5000],
    [8, 1, 64, 3000],
    [1, 8, 256, 1031],
    [1, 1, 512, 777],
  ] as const) {
    const inputs = {
      q: normal(random, [1, 1, hkv * group, d]),
      k: normal(random, [1, tk, hkv, d]),
      v: normal(random, [1, tk, hkv, d]),
    };
    const wanted = expected((round) => attentionReference(inputs, { causal: true }, round));
    for (const rt of runtimes)
      assertAccurate(await call(rt, attention, inputs, { causal: true }), wanted, `${rt.variant}, ${tk} keys`);
  }
});

test('NaN beyond the length of a cache is never read', async () => {
  const random = randomFrom(4);
  for (const tq of [1, 4, 16, 40]) {
    const inputs = {
      q: normal(random, [2, tq, 4, 64]),
      k: normal(random, [2, 300, 2, 64]),
      v: normal(random, [2, 300, 2, 64]),
      kvLens: ints([129, 40]),
    };
    for (const x of [inputs.k, inputs.v]) {
      x.data.fill(Number.NaN, 129 * 128, 300 * 128);
      x.data.fill(Number.NaN, 340 * 128);
    }
    for (const causal of [false, true]) {
      const wanted = expected((round) => attentionReference(inputs, { causal }, round));
      assert.ok(Array.from(wanted.want.o?.data ?? [Number.NaN]).every((x) => !Number.isNaN(x)));
      for (const rt of runtimes)
        assertAccurate(
          await call(rt, attention, inputs, { causal }),
          wanted,
          `${rt.variant}, Tq ${tq}, causal ${causal}`,
        );
    }
  }
});

test('NaN in q, k or v reaches the rows that see it, from every storage', async () => {
  for (const stored of ['f32', 'f16', 'bf16', 'i8'] as const) {
    for (const group of [1, 4]) {
      for (const poisoned of ['q', 'k', 'v'] as const) {
        const random = randomFrom(5);
        const q = normal(random, [2, 1, group, 64]);
        const [k, v] = [normal(random, [2, 600, 1, 64]), normal(random, [2, 600, 1, 64])];
        const codes = { k: quantised(k), v: quantised(v) };
        // In the second sequence: one element of q, of key 590 or of value 590; for i8 its scale.
        if (poisoned === 'q') q.data[group * 64 + 7] = Number.NaN;
        else {
          ({ k, v })[poisoned].data[(600 + 590) * 64 + 7] = Number.NaN;
          codes[poisoned].scale.data[600 + 590] = Number.NaN;
        }
        for (const rt of runtimes) {
          await rt.scope(async () => {
            const tensor = ({ data, shape }: FloatSample) => rt.tensor(data, shape, stored);
            const inputs =
              stored === 'i8'
                ? { q, k: codesOn(rt, codes.k), v: codesOn(rt, codes.v), kScale: codes.k.scale, vScale: codes.v.scale }
                : { q, k: tensor(k), v: tensor(v) };
            const { o } = await call(rt, attention, inputs, { causal: true });
            const what = `${rt.variant}, ${stored}, ${group} heads, NaN in ${poisoned}`;
            const sees = (n: number) =>
              n >= group * 64 &&
              (poisoned !== 'q' || n < (group + 1) * 64) &&
              (poisoned !== 'v' || stored === 'i8' || n % 64 === 7);
            Array.from(o.data).forEach((x, n) => {
              assert.equal(Number.isNaN(x), sees(n), `${what}: element ${n} is ${x}`);
            });
          });
        }
      }
    }
  }
});

/** Steps on either side of zero that queries and weights are rounded to for one row over 8-bit keys and values. */
const steps = { simd: { q: 32767, p: 32767 }, relaxed: { q: 8191, p: 16383 } };

/**
 * How far the rounding of queries and weights may move the result of one row. A query element is off by half a step of max|q| / steps.q at
 * most, and so a score by that times the sum of |k|; lse by no more than its scores, o by twice that times max|v|. A weight, per block of 64
 * keys, is off by half a step of the largest weight / steps.p.
 */
function roundingSlack(
  variant: 'simd' | 'relaxed',
  q: FloatSample,
  k: Quantised,
  v: Quantised,
): { o: number; lse: number } {
  const [d, dv] = [k.value.shape[3]!, v.value.shape[3]!];
  const slack = { o: 0, lse: 0 };
  forEachRow({ q, k: k.value, v: v.value }, {}, float64, ({ b, h }, keys, p) => {
    const row = (x: FloatSample, j: number) => {
      const [, t = 0, heads = 0, width = 0] = x.shape;
      return x.data.subarray(((b * t + j) * heads + h) * width, ((b * t + j) * heads + h + 1) * width);
    };
    const size = (values: ArrayLike<number>) => Array.from(values).reduce((sum, x) => sum + Math.abs(x), 0);
    const most = (values: ArrayLike<number>) => Array.from(values).reduce((a, x) => Math.max(a, Math.abs(x)), 0);
    const score =
      d % 16 === 0
        ? ((d ** -0.5 * most(row(q, 0))) / steps[variant].q / 2) * Math.max(...keys.map((j) => size(row(k.value, j))))
        : 0;
    let mix = 0;
    for (let first = 0; dv % 16 === 0 && first < keys.length; first += 64) {
      const block = keys.slice(first, first + 64);
      const scales = block.map((j) => v.scale.data[(b * v.value.shape[1]! + j) * v.value.shape[2]! + h]!);
      const step = Math.max(...block.map((j, n) => p[j]! * scales[n]!)) / steps[variant].p;
      const columns = Array.from({ length: dv }, (_, c) => size(block.map((j, n) => row(v.value, j)[c]! / scales[n]!)));
      mix += (step / 2) * Math.max(...columns);
    }
    slack.lse = Math.max(slack.lse, score);
    slack.o = Math.max(slack.o, 2 * score * most(v.value.data) + mix);
  });
  return slack;
}

test('i8 caches: one row per head with rounded queries and weights, several rows exactly', () =>
  property(
    fc.record({
      seed: fc.nat(),
      batch: fc.integer({ min: 1, max: 2 }),
      tq: fc.constantFrom(1, 1, 1, 3, 16),
      group: fc.constantFrom(1, 1, 4),
      tk: fc.constantFrom(1, 2, 63, 65, 300, 1031),
      hkv: fc.integer({ min: 1, max: 2 }),
      d: fc.constantFrom(16, 18, 64, 128, 256),
      dv: fc.constantFrom(16, 20, 64, 128),
    }),
    30,
    async ({ seed, batch, tq, group, tk, hkv, d, dv }) => {
      const random = randomFrom(seed);
      const q = normal(random, [batch, tq, hkv * group, d]);
      const [k, v] = [quantised(normal(random, [batch, tk, hkv, d])), quantised(normal(random, [batch, tk, hkv, dv]))];
      const wanted = expected((round) => attentionReference({ q, k: k.value, v: v.value }, {}, round));
      for (const rt of runtimes) {
        await rt.scope(async () => {
          const inputs = { q, k: codesOn(rt, k), v: codesOn(rt, v), kScale: k.scale, vScale: v.scale };
          const slack = tq * group === 1 ? roundingSlack(rt.variant, q, k, v) : { o: 0, lse: 0 };
          const limit = { o: wanted.limit.o + slack.o, lse: wanted.limit.lse + slack.lse };
          assertAccurate(await call(rt, attention, inputs), { ...wanted, limit }, rt.variant);
        });
      }
    },
  ));

/** 0 .. n-1 in random order. */
function permutation(random: () => number, n: number): number[] {
  const order = Array.from({ length: n }, (_, x) => x);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/** A cache whose pages lie in random order; unused rows hold NaN, unused table entries point outside. */
function pagedInputs(
  random: () => number,
  shape: { lens: number[]; pageSize: number; tq: number; hkv: number; group: number; d: number; dv: number },
) {
  const { lens, pageSize, tq, hkv, group, d, dv } = shape;
  const pagesOf = lens.map((n) => Math.ceil(n / pageSize));
  const maxPages = Math.max(1, ...pagesOf) + 1;
  const pages = pagesOf.reduce((a, b) => a + b, 0) + 2;
  const order = permutation(random, pages);
  const table = new Array<number>(lens.length * maxPages).fill(-1);
  const cache = (width: number): FloatSample => floats([pages, pageSize, hkv, width], () => Number.NaN);
  const [kCache, vCache] = [cache(d), cache(dv)];
  let taken = 0;
  lens.forEach((length, b) => {
    for (let page = 0; page < pagesOf[b]!; page++) {
      const physical = order[taken++]!;
      table[b * maxPages + page] = physical;
      const rows = Math.min(pageSize, length - page * pageSize);
      for (const [x, width] of [
        [kCache, hkv * d],
        [vCache, hkv * dv],
      ] as const) {
        x.data.set(normal(random, [rows * width]).data, physical * pageSize * width);
      }
    }
  });
  return {
    q: normal(random, [lens.length, tq, hkv * group, d]),
    kCache,
    vCache,
    blockTable: ints(table, [lens.length, maxPages]),
    seqLens: ints(lens),
  };
}

test('paged caches: permuted pages, lengths 0, 1 and multiples of a page', () =>
  property(
    fc.record({
      seed: fc.nat(),
      pageSize: fc.constantFrom(1, 4, 5, 16, 24, 64, 100),
      lens: fc.array(fc.oneof(fc.constantFrom(0, 1, 16, 32, 64, 128), fc.nat(300)), { minLength: 1, maxLength: 3 }),
      tq: fc.constantFrom(1, 1, 1, 2, 5, 16, 17, 40),
      hkv: fc.integer({ min: 1, max: 2 }),
      group: fc.constantFrom(1, 2, 3, 8),
      d: fc.constantFrom(3, 18, 64, 128),
      dv: fc.constantFrom(undefined, 20, 64),
      scale: sometimes(fc.double({ min: 0.01, max: 0.3, noNaN: true })),
      softcap: sometimes(fc.double({ min: 1, max: 50, noNaN: true })),
      stored: anyStorage,
      window: sometimes(fc.tuple(fc.integer({ min: -1, max: 100 }), fc.integer({ min: -1, max: 3 }))),
      sinks: sometimes(fc.constant(true)),
      alibi: sometimes(fc.constant(true)),
    }),
    60,
    async ({ seed, d, dv = d, scale, softcap, stored, window, sinks, alibi, ...shape }) => {
      const random = randomFrom(seed);
      const heads = shape.hkv * shape.group;
      const inputs = {
        ...pagedInputs(random, { ...shape, d, dv }),
        ...(sinks && { sinks: normal(random, [heads]) }),
        ...(alibi && { alibiSlopes: floats([heads], () => random() / 100) }),
      };
      const options = { ...(scale && { scale }), ...(softcap && { softcap }), ...(window && { window }) };
      const kept = {
        ...inputs,
        kCache: mapped(inputs.kCache, storage[stored]),
        vCache: mapped(inputs.vCache, storage[stored]),
      };
      const wanted = expected((round) => pagedReference(kept, options, round));
      for (const rt of runtimes) {
        await rt.scope(async () => {
          const cache = (x: FloatSample) => rt.tensor(x.data, [...x.shape], stored);
          const got = await call(
            rt,
            pagedAttention,
            { ...inputs, kCache: cache(inputs.kCache), vCache: cache(inputs.vCache) },
            options,
          );
          assertAccurate(got, wanted, `${rt.variant}, ${stored}`);
        });
      }
    },
  ));

test('a long paged cache is the same as a dense one', async () => {
  const inputs = pagedInputs(randomFrom(9), { lens: [5000], pageSize: 16, tq: 1, hkv: 2, group: 4, d: 64, dv: 64 });
  const wanted = expected((round) => pagedReference(inputs, {}, round));
  for (const rt of runtimes) assertAccurate(await call(rt, pagedAttention, inputs), wanted, rt.variant);
});

test('a paged i8 cache: several rows per head exactly', async () => {
  const random = randomFrom(10);
  const shape = { lens: [130, 1, 64], pageSize: 16, tq: 4, hkv: 2, group: 2, d: 64, dv: 64 };
  const { q, kCache, vCache, blockTable, seqLens } = pagedInputs(random, shape);
  const filled = (x: FloatSample) => quantised(mapped(x, (y) => (Number.isNaN(y) ? 0 : y)));
  const [k, v] = [filled(kCache), filled(vCache)];
  const wanted = expected((round) =>
    pagedReference({ q, kCache: k.value, vCache: v.value, blockTable, seqLens }, {}, round),
  );
  for (const rt of runtimes) {
    await rt.scope(async () => {
      const caches = { kCache: codesOn(rt, k), vCache: codesOn(rt, v), kScale: k.scale, vScale: v.scale };
      assertAccurate(await call(rt, pagedAttention, { q, blockTable, seqLens, ...caches }), wanted, rt.variant);
    });
  }
});

const mlaCases = fc.record({
  seed: fc.nat(),
  batch: fc.integer({ min: 1, max: 2 }),
  tq: fc.constantFrom(1, 2, 7, 16, 40),
  more: fc.constantFrom(0, 1, 25, 100),
  heads: fc.constantFrom(1, 3, 4),
  d: fc.constantFrom(6, 16, 32),
  dr: fc.constantFrom(2, 8),
  r: fc.constantFrom(5, 24, 64),
  dv: fc.constantFrom(6, 20),
  causal: fc.boolean(),
  scale: sometimes(fc.double({ min: 0.05, max: 0.5, noNaN: true })),
  kvLens: sometimes(fc.constant(true)),
  oneCache: fc.boolean(),
});

test('mla, absorbed, expanded and as it chooses, agrees with both forms of its definition', () =>
  property(mlaCases, 30, async ({ seed, batch, tq, more, heads, d, dr, r, dv, causal, scale, kvLens, oneCache }) => {
    const random = randomFrom(seed);
    const tk = tq + more;
    const inputs = {
      qNope: normal(random, [batch, tq, heads, d]),
      qRope: normal(random, [batch, tq, heads, dr]),
      cKv: normal(random, [batch, tk, r]),
      kRope: normal(random, [batch, tk, dr]),
      wUk: normal(random, [heads, r, d], r ** -0.5),
      wUv: normal(random, [heads, r, dv], r ** -0.5),
      ...(kvLens && { kvLens: ints(Array.from({ length: batch }, () => Math.floor(random() * (tk + 1)))) }),
    };
    const options = { causal, ...(scale && { scale }) };
    const expanded = expected((round) => mlaReference(inputs, options, round));
    const absorbed = expected((round) => mlaAbsorbed(inputs, options, round));
    assertNear(absorbed.want.o, expanded.want.o, 1e-12, 'absorbed and expanded definition');
    // Each row of the cache is a latent with its rotary key beside it.
    const joined = floats([batch, tk, r + dr], (n) => {
      const [row, c] = [Math.floor(n / (r + dr)), n % (r + dr)];
      return c < r ? inputs.cKv.data[row * r + c]! : inputs.kRope.data[row * dr + c - r]!;
    });
    for (const rt of runtimes) {
      await rt.scope(async () => {
        const cache = oneCache ? rt.tensor(joined.data, joined.shape) : undefined;
        const views = cache && { cKv: cache.slice(2, 0, r), kRope: cache.slice(2, r, r + dr) };
        for (const [absorb, limit] of [
          [true, absorbed.limit],
          [false, expanded.limit],
          [undefined, { o: Math.max(absorbed.limit.o, expanded.limit.o) }],
        ] as const) {
          const got = await call(
            rt,
            mla,
            { ...inputs, ...views },
            { ...options, ...(absorb !== undefined && { absorb }) },
          );
          assertAccurate(got, { want: expanded.want, limit }, `${rt.variant}, absorb ${absorb}`);
        }
      });
    }
  }));

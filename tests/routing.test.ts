import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import {
  attention,
  DTypeError,
  OptionError,
  routingAttention,
  routingAttentionSync,
  ShapeError,
} from '../src/index.ts';
import { assertAccurate, assertNear, assertSameBits, type Expected, expected } from './accuracy.ts';
import { call } from './call.ts';
import { property, sometimes } from './property.ts';
import { at, type NdArray } from './reference/ndarray.ts';
import { centroidScores, movedCentroids, routingAttention as reference } from './reference/routing.ts';
import { variants } from './runtimes.ts';
import { normal, randomFrom, roundToHalf } from './samples.ts';

const runtimes = await variants();
const teams = await variants(3);
after(() => {
  for (const rt of [...runtimes, ...teams]) rt.dispose();
});

/** Fails unless each cluster holds the nearest, in ascending order, as far as float32 can tell. */
function assertNearestMembers(x: NdArray, centroids: NdArray, members: NdArray, what: string): void {
  const [B = 0, H = 0, C = 0, n = 0] = members.shape;
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      for (let c = 0; c < C; c++) {
        const scores = centroidScores(x, centroids, b, h, c);
        const chosen = Array.from({ length: n }, (_, i) => at(members, b, h, c, i));
        assert.deepEqual(
          [...new Set(chosen)].sort((s, t) => s - t),
          chosen,
          what,
        );
        const least = Math.min(...chosen.map((t) => scores[t]!));
        const others = scores.filter((_, t) => !chosen.includes(t));
        assert.ok(
          others.every((score) => score <= least + 2e-6),
          `${what}: cluster ${[b, h, c]}`,
        );
      }
    }
  }
}

test('routing attention, from the clusters that it found', () =>
  property(
    fc.record({
      seed: fc.nat(),
      B: fc.integer({ min: 1, max: 2 }),
      T: fc.constantFrom(0, 1, 2, 31, 63, 65),
      H: fc.integer({ min: 1, max: 2 }),
      D: fc.constantFrom(1, 3, 18, 32),
      Dv: fc.constantFrom(1, 20, 32),
      C: fc.constantFrom(1, 3, 5),
      M: fc.constantFrom(undefined, 1, 3),
      window: fc.constantFrom(undefined, 1, 7, 20, 70),
      causal: fc.boolean(),
      normalize: fc.boolean(),
      scale: sometimes(fc.double({ min: 0.05, max: 1, noNaN: true })),
    }),
    16,
    async ({ seed, B, T, H, D, Dv, C, M, window, causal, normalize, scale }) => {
      const random = randomFrom(seed);
      const inputs = {
        q: normal(random, [B, T, H, D], 2),
        k: normal(random, [B, T, H, D]),
        v: normal(random, [B, T, H, Dv]),
        centroids: normal(random, [H, C, D]),
        ...(M && { memK: normal(random, [H, C, M, D]), memV: normal(random, [H, C, M, Dv]) }),
      };
      const options = {
        causal,
        normalize,
        ...(window !== undefined && { window }),
        ...(scale !== undefined && { scale }),
      };
      const known = new Map<string, Expected<'o'>>();
      for (const rt of runtimes) {
        const { o, queries, keys } = await call(rt, routingAttention, inputs, { ...options, returnSelection: true });
        assert.deepEqual(queries!.shape, [B, H, C, Math.min(window ?? Math.max(1, Math.ceil(T / C)), T)]);
        assertNearestMembers(inputs.q, inputs.centroids, queries!, `${rt.variant}: queries`);
        assertNearestMembers(inputs.k, inputs.centroids, keys!, `${rt.variant}: keys`);
        const given = { ...inputs, queries: queries!, keys: keys! };
        const chosen = [queries, keys].map((members) => Array.from(members!.data).join()).join('; ');
        const wanted = known.get(chosen) ?? expected((round) => reference(given, options, round));
        known.set(chosen, wanted);
        assertAccurate({ o }, wanted, rt.variant);
        const sync = await call(rt, async (x: never, y?: object) => routingAttentionSync(x, y), inputs, options);
        assert.deepEqual(Object.keys(sync), ['o']);
        assertSameBits(sync.o, o, 'sync');
      }
    },
  ));

test('one cluster of all tokens is dense attention, a memory before them', async () => {
  const random = randomFrom(21);
  const [B, T, H, D, M] = [2, 66, 2, 16, 2];
  const [q, k, v] = [0, 1, 2].map(() => normal(random, [B, T, H, D]));
  const centroids = normal(random, [H, 1, D]);
  for (const rt of runtimes) {
    for (const causal of [false, true]) {
      const want = await call(rt, attention, { q, k, v }, { causal });
      const got = await call(rt, routingAttention, { q, k, v, centroids }, { window: T, causal });
      assertNear(got.o, want.o, 2e-6, `${rt.variant} ${causal}`);
    }
    // the memory as keys of every entry of the batch
    const memK = normal(random, [H, 1, M, D]);
    const memV = normal(random, [H, 1, M, D]);
    await rt.scope(async () => {
      const tensor = (x: { data: Float32Array<ArrayBuffer>; shape: readonly number[] }) => rt.tensor(x.data, x.shape);
      const joined = (mem: typeof memK, x: typeof memK) => {
        const all = rt.empty([B, M + T, H, D]);
        const to = all.view() as Float32Array;
        for (let n = 0; n < to.length; n++) {
          const [d, h, t, b] = [
            n % D,
            Math.floor(n / D) % H,
            Math.floor(n / (D * H)) % (M + T),
            Math.floor(n / (D * H * (M + T))),
          ];
          to[n] = t < M ? mem.data[(h * M + t) * D + d]! : x.data[((b * T + t - M) * H + h) * D + d]!;
        }
        return all;
      };
      const dense = await attention({ q: tensor(q!), k: joined(memK, k!), v: joined(memV, v!) }, { causal: true });
      const inputs = { q: tensor(q!), k: tensor(k!), v: tensor(v!), centroids: tensor(centroids) };
      const { o } = await routingAttention(
        { ...inputs, memK: tensor(memK), memV: tensor(memV) },
        { window: T, causal: true },
      );
      assertNear(
        { shape: o.shape, data: o.dataSync() },
        { shape: dense.o.shape, data: dense.o.dataSync() },
        2e-6,
        rt.variant,
      );
    });
  }
});

test('centroids move towards their members, those without stay', async () => {
  const random = randomFrom(22);
  const [B, T, H, D, C] = [2, 40, 2, 12, 5];
  const centroids = normal(random, [H, C, D]);
  // no direction of positive numbers is near it
  centroids.data.fill(-1, 0, D);
  const positive = () => {
    const x = normal(random, [B, T, H, D]);
    return { shape: x.shape, data: x.data.map(Math.abs) };
  };
  const inputs = { q: positive(), k: positive(), v: positive(), centroids };
  for (const rt of runtimes) {
    for (const decay of [0, 0.9, 1]) {
      const got = await call(rt, routingAttention, inputs, { decay });
      const wanted = expected((round) => ({ centroids: movedCentroids(inputs, decay, round) }));
      assertAccurate({ centroids: got.centroids! }, wanted, `${rt.variant} ${decay}`);
      assert.deepEqual(Array.from(got.centroids!.data).slice(0, D), new Array(D).fill(-1));
    }
  }
});

test('other keys than queries, halves, views; any number of threads gives the same bits', async () => {
  const random = randomFrom(23);
  const [B, H, D] = [2, 2, 16];
  const half = (T: number) => normal(random, [B, H, T, D]).data.map(roundToHalf);
  const [q, k, v] = [half(50), half(77), half(77)];
  const centroids = normal(random, [H, 4, D]);
  const results: NdArray[] = [];
  for (const rt of [...runtimes, ...teams]) {
    await rt.scope(async () => {
      const view = (data: Float32Array<ArrayBuffer>) =>
        rt.tensor(data, [B, H, data.length / (B * H * D), D], 'f16').permute([0, 2, 1, 3]);
      const inputs = { q: view(q), k: view(k), v: view(v), centroids: rt.tensor(centroids.data, centroids.shape) };
      const { o, keys } = await routingAttention(inputs, { window: 20, returnSelection: true });
      assert.deepEqual(
        [o.shape, keys!.shape],
        [
          [B, 50, H, D],
          [B, H, 4, 20],
        ],
      );
      const plain = Object.fromEntries(
        Object.entries(inputs).map(([name, x]) => [name, rt.tensor(x.dataSync() as Float32Array, x.shape)]),
      );
      const want = await routingAttention(plain as never, { window: 20 });
      const got = { shape: o.shape, data: o.dataSync() };
      assertSameBits(got, { shape: o.shape, data: want.o.dataSync() }, rt.variant);
      results.push(got);
    });
  }
  for (const [i] of teams.entries()) assertSameBits(results[runtimes.length + i]!, results[i]!, 'threads');
});

const [rt = assert.fail('no runtime')] = runtimes;
const f32 = (...shape: number[]) => rt.zeros(shape);
const own = () => ({ q: f32(2, 40, 2, 8), k: f32(2, 40, 2, 8), v: f32(2, 40, 2, 6), centroids: f32(2, 3, 8) });

const wrong: [string, () => object, object, abstract new (...args: never[]) => Error, RegExp[]][] = [
  ['no centroids', () => ({ ...own(), centroids: undefined }), {}, ShapeError, [/centroids is missing/]],
  ['centroids of other heads', () => ({ ...own(), centroids: f32(4, 3, 8) }), {}, ShapeError, [/centroids/, /H = 2/]],
  ['no centroid at all', () => ({ ...own(), centroids: f32(2, 0, 8) }), {}, ShapeError, [/centroids/, /at least one/]],
  ['grouped heads', () => ({ ...own(), k: f32(2, 40, 1, 8) }), {}, ShapeError, [/k/, /H = 2/]],
  ['memK alone', () => ({ ...own(), memK: f32(2, 3, 1, 8) }), {}, OptionError, [/memV/]],
  [
    'memories of other clusters',
    () => ({ ...own(), memK: f32(2, 4, 1, 8), memV: f32(2, 4, 1, 6) }),
    {},
    ShapeError,
    [/memK/, /C = 3/],
  ],
  ['numClusters that contradicts', own, { numClusters: 4 }, OptionError, [/numClusters/, /4/, /3/]],
  ['no window', own, { window: 0 }, OptionError, [/window/]],
  ['a causal that is no flag', own, { causal: 'yes' }, OptionError, [/causal/]],
  [
    'causal over other keys',
    () => ({ ...own(), k: f32(2, 50, 2, 8), v: f32(2, 50, 2, 6) }),
    { causal: true },
    OptionError,
    [/40/, /50/],
  ],
  ['a decay past one', own, { decay: 1.5 }, OptionError, [/decay/]],
  ['integers', () => ({ ...own(), centroids: rt.empty([2, 3, 8], 'i32') }), {}, DTypeError, [/centroids/, /i32/]],
];

test('errors name what is wrong and leave nothing behind', async () => {
  for (const [what, inputs, options, error, says] of wrong) {
    await rt.scope(async () => {
      const given = inputs() as never;
      const blocks = rt.memory().blocks;
      const seen = (thrown: unknown) => {
        assert.ok(thrown instanceof error, `${what}: ${thrown}`);
        for (const word of [/routingAttention/, ...says]) assert.match(thrown.message, word, what);
        return true;
      };
      await assert.rejects(async () => routingAttention(given, options), seen, what);
      assert.throws(() => routingAttentionSync(given, options), seen, what);
      assert.equal(rt.memory().blocks, blocks, `${what}: blocks are left behind`);
    });
  }
});

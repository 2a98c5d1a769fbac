import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { randomKeys } from '../src/engines/asam-patterns.ts';
import { explain } from '../src/explain.ts';
import { type AsamOptions, asam, asamSync, attention, DTypeError, OptionError, ShapeError } from '../src/index.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { call } from './call.ts';
import { property, sometimes } from './property.ts';
import { asamGate, assignments, patterns, asam as reference, type Seen } from './reference/asam.ts';
import { dot, float64, type NdArray, offset } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { floats, normal, randomFrom, roundToHalf } from './samples.ts';

const runtimes = await variants();
const teams = await variants(3);
after(() => {
  for (const rt of [...runtimes, ...teams]) rt.dispose();
});

/** The pairs that clusters show, the least distance of any pair's affinity from the threshold, and the inputs besides. */
function clusters(q: NdArray, k: NdArray, centroids: NdArray, temperature: number, least: number) {
  const [a, c] = [assignments(q, centroids, temperature), assignments(k, centroids, temperature)];
  const C = centroids.shape[1]!;
  const affinity = (b: number, h: number, i: number, j: number) =>
    dot(a.data, offset(a.shape, b, i, h, 0), 1, c.data, offset(c.shape, b, j, h, 0), 1, C, float64);
  const [B = 0, T = 0, H = 0] = q.shape;
  let margin = Number.POSITIVE_INFINITY;
  for (let n = 0; n < B * H * T * T; n++) {
    const place = [Math.floor(n / (T * T * H)), Math.floor(n / (T * T)) % H, Math.floor(n / T) % T, n % T] as const;
    margin = Math.min(margin, Math.abs(affinity(...place) - least));
  }
  const seen: Seen = (b, h, i, j) => affinity(b, h, i, j) > least;
  return { seen, margin };
}

const shape = {
  seed: fc.nat(),
  B: fc.integer({ min: 1, max: 2 }),
  T: fc.constantFrom(0, 1, 2, 31, 65, 100),
  H: fc.integer({ min: 1, max: 3 }),
  D: fc.constantFrom(1, 3, 18, 32),
  Dv: fc.constantFrom(1, 20, 32),
};

test('every pattern, soft and hard', () =>
  property(
    fc.record({
      ...shape,
      pattern: fc.constantFrom('local', 'strided', 'random', 'clustered', 'hierarchical'),
      gating: fc.constantFrom('soft', 'hard'),
      size: fc.constantFrom(undefined, 1, 5, 8),
      scales: fc.constantFrom(undefined, [2], [4, 16], [3, 5, 7, 8], [4, 16, 64]),
      weights: fc.constantFrom(0, 1, 3),
      scale: sometimes(fc.double({ min: 0.05, max: 1, noNaN: true })),
    }),
    20,
    async ({ seed, B, T, H, D, Dv, pattern, gating, size, scales, weights, scale }) => {
      const random = randomFrom(seed);
      const operands = {
        q: normal(random, [B, T, H, D], 2),
        k: normal(random, [B, T, H, D]),
        v: normal(random, [B, T, H, Dv]),
        // some of exactly 0, 1 and a half
        gate: floats([B, H], () => (random() < 0.3 ? Math.floor(3 * random()) / 2 : random())),
      };
      const options: AsamOptions = {
        pattern: pattern as AsamOptions['pattern'] & string,
        gating: gating as 'soft' | 'hard',
        ...(scale !== undefined && { scale }),
      };
      let more: Record<string, unknown> = {};
      let extra: Record<string, NdArray> = {};
      let seen: Seen;
      if (pattern === 'local') {
        more = size === undefined ? {} : { windowSize: size };
        seen = patterns.local(size ?? 128);
      } else if (pattern === 'strided') {
        more = size === undefined ? {} : { stride: size + 2, localWindow: size - 1 };
        seen = size === undefined ? patterns.strided(32, 16) : patterns.strided(size + 2, size - 1);
      } else if (pattern === 'random') {
        more = { numRandom: size ?? 20, seed: seed % 1000 };
        seen = (_b, h, i, j) => randomKeys(seed % 1000, h, i, size ?? 20, T).includes(j);
      } else if (pattern === 'clustered') {
        const centroids = normal(random, [H, size ?? 4, D], 0.02);
        const { seen: shown, margin } = clusters(operands.q, operands.k, centroids, 0.5, 0.1);
        if (margin < 1e-6) return;
        extra = { centroids };
        seen = shown;
      } else {
        const strides = scales ?? [4, 16, 64];
        const scaleWeights = normal(random, [strides.length, H], weights);
        more = scales ? { scales } : {};
        if (weights > 0) extra = { scaleWeights };
        seen = patterns.hierarchical(strides, weights > 0 ? scaleWeights : undefined, H);
      }
      const wanted = expected((round) => reference(operands, seen, options, round));
      for (const rt of runtimes) {
        const got = await call(rt, asam, { ...operands, ...(extra as object) }, { ...options, ...more });
        assertAccurate(got, wanted, `${rt.variant} ${pattern} ${gating}`);
        assert.deepEqual(Object.keys(got), ['o']);
        const sync = await call(
          rt,
          async (x: never, y?: object) => asamSync(x, y),
          { ...operands, ...(extra as object) },
          {
            ...options,
            ...more,
          },
        );
        assertSameBits(sync.o, got.o, 'sync');
      }
    },
  ));

const weightsOf = (
  random: () => number,
  M: number,
  H: number,
  F: number,
  inner: number,
  pools: number,
  biases: boolean,
) => {
  const P = Array.from({ length: pools }, (_, i) => Math.max(1, Math.floor(M / 2 ** i))).reduce((sum, n) => sum + n, 0);
  return {
    featureWeight: normal(random, [F, P]),
    complexityWeight1: normal(random, [inner, F], F ** -0.5),
    complexityWeight2: normal(random, [H, inner], inner ** -0.5),
    confidenceWeight1: normal(random, [inner, F], F ** -0.5),
    confidenceWeight2: normal(random, [H, inner], inner ** -0.5),
    threshold: floats([H], () => 0.5 + 0.1 * random()),
    temperature: floats([1], () => (random() < 0.5 ? -0.3 : 0.7)),
    ...(biases && {
      featureBias: normal(random, [F]),
      normWeight: normal(random, [F]),
      normBias: normal(random, [F]),
      complexityBias1: normal(random, [inner]),
      complexityBias2: normal(random, [H], 0.3),
      confidenceBias1: normal(random, [inner]),
      confidenceBias2: normal(random, [H]),
    }),
  };
};

test('the gate, from inputs of any length', () =>
  property(
    fc.record({
      seed: fc.nat(),
      B: fc.integer({ min: 1, max: 3 }),
      T: fc.constantFrom(1, 2, 7, 40, 65),
      H: fc.integer({ min: 1, max: 3 }),
      M: fc.constantFrom(1, 3, 16, 50),
      F: fc.constantFrom(2, 12, 33),
      inner: fc.constantFrom(1, 6),
      numPools: fc.constantFrom(undefined, 1, 3),
      biases: fc.boolean(),
    }),
    30,
    async ({ seed, B, T, H, M, F, inner, numPools, biases }) => {
      const random = randomFrom(seed);
      const x = normal(random, [B, T, M], 0.5);
      const weights = weightsOf(random, M, H, F, inner, numPools ?? 4, biases);
      const qkv = () => normal(random, [B, T, H, 8]);
      const inputs = { q: qkv(), k: qkv(), v: qkv(), x, ...weights };
      const wanted = expected((round) => asamGate(x, weights as never, numPools, round));
      for (const rt of runtimes) {
        const options = { pattern: 'local', windowSize: 6, ...(numPools && { numPools }) } as const;
        const got = await call(rt, asam, inputs, options);
        const { gate, complexity, confidence } = got as Record<'gate' | 'complexity' | 'confidence', NdArray>;
        assertAccurate({ gate, complexity, confidence }, wanted, rt.variant);
        const given = await call(
          rt,
          asam,
          { q: inputs.q, k: inputs.k, v: inputs.v, gate: { shape: gate.shape, data: Float32Array.from(gate.data) } },
          { pattern: 'local', windowSize: 6 },
        );
        assertSameBits(given.o, got.o, 'the gate itself');
      }
    },
  ));

test('gates of 0 are dense attention, gates of 1 of all pairs too; the branch that is not used does not run', async () => {
  const random = randomFrom(31);
  const [B, T, H, D] = [2, 130, 2, 32];
  const qkv = { q: normal(random, [B, T, H, D]), k: normal(random, [B, T, H, D]), v: normal(random, [B, T, H, D]) };
  for (const rt of runtimes) {
    const { o: dense } = await call(rt, attention, qkv);
    for (const gating of ['soft', 'hard'] as const) {
      const all = await call(rt, asam, { ...qkv, gate: floats([B, H], () => 0) }, { gating });
      assertSameBits(all.o, dense, 'dense');
      const wide = await call(
        rt,
        asam,
        { ...qkv, gate: floats([B, H], () => 1) },
        { gating, pattern: 'local', windowSize: 2 * T },
      );
      assertSameBits(wide.o, dense, 'wide');
    }
    // a dense branch of weight 0 would hand on what the last key holds
    const poison = floats([B, T, H, D], (n) => (Math.floor(n / (H * D)) % T === T - 1 ? Number.NaN : 1));
    const gate = floats([B, H], () => 0.9);
    const near = { gating: 'hard', pattern: 'local', windowSize: 8 } as const;
    const { o } = await call(rt, asam, { ...qkv, v: poison, gate }, near);
    for (let n = 0; n < o.data.length; n++) {
      if (Math.floor(n / (H * D)) % T < 60)
        assert.ok(Math.abs(o.data[n]! - 1) < 1e-6, `${rt.variant}: element ${n} is ${o.data[n]}`);
    }
  }
});

test('hard gates spend time on one branch alone', async () => {
  const random = randomFrom(32);
  const [rt = assert.fail('no runtime')] = runtimes;
  const [T, H, D] = [1536, 2, 32];
  await rt.scope(async () => {
    const tensor = () => {
      const { data, shape: sizes } = normal(random, [1, T, H, D]);
      return rt.tensor(data, sizes);
    };
    const qkv = { q: tensor(), k: tensor(), v: tensor() };
    const time = (g: number) => {
      const gate = rt.tensor(new Float32Array(H).fill(g), [1, H]);
      let least = Number.POSITIVE_INFINITY;
      for (let n = 0; n < 4; n++) {
        const start = performance.now();
        rt.scope(() => asamSync({ ...qkv, gate }, { gating: 'hard', pattern: 'local', windowSize: 64 }).o.dispose());
        least = Math.min(least, performance.now() - start);
      }
      return least;
    };
    time(1);
    const [dense, sparse] = [time(0), time(1)];
    assert.ok(sparse < dense / 2, `sparse ${sparse} ms, dense ${dense} ms`);
  });
});

test('random keys: distinct, all there are if there are few, everywhere alike', () => {
  const counts = new Float64Array(50);
  for (let i = 0; i < 2000; i++) {
    const keys = randomKeys(42, i % 3, i, 10, 50);
    assert.equal(new Set(keys).size, 10);
    for (const j of keys) counts[j]! += 1;
  }
  // 400 of each are expected, give or take 18
  assert.ok(
    counts.every((n) => n > 310 && n < 490),
    `${counts}`,
  );
  assert.deepEqual(randomKeys(1, 0, 0, 9, 4).sort(), [0, 1, 2, 3]);
  assert.deepEqual(randomKeys(42, 1, 5, 10, 50), randomKeys(43, 0, 5, 10, 50));
  assert.notDeepEqual(randomKeys(42, 0, 5, 10, 50), randomKeys(42, 0, 6, 10, 50));
});

test('halves and views; any number of threads gives the same bits', async () => {
  const random = randomFrom(33);
  const [B, T, H, D, M] = [2, 150, 3, 24, 20];
  const data = [0, 1, 2].map(() => normal(random, [B, H, T, D]).data.map(roundToHalf));
  const x = normal(random, [B, T, M]);
  const weights = weightsOf(random, M, H, 16, 8, 4, true);
  const centroids = normal(random, [H, 5, D]);
  for (const pattern of ['local', 'strided', 'random', 'clustered', 'hierarchical'] as const) {
    const results: NdArray[] = [];
    for (const rt of [...runtimes, ...teams]) {
      await rt.scope(async () => {
        const tensor = ({
          data: values,
          shape: sizes,
        }: {
          data: Float32Array<ArrayBuffer>;
          shape: readonly number[];
        }) => rt.tensor(values, sizes);
        const views = data.map((values) => rt.tensor(values, [B, H, T, D], 'f16').permute([0, 2, 1, 3]));
        const gate = Object.fromEntries(Object.entries(weights).map(([name, w]) => [name, tensor(w)]));
        const others = { x: tensor(x), ...gate, ...(pattern === 'clustered' && { centroids: tensor(centroids) }) };
        const operands = (list: typeof views) => ({ q: list[0]!, k: list[1]!, v: list[2]!, ...others });
        const { o } = await asam(operands(views), { pattern });
        const got = { shape: o.shape, data: o.dataSync() };
        const plain = await asam(operands(views.map((v) => rt.tensor(v.dataSync(), v.shape))), { pattern });
        assertNear(got, { shape: o.shape, data: plain.o.dataSync() }, 1e-6, `${rt.variant} ${pattern}`);
        results.push(got);
      });
    }
    for (const [i] of teams.entries())
      assertSameBits(results[runtimes.length + i]!, results[i]!, `threads, ${pattern}`);
  }
});

const [rt = assert.fail('no runtime')] = runtimes;
const f32 = (...sizes: number[]) => rt.zeros(sizes);
const own = () => ({ q: f32(2, 10, 2, 8), k: f32(2, 10, 2, 8), v: f32(2, 10, 2, 6) });
const gated = () => ({ ...own(), gate: f32(2, 2) });
const full = () => ({
  ...own(),
  x: f32(2, 10, 8),
  featureWeight: f32(6, 15),
  complexityWeight1: f32(3, 6),
  complexityWeight2: f32(2, 3),
  confidenceWeight1: f32(3, 6),
  confidenceWeight2: f32(2, 3),
  threshold: f32(2),
  temperature: f32(1),
});

const wrong: [string, () => object, object, abstract new (...args: never[]) => Error, RegExp[]][] = [
  ['no gate', own, {}, ShapeError, [/x is missing/]],
  ['two gates', () => ({ ...full(), gate: f32(2, 2) }), {}, OptionError, [/gate and x/]],
  ['a gate of other heads', () => ({ ...own(), gate: f32(2, 3) }), {}, ShapeError, [/gate/, /2, 2/]],
  ['other bins', () => ({ ...full(), featureWeight: f32(6, 14) }), {}, ShapeError, [/featureWeight/, /14/, /15/]],
  ['fewer pools', full, { numPools: 3 }, ShapeError, [/featureWeight/, /14/]],
  ['a threshold of other heads', () => ({ ...full(), threshold: f32(3) }), {}, ShapeError, [/threshold/, /2/]],
  ['no temperature', () => ({ ...full(), temperature: undefined }), {}, ShapeError, [/temperature is missing/]],
  [
    'no tokens',
    () => ({ ...full(), q: f32(2, 0, 2, 8), k: f32(2, 0, 2, 8), v: f32(2, 0, 2, 6), x: f32(2, 0, 8) }),
    {},
    OptionError,
    [/no tokens/],
  ],
  ['grouped heads', () => ({ ...gated(), k: f32(2, 10, 1, 8) }), {}, ShapeError, [/k/, /H = 2/]],
  ['an unknown pattern', gated, { pattern: 'dilated' }, OptionError, [/dilated/, /strided/]],
  ['an unknown gating', gated, { gating: 'off' }, OptionError, [/off/, /hard/]],
  ['no centroids', gated, { pattern: 'clustered' }, ShapeError, [/centroids is missing/]],
  [
    'centroids for another pattern',
    () => ({ ...gated(), centroids: f32(2, 3, 8) }),
    {},
    OptionError,
    [/centroids/, /clustered/],
  ],
  [
    'centroids of another width',
    () => ({ ...gated(), centroids: f32(2, 3, 9) }),
    { pattern: 'clustered' },
    ShapeError,
    [/centroids/, /8/],
  ],
  [
    'a temperature of 0',
    () => ({ ...gated(), centroids: f32(2, 3, 8) }),
    { pattern: 'clustered', clusterTemperature: 0 },
    OptionError,
    [/clusterTemperature/],
  ],
  [
    'weights of other scales',
    () => ({ ...gated(), scaleWeights: f32(2, 2) }),
    {},
    ShapeError,
    [/scaleWeights/, /3, 2/],
  ],
  ['no scales', gated, { scales: [] }, OptionError, [/scales/, /1 to 6/]],
  ['a scale of 0', gated, { scales: [4, 0] }, OptionError, [/scales\[1\]/]],
  ['a stride of 0', gated, { pattern: 'strided', stride: 0 }, OptionError, [/stride/]],
  ['a misspelt option', gated, { window: 8 }, OptionError, [/window/, /windowSize/]],
  ['integers', () => ({ ...own(), gate: rt.empty([2, 2], 'i32') }), {}, DTypeError, [/gate/, /i32/]],
];

test('errors name what is wrong and leave nothing behind', async () => {
  for (const [what, inputs, options, error, says] of wrong) {
    await rt.scope(async () => {
      const given = inputs() as never;
      const blocks = rt.memory().blocks;
      const seen = (thrown: unknown) => {
        assert.ok(thrown instanceof error, `${what}: ${thrown}`);
        for (const word of [/asam/, ...says]) assert.match(thrown.message, word, what);
        return true;
      };
      await assert.rejects(async () => asam(given, options), seen, what);
      assert.throws(() => asamSync(given, options), seen, what);
      assert.equal(rt.memory().blocks, blocks, `${what}: blocks are left behind`);
    });
  }
});

test('explain tells of both branches', () => {
  const { notes } = explain('asam', gated(), { pattern: 'strided', gating: 'hard' });
  assert.match(notes.join('\n'), /one branch, dense or strided/);
  assert.match(notes.join('\n'), /block mask: density/);
});

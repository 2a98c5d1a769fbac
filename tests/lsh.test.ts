import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { attention, DTypeError, lshAttention, lshAttentionSync, OptionError, ShapeError } from '../src/index.ts';
import { assertAccurate, assertNear, assertSameBits, type Expected, expected } from './accuracy.ts';
import { call } from './call.ts';
import { property, sometimes } from './property.ts';
import { directionScores, lshAttention as reference } from './reference/lsh.ts';
import { at, type NdArray } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { normal, randomFrom, roundToHalf } from './samples.ts';

const runtimes = await variants();
const teams = await variants(3);
after(() => {
  for (const rt of [...runtimes, ...teams]) rt.dispose();
});

/** Fails unless every bucket has the largest product, as far as float32 can tell. */
function assertNearestBuckets(qk: NdArray, rotations: NdArray, buckets: NdArray, what: string): void {
  const [B = 0, H = 0, rounds = 0, T = 0] = buckets.shape;
  for (let n = 0; n < buckets.data.length; n++) {
    const [t, r, h, b] = [
      n % T,
      Math.floor(n / T) % rounds,
      Math.floor(n / (T * rounds)) % H,
      Math.floor(n / (T * rounds * H)),
    ];
    const scores = directionScores(qk, rotations, b, t, h, r);
    const [most, chosen] = [Math.max(...scores), scores[at(buckets, b, h, r, t)]];
    assert.ok(
      chosen !== undefined && chosen >= most - 1e-5 * (1 + most),
      `${what}: bucket ${at(buckets, b, h, r, t)} of ${[b, h, r, t]}`,
    );
  }
  assert.equal(buckets.data.length, B * H * rounds * T);
}

test('LSH attention, from the buckets that it found', () =>
  property(
    fc.record({
      seed: fc.nat(),
      B: fc.integer({ min: 1, max: 2 }),
      T: fc.constantFrom(0, 1, 2, 31, 63, 65),
      H: fc.integer({ min: 1, max: 2 }),
      D: fc.constantFrom(1, 3, 18, 32),
      Dv: fc.constantFrom(1, 20, 32),
      rounds: fc.integer({ min: 1, max: 3 }),
      half: fc.constantFrom(1, 3, 8),
      chunkLength: fc.constantFrom(1, 7, 16, 64),
      chunksBefore: fc.constantFrom(0, 1, 2, 5),
      chunksAfter: fc.constantFrom(0, 1),
      causal: fc.boolean(),
      shared: fc.boolean(),
      scale: sometimes(fc.double({ min: 0.05, max: 3, noNaN: true })),
      selfScore: sometimes(fc.constantFrom(-5e4, -1, 0)),
    }),
    16,
    async ({
      seed,
      B,
      T,
      H,
      D,
      Dv,
      rounds,
      half,
      shared,
      chunkLength,
      chunksBefore,
      chunksAfter,
      causal,
      scale,
      selfScore,
    }) => {
      const random = randomFrom(seed);
      const inputs = {
        qk: normal(random, [B, T, H, D]),
        v: normal(random, [B, T, H, Dv]),
        rotations: normal(random, [shared ? 1 : H, D, rounds, half]),
      };
      const options = {
        chunkLength,
        chunksBefore,
        chunksAfter,
        causal,
        ...(scale !== undefined && { scale }),
        ...(selfScore !== undefined && { selfScore }),
      };
      const known = new Map<string, Expected<'o'>>();
      for (const rt of runtimes) {
        const { o, buckets } = await call(rt, lshAttention, inputs, { ...options, returnSelection: true });
        assertNearestBuckets(inputs.qk, inputs.rotations, buckets!, rt.variant);
        const chosen = Array.from(buckets!.data).join();
        const wanted =
          known.get(chosen) ?? expected((round) => reference({ ...inputs, buckets: buckets! }, options, round));
        known.set(chosen, wanted);
        assertAccurate({ o }, wanted, rt.variant);
        const sync = await call(rt, async (x: never, y?: object) => lshAttentionSync(x, y), inputs, options);
        assert.deepEqual(Object.keys(sync), ['o']);
        assertSameBits(sync.o, o, 'sync, without the buckets');
      }
    },
  ));

test('one chunk is softmax attention whose tokens hardly see themselves; more rounds of it change nothing', async () => {
  const random = randomFrom(11);
  const [B, T, H, D] = [2, 50, 2, 16];
  const inputs = { qk: normal(random, [B, T, H, D]), v: normal(random, [B, T, H, D]) };
  for (const rt of runtimes) {
    for (const causal of [false, true]) {
      const got = await call(rt, lshAttention, inputs, { chunkLength: T, causal, selfScore: -5e4 });
      const buckets = { shape: [B, H, 1, T], data: new Float64Array(B * H * T) };
      const want = reference({ ...inputs, buckets }, { chunkLength: T, chunksBefore: 0, causal, selfScore: -5e4 });
      assertNear(got.o, want.o, 2e-6, rt.variant);
      const rounds = await call(rt, lshAttention, inputs, { chunkLength: 64, numHashes: 4, causal, selfScore: -5e4 });
      assertSameBits(rounds.o, got.o, 'four rounds');
    }
  }
});

test('all chunks of one round at once are dense attention, the diagonal aside', async () => {
  const random = randomFrom(12);
  const [B, T, H, D] = [1, 96, 2, 16];
  const inputs = { qk: normal(random, [B, T, H, D]), v: normal(random, [B, T, H, D]) };
  const k = normal(random, [B, T, H, D]);
  for (let from = 0; from < k.data.length; from += D) {
    const row = inputs.qk.data.subarray(from, from + D);
    const length = Math.hypot(...row);
    for (let d = 0; d < D; d++) k.data[from + d] = row[d]! / length;
  }
  const mask = { shape: [1, 1, T, T], data: new Uint8Array(T * T).map((_, n) => (n % (T + 1) === 0 ? 0 : 1)) };
  for (const rt of runtimes) {
    const want = await call(rt, attention, { q: inputs.qk, k, v: inputs.v, mask }, { scale: 1 });
    const options = { chunkLength: 16, chunksBefore: 5, numBuckets: 8 };
    const { o } = await call(rt, lshAttention, inputs, options);
    assertNear(o, want.o, 2e-6, rt.variant);
  }
});

test('rotations of its own: one seed gives the same bits on every run and thread count, another seed others', async () => {
  const random = randomFrom(13);
  const inputs = { qk: normal(random, [2, 260, 2, 24]), v: normal(random, [2, 260, 2, 24]) };
  const options = { chunkLength: 32, numHashes: 2, causal: true };
  const all: NdArray[] = [];
  for (const [i, rt] of runtimes.entries()) {
    const { o, buckets } = await call(rt, lshAttention, inputs, { ...options, returnSelection: true });
    assert.deepEqual(buckets!.shape, [2, 2, 2, 260]);
    // 2 * floor(260 / 32) = 16 buckets
    assert.ok(Math.max(...Array.from(buckets!.data)) < 16 && new Set(Array.from(buckets!.data)).size > 10);
    assertSameBits((await call(teams[i]!, lshAttention, inputs, { ...options, seed: 0 })).o, o, 'threads');
    const other = await call(rt, lshAttention, inputs, { ...options, seed: 1 });
    assert.throws(() => assertSameBits(other.o, o, 'seed'));
    all.push(buckets!);
  }
  for (const buckets of all) assertSameBits(buckets, all[0]!, 'variants');
});

test('halves and views', async () => {
  const random = randomFrom(14);
  const [B, T, H, D] = [1, 70, 2, 16];
  const qk = normal(random, [B, H, T, D]).data.map(roundToHalf);
  const v = normal(random, [B, H, T, D]).data.map(roundToHalf);
  for (const rt of runtimes) {
    await rt.scope(async () => {
      const views = [qk, v].map((data) => rt.tensor(data, [B, H, T, D], 'f16').permute([0, 2, 1, 3]));
      const plain = views.map((x) => rt.tensor(x.dataSync(), x.shape));
      const options = { chunkLength: 16, numBuckets: 4, seed: 5 };
      const got = await lshAttention({ qk: views[0]!, v: views[1]! }, options);
      const want = await lshAttention({ qk: plain[0]!, v: plain[1]! }, options);
      assertSameBits(
        { shape: got.o.shape, data: got.o.dataSync() },
        { shape: want.o.shape, data: want.o.dataSync() },
        rt.variant,
      );
    });
  }
});

const [rt = assert.fail('no runtime')] = runtimes;
const f32 = (...shape: number[]) => rt.zeros(shape);
const own = () => ({ qk: f32(2, 40, 2, 8), v: f32(2, 40, 2, 6) });
const turned = () => ({ ...own(), rotations: f32(2, 8, 3, 4) });

const wrong: [string, () => object, object, abstract new (...args: never[]) => Error, RegExp[]][] = [
  ['no v', () => ({ ...own(), v: undefined }), {}, ShapeError, [/v is missing/]],
  ['other heads of v', () => ({ ...own(), v: f32(2, 40, 1, 6) }), {}, ShapeError, [/v/, /H = 2/]],
  ['q', () => ({ ...own(), q: f32(2, 40, 2, 8) }), {}, OptionError, [/'q'/, /qk/]],
  [
    'rotations of another width',
    () => ({ ...own(), rotations: f32(2, 9, 3, 4) }),
    {},
    ShapeError,
    [/rotations/, /D = 8/],
  ],
  ['rounds that contradict', turned, { numHashes: 2 }, ShapeError, [/rotations/, /numHashes = 2/]],
  ['buckets that contradict', turned, { numBuckets: 6 }, ShapeError, [/rotations/, /numBuckets = 6/]],
  ['odd buckets', own, { numBuckets: 5 }, OptionError, [/numBuckets/, /5/, /even/]],
  ['no chunk', own, { chunkLength: 0 }, OptionError, [/chunkLength/]],
  ['chunks before a start', own, { chunksBefore: -1 }, OptionError, [/chunksBefore/]],
  ['a causal that is no flag', own, { causal: 1 }, OptionError, [/causal/]],
  ['an infinite score', own, { selfScore: Number.NEGATIVE_INFINITY }, OptionError, [/selfScore/]],
  ['a negative seed', own, { seed: -1 }, OptionError, [/seed/]],
  ['integers', () => ({ ...own(), qk: rt.empty([2, 40, 2, 8], 'i32') }), {}, DTypeError, [/qk/, /i32/]],
];

test('errors name what is wrong and leave nothing behind', async () => {
  for (const [what, inputs, options, error, says] of wrong) {
    await rt.scope(async () => {
      const given = inputs() as never;
      const blocks = rt.memory().blocks;
      const seen = (thrown: unknown) => {
        assert.ok(thrown instanceof error, `${what}: ${thrown}`);
        for (const word of [/lshAttention/, ...says]) assert.match(thrown.message, word, what);
        return true;
      };
      await assert.rejects(async () => lshAttention(given, options), seen, what);
      assert.throws(() => lshAttentionSync(given, options), seen, what);
      assert.equal(rt.memory().blocks, blocks, `${what}: blocks are left behind`);
    });
  }
});

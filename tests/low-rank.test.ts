import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import {
  attention,
  DTypeError,
  linformer,
  linformerSync,
  nystromAttention,
  nystromAttentionSync,
  OptionError,
  type Runtime,
  ShapeError,
} from '../src/index.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { call } from './call.ts';
import { property, sometimes } from './property.ts';
import { attention as attentionReference } from './reference/attention.ts';
import { linformer as linformerReference } from './reference/linformer.ts';
import { nystromAttention as nystromReference } from './reference/nystrom.ts';
import { variants } from './runtimes.ts';
import { floats, normal, randomFrom, roundToHalf } from './samples.ts';

const runtimes = await variants();
const teams = await variants(3);
after(() => {
  for (const rt of [...runtimes, ...teams]) rt.dispose();
});

test('linformer', () =>
  property(
    fc.record({
      seed: fc.nat(),
      B: fc.integer({ min: 1, max: 2 }),
      Tq: fc.constantFrom(0, 1, 2, 20, 65),
      Tk: fc.constantFrom(1, 2, 63, 65),
      K: fc.constantFrom(1, 3, 16, 33),
      Hkv: fc.integer({ min: 1, max: 2 }),
      group: fc.integer({ min: 1, max: 2 }),
      D: fc.constantFrom(1, 3, 18, 64, 80),
      Dv: fc.constantFrom(1, 20, 64),
      each: fc.constantFrom('shared', 'heads', 'mixed', 'tied'),
      scale: sometimes(fc.double({ min: 0.05, max: 1, noNaN: true })),
    }),
    40,
    async ({ seed, B, Tq, Tk, K, Hkv, group, D, Dv, each, scale }) => {
      const random = randomFrom(seed);
      const map = (heads: boolean) => normal(random, heads ? [Hkv, K, Tk] : [K, Tk], Tk ** -0.5);
      const inputs = {
        q: normal(random, [B, Tq, Hkv * group, D], 3),
        k: normal(random, [B, Tk, Hkv, D]),
        v: normal(random, [B, Tk, Hkv, Dv]),
        projK: map(each !== 'shared'),
        ...(each !== 'tied' && { projV: map(each === 'heads') }),
      };
      const options = scale === undefined ? {} : { scale };
      const wanted = expected((round) => linformerReference(inputs, options, round));
      for (const rt of runtimes) {
        const got = await call(rt, linformer, inputs, options);
        assertAccurate(got, wanted, rt.variant);
        const sync = await call(rt, async (x: never, y?: object) => linformerSync(x, y), inputs, options);
        assertSameBits(sync.o, got.o, 'sync');
      }
    },
  ));

test('linformer of identity projections is dense attention, and takes halves and views', async () => {
  const random = randomFrom(3);
  const [B, T, H, D] = [2, 37, 2, 24];
  const qkv = [0, 1, 2].map(() => {
    const x = normal(random, [B, H, T, D]);
    return { shape: x.shape, data: x.data.map(roundToHalf) };
  });
  const identity = floats([T, T], (n) => (n % (T + 1) === 0 ? 1 : 0));
  for (const rt of runtimes) {
    await rt.scope(async () => {
      // [B, H, T, D] in memory, in f16
      const [q, k, v] = qkv.map(({ data, shape }) => rt.tensor(data, shape, 'f16').permute([0, 2, 1, 3])) as [
        ReturnType<Runtime['tensor']>,
        ReturnType<Runtime['tensor']>,
        ReturnType<Runtime['tensor']>,
      ];
      const { o: want } = await attention({ q, k, v });
      const { o } = await linformer({ q, k, v, projK: rt.tensor(identity.data, [T, T]) });
      assertNear(
        { shape: o.shape, data: o.dataSync() },
        { shape: want.shape, data: want.dataSync() },
        1e-6,
        rt.variant,
      );
    });
  }
});

const shapes = {
  seed: fc.nat(),
  B: fc.integer({ min: 1, max: 2 }),
  T: fc.constantFrom(0, 1, 2, 20, 63, 65),
  Hkv: fc.integer({ min: 1, max: 2 }),
  group: fc.integer({ min: 1, max: 2 }),
  D: fc.constantFrom(1, 3, 18, 64),
  Dv: fc.constantFrom(1, 20, 64),
};

test('Nyström attention', () =>
  property(
    fc.record({
      ...shapes,
      numLandmarks: fc.constantFrom(undefined, 1, 3, 8, 17, 64),
      iterations: fc.constantFrom(undefined, 0, 1, 6),
      normalizer: fc.constantFrom(undefined, 'batch', 'head'),
      taps: fc.constantFrom(undefined, 1, 5, 33),
      scale: sometimes(fc.double({ min: 0.05, max: 0.4, noNaN: true })),
      std: fc.constantFrom(0.5, 2),
    }),
    40,
    async ({ seed, B, T, Hkv, group, D, Dv, numLandmarks, iterations, normalizer, taps, scale, std }) => {
      const random = randomFrom(seed);
      const inputs = {
        q: normal(random, [B, T, Hkv * group, D], std),
        k: normal(random, [B, T, Hkv, D]),
        v: normal(random, [B, T, Hkv, Dv]),
        ...(taps && { convWeight: normal(random, [Hkv, taps], 0.3) }),
      };
      const options = {
        ...(numLandmarks !== undefined && { numLandmarks: Math.min(numLandmarks, Math.max(1, T)) }),
        ...(iterations !== undefined && { iterations }),
        ...(normalizer && { normalizer: normalizer as 'batch' | 'head' }),
        ...(scale !== undefined && { scale }),
      };
      const wanted = expected((round) => nystromReference(inputs, options, round));
      for (const rt of runtimes) {
        const got = await call(rt, nystromAttention, inputs, options);
        assertAccurate(got, wanted, rt.variant);
        const sync = await call(rt, async (x: never, y?: object) => nystromAttentionSync(x, y), inputs, options);
        assertSameBits(sync.o, got.o, 'sync');
      }
    },
  ));

test('Nyström attention is dense where landmarks are the tokens, or tokens of a segment are alike', async () => {
  const random = randomFrom(7);
  const [B, m, H, D] = [2, 12, 2, 16];
  const distinct = { q: normal(random, [B, m, H, D], 2), k: normal(random, [B, m, H, D], 2) };
  const tripled = (x: { data: Float32Array; shape: readonly number[] }) =>
    floats([B, 3 * m, H, D], (n) => {
      const [rest, t, b] = [n % (H * D), Math.floor(n / (H * D)) % (3 * m), Math.floor(n / (H * D * 3 * m))];
      return x.data[(b * m + Math.floor(t / 3)) * H * D + rest]!;
    });
  const alike = { q: tripled(distinct.q), k: tripled(distinct.k), v: normal(random, [B, 3 * m, H, D]) };
  const tokens = { ...distinct, v: normal(random, [B, m, H, D]) };
  for (const rt of runtimes) {
    const exact = await call(rt, nystromAttention, tokens, { numLandmarks: m });
    assertNear(exact.o, attentionReference(tokens).o, 2e-6, `${rt.variant}: tokens`);
    // the pseudo-inverse is close after some steps
    const want = attentionReference(alike).o;
    const { o } = await call(rt, nystromAttention, alike, { numLandmarks: m, iterations: 24 });
    assertNear(o, want, 2e-4, `${rt.variant}: alike`);
    const early = await call(rt, nystromAttention, alike, { numLandmarks: m, iterations: 1 });
    assert.throws(() => assertNear(early.o, want, 1e-2, 'one step'));
  }
});

test('any number of threads gives the same bits', async () => {
  const random = randomFrom(9);
  const x = () => normal(random, [2, 300, 4, 32]);
  const inputs = { q: x(), k: x(), v: x() };
  const calls = [
    [linformer, { ...inputs, projK: normal(random, [4, 48, 300], 0.1) }, {}],
    [nystromAttention, { ...inputs, convWeight: normal(random, [4, 9]) }, { numLandmarks: 33 }],
  ] as const;
  for (const [op, operands, options] of calls) {
    for (const [i, rt] of runtimes.entries()) {
      const one = await call(rt, op as never, operands, options);
      const three = await call(teams[i]!, op as never, operands, options);
      assertSameBits((three as { o: never }).o, (one as { o: never }).o, op.name);
    }
  }
});

const [rt = assert.fail('no runtime')] = runtimes;
const f32 = (...shape: number[]) => rt.zeros(shape);
const qkv = () => ({ q: f32(2, 10, 4, 8), k: f32(2, 12, 2, 8), v: f32(2, 12, 2, 6) });
const own = () => ({ q: f32(2, 12, 4, 8), k: f32(2, 12, 2, 8), v: f32(2, 12, 2, 6) });
const i32 = (...shape: number[]) => rt.empty(shape, 'i32');

// biome-ignore lint/suspicious/noExplicitAny: the inputs are wrong on purpose
type AnyOp = (inputs: any, options?: any) => unknown;
type Wrong = [AnyOp, AnyOp, string, () => object, object, abstract new (...args: never[]) => Error, RegExp[]];

const wrong: Wrong[] = [
  [linformer, linformerSync, 'no projection', qkv, {}, ShapeError, [/projK/, /missing/]],
  [
    linformer,
    linformerSync,
    'a projection of other tokens',
    () => ({ ...qkv(), projK: f32(4, 10) }),
    {},
    ShapeError,
    [/projK/, /\[4, 10\]/, /Tk = 12/],
  ],
  [
    linformer,
    linformerSync,
    'projections to two lengths',
    () => ({ ...qkv(), projK: f32(4, 12), projV: f32(5, 12) }),
    {},
    ShapeError,
    [/projV/, /K = 4/],
  ],
  [
    linformer,
    linformerSync,
    'a projection for each query head',
    () => ({ ...qkv(), projK: f32(4, 4, 12) }),
    {},
    ShapeError,
    [/projK/, /Hkv = 2/],
  ],
  [linformer, linformerSync, 'no rows', () => ({ ...qkv(), projK: f32(0, 12) }), {}, ShapeError, [/at least one row/]],
  [linformer, linformerSync, 'integers', () => ({ ...qkv(), projK: i32(4, 12) }), {}, DTypeError, [/projK/, /i32/]],
  [
    linformer,
    linformerSync,
    'causality',
    () => ({ ...qkv(), projK: f32(4, 12) }),
    { causal: true },
    OptionError,
    [/causal/, /scale/],
  ],
  [
    linformer,
    linformerSync,
    'heads that do not group',
    () => ({ ...qkv(), q: f32(2, 10, 3, 8), projK: f32(4, 12) }),
    {},
    ShapeError,
    [/3 query heads/],
  ],
  [nystromAttention, nystromAttentionSync, 'two lengths', qkv, {}, ShapeError, [/k/, /T = 10/]],
  [
    nystromAttention,
    nystromAttentionSync,
    'more landmarks than tokens',
    own,
    { numLandmarks: 13 },
    OptionError,
    [/13/, /T = 12/],
  ],
  [nystromAttention, nystromAttentionSync, 'no landmarks', own, { numLandmarks: 0 }, OptionError, [/numLandmarks/]],
  [
    nystromAttention,
    nystromAttentionSync,
    'half an iteration',
    own,
    { iterations: 1.5 },
    OptionError,
    [/iterations/, /1\.5/],
  ],
  [
    nystromAttention,
    nystromAttentionSync,
    'an unknown normalizer',
    own,
    { normalizer: 'all' },
    OptionError,
    [/all/, /batch/, /head/],
  ],
  [
    nystromAttention,
    nystromAttentionSync,
    'even taps',
    () => ({ ...own(), convWeight: f32(2, 4) }),
    {},
    ShapeError,
    [/convWeight/, /odd/],
  ],
  [
    nystromAttention,
    nystromAttentionSync,
    'taps of query heads',
    () => ({ ...own(), convWeight: f32(4, 3) }),
    {},
    ShapeError,
    [/convWeight/, /Hkv = 2/],
  ],
];

test('errors name what is wrong and leave nothing behind', async () => {
  for (const [op, sync, what, inputs, options, error, says] of wrong) {
    await rt.scope(async () => {
      const given = inputs();
      const blocks = rt.memory().blocks;
      const seen = (thrown: unknown) => {
        assert.ok(thrown instanceof error, `${what}: ${thrown}`);
        for (const word of [new RegExp(op.name), ...says]) assert.match(thrown.message, word, what);
        return true;
      };
      await assert.rejects(async () => op(given, options), seen, what);
      assert.throws(() => sync(given, options), seen, what);
      assert.equal(rt.memory().blocks, blocks, `${what}: blocks are left behind`);
    });
  }
});

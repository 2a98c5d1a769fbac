// Forms of keys and values that are smaller than those of all heads.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { explain } from '../src/explain.ts';
import {
  attention,
  createRuntime,
  DTypeError,
  groupedLatentAttention,
  groupedLatentAttentionSync,
  gta,
  gtaSync,
  mfa,
  mfaSync,
  mla,
  OptionError,
  ShapeError,
} from '../src/index.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { type CallInputs, call } from './call.ts';
import { assertMet, property, sometimes } from './property.ts';
import { groupedLatentAttention as groupedReference, part } from './reference/grouped-latent.ts';
import { gta as gtaReference } from './reference/gta.ts';
import { foldedKeys, mfa as mfaReference } from './reference/mfa.ts';
import { mlaAbsorbed, mla as mlaReference } from './reference/mla.ts';
import { availableVariants, variants } from './runtimes.ts';
import {
  type FloatSample,
  floats,
  ints,
  mapped,
  normal,
  randomFrom,
  roundToBfloat,
  roundToHalf,
  type Sample,
} from './samples.ts';

const runtimes = await variants();
const [rt = assert.fail('no runtime')] = runtimes;
after(() => {
  for (const each of runtimes) each.dispose();
});

const storage = { f32: (x: number) => x, f16: roundToHalf, bf16: roundToBfloat };
type Storage = keyof typeof storage;

const sizes = {
  seed: fc.nat(),
  batch: fc.integer({ min: 1, max: 2 }),
  tq: fc.constantFrom(1, 1, 2, 16, 19),
  tk: fc.constantFrom(1, 2, 63, 65, 100, 530),
  kvLens: sometimes(fc.constant(true)),
  causal: fc.boolean(),
  stored: fc.constantFrom<Storage>('f32', 'f32', 'f16', 'bf16'),
};

function lengths(random: () => number, batch: number, tk: number): Sample {
  return ints(Array.from({ length: batch }, () => Math.floor(random() * (tk + 1))));
}

test('grouped latent attention, absorbed and expanded, with latents and rotated keys apart and in one cache', () => {
  let narrow = 0;
  return property(
    fc
      .record({
        ...sizes,
        latents: fc.integer({ min: 1, max: 3 }),
        group: fc.constantFrom(1, 2, 3),
        n: fc.constantFrom(1, 6, 16),
        r: fc.constantFrom(1, 4, 7),
        c: fc.constantFrom(1, 8, 18, 40),
        dv: fc.constantFrom(1, 5, 16),
      })
      .filter(({ batch, tq, tk, latents, group, c }) => batch * tq * tk * latents * group * c < 1e5),
    15,
    async ({ seed, batch, tq, tk, latents, group, n, r, c, dv, kvLens, causal, stored }) => {
      const random = randomFrom(seed);
      const heads = latents * group;
      const kept = (...shape: number[]) => mapped(normal(random, shape), storage[stored]);
      const inputs = {
        qNope: normal(random, [batch, tq, heads, n]),
        qRope: normal(random, [batch, tq, heads, r]),
        wUk: normal(random, [heads, c, n], c ** -0.5),
        wUv: normal(random, [heads, c, dv], c ** -0.5),
        ...(kvLens && { kvLens: lengths(random, batch, tk) }),
      };
      const cache = { cKv: kept(batch, tk, latents, c), kRope: kept(batch, tk, r) };
      narrow += stored === 'f32' ? 0 : 1;
      const wanted = expected(
        (round) => groupedReference({ ...inputs, ...cache }, { causal }, round, mlaReference),
        [(round) => groupedReference({ ...inputs, ...cache }, { causal }, round, mlaAbsorbed)],
      );
      for (const each of runtimes) {
        await each.scope(async () => {
          const tensor = ({ data, shape }: FloatSample) => each.tensor(data, [...shape], stored);
          const apart = { cKv: tensor(cache.cKv), kRope: tensor(cache.kRope) };
          const width = latents * c + r;
          const rows = floats([batch, tk, width], (at) => {
            const [row, column] = [Math.floor(at / width), at % width];
            const latent = row * latents * c + column;
            return column < latents * c ? cache.cKv.data[latent]! : cache.kRope.data[row * r + column - latents * c]!;
          });
          const joined = tensor(rows);
          const beside = {
            cKv: joined.slice(2, 0, latents * c).restride([batch, tk, latents, c], [tk * width, width, c, 1]),
            kRope: joined.slice(2, latents * c, width),
          };
          for (const given of [apart, beside]) {
            for (const absorb of [true, false]) {
              const got = await call(each, groupedLatentAttention, { ...inputs, ...given }, { causal, absorb });
              assertAccurate(got, wanted, `${each.variant}, ${stored}, absorb ${absorb}, ${given === apart}`);
            }
            if (latents > 1) continue;
            const flat = given.cKv.restride([batch, tk, c], [given.cKv.strides[0]!, given.cKv.strides[1]!, 1]);
            const got = await call(each, mla, { ...inputs, ...given, cKv: flat }, { causal });
            assertAccurate(got, wanted, `${each.variant}, ${stored}: mla`);
          }
        });
      }
    },
  ).then(() => assertMet(narrow > 2, `${narrow} cases of 16-bit latents`));
});

test('absorbed attention makes no keys: the largest temporary does not grow with the cache', () => {
  const peak = (tk: number, joined: boolean) => {
    const cache = rt.zeros([1, tk, 40]);
    const [cKv, kRope] = joined
      ? [cache.slice(2, 0, 32), cache.slice(2, 32, 40)]
      : [rt.zeros([1, tk, 32]), rt.zeros([1, tk, 8])];
    const inputs = {
      qNope: rt.zeros([1, 1, 4, 16]),
      qRope: rt.zeros([1, 1, 4, 8]),
      cKv,
      kRope,
      wUk: rt.zeros([4, 32, 16]),
      wUv: rt.zeros([4, 32, 16]),
    };
    const { steps } = explain('mla', inputs, { causal: true });
    return steps.map(({ kernel, items }) => (kernel === 'copy' ? `${kernel} of ${items}` : kernel));
  };
  rt.scope(() => {
    // the one copy is of the query's rotated part
    const kernels = ['gemmPack', 'gemm', 'copy of 1', 'decode', 'decodeMerge', 'gemmPack', 'gemm'];
    assert.deepEqual(peak(5000, true), kernels);
    assert.deepEqual(peak(5000, false), kernels);
  });
});

test('grouped-tied attention at odd shapes', () => {
  let whole = 0;
  return property(
    fc
      .record({
        ...sizes,
        tq: fc.constantFrom(1, 1, 2, 16, 19, 70),
        hkv: fc.integer({ min: 1, max: 2 }),
        group: fc.constantFrom(1, 2, 3, 4),
        d: fc.constantFrom(1, 2, 3, 18, 64, 80),
        share: fc.constantFrom(0, 0.5, 0.5, 1),
        window: sometimes(fc.tuple(fc.integer({ min: -1, max: 70 }), fc.integer({ min: -1, max: 3 }))),
        softcap: sometimes(fc.constant(5)),
      })
      .filter(({ batch, tq, tk, hkv, group, d }) => batch * tq * tk * hkv * group * d < 4e5),
    18,
    async ({ seed, batch, tq, tk, hkv, group, d, share, kvLens, causal, window, softcap, stored }) => {
      const random = randomFrom(seed);
      const r = Math.floor(share * d);
      const inputs = {
        q: normal(random, [batch, tq, hkv * group, d]),
        ...(kvLens && { kvLens: lengths(random, batch, tk) }),
      };
      const cache = {
        kv: mapped(normal(random, [batch, tk, hkv, d]), storage[stored]),
        kRope: mapped(normal(random, [batch, tk, r]), storage[stored]),
      };
      whole += r === 0 || r === d ? 1 : 0;
      const options = {
        causal,
        ...(window && { window: window as [number, number] }),
        ...(softcap && { softcap }),
      };
      const wanted = expected((round) => gtaReference({ ...inputs, ...cache }, options, round));
      for (const each of runtimes) {
        await each.scope(async () => {
          const given: CallInputs = { ...inputs };
          for (const [name, { data, shape }] of Object.entries(cache))
            given[name] = each.tensor(data, [...shape], stored);
          assertAccurate(await call(each, gta, given, options), wanted, `${each.variant}, ${stored}, R ${r} of ${d}`);
        });
      }
    },
  ).then(() => assertMet(whole > 3, `${whole} cases with nothing or all of the keys shared`));
});

test('tied keys that are all shared, or none of them, are attention with such keys', async () => {
  const random = randomFrom(2);
  for (const tq of [1, 40]) {
    const [q, kv, shared] = [
      normal(random, [2, tq, 4, 16]),
      normal(random, [2, 90, 2, 16]),
      normal(random, [2, 90, 16]),
    ];
    const k = floats([2, 90, 2, 16], (n) => shared.data[Math.floor(n / 32) * 16 + (n % 16)]!);
    for (const each of runtimes) {
      const all = await call(each, attention, { q, k, v: kv }, { causal: true });
      assertNear((await call(each, gta, { q, kv, kRope: shared }, { causal: true })).o, all.o, 1e-6, 'all');
      const none = await call(each, attention, { q, k: kv, v: kv }, { causal: true });
      const empty = { shape: [2, 90, 0], data: new Float32Array() };
      assertNear((await call(each, gta, { q, kv, kRope: empty }, { causal: true })).o, none.o, 1e-6, 'none');
    }
  }
});

test('factorised queries on one key and value head, and values made of the keys', () => {
  let reused = 0;
  return property(
    fc
      .record({
        ...sizes,
        heads: fc.constantFrom(1, 2, 5, 8),
        c: fc.constantFrom(1, 5, 16),
        d: fc.constantFrom(2, 6, 18, 64),
        dv: fc.constantFrom(1, 7, 24),
        values: fc.constantFrom('v', 'wV', 'wV', 'k'),
        rotated: sometimes(fc.constant(true)),
      })
      .filter(({ batch, tq, tk, heads, d }) => batch * tq * tk * heads * d < 2e5),
    18,
    async ({ seed, batch, tq, tk, heads, c, d, dv, values, rotated, kvLens, causal, stored }) => {
      const random = randomFrom(seed);
      const k = mapped(normal(random, [batch, tk, d]), storage[stored]);
      const v = mapped(normal(random, [batch, tk, dv]), storage[stored]);
      const inputs = {
        cQ: normal(random, [batch, tq, c]),
        wUq: normal(random, [heads, c, d], c ** -0.5),
        ...(values === 'wV' && { wV: normal(random, [d, dv], d ** -0.5) }),
        ...(kvLens && { kvLens: lengths(random, batch, tk) }),
      };
      const all = { ...inputs, k, ...(values === 'v' && { v }) };
      const options = { causal, ...(rotated && { rope: { offset: 11, base: 500 } }) };
      reused += values === 'v' ? 0 : 1;
      const wanted = expected(
        (round) => mfaReference(all, options, round),
        [(round) => mfaReference(all, options, round, true)],
      );
      for (const each of runtimes) {
        await each.scope(async () => {
          const tensor = ({ data, shape }: FloatSample) => each.tensor(data, [...shape], stored);
          const given = { ...inputs, k: tensor(k), ...(values === 'v' && { v: tensor(v) }) };
          for (const absorb of values === 'wV' ? [true, false, undefined] : [undefined]) {
            const got = await call(each, mfa, given, { ...options, ...(absorb !== undefined && { absorb }) });
            assertAccurate(got, wanted, `${each.variant}, ${stored}, values of ${values}, absorb ${absorb}`);
          }
        });
      }
    },
  ).then(() => assertMet(reused > 3, `${reused} cases with values of the keys`));
});

test('mfa is multi-query attention with low-rank queries', async () => {
  const random = randomFrom(3);
  const [heads, c, d, tk] = [3, 4, 16, 50];
  const inputs = {
    cQ: normal(random, [1, 2, c]),
    wUq: normal(random, [heads, c, d]),
    k: normal(random, [1, tk, d]),
    v: normal(random, [1, tk, d]),
  };
  for (const each of runtimes) {
    const got = await call(each, mfa, inputs, { causal: true, scale: 0.2 });
    for (let h = 0; h < heads; h++) {
      const { data } = foldedKeys(inputs.k, inputs.wUq, h);
      const latentKeys = floats([1, tk, 1, c], (n) => data[n]!);
      const q = { shape: [1, 2, 1, c], data: inputs.cQ.data };
      const v = { shape: [1, tk, 1, d], data: inputs.v.data };
      const own = await call(each, attention, { q, k: latentKeys, v }, { causal: true, scale: 0.2 });
      assertNear(part(got.o, 2, h, h + 1), own.o, 2e-6, `head ${h}`);
    }
  }
});

test('query heads in groups of one are multi-head attention; groups share what repeated heads would have', async () => {
  const random = randomFrom(4);
  for (const tq of [1, 33]) {
    const [q, k, v] = [normal(random, [2, tq, 6, 10]), normal(random, [2, 77, 2, 10]), normal(random, [2, 77, 2, 10])];
    const repeat = (x: FloatSample) =>
      floats([2, 77, 6, 10], (n) => {
        const [c, h, row] = [n % 10, Math.floor(n / 10) % 6, Math.floor(n / 60)];
        return x.data[(row * 2 + Math.floor(h / 3)) * 10 + c]!;
      });
    for (const each of runtimes) {
      const grouped = await call(each, attention, { q, k, v }, { causal: true });
      const all = await call(each, attention, { q, k: repeat(k), v: repeat(v) }, { causal: true });
      assertNear(grouped.o, all.o, 1e-6, `${tq} queries`);
    }
  }
});

test('compact forms: the same bits on any number of threads, and from the synchronous twins', async () => {
  const random = randomFrom(5);
  const sample = (...shape: number[]) => normal(random, shape);
  const latent = {
    qNope: sample(1, 30, 4, 8),
    qRope: sample(1, 30, 4, 4),
    cKv: sample(1, 900, 2, 16),
    kRope: sample(1, 900, 4),
    wUk: sample(4, 16, 8),
    wUv: sample(4, 16, 8),
  };
  const tied = { q: sample(2, 60, 4, 16), kv: sample(2, 900, 2, 16), kRope: sample(2, 900, 8) };
  const factorised = { cQ: sample(1, 9, 8), wUq: sample(6, 8, 16), k: sample(1, 900, 16), wV: sample(16, 16) };
  const cases = [
    [groupedLatentAttention, groupedLatentAttentionSync, latent],
    [gta, gtaSync, tied],
    [mfa, mfaSync, factorised],
  ] as const;
  for (const variant of availableVariants()) {
    using one = await createRuntime({ variant, threads: 1 });
    using two = await createRuntime({ variant, threads: 2 });
    for (const [op, sync, inputs] of cases) {
      const async = op as typeof gta;
      const want = await call(one, async, inputs as never, { causal: true });
      assertSameBits((await call(two, async, inputs as never, { causal: true })).o, want.o, op.name);
      const twin = async (all: never, given?: object) => (sync as typeof gtaSync)(all, given);
      assertSameBits((await call(one, twin, inputs as never, { causal: true })).o, want.o, `${op.name}, sync`);
    }
  }
});

test('compact forms refuse by name what does not fit', () => {
  const f32 = (...shape: number[]) => rt.zeros(shape);
  const latent = {
    qNope: f32(1, 2, 4, 8),
    qRope: f32(1, 2, 4, 4),
    cKv: f32(1, 9, 2, 16),
    kRope: f32(1, 9, 4),
    wUk: f32(4, 16, 8),
    wUv: f32(4, 16, 8),
  };
  const tied = { q: f32(1, 2, 4, 16), kv: f32(1, 9, 2, 16), kRope: f32(1, 9, 8) };
  const factorised = { cQ: f32(1, 2, 8), wUq: f32(6, 8, 16), k: f32(1, 9, 16), v: f32(1, 9, 16) };
  type Wrong = [
    (inputs: never, options: never) => unknown,
    object,
    object,
    object,
    new (...a: never[]) => Error,
    RegExp,
  ];
  const wrong: Wrong[] = [
    [
      groupedLatentAttentionSync,
      latent,
      { cKv: f32(1, 9, 3, 16) },
      {},
      ShapeError,
      /4 query heads cannot share 3 latent/,
    ],
    [
      groupedLatentAttentionSync,
      latent,
      { cKv: f32(1, 9, 16) },
      {},
      ShapeError,
      /groupedLatent.*cKv has shape \[1, 9, 16\]/,
    ],
    [
      groupedLatentAttentionSync,
      latent,
      { kRope: rt.empty([1, 9, 4], 'f16') },
      {},
      DTypeError,
      /kRope is f16, expected f32/,
    ],
    [groupedLatentAttentionSync, latent, { wUk: f32(4, 16, 7) }, {}, ShapeError, /wUk has shape/],
    [groupedLatentAttentionSync, latent, {}, { block: 1 }, OptionError, /has no option 'block'/],
    [
      gtaSync,
      tied,
      { kRope: f32(1, 9, 17) },
      {},
      ShapeError,
      /gta: kRope has 17 elements a token, expected at most D = 16/,
    ],
    [gtaSync, tied, { kRope: rt.empty([1, 9, 8], 'bf16') }, {}, DTypeError, /kRope is bf16, expected f32/],
    [gtaSync, tied, { kv: f32(1, 9, 3, 16) }, {}, ShapeError, /4 query heads cannot share 3/],
    [gtaSync, tied, { k: f32(1) }, {}, OptionError, /has no input 'k'/],
    [mfaSync, factorised, { wV: f32(16, 16) }, {}, OptionError, /v and wV were both given/],
    [mfaSync, factorised, { wUq: f32(6, 7, 16) }, {}, ShapeError, /mfa: wUq has shape \[6, 7, 16\].*C = 8/],
    [mfaSync, factorised, {}, { absorb: 3 }, OptionError, /absorb is 3/],
    [mfaSync, factorised, {}, { rope: { rotaryDim: 3 } }, OptionError, /rotaryDim is 3/],
  ];
  for (const [op, right, inputs, options, error, says] of wrong) {
    const thrown = (e: unknown) => e instanceof error && says.test((e as Error).message);
    assert.throws(() => op({ ...right, ...inputs } as never, options as never), thrown, `${op.name} ${says}`);
  }
});

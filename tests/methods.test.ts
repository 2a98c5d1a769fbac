import { after, test } from 'node:test';
import fc from 'fast-check';
import {
  add,
  attention,
  differentialAttention,
  forgettingAttn,
  layerNorm,
  matmul,
  mergeState,
  mul,
  packMatrix,
  parallax,
  rmsNorm,
  rope,
} from '../src/index.ts';
import { assertAccurate, assertNear, expected } from './accuracy.ts';
import { call } from './call.ts';
import { property, sometimes } from './property.ts';
import { differentialAttention as differentialReference } from './reference/differential.ts';
import { forgettingAttn as forgettingReference } from './reference/forgetting.ts';
import { matmul as matmulReference } from './reference/matmul.ts';
import { mergeState as mergeReference } from './reference/merge.ts';
import { layerNorm as layerNormReference, rmsNorm as rmsNormReference } from './reference/norm.ts';
import { parallax as parallaxReference } from './reference/parallax.ts';
import { rope as ropeReference } from './reference/rope.ts';
import { variants } from './runtimes.ts';
import { floats, ints, normal, randomFrom, roundToBfloat, roundToHalf } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

const shapes = fc
  .record({
    seed: fc.nat(),
    batch: fc.integer({ min: 1, max: 2 }),
    t: fc.constantFrom(1, 2, 5, 63, 64, 65, 130),
    hkv: fc.integer({ min: 1, max: 2 }),
    group: fc.constantFrom(1, 1, 2, 3),
    d: fc.constantFrom(1, 3, 18, 64, 80, 128),
    dv: fc.constantFrom(undefined, 1, 20, 64),
  })
  .filter(({ batch, t, hkv, group, d, dv = d }) => batch * hkv * group * t * t * (d + dv) < 3e6);

test('differential attention', () =>
  property(
    fc.record({ shape: shapes, causal: fc.boolean(), scale: sometimes(fc.double({ min: 0.05, max: 1, noNaN: true })) }),
    30,
    async ({ shape, causal, scale }) => {
      const { seed, batch, t, hkv, group, d, dv = d } = shape;
      const random = randomFrom(seed);
      const [queries, keys] = [
        [batch, t, hkv * group, d],
        [batch, t, hkv, d],
      ];
      const inputs = {
        q1: normal(random, queries as number[]),
        k1: normal(random, keys as number[]),
        q2: normal(random, queries as number[]),
        k2: normal(random, keys as number[]),
        v: normal(random, [batch, t, hkv, dv]),
        lambda: normal(random, [hkv * group]),
      };
      const options = { causal, ...(scale && { scale }) };
      const wanted = expected((round) => differentialReference(inputs, options, round));
      for (const rt of runtimes)
        assertAccurate(await call(rt, differentialAttention, inputs, options), wanted, rt.variant);
    },
  ));

test('forgetting attention, from no decay to decays that sum to -1e4', () =>
  property(
    fc.record({
      shape: shapes,
      strength: fc.constantFrom(0, 0.1, 1, 20, 150),
      windowSize: sometimes(fc.integer({ min: 1, max: 80 })),
      scale: sometimes(fc.double({ min: 0.05, max: 1, noNaN: true })),
    }),
    40,
    async ({ shape, strength, windowSize, scale }) => {
      const { seed, batch, t, hkv, group, d, dv = d } = shape;
      const random = randomFrom(seed);
      const inputs = {
        q: normal(random, [batch, t, hkv * group, d]),
        k: normal(random, [batch, t, hkv, d]),
        v: normal(random, [batch, t, hkv, dv]),
        g: floats([batch, t, hkv * group], () => -strength * random()),
      };
      const options = { ...(windowSize && { windowSize }), ...(scale && { scale }) };
      const wanted = expected((round) => forgettingReference(inputs, options, round));
      for (const rt of runtimes) assertAccurate(await call(rt, forgettingAttn, inputs, options), wanted, rt.variant);
    },
  ));

test('forgetting attention keeps weak decays exact behind one strong one', async () => {
  const random = randomFrom(31);
  const shape = [1, 130, 2, 18];
  for (const strong of [-1e3, -1e4, -1e6]) {
    for (const where of [0, 1, 50, 64]) {
      const g = floats([1, 130, 2], (n) => (Math.floor(n / 2) === where ? strong : -0.01 * random()));
      const inputs = { q: normal(random, shape), k: normal(random, shape), v: normal(random, shape), g };
      const wanted = expected((round) => forgettingReference(inputs, {}, round));
      for (const rt of runtimes)
        assertAccurate(await call(rt, forgettingAttn, inputs), wanted, `${rt.variant}: ${strong} at ${where}`);
    }
  }
});

test('parallax', () =>
  property(
    fc.record({ shape: shapes, causal: fc.boolean(), scale: sometimes(fc.double({ min: 0.05, max: 1, noNaN: true })) }),
    30,
    async ({ shape, causal, scale }) => {
      const { seed, batch, t, hkv, group, d, dv = d } = shape;
      const random = randomFrom(seed);
      const inputs = {
        q: normal(random, [batch, t, hkv * group, d]),
        k: normal(random, [batch, t, hkv, d]),
        v: normal(random, [batch, t, hkv, dv]),
        r: normal(random, [batch, t, hkv * group, d], d ** -0.5),
      };
      const options = { causal, ...(scale && { scale }) };
      const wanted = expected((round) => parallaxReference(inputs, options, round));
      for (const rt of runtimes) assertAccurate(await call(rt, parallax, inputs, options), wanted, rt.variant);
    },
  ));

test('identities: no decay and r = 0 are causal attention, lambda = 0 its first branch', async () => {
  const random = randomFrom(32);
  const inputs = {
    q: normal(random, [2, 65, 4, 18]),
    k: normal(random, [2, 65, 2, 18]),
    v: normal(random, [2, 65, 2, 20]),
  };
  const { q, k, v } = inputs;
  for (const rt of runtimes) {
    const dense = (await call(rt, attention, inputs, { causal: true })).o;
    const forgetting = await call(rt, forgettingAttn, { ...inputs, g: floats([2, 65, 4], () => 0) });
    assertNear(forgetting.o, dense, 2e-6, `${rt.variant}: forgettingAttn`);
    const still = await call(rt, parallax, { ...inputs, r: floats(q.shape, () => 0) }, { causal: true });
    assertNear(still.o, dense, 2e-6, `${rt.variant}: parallax`);
    const first = await call(
      rt,
      differentialAttention,
      { q1: q, k1: k, q2: q, k2: k, v, lambda: floats([4], () => 0) },
      { causal: true },
    );
    assertNear(first.o, dense, 2e-6, `${rt.variant}: differentialAttention`);
  }
});

test('mergeState, empty sides too', () =>
  property(
    fc.record({
      seed: fc.nat(),
      rows: fc.constantFrom(1, 3, 64, 65),
      heads: fc.constantFrom(1, 3),
      dv: fc.constantFrom(1, 3, 20, 64),
      spread: fc.constantFrom(1, 30, 1e4),
    }),
    30,
    async ({ seed, rows, heads, dv, spread }) => {
      const random = randomFrom(seed);
      const lse = () => {
        const sample = normal(random, [1, rows, heads], spread);
        for (let n = 0; n < sample.data.length; n++) if (random() < 0.2) sample.data[n] = Number.NEGATIVE_INFINITY;
        return sample;
      };
      const inputs = {
        oA: normal(random, [1, rows, heads, dv]),
        lseA: lse(),
        oB: normal(random, [1, rows, heads, dv]),
        lseB: lse(),
      };
      const wanted = expected((round) => mergeReference(inputs, round));
      for (const rt of runtimes) assertAccurate(await call(rt, mergeState, inputs), wanted, rt.variant);
    },
  ));

test('mergeState with an empty side is the other side, and its order does not matter', async () => {
  const random = randomFrom(33);
  const [oA, lseA] = [normal(random, [2, 9, 3, 5]), normal(random, [2, 9, 3])];
  const [oB, lseB] = [normal(random, [2, 9, 3, 5]), normal(random, [2, 9, 3])];
  const empty = { o: floats([2, 9, 3, 5], () => 0), lse: floats([2, 9, 3], () => Number.NEGATIVE_INFINITY) };
  for (const rt of runtimes) {
    for (const got of [
      await call(rt, mergeState, { oA, lseA, oB: empty.o, lseB: empty.lse }),
      await call(rt, mergeState, { oA: empty.o, lseA: empty.lse, oB: oA, lseB: lseA }),
    ]) {
      assertNear(got.o, oA, 1e-6, `${rt.variant}: o`);
      assertNear(got.lse, lseA, 1e-6, `${rt.variant}: lse`);
    }
    const [ab, ba] = [
      await call(rt, mergeState, { oA, lseA, oB, lseB }),
      await call(rt, mergeState, { oA: oB, lseA: lseB, oB: oA, lseB: lseA }),
    ];
    assertNear(ab.o, ba.o, 1e-6, `${rt.variant}: swapped`);
  }
});

test('rope: half, interleaved, partial, with an offset, at given positions', () =>
  property(
    fc.record({
      seed: fc.nat(),
      batch: fc.integer({ min: 1, max: 2 }),
      t: fc.constantFrom(1, 2, 63, 130),
      heads: fc.constantFrom(1, 3),
      pairs: fc.constantFrom(1, 3, 9, 32),
      passed: fc.constantFrom(0, 0, 1, 6, 32),
      interleaved: fc.boolean(),
      offset: sometimes(fc.nat(5000)),
      base: sometimes(fc.constantFrom(100, 500000)),
      positions: fc.constantFrom('none', 'none', 'shared', 'per sequence'),
    }),
    60,
    async ({ seed, batch, t, heads, pairs, passed, interleaved, offset, base, positions }) => {
      const random = randomFrom(seed);
      const place = () => Math.floor(random() * 4096);
      const given = {
        none: undefined,
        shared: ints(Array.from({ length: t }, place)),
        'per sequence': ints(Array.from({ length: batch * t }, place), [batch, t]),
      }[positions];
      const inputs = { x: normal(random, [batch, t, heads, 2 * pairs + passed]), ...(given && { positions: given }) };
      const options = {
        interleaved,
        ...(passed && { rotaryDim: 2 * pairs }),
        ...(offset && !given && { offset }),
        ...(base && { base }),
      };
      const wanted = expected((round) => ropeReference(inputs, options, round));
      for (const rt of runtimes) assertAccurate(await call(rt, rope, inputs, options), wanted, rt.variant);
    },
  ));

test('rope: scores depend on the distance only', async () => {
  const random = randomFrom(34);
  const rows = (sample: { data: Float32Array }, t: number) => floats([1, t, 1, 16], (n) => sample.data[n % 16]!);
  const [q, k] = [normal(random, [16]), normal(random, [16])];
  for (const rt of runtimes) {
    const [rq, rk] = [
      await call(rt, rope, { x: rows(q, 40) }, { offset: 7 }),
      await call(rt, rope, { x: rows(k, 40) }, { offset: 0 }),
    ];
    const scores = floats([40], (t) =>
      Array.from({ length: 16 }, (_, c) => rq.o.data[t * 16 + c]! * rk.o.data[t * 16 + c]!).reduce((a, b) => a + b),
    );
    assertNear(
      scores,
      floats([40], () => scores.data[0]!),
      2e-5,
      rt.variant,
    );
  }
});

const rowShapes = fc.record({
  seed: fc.nat(),
  outer: fc.constantFrom([1], [3], [2, 5], [1, 7, 2]),
  d: fc.constantFrom(1, 2, 3, 18, 64, 65, 130, 515),
  weight: fc.boolean(),
  bias: fc.boolean(),
  eps: sometimes(fc.constantFrom(1e-6, 1e-3)),
});

test('rmsNorm and layerNorm', () =>
  property(rowShapes, 50, async ({ seed, outer, d, weight, bias, eps }) => {
    const random = randomFrom(seed);
    const x = normal(random, [...outer, d]);
    const [w, b] = [normal(random, [d]), normal(random, [d])];
    const options = eps ? { eps } : {};
    const rms = { x, ...(weight && { weight: w }) };
    const layer = { ...rms, ...(bias && { bias: b }) };
    const [rmsWanted, layerWanted] = [
      expected((round) => rmsNormReference(rms, options, round)),
      expected((round) => layerNormReference(layer, options, round)),
    ];
    for (const rt of runtimes) {
      assertAccurate(await call(rt, rmsNorm, rms, options), rmsWanted, `${rt.variant}: rmsNorm`);
      assertAccurate(await call(rt, layerNorm, layer, options), layerWanted, `${rt.variant}: layerNorm`);
    }
  }));

test('norms of rows far from zero', async () => {
  const random = randomFrom(38);
  for (const d of [3, 18, 65, 515]) {
    const sample = normal(random, [200, d]);
    const x = floats(sample.shape, (n) => sample.data[n]! + 100);
    const [rms, layer] = [
      expected((round) => rmsNormReference({ x }, {}, round)),
      expected((round) => layerNormReference({ x }, {}, round)),
    ];
    for (const rt of runtimes) {
      assertAccurate(await call(rt, rmsNorm, { x }), rms, `${rt.variant}: rmsNorm of ${d}`);
      assertAccurate(await call(rt, layerNorm, { x }), layer, `${rt.variant}: layerNorm of ${d}`);
    }
  }
});

test('norms of zeros and of one repeated value are finite', async () => {
  for (const value of [0, 3, 1e-20, 1e18]) {
    const x = floats([2, 18], () => value);
    for (const rt of runtimes) {
      for (const [op, reference] of [
        [rmsNorm, rmsNormReference],
        [layerNorm, layerNormReference],
      ] as const) {
        assertAccurate(
          await call(rt, op as typeof rmsNorm, { x }),
          expected((round) => reference({ x }, {}, round)),
          `${rt.variant}: ${op.name} of ${value}`,
        );
      }
    }
  }
});

test('matmul at odd shapes, with every activation, packed and not', () =>
  property(
    fc.record({
      seed: fc.nat(),
      leading: fc.constantFrom([], [], [1], [2], [2, 3]),
      m: fc.constantFrom(1, 2, 5, 6, 7, 33, 64, 65),
      k: fc.constantFrom(1, 2, 3, 18, 63, 64, 65, 257),
      n: fc.constantFrom(1, 3, 7, 8, 9, 64, 65, 130),
      transposeB: fc.boolean(),
      packed: fc.boolean(),
      bias: fc.boolean(),
      activation: fc.constantFrom('none', 'none', 'relu', 'silu', 'geluTanh') as fc.Arbitrary<
        'none' | 'relu' | 'silu' | 'geluTanh'
      >,
    }),
    70,
    async ({ seed, leading, m, k, n, transposeB, packed, bias, activation }) => {
      const random = randomFrom(seed);
      const inputs = {
        a: normal(random, [...leading, m, k]),
        b: normal(random, transposeB ? [n, k] : [k, n], k ** -0.5 * 2),
        ...(bias && { bias: normal(random, [n]) }),
      };
      const options = { transposeB, activation };
      const wanted = expected((round) => matmulReference(inputs, options, round));
      for (const rt of runtimes) {
        if (!packed) {
          assertAccurate(await call(rt, matmul, inputs, options), wanted, rt.variant);
          continue;
        }
        await rt.scope(async () => {
          const b = await packMatrix(rt.tensor(inputs.b.data, [...inputs.b.shape]), { transposeB });
          assertAccurate(
            await call(rt, matmul, { ...inputs, b: b as never }, { activation }),
            wanted,
            `${rt.variant}, packed`,
          );
          b.dispose();
        });
      }
    },
  ));

test('matmul by a slice of a matrix stored as f32, f16 or bf16', async () => {
  const random = randomFrom(35);
  for (const [stored, round] of [
    ['f32', (x: number) => x],
    ['f16', roundToHalf],
    ['bf16', roundToBfloat],
  ] as const) {
    for (const transposeB of [false, true]) {
      const a = normal(random, [7, 18]);
      const [rows, columns] = transposeB ? [9, 18] : [18, 9];
      const whole = normal(random, [rows! + 4, columns! + 5]);
      const b = floats([rows!, columns!], (n) =>
        round(whole.data[(Math.floor(n / columns!) + 2) * (columns! + 5) + (n % columns!) + 3]!),
      );
      const wanted = expected((precision) => matmulReference({ a, b }, { transposeB }, precision));
      for (const rt of runtimes) {
        await rt.scope(async () => {
          const slice = rt
            .tensor(whole.data, whole.shape, stored)
            .slice(0, 2, 2 + rows!)
            .slice(1, 3, 3 + columns!);
          assertAccurate(await call(rt, matmul, { a, b: slice }, { transposeB }), wanted, `${rt.variant}, ${stored}`);
        });
      }
    }
  }
});

test('rope of views', async () => {
  const random = randomFrom(36);
  const whole = normal(random, [2, 3, 9, 20]);
  // [B,H,T,D] storage seen as [B,T,H,D], of it the rows 2 to 9 and channels 4 to 20.
  const x = floats([2, 7, 3, 16], (n) => {
    const [c, h, t, b] = [n % 16, Math.floor(n / 16) % 3, Math.floor(n / 48) % 7, Math.floor(n / 336)];
    return whole.data[((b * 3 + h) * 9 + t + 2) * 20 + c + 4]!;
  });
  for (const interleaved of [false, true]) {
    const wanted = expected((round) => ropeReference({ x }, { interleaved }, round));
    for (const rt of runtimes) {
      await rt.scope(async () => {
        const view = rt.tensor(whole.data, whole.shape).permute([0, 2, 1, 3]).slice(1, 2, 9).slice(3, 4, 20);
        assertAccurate(await call(rt, rope, { x: view }, { interleaved }), wanted, rt.variant);
      });
    }
  }
});

test('add and mul, with b broadcast over leading axes', () =>
  property(
    fc.record({
      seed: fc.nat(),
      shape: fc.array(fc.constantFrom(1, 2, 3, 7, 33), { minLength: 1, maxLength: 4 }),
      kept: fc.nat(3),
    }),
    30,
    async ({ seed, shape, kept }) => {
      const random = randomFrom(seed);
      const inputs = { a: normal(random, shape), b: normal(random, shape.slice(Math.min(kept, shape.length - 1))) };
      const combine = (f: (x: number, y: number) => number) =>
        floats(shape, (n) => f(inputs.a.data[n]!, inputs.b.data[n % inputs.b.data.length]!));
      for (const rt of runtimes) {
        assertNear(
          (await call(rt, add, inputs)).o,
          combine((x, y) => x + y),
          0,
          `${rt.variant}: add`,
        );
        assertNear(
          (await call(rt, mul, inputs)).o,
          combine((x, y) => x * y),
          0,
          `${rt.variant}: mul`,
        );
      }
    },
  ));

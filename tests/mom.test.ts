import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { gla, mom, momStep, OptionError, ShapeError, simpleGla, type Tensor } from '../src/index.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { call } from './call.ts';
import { property, sometimes } from './property.ts';
import { mom as reference } from './reference/mom.ts';
import type { NdArray } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, ints, normal, randomFrom, roundToHalf, type Sample } from './samples.ts';
import { cutsAt, joined, type RecurrentShape, recurrentShapes, rowsOfAll, tokenOf } from './streaming.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

interface Case extends RecurrentShape {
  memories: number;
  /** Share of the memories that a token is routed to. */
  density: number;
  strength: number;
  gates: 'none' | 'g' | 'gk';
  /** Whether each memory has keys, values and gates of its own. */
  own: boolean;
}

const cases: fc.Arbitrary<Case> = fc
  .record({
    shape: recurrentShapes(2e5),
    memories: fc.integer({ min: 1, max: 5 }),
    density: fc.constantFrom(0, 0.3, 0.6, 1),
    strength: fc.constantFrom(0, 0.1, 1, 30, 150),
    gates: fc.constantFrom('none', 'g', 'gk'),
    own: fc.boolean(),
  })
  .map(({ shape, ...rest }) => ({ ...shape, ...rest }) as Case);

/** What has a time axis. */
function tokens(
  sample: Case,
): Record<'q' | 'k' | 'v' | 'weights', FloatSample> & { g?: FloatSample; gk?: FloatSample } {
  const { seed, batch, t, heads, group, dk, dv, memories, density, strength, gates, own } = sample;
  const random = randomFrom(seed);
  const hv = heads * group;
  const at = own ? [batch, t, memories] : [batch, t];
  const gate = () => -strength * random();
  return {
    q: normal(random, [batch, t, heads, dk]),
    k: normal(random, [...at, heads, dk]),
    v: normal(random, [...at, hv, dv]),
    weights: floats([batch, t, memories], () => (random() < density ? random() : 0)),
    ...(gates === 'g' && { g: floats([...at, hv], gate) }),
    ...(gates === 'gk' && { gk: floats([...at, heads, dk], gate) }),
  };
}

test('mixture of memories, each token with some, all or none of them', () =>
  property(
    fc.record({ sample: cases, scale: sometimes(fc.double({ min: 0.05, max: 1, noNaN: true })) }),
    40,
    async ({ sample, scale }) => {
      const inputs = tokens(sample);
      const options = scale ? { scale } : {};
      const wanted = expected((round) => reference(inputs, options, round));
      for (const rt of runtimes) assertAccurate(await call(rt, mom, inputs, options), wanted, rt.variant);
    },
  ));

test('packed sequences, empty ones too, with states of their own', () =>
  property(
    fc.record({
      sample: cases,
      cuts: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 3 }),
    }),
    20,
    async ({ sample, cuts }) => {
      const { heads, group, dk, dv, t, memories, seed } = sample;
      const inputs = {
        ...tokens({ ...sample, batch: 1 }),
        initialState: normal(randomFrom(seed + 1), [cuts.length + 1, memories, heads * group, dk, dv]),
        cuSeqlens: ints(cutsAt(cuts, t)),
      };
      const wanted = expected((round) => reference(inputs, {}, round));
      for (const rt of runtimes) assertAccurate(await call(rt, mom, inputs), wanted, rt.variant);
    },
  ));

test('a sequence continued from its states, wherever it is split', () =>
  property(
    fc.record({ sample: cases, share: fc.double({ min: 0, max: 1, noNaN: true }) }),
    20,
    async ({ sample, share }) => {
      const inputs = tokens(sample);
      const wanted = expected((round) => reference(inputs, {}, round));
      const [, middle = 0, end = 0] = cutsAt([share], sample.t);
      for (const rt of runtimes) {
        const head = await call(rt, mom, rowsOfAll(inputs, 0, middle));
        const tail = await call(rt, mom, {
          ...rowsOfAll(inputs, middle, end),
          initialState: head.finalState as Sample,
        });
        const o = joined([head.o, tail.o]);
        assertAccurate({ o, finalState: tail.finalState }, wanted, `${rt.variant} at ${middle}`);
      }
    },
  ));

test('token by token from nothing', async () => {
  const base = { batch: 2, heads: 2, group: 2, memories: 3, density: 0.5, strength: 0.3 };
  for (const sample of [
    { ...base, seed: 1, t: 70, dk: 18, dv: 20, gates: 'g', own: true },
    { ...base, seed: 2, t: 30, dk: 32, dv: 32, gates: 'gk', own: false },
    { ...base, seed: 3, t: 9, dk: 3, dv: 1, gates: 'none', own: true },
  ] as const) {
    const { t, dk, dv } = sample;
    const inputs = tokens(sample);
    const wanted = expected((round) => reference(inputs, {}, round));
    for (const rt of runtimes) {
      await rt.scope(async () => {
        const state = rt.tensor(new Float32Array(2 * 3 * 4 * dk * dv), [2, 3, 4, dk, dv]);
        const o = rt.empty([2, 4, dv]);
        const parts: NdArray[] = [];
        for (let i = 0; i < t; i++) {
          const token: Record<string, Tensor> = {};
          for (const [name, x] of Object.entries(tokenOf(inputs, i))) token[name] = rt.tensor(x.data, x.shape);
          rt.poison();
          const { blocks } = rt.memory();
          momStep({ ...token, state, o } as unknown as Parameters<typeof momStep>[0]);
          if (i > 0) assert.equal(rt.memory().blocks, blocks);
          parts.push({ shape: [2, 1, 4, dv], data: await o.data() });
          for (const tensor of Object.values(token)) tensor.dispose();
        }
        const finalState = { shape: state.shape, data: await state.data() };
        assertAccurate({ o: joined(parts), finalState }, wanted, rt.variant);
      });
    }
  }
});

const plain: Case = {
  seed: 7,
  batch: 2,
  t: 65,
  heads: 2,
  group: 2,
  dk: 18,
  dv: 20,
  memories: 4,
  density: 0.5,
  strength: 0.3,
  gates: 'g',
  own: false,
};

test('identities: one memory with every token is simple GLA or GLA; the shared memory is a column of ones', async () => {
  const ones = floats([2, 65, 1], () => 1);
  const { weights, ...simple } = tokens(plain);
  const { weights: _, ...gated } = tokens({ ...plain, gates: 'gk' });
  const withOnes = floats([2, 65, 5], (n) => (n % 5 === 4 ? 1 : weights.data[Math.floor(n / 5) * 4 + (n % 5)]!));
  for (const rt of runtimes) {
    const scalar = await call(rt, mom, { ...simple, weights: ones });
    assertNear(scalar.o, (await call(rt, simpleGla, simple)).o, 1e-6, rt.variant);
    const rows = await call(rt, mom, { ...gated, weights: ones });
    assertNear(rows.o, (await call(rt, gla, gated)).o, 1e-6, rt.variant);
    const shared = await call(rt, mom, { ...simple, weights }, { shared: true });
    const column = await call(rt, mom, { ...simple, weights: withOnes });
    assertSameBits(shared.o, column.o, rt.variant);
    assertSameBits(shared.finalState, column.finalState, rt.variant);
  }
});

test('the weights of chosen memories are those of a row that is zero elsewhere', async () => {
  const random = randomFrom(12);
  const { weights: _, ...inputs } = tokens(plain);
  const chosen = Array.from({ length: 2 * 65 }, () => {
    const first = Math.floor(4 * random());
    return [first, (first + 1 + Math.floor(3 * random())) % 4];
  });
  const shares = floats([2, 65, 2], () => 0.1 + random());
  const dense = floats([2, 65, 4], () => 0);
  chosen.forEach((pair, token) => {
    pair.forEach((memory, i) => {
      dense.data[4 * token + memory] = shares.data[2 * token + i]!;
    });
  });
  for (const rt of runtimes) {
    const want = await call(rt, mom, { ...inputs, weights: dense });
    const indices = ints(chosen.flat(), [2, 65, 2]);
    const got = await call(rt, mom, { ...inputs, weights: shares, indices }, { memories: 4 });
    assertSameBits(got.o, want.o, rt.variant);
    assertSameBits(got.finalState, want.finalState, rt.variant);
  }
});

test('16-bit operands', async () => {
  const { q, k, v, ...rest } = tokens({ ...plain, own: true });
  const half = (x: FloatSample) => ({ shape: x.shape, data: x.data.map(roundToHalf) });
  const rounded = { q: half(q), k: half(k), v: half(v) };
  const wanted = expected((round) => reference({ ...rounded, ...rest }, {}, round));
  for (const rt of runtimes) {
    const made = Object.entries(rounded).map(([name, x]) => [name, rt.tensor(x.data, x.shape, 'f16')] as const);
    assertAccurate(await call(rt, mom, { ...Object.fromEntries(made), ...rest }), wanted, rt.variant);
    for (const [, tensor] of made) tensor.dispose();
  }
});

test('what does not fit is an error that leaves no memory behind', async () => {
  const rt = runtimes[0]!;
  await rt.scope(async () => {
    const samples = tokens({ ...plain, batch: 1, t: 4, own: true });
    const inputs = Object.fromEntries(
      Object.entries(samples).map(([name, x]) => [name, rt.tensor(x.data, x.shape)]),
    ) as unknown as Parameters<typeof mom>[0];
    const { q, g, weights } = inputs;
    const few = rt.tensor(new Float32Array(8), [1, 4, 2]);
    const [indices, beyond] = [
      [0, 1, 2, 3, 0, 1, 2, 3],
      [0, 1, 2, 4, 0, 1, 2, 3],
    ].map((at) => rt.tensor(at, [1, 4, 2], 'i32'));
    const { used } = rt.memory();
    const wrong: [object, object, typeof ShapeError | typeof OptionError, RegExp][] = [
      [{ weights: few }, {}, ShapeError, /k has shape .* expected \[1, 4, 2, 2, 18\]/],
      [{}, { shared: true }, ShapeError, /k has shape .* expected \[1, 4, 5, 2, 18\]/],
      [{ weights: q }, {}, ShapeError, /weights has shape/],
      [{ weights: undefined }, {}, ShapeError, /weights is missing/],
      [{ gk: q }, {}, OptionError, /both given/],
      [{ initialState: g }, {}, ShapeError, /initialState has shape/],
      [{}, { memories: 4 }, OptionError, /memories is 4 without indices/],
      [{ weights: few, indices }, {}, OptionError, /memories is missing/],
      [{ weights: few, indices: beyond }, { memories: 4 }, ShapeError, /indices holds 4, expected 0 to 3/],
      [{}, { scale: Number.NaN }, OptionError, /scale/],
      [{ extra: weights }, {}, OptionError, /no input 'extra'/],
    ];
    for (const [change, options, kind, message] of wrong) {
      await assert.rejects(mom({ ...inputs, ...change }, options), (error) => {
        assert.ok(error instanceof kind, String(error));
        assert.match(error.message, message);
        return true;
      });
      assert.equal(rt.memory().used, used);
    }
  });
});

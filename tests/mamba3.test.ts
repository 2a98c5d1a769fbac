import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { mamba3, mamba3Step, OptionError, ShapeError, simpleGla, type Tensor } from '../src/index.ts';
import { assertAccurate, assertNear, expected } from './accuracy.ts';
import { type CallInputs, call } from './call.ts';
import { property } from './property.ts';
import { mamba3 as reference } from './reference/mamba3.ts';
import type { NdArray, Round } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, ints, normal, randomFrom, roundToHalf, type Sample } from './samples.ts';
import { cutsAt, joined, type RecurrentShape, recurrentShapes, rowsOfAll, tokenOf } from './streaming.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

const shapes = recurrentShapes(4e5);

interface Case extends RecurrentShape {
  pairs: number;
  strength: number;
}

const cases: fc.Arbitrary<Case> = fc
  .record({
    shape: shapes,
    pairs: fc.double({ min: 0, max: 1, noNaN: true }),
    strength: fc.constantFrom(0, 0.1, 1, 30, 150),
  })
  .map(({ shape, pairs, strength }) => ({ ...shape, pairs: Math.round(pairs * Math.floor(shape.dk / 2)), strength }));

/** What has a time axis. */
function tokens({ seed, batch, t, heads, group, dk, dv, pairs, strength }: Case) {
  const random = randomFrom(seed);
  const hv = heads * group;
  return {
    q: normal(random, [batch, t, heads, dk], dk ** -0.5),
    k: normal(random, [batch, t, heads, dk]),
    x: normal(random, [batch, t, hv, dv]),
    dt: floats([batch, t, hv], () => 0.01 + random()),
    A: floats([batch, t, hv], () => -strength * random()),
    lambda: floats([batch, t, hv], () => random()),
    angle: normal(random, [batch, t, hv, pairs], 2),
    z: normal(random, [batch, t, hv, dv]),
  };
}

function skips({ seed, heads, group }: Case) {
  return normal(randomFrom(seed + 1), [heads * group]);
}

/** Angles as cosines and sines, which do not jump where a turn is full. */
function directions({ finalAngle: angle, ...rest }: Outputs): Record<string, NdArray> {
  const of = (f: (x: number) => number) => ({ shape: angle.shape, data: Array.from(angle.data, f) });
  return { ...rest, cos: of(Math.cos), sin: of(Math.sin) };
}

type Outputs = Record<'o' | 'finalState' | 'finalAngle' | 'finalK' | 'finalX', NdArray>;

const wantedOf = (inputs: Parameters<typeof reference>[0]) =>
  expected((round: Round) => directions(reference(inputs, {}, round)));

test('mamba3, with and without D and z, decays from none to all', () =>
  property(fc.record({ sample: cases, d: fc.boolean(), z: fc.boolean() }), 40, async ({ sample, d, z }) => {
    const { z: gate, ...all } = tokens(sample);
    const inputs = { ...all, ...(d && { D: skips(sample) }), ...(z && { z: gate }) };
    const wanted = wantedOf(inputs);
    for (const rt of runtimes) assertAccurate(directions(await call(rt, mamba3, inputs)), wanted, rt.variant);
  }));

test('packed sequences, empty ones too, with states of their own', () =>
  property(
    fc.record({
      sample: cases,
      cuts: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 3 }),
    }),
    20,
    async ({ sample, cuts }) => {
      const { heads, group, dk, dv, t, pairs } = sample;
      const cuSeqlens = ints([0, ...cutsAt(cuts, t)]);
      const random = randomFrom(sample.seed + 2);
      const n = cuts.length + 2;
      const hv = heads * group;
      const inputs = {
        ...tokens({ ...sample, batch: 1 }),
        initialState: normal(random, [n, hv, dk, dv]),
        initialAngle: floats([n, hv, pairs], () => 2 * Math.PI * random()),
        initialK: normal(random, [n, hv, dk]),
        initialX: normal(random, [n, hv, dv]),
        cuSeqlens,
      };
      const wanted = wantedOf(inputs);
      for (const rt of runtimes) assertAccurate(directions(await call(rt, mamba3, inputs)), wanted, rt.variant);
    },
  ));

test('a sequence continued from its states, wherever it is split', () =>
  property(
    fc.record({
      sample: cases,
      shares: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 2 }),
    }),
    20,
    async ({ sample, shares }) => {
      const inputs = tokens(sample);
      const D = skips(sample);
      const wanted = wantedOf({ ...inputs, D });
      const cuts = cutsAt(shares, sample.t);
      for (const rt of runtimes) {
        let states: CallInputs = {};
        const parts: NdArray[] = [];
        let last: Outputs | undefined;
        for (let i = 0; i + 1 < cuts.length; i++) {
          last = await call(rt, mamba3, { ...rowsOfAll(inputs, cuts[i]!, cuts[i + 1]!), D, ...states });
          parts.push(last.o);
          const { finalState, finalAngle, finalK, finalX } = last as Record<keyof Outputs, Sample>;
          states = { initialState: finalState, initialAngle: finalAngle, initialK: finalK, initialX: finalX };
        }
        const o = joined(parts);
        assertAccurate(directions({ ...last!, o }), wanted, `${rt.variant} at ${cuts}`);
      }
    },
  ));

test('token by token from nothing', async () => {
  for (const [t, heads, dk, dv, pairs] of [
    [70, 2, 18, 20, 5],
    [40, 1, 64, 64, 32],
    [9, 1, 3, 1, 1],
  ] as const) {
    const sample = { seed: t, batch: 2, t, heads, group: 2, dk, dv, pairs, strength: 0.3 };
    const hv = heads * 2;
    const inputs = tokens(sample);
    const wanted = wantedOf({ ...inputs, D: skips(sample) });
    for (const rt of runtimes) {
      await rt.scope(async () => {
        const zeros = (...shape: number[]) => rt.tensor(new Float32Array(shape.reduce((p, n) => p * n, 1)), shape);
        const states = {
          state: zeros(2, hv, dk, dv),
          lastAngle: zeros(2, hv, pairs),
          lastK: zeros(2, hv, dk),
          lastX: zeros(2, hv, dv),
        };
        const D = rt.tensor(skips(sample).data, [hv]);
        const o = rt.empty([2, hv, dv]);
        const parts: NdArray[] = [];
        for (let i = 0; i < t; i++) {
          const token: Record<string, Tensor> = {};
          for (const [name, x] of Object.entries(tokenOf(inputs, i))) token[name] = rt.tensor(x.data, x.shape);
          rt.poison();
          const { blocks } = rt.memory();
          mamba3Step({ ...token, D, ...states, o } as unknown as Parameters<typeof mamba3Step>[0]);
          if (i > 0) assert.equal(rt.memory().blocks, blocks);
          parts.push({ shape: [2, 1, hv, dv], data: await o.data() });
          for (const tensor of Object.values(token)) tensor.dispose();
        }
        const { state: finalState, lastAngle: finalAngle, lastK: finalK, lastX: finalX } = states;
        const got: Record<string, NdArray> = { o: joined(parts) };
        for (const [name, x] of Object.entries({ finalState, finalAngle, finalK, finalX }))
          got[name] = { shape: x.shape, data: await x.data() };
        assertAccurate(directions(got as Outputs), wanted, `${rt.variant}, ${t} tokens`);
      });
    }
  }
});

test('identity: lambda = 1 without turning is Mamba-2, a simple GLA of dt v with decay A dt', async () => {
  const sample = { seed: 3, batch: 2, t: 130, heads: 2, group: 2, dk: 18, dv: 20, pairs: 9, strength: 0.3 };
  const { q, k, x, dt, lambda, angle } = tokens(sample);
  const A = floats([4], (h) => -0.1 * (h + 1));
  const still = {
    lambda: floats(lambda.shape, () => 1),
    angle: floats(angle.shape, () => 0),
  };
  const g = floats(dt.shape, (n) => A.data[n % 4]! * dt.data[n]!);
  const scaled = floats(x.shape, (n) => dt.data[Math.floor(n / 20)]! * x.data[n]!);
  for (const rt of runtimes) {
    const want = await call(rt, simpleGla, { q, k, v: scaled, g }, { scale: 1 });
    const got = await call(rt, mamba3, { q, k, x, dt, A, ...still });
    assertNear(got.o, want.o, 2e-5, rt.variant);
    assertNear(got.finalState, want.finalState, 2e-5, rt.variant);
  }
});

test('angles stay exact over many tokens', async () => {
  const t = 3000;
  const sample = { seed: 4, batch: 1, t, heads: 1, group: 1, dk: 6, dv: 2, pairs: 3, strength: 0 };
  const { z: _, ...inputs } = tokens(sample);
  const A = floats([1], () => -2);
  const { cos, sin } = directions(reference({ ...inputs, A }));
  for (const rt of runtimes) {
    const got = directions(await call(rt, mamba3, { ...inputs, A }));
    assertNear(got.cos!, cos!, 1e-6, rt.variant);
    assertNear(got.sin!, sin!, 1e-6, rt.variant);
  }
});

test('16-bit operands', async () => {
  const sample = { seed: 6, batch: 2, t: 70, heads: 2, group: 2, dk: 18, dv: 20, pairs: 7, strength: 0.5 };
  const { q, k, x, ...rest } = tokens(sample);
  const half = (x: FloatSample) => ({ shape: x.shape, data: x.data.map(roundToHalf) });
  const rounded = { q: half(q), k: half(k), x: half(x) };
  const wanted = wantedOf({ ...rounded, ...rest });
  for (const rt of runtimes) {
    const made = Object.entries(rounded).map(([name, x]) => [name, rt.tensor(x.data, x.shape, 'f16')] as const);
    const got = await call(rt, mamba3, { ...Object.fromEntries(made), ...rest });
    assertAccurate(directions(got), wanted, rt.variant);
    for (const [, tensor] of made) tensor.dispose();
  }
});

test('what does not fit is an error that leaves no memory behind', async () => {
  const rt = runtimes[0]!;
  await rt.scope(async () => {
    const sample = { seed: 6, batch: 1, t: 4, heads: 1, group: 2, dk: 6, dv: 4, pairs: 3, strength: 0.5 };
    const inputs = Object.fromEntries(
      Object.entries(tokens(sample)).map(([name, x]) => [name, rt.tensor(x.data, x.shape)]),
    ) as unknown as Parameters<typeof mamba3>[0];
    const wide = rt.tensor(new Float32Array(32), [1, 4, 2, 4]);
    const { used } = rt.memory();
    const wrong: [object, typeof ShapeError | typeof OptionError, RegExp][] = [
      [{ angle: wide }, ShapeError, /4 pairs and q 6 elements a head, expected at most 3/],
      [{ z: inputs.dt }, ShapeError, /z has shape/],
      [{ A: undefined }, ShapeError, /A is missing/],
      [{ angle: undefined }, ShapeError, /angle is missing/],
      [{ initialK: wide }, ShapeError, /initialK has shape/],
      [{ extra: wide }, OptionError, /no input 'extra'/],
    ];
    for (const [change, kind, message] of wrong) {
      await assert.rejects(mamba3({ ...inputs, ...change }), (error) => {
        assert.ok(error instanceof kind, String(error));
        assert.match(error.message, message);
        return true;
      });
      assert.equal(rt.memory().used, used);
    }
    await assert.rejects(mamba3(inputs, { scale: 1 }), OptionError);
    assert.equal(rt.memory().used, used);
  });
});

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { OptionError, ShapeError, selectiveScan, selectiveScanStep, type Tensor } from '../src/index.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { call } from './call.ts';
import { property } from './property.ts';
import { at, type NdArray } from './reference/ndarray.ts';
import { selectiveScan as reference, type SelectiveScanInputs } from './reference/selective-scan.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, ints, normal, randomFrom, type Sample } from './samples.ts';
import { again, joined, rowsOf, withoutTime } from './streaming.ts';

const runtimes = await variants();
const pairs = await variants(2);
after(() => {
  for (const rt of [...runtimes, ...pairs]) rt.dispose();
});

type Inputs = Record<'u' | 'delta' | 'A' | 'B' | 'C', FloatSample> & Record<string, Sample>;

/** Inputs with step sizes up to `strength`; with everything optional, or nothing. */
function inputsOf(
  random: () => number,
  [b, t, d, n]: readonly [number, number, number, number],
  strength: number,
  full: boolean,
): Inputs {
  return {
    u: normal(random, [b, t, d]),
    delta: floats([b, t, d], () => strength * random()),
    A: floats([d, n], () => -0.1 - 16 * random() ** 2),
    B: normal(random, [b, t, n]),
    C: normal(random, [b, t, n]),
    ...(full && {
      D: normal(random, [d]),
      z: normal(random, [b, t, d], 3),
      deltaBias: floats([d], () => 0.1 * random()),
    }),
  };
}

const sizes = fc.record({
  seed: fc.nat(),
  b: fc.integer({ min: 1, max: 2 }),
  t: fc.constantFrom(0, 1, 2, 63, 65, 130),
  d: fc.constantFrom(1, 3, 18, 64, 80, 133),
  n: fc.constantFrom(1, 2, 3, 7, 16, 64),
  strength: fc.constantFrom(0.001, 0.1, 1, 6, 50),
  full: fc.boolean(),
});

test('random shapes, step sizes from slow to e^-800 a token, with and without a state', () =>
  property(
    fc
      .record({ size: sizes, softplus: fc.boolean(), carried: fc.boolean() })
      .filter(({ size: { b, t, d, n } }) => b * t * d * n < 1e5),
    60,
    async ({ size: { seed, b, t, d, n, strength, full }, softplus, carried }) => {
      const random = randomFrom(seed);
      const inputs = {
        ...inputsOf(random, [b, t, d, n], strength, full),
        ...(carried && { initialState: normal(random, [b, d, n]) }),
      };
      if (softplus) inputs.delta = normal(random, [b, t, d], Math.max(3, strength));
      const options = { deltaSoftplus: softplus };
      const wanted = expected((round) => reference(inputs as SelectiveScanInputs, options, round));
      for (const rt of runtimes) assertAccurate(await call(rt, selectiveScan, inputs, options), wanted, rt.variant);
    },
  ));

test('packed sequences, empty ones too', () =>
  property(
    fc.record({
      seed: fc.nat(),
      lengths: fc.array(fc.constantFrom(0, 0, 1, 5, 40), { minLength: 1, maxLength: 5 }),
      d: fc.constantFrom(3, 18, 80),
      carried: fc.boolean(),
    }),
    20,
    async ({ seed, lengths, d, carried }) => {
      const random = randomFrom(seed);
      const ends = lengths.map((_, i) => lengths.slice(0, i + 1).reduce<number>((sum, x) => sum + x, 0));
      const inputs = {
        ...inputsOf(random, [1, ends.at(-1)!, d, 5], 0.3, true),
        cuSeqlens: ints([0, ...ends]),
        ...(carried && { initialState: normal(random, [lengths.length, d, 5]) }),
      };
      const wanted = expected((round) => reference(inputs as SelectiveScanInputs, {}, round));
      for (const rt of runtimes) assertAccurate(await call(rt, selectiveScan, inputs), wanted, rt.variant);
    },
  ));

test('in two runs and step by step as in one', () =>
  property(
    fc.record({
      seed: fc.nat(),
      t: fc.constantFrom(2, 9, 33),
      d: fc.constantFrom(1, 18, 64),
      n: fc.constantFrom(3, 16),
      strength: fc.constantFrom(0.1, 3),
      cut: fc.nat(),
    }),
    12,
    async ({ seed, t, d, n, strength, cut }) => {
      const random = randomFrom(seed);
      const inputs = inputsOf(random, [2, t, d, n], strength, true);
      const timed = (from: number, to: number): Record<string, FloatSample> =>
        Object.fromEntries(
          (Object.entries(inputs) as [string, FloatSample][]).map(([key, x]) => [
            key,
            x.shape.length === 3 ? rowsOf(x, from, to) : x,
          ]),
        );
      const options = { deltaSoftplus: true };
      const wanted = expected((round) => reference(inputs as SelectiveScanInputs, options, round));
      for (const rt of runtimes) {
        const middle = 1 + (cut % (t - 1));
        const first = await call(rt, selectiveScan, timed(0, middle), options);
        const rest = { ...timed(middle, t), initialState: again(first.finalState) };
        const second = await call(rt, selectiveScan, rest, options);
        assertAccurate({ ...second, o: joined([first.o, second.o]) }, wanted, `${rt.variant}: cut at ${middle}`);
        await rt.scope(async () => {
          const state = rt.tensor(new Float32Array(2 * d * n), [2, d, n]);
          const o = rt.empty([2, d]);
          const parts: NdArray[] = [];
          for (let i = 0; i < t; i++) {
            const row = Object.entries(timed(i, i + 1)).map(([key, x]): [string, Tensor] => {
              const { data, shape } = x.shape.length === 3 ? withoutTime(x) : x;
              return [key, rt.tensor(data, shape)];
            });
            const { blocks } = rt.memory();
            assert.equal(selectiveScanStep({ ...Object.fromEntries(row), state, o } as never, options).o, o);
            assert.ok(rt.memory().blocks <= blocks + (i === 0 ? 1 : 0), 'a step leaves memory behind');
            parts.push({ shape: [2, 1, d], data: Float32Array.from(o.dataSync()) });
            for (const [, tensor] of row) tensor.dispose();
          }
          const finalState = { shape: state.shape, data: state.dataSync() };
          assertAccurate({ o: joined(parts), finalState }, wanted, `${rt.variant}: steps`);
        });
      }
    },
  ));

test('cut along time: as accurate, and the same bits on one thread and on two', async () => {
  for (const [t, d, n, strength, full] of [
    [1500, 1, 16, 0.0002, false],
    [1100, 3, 5, 0.002, true],
    [2049, 16, 4, 0.0005, true],
  ] as const) {
    const random = randomFrom(t);
    const inputs: Inputs = {
      ...inputsOf(random, [1, t, d, n], strength, full),
      initialState: normal(random, [1, d, n]),
    };
    if (full) inputs.deltaBias = floats([d], () => 0.001 * random());
    const wanted = expected((round) => reference(inputs as SelectiveScanInputs, {}, round));
    for (const [i, rt] of runtimes.entries()) {
      const got = await call(rt, selectiveScan, inputs);
      assertAccurate(got, wanted, `${rt.variant}: ${t} x ${d} x ${n}`);
      const twice = await call(pairs[i]!, selectiveScan, inputs);
      for (const key of ['o', 'finalState'] as const) assertSameBits(twice[key], got[key], key);
    }
  }
});

test('equals the loop of the paper, one channel and one state at a time', async () => {
  const random = randomFrom(21);
  const inputs = inputsOf(random, [1, 40, 5, 3], 0.4, false);
  const { u, delta, A, B, C } = inputs;
  const want = floats([1, 40, 5], () => 0);
  for (let d = 0; d < 5; d++)
    for (let n = 0; n < 3; n++) {
      let h = 0;
      for (let t = 0; t < 40; t++) {
        const dt = at(delta, 0, t, d);
        h = Math.exp(dt * at(A, d, n)) * h + dt * at(B, 0, t, n) * at(u, 0, t, d);
        want.data[t * 5 + d]! += at(C, 0, t, n) * h;
      }
    }
  for (const rt of runtimes) assertNear((await call(rt, selectiveScan, inputs)).o, want, 1e-5, rt.variant);
});

test('step sizes through softplus from -90 to 90', async () => {
  const [t, d] = [61, 3];
  const inputs: Inputs = {
    u: floats([1, t, d], () => 1),
    delta: floats([1, t, d], (n) => -90 + Math.floor(n / d) * 3),
    A: floats([d, 1], () => -1e6),
    B: floats([1, t, 1], () => 1),
    C: floats([1, t, 1], () => 1),
  };
  for (const rt of runtimes) {
    const { o } = await call(rt, selectiveScan, inputs, { deltaSoftplus: true });
    for (let s = 0; s < t; s++) {
      const x = -90 + 3 * s;
      // ever so small steps leave the decay near 1: there o is the sum of the steps
      const want = Math.log1p(Math.exp(x));
      if (want > 1e-3) assert.ok(Math.abs(at(o, 0, s, 1) - want) < 1e-6 * want, `${rt.variant}: softplus(${x})`);
    }
  }
});

test('states that decay for long end as zeros or far below f32 resolution, never denormal, and growing ones as infinity', async () => {
  const [t, d, n] = [300, 7, 5];
  const inputs: Inputs = {
    u: floats([1, t, d], (i) => (i < d ? 1 : 0)),
    delta: floats([1, t, d], () => 1),
    A: floats([d, n], (i) => -0.4 - 0.1 * i),
    B: floats([1, t, n], () => 1),
    C: floats([1, t, n], () => 1),
  };
  for (const rt of runtimes) {
    const { finalState } = await call(rt, selectiveScan, inputs);
    assert.ok(Array.from(finalState.data).every((x) => x === 0));
    const strong = { ...inputs, A: floats([d, n], (i) => -0.4 - 5 * i) };
    const far = await call(rt, selectiveScan, strong);
    assert.ok(Array.from(far.finalState.data).every((x) => x === 0 || (x > 2 ** -110 && x < 1e-18)));
    const growing = { ...inputs, A: floats([d, n], (i) => 40 + i) };
    const grown = await call(rt, selectiveScan, growing);
    assert.ok(Array.from(grown.finalState.data).every((x) => x === Number.POSITIVE_INFINITY));
  }
});

test('NaN stays in its own channel', async () => {
  const random = randomFrom(22);
  for (const strength of [0.1, 4, 20]) {
    const inputs = inputsOf(random, [1, 5, 6, 4], strength, false);
    inputs.delta.data[6 + 2] = Number.NaN;
    for (const rt of runtimes) {
      const { o } = await call(rt, selectiveScan, inputs);
      for (let t = 0; t < 5; t++)
        for (let d = 0; d < 6; d++) assert.equal(Number.isNaN(at(o, 0, t, d)), d === 2 && t >= 1, `${t}, ${d}`);
    }
  }
});

test('wrong operands are errors that leave no memory behind', async () => {
  for (const rt of runtimes) {
    await rt.scope(async () => {
      const u = rt.empty([2, 7, 5]);
      const A = rt.empty([5, 3]);
      const B = rt.empty([2, 7, 3]);
      const row = rt.empty([5]);
      const state = rt.empty([2, 5, 3]);
      const inputs = { u, delta: u, A, B, C: B };
      const { used } = rt.memory();
      const fails = async (what: () => unknown, error: new (...args: never[]) => Error) => {
        await assert.rejects(async () => what(), error);
        assert.equal(rt.memory().used, used);
      };
      await fails(() => selectiveScan({ ...inputs, A: B }), ShapeError);
      await fails(() => selectiveScan({ ...inputs, C: u }), ShapeError);
      await fails(() => selectiveScan({ ...inputs, D: A }), ShapeError);
      await fails(() => selectiveScan({ ...inputs, initialState: B }), ShapeError);
      await fails(() => selectiveScan({ ...inputs, state } as never), OptionError);
      await fails(() => selectiveScan(inputs, { deltaSoftplus: 'yes' as never }), OptionError);
      await fails(() => selectiveScan(inputs, { softplus: true } as never), OptionError);
      await fails(() => selectiveScanStep({ ...inputs, state }), ShapeError);
      const token = { u: rt.empty([2, 5]), delta: rt.empty([2, 5]), A, B: rt.empty([2, 3]), C: rt.empty([2, 3]) };
      const { used: before } = rt.memory();
      assert.throws(() => selectiveScanStep({ ...token, state, o: row }), ShapeError);
      assert.throws(() => selectiveScanStep({ ...token, state: A } as never), ShapeError);
      assert.equal(rt.memory().used, before);
    });
  }
});

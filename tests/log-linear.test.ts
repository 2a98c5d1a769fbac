import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { logLinearAttn, logLinearAttnStep, OptionError, ShapeError, simpleGla, type Tensor } from '../src/index.ts';
import { assertAccurate, assertNear, expected } from './accuracy.ts';
import { type CallInputs, call } from './call.ts';
import { property } from './property.ts';
import { logLinearAttn as reference } from './reference/log-linear.ts';
import type { NdArray } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, ints, normal, randomFrom, roundToHalf, type Sample } from './samples.ts';
import { cutsAt, joined, type RecurrentShape, recurrentShapes, rowsOfAll, tokenOf } from './streaming.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

/** Levels that T positions need. */
const levelsOf = (t: number) => 1 + Math.ceil(Math.log2(Math.max(1, t)));

const shapes = recurrentShapes(2e5);

function sample({ seed, batch, t, heads, group, dk, dv }: RecurrentShape, strength: number, levels = levelsOf(t)) {
  const random = randomFrom(seed);
  const hv = heads * group;
  return {
    q: normal(random, [batch, t, heads, dk], dk ** -0.5),
    k: normal(random, [batch, t, heads, dk]),
    v: normal(random, [batch, t, hv, dv]),
    g: floats([batch, t, hv], () => -strength * random()),
    levelScales: floats([batch, t, hv, levels], () => 2 * random()),
  };
}

const given = (x: NdArray) => x as Sample;

test('log-linear attention, from no decay to decays that leave nothing', () =>
  property(
    fc.record({ shape: shapes, strength: fc.constantFrom(0, 0.1, 1, 30, 150), extra: fc.integer({ min: 0, max: 2 }) }),
    30,
    async ({ shape, strength, extra }) => {
      const inputs = sample(shape, strength, levelsOf(shape.t) + extra);
      const wanted = expected((round) => reference(inputs, {}, round));
      for (const rt of runtimes) assertAccurate(await call(rt, logLinearAttn, inputs), wanted, rt.variant);
    },
  ));

test('packed sequences, empty ones too', () =>
  property(
    fc.record({
      shape: shapes,
      cuts: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 4 }),
    }),
    20,
    async ({ shape, cuts }) => {
      const inputs = sample({ ...shape, batch: 1 }, 0.2);
      const packed = { ...inputs, cuSeqlens: ints([0, ...cutsAt(cuts, shape.t)]) };
      const wanted = expected((round) => reference(packed, {}, round));
      for (const rt of runtimes) assertAccurate(await call(rt, logLinearAttn, packed), wanted, rt.variant);
    },
  ));

test('a sequence continued from its states, wherever it is split', () =>
  property(
    fc.record({
      shape: shapes,
      strength: fc.constantFrom(0, 0.1, 1, 30),
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      second: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
    20,
    async ({ shape, strength, at, second }) => {
      const inputs = sample(shape, strength);
      const wanted = expected((round) => reference(inputs, {}, round));
      const cuts = cutsAt([at, second], shape.t);
      for (const rt of runtimes) {
        let state: CallInputs = {};
        const parts: NdArray[] = [];
        let last: { finalState: NdArray; position: NdArray } | undefined;
        for (let i = 0; i < 3; i++) {
          const part = await call(rt, logLinearAttn, { ...rowsOfAll(inputs, cuts[i]!, cuts[i + 1]!), ...state });
          parts.push(part.o);
          last = part;
          state = { initialState: given(part.finalState), initialPosition: given(part.position) };
        }
        const o = joined(parts);
        assertAccurate(
          { o, finalState: last!.finalState, position: last!.position },
          wanted,
          `${rt.variant} at ${cuts}`,
        );
      }
    },
  ));

test('token by token, after a prefill and from nothing', async () => {
  for (const [t, prefix, heads, dk, dv] of [
    [20, 0, 2, 18, 20],
    [136, 120, 1, 33, 40],
    [9, 4, 1, 3, 1],
  ] as const) {
    const inputs = sample({ seed: t, batch: 2, t, heads, group: 2, dk, dv }, 0.3);
    const wanted = expected((round) => reference(inputs, {}, round));
    for (const rt of runtimes) {
      await rt.scope(async () => {
        const first = await call(rt, logLinearAttn, rowsOfAll(inputs, 0, prefix));
        const state = rt.tensor(Float32Array.from(first.finalState.data), first.finalState.shape);
        const position = rt.tensor(Int32Array.from(first.position.data), first.position.shape, 'i32');
        const o = rt.empty([2, heads * 2, dv]);
        const parts = [first.o];
        for (let i = prefix; i < t; i++) {
          const token: Record<string, Tensor> = {};
          for (const [name, x] of Object.entries(tokenOf(inputs, i))) token[name] = rt.tensor(x.data, x.shape);
          rt.poison();
          const { blocks } = rt.memory();
          logLinearAttnStep({ ...token, state, position, o } as Parameters<typeof logLinearAttnStep>[0]);
          if (i > prefix) assert.equal(rt.memory().blocks, blocks);
          parts.push({ shape: [2, 1, heads * 2, dv], data: await o.data() });
          for (const tensor of Object.values(token)) tensor.dispose();
        }
        const got = {
          o: joined(parts),
          finalState: { shape: state.shape, data: await state.data() },
          position: { shape: position.shape, data: await position.data() },
        };
        assertAccurate(got, wanted, `${rt.variant}, ${t} tokens`);
      });
    }
  }
});

test('identity: with every level at 1 it is simple GLA unscaled', async () => {
  const inputs = sample({ seed: 5, batch: 2, t: 300, heads: 2, group: 2, dk: 18, dv: 20 }, 0.1);
  const { levelScales: _, ...gla } = inputs;
  const ones = { ...inputs, levelScales: floats(inputs.levelScales.shape, () => 1) };
  for (const rt of runtimes) {
    const want = await call(rt, simpleGla, gla, { scale: 1 });
    const got = await call(rt, logLinearAttn, ones);
    assertNear(got.o, want.o, 2e-5, rt.variant);
  }
});

test('weak gates beside gates that forget everything, -Infinity among them', async () => {
  for (const strong of [-30, -1e3, -1e6, Number.NEGATIVE_INFINITY]) {
    for (const where of [0, 62, 64, 100]) {
      const inputs = sample({ seed: 8, batch: 1, t: 130, heads: 2, group: 1, dk: 9, dv: 12 }, 0.01);
      inputs.g.data[2 * where] = strong;
      const wanted = expected((round) => reference(inputs, {}, round));
      for (const rt of runtimes)
        assertAccurate(await call(rt, logLinearAttn, inputs), wanted, `${rt.variant}: ${strong} at ${where}`);
    }
  }
});

test('16-bit operands', async () => {
  const { q, k, v, ...rest } = sample({ seed: 9, batch: 2, t: 70, heads: 2, group: 1, dk: 18, dv: 20 }, 0.2);
  const half = (x: FloatSample) => ({ shape: x.shape, data: x.data.map(roundToHalf) });
  const rounded = { q: half(q), k: half(k), v: half(v) };
  const wanted = expected((round) => reference({ ...rounded, ...rest }, {}, round));
  for (const rt of runtimes) {
    const made = Object.entries(rounded).map(([name, x]) => [name, rt.tensor(x.data, x.shape, 'f16')] as const);
    assertAccurate(await call(rt, logLinearAttn, { ...Object.fromEntries(made), ...rest }), wanted, rt.variant);
    for (const [, tensor] of made) tensor.dispose();
  }
});

test('heads before tokens in memory', async () => {
  const inputs = sample({ seed: 10, batch: 2, t: 70, heads: 2, group: 1, dk: 18, dv: 20 }, 0.2);
  const wanted = expected((round) => reference(inputs, {}, round));
  for (const rt of runtimes) {
    const made = Object.entries(inputs).map(([name, { shape, data }]) => {
      const [batch = 0, t = 0, heads = 0, d = 1] = shape;
      const at = (n: number) => {
        const [c, i, h] = [n % d, Math.floor(n / d) % t, Math.floor(n / (d * t)) % heads];
        return data[((Math.floor(n / (d * t * heads)) * t + i) * heads + h) * d + c]!;
      };
      const swapped = rt
        .tensor(
          Float32Array.from(data, (_, n) => at(n)),
          [batch, heads, t, d],
        )
        .permute([0, 2, 1, 3]);
      return [name, shape.length === 4 ? swapped : rt.tensor(data, shape)] as const;
    });
    assertAccurate(await call(rt, logLinearAttn, Object.fromEntries(made)), wanted, rt.variant);
    for (const [, tensor] of made) tensor.dispose();
  }
});

test('what does not fit is an error that leaves no memory behind', async () => {
  const rt = runtimes[0]!;
  await rt.scope(async () => {
    const { q, k, v, g, levelScales } = sample({ seed: 9, batch: 1, t: 8, heads: 2, group: 1, dk: 4, dv: 4 }, 0.2);
    const tensors = {
      q: rt.tensor(q.data, q.shape),
      k: rt.tensor(k.data, k.shape),
      v: rt.tensor(v.data, v.shape),
      g: rt.tensor(g.data, g.shape),
      levelScales: rt.tensor(levelScales.data, levelScales.shape),
    };
    const initialState = rt.tensor(new Float32Array(2 * 2 * 16), [1, 2, 2, 4, 4]);
    const at = (position: number) => rt.tensor([position], [1], 'i32');
    const few = rt.tensor(new Float32Array(48), [1, 8, 2, 3]);
    const [three, four, minus] = [at(3), at(4), at(-1)];
    const { used } = rt.memory();
    const wrong: [object, object, RegExp][] = [
      [{ levelScales: few }, ShapeError, /3 levels, expected at least 4/],
      [{ initialState }, ShapeError, /without initialPosition/],
      [{ initialPosition: three }, ShapeError, /without initialState/],
      [{ initialState, initialPosition: four }, ShapeError, /is 4 and initialState has 2 slots/],
      [{ initialState, initialPosition: minus }, ShapeError, /is -1/],
      [{ initialState, initialPosition: three }, ShapeError, /expected at least 5 up to position 10/],
      [{ g: tensors.levelScales }, ShapeError, /g has shape/],
      [{ extra: tensors.q }, OptionError, /no input 'extra'/],
    ];
    for (const [change, kind, message] of wrong) {
      await assert.rejects(logLinearAttn({ ...tensors, ...change } as Parameters<typeof logLinearAttn>[0]), (error) => {
        assert.ok(error instanceof (kind as typeof ShapeError), String(error));
        assert.match(error.message, message);
        return true;
      });
      assert.equal(rt.memory().used, used);
    }
    await assert.rejects(logLinearAttn(tensors, { scale: 2 }), OptionError);
    assert.equal(rt.memory().used, used);
  });
});

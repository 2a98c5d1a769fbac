import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { logSumGates, scanSequences } from '../src/engines/scan.ts';
import {
  hgrn,
  hgrnStep,
  hgrnSync,
  logCumsumExp,
  OptionError,
  type Runtime,
  rgLru,
  rgLruStep,
  rwkv4,
  rwkv4Step,
  ShapeError,
  type Tensor,
  WattnError,
} from '../src/index.ts';
import { run } from '../src/runtime/program.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { type CallInputs, call } from './call.ts';
import { property, sometimes } from './property.ts';
import { hgrn as hgrnReference } from './reference/hgrn.ts';
import { logCumsumExp as logCumsumExpReference } from './reference/log-cumsum-exp.ts';
import { at, type NdArray, type Round } from './reference/ndarray.ts';
import { rgLru as rgLruReference } from './reference/rg-lru.ts';
import { rwkv4 as rwkv4Reference } from './reference/rwkv4.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, ints, normal, randomFrom } from './samples.ts';
import { again, joined, rowsOf, withoutTime } from './streaming.ts';

const runtimes = await variants();
const pairs = await variants(2);
after(() => {
  for (const rt of [...runtimes, ...pairs]) rt.dispose();
});

// biome-ignore lint/suspicious/noExplicitAny: every op's inputs, options and results are its own
type AnyOp = (inputs: any, options?: any) => Promise<any>;
// biome-ignore lint/suspicious/noExplicitAny: likewise
type AnyStep = (inputs: any, options?: any) => { o: Tensor };
// biome-ignore lint/suspicious/noExplicitAny: likewise
type AnyReference = (inputs: any, options: any, round: Round) => Record<string, NdArray>;

interface Recurrence {
  op: AnyOp;
  step: AnyStep;
  reference: AnyReference;
  /** Inputs for gates of this strength. */
  inputs(random: () => number, b: number, t: number, d: number, strength: number): Record<string, FloatSample>;
  /** Names of the states going in, by the names of those coming out. */
  states: Record<string, string>;
  /** Values of an empty state. */
  empty: Record<string, number>;
  /** Options where a state is carried in, and for the first step of a sequence. */
  carried?: object;
  begin?: object;
}

const recurrences: Record<string, Recurrence> = {
  hgrn: {
    op: hgrn,
    step: hgrnStep,
    reference: hgrnReference,
    inputs: (random, b, t, d, strength) => ({
      x: normal(random, [b, t, d]),
      g: floats([b, t, d], () => -strength * random()),
    }),
    states: { finalState: 'initialState' },
    empty: { finalState: 0 },
  },
  rgLru: {
    op: rgLru,
    step: rgLruStep,
    reference: rgLruReference,
    inputs: (random, b, t, d, strength) => ({
      x: normal(random, [b, t, d]),
      inputGate: floats([b, t, d], () => random()),
      recurrentGate: floats([b, t, d], () => random()),
      recurrentParam: normal(random, [d], 1 + strength),
    }),
    states: { finalState: 'initialState' },
    empty: { finalState: 0 },
    begin: { reset: true },
  },
  rwkv4: {
    op: rwkv4,
    step: rwkv4Step,
    reference: rwkv4Reference,
    inputs: (random, b, t, d, strength) => ({
      k: normal(random, [b, t, d], 1 + strength),
      v: normal(random, [b, t, d]),
      w: normal(random, [d], 2),
      u: normal(random, [d]),
    }),
    states: { num: 'num', den: 'den', max: 'max' },
    empty: { num: 0, den: 0, max: -1e38 },
  },
};

const shapes = fc.record({
  seed: fc.nat(),
  b: fc.integer({ min: 1, max: 3 }),
  t: fc.constantFrom(0, 1, 2, 63, 65, 130),
  d: fc.constantFrom(1, 3, 18, 64, 80, 133),
  strength: fc.constantFrom(0, 0.01, 1, 30, 200),
});

/** States that make sense to carry in: those that a run over other tokens ends with. */
function statesOf(recurrence: Recurrence, random: () => number, n: number, d: number): Record<string, FloatSample> {
  const results = recurrence.reference(recurrence.inputs(random, n, 5, d, 1), {}, Math.fround);
  return Object.fromEntries(Object.entries(recurrence.states).map(([from, to]) => [to, again(results[from]!)]));
}

for (const [name, recurrence] of Object.entries(recurrences)) {
  const { op, step, reference, states, empty, begin } = recurrence;

  test(`${name}: random shapes and gates, with and without a state`, () =>
    property(fc.record({ shape: shapes, carried: fc.boolean() }), 30, async ({ shape, carried }) => {
      const { seed, b, t, d, strength } = shape;
      const random = randomFrom(seed);
      const inputs = {
        ...recurrence.inputs(random, b, t, d, strength),
        ...(carried && statesOf(recurrence, random, b, d)),
      };
      const wanted = expected((round) => reference(inputs, {}, round));
      for (const rt of runtimes) assertAccurate(await call(rt, op, inputs), wanted, rt.variant);
    }));

  test(`${name}: packed sequences, empty ones too`, () =>
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
        const ends = lengths.map((_, n) => lengths.slice(0, n + 1).reduce<number>((sum, x) => sum + x, 0));
        const inputs = {
          ...recurrence.inputs(random, 1, ends.at(-1)!, d, 1),
          cuSeqlens: ints([0, ...ends]),
          ...(carried && statesOf(recurrence, random, lengths.length, d)),
        };
        const wanted = expected((round) => reference(inputs, {}, round));
        for (const rt of runtimes) assertAccurate(await call(rt, op, inputs), wanted, rt.variant);
      },
    ));

  test(`${name}: in two runs and step by step as in one`, () =>
    property(
      fc.record({ seed: fc.nat(), t: fc.constantFrom(2, 9, 65), d: fc.constantFrom(1, 18, 64), cut: fc.nat() }),
      12,
      async ({ seed, t, d, cut }) => {
        const random = randomFrom(seed);
        const inputs = recurrence.inputs(random, 2, t, d, 1);
        const timed = (from: number, to: number) =>
          Object.fromEntries(
            Object.entries(inputs).map(([key, x]) => [key, x.shape.length > 1 ? rowsOf(x, from, to) : x]),
          );
        const wanted = expected((round) => reference(inputs, {}, round));
        for (const rt of runtimes) {
          const middle = 1 + (cut % (t - 1));
          const first: Record<string, NdArray> = await call(rt, op, timed(0, middle));
          const state = Object.fromEntries(Object.entries(states).map(([from, to]) => [to, again(first[from]!)]));
          const second: Record<string, NdArray> = await call(rt, op, { ...timed(middle, t), ...state });
          assertAccurate({ ...second, o: joined([first.o!, second.o!]) }, wanted, `${rt.variant}: cut at ${middle}`);
          await rt.scope(async () => {
            const held = Object.fromEntries(
              Object.entries(empty).map(([key, value]) => [
                key,
                rt.tensor(new Float32Array(2 * d).fill(value), [2, d]),
              ]),
            );
            const [single] = Object.keys(held);
            const given = Object.keys(held).length === 1 ? { state: held[single!]! } : held;
            const o = rt.empty([2, d]);
            const parts: FloatSample[] = [];
            for (let i = 0; i < t; i++) {
              const row = Object.entries(timed(i, i + 1)).map(([key, x]): [string, Tensor] => {
                const { data, shape } = x.shape.length > 1 ? withoutTime(x) : x;
                return [key, rt.tensor(data, shape)];
              });
              const operands = { ...Object.fromEntries(row), ...given, o };
              const { blocks } = rt.memory();
              assert.equal(step(operands, i === 0 ? begin : undefined).o, o);
              assert.ok(rt.memory().blocks <= blocks + (i === 0 ? 1 : 0), 'a step leaves memory behind');
              parts.push({ shape: [2, 1, d], data: Float32Array.from(o.dataSync()) });
              for (const [, tensor] of row) tensor.dispose();
            }
            const ends = Object.fromEntries(
              Object.entries(held).map(([key, tensor]) => [key, { shape: tensor.shape, data: tensor.dataSync() }]),
            );
            assertAccurate({ ...ends, o: joined(parts) }, wanted, `${rt.variant}: steps`);
          });
        }
      },
    ));
}

test('hgrn and rgLru cut along time: as accurate, and the same bits on one thread and on two', async () => {
  for (const name of ['hgrn', 'rgLru'] as const) {
    const recurrence = recurrences[name]!;
    for (const [t, d, strength] of [
      [1500, 1, 0.01],
      [2100, 3, 0],
      [1024, 16, 1],
      [5000, 5, 0.001],
    ] as const) {
      const random = randomFrom(t);
      const inputs = { ...recurrence.inputs(random, 1, t, d, strength), ...statesOf(recurrence, random, 1, d) };
      if (name === 'rgLru') inputs.recurrentGate = floats([1, t, d], () => 0.01 * random());
      const wanted = expected((round) => recurrence.reference(inputs, {}, round));
      for (const [n, rt] of runtimes.entries()) {
        const got: Record<string, NdArray> = await call(rt, recurrence.op, inputs);
        assertAccurate(got, wanted, `${rt.variant}: ${name} ${t} x ${d}`);
        const twice: Record<string, NdArray> = await call(pairs[n]!, recurrence.op, inputs);
        for (const key of ['o', 'finalState']) assertSameBits(twice[key]!, got[key]!, `${name}: ${key}`);
      }
    }
  }
});

test('hgrn cut along time, long enough for two threads, gives the bits of one', async () => {
  const inputs = recurrences.hgrn!.inputs(randomFrom(5), 1, 20_000, 16, 0.001);
  for (const [n, rt] of runtimes.entries()) {
    const got = await call(rt, hgrn, inputs);
    const twice = await call(pairs[n]!, hgrn, inputs);
    assertSameBits(twice.o, got.o, rt.variant);
    assertSameBits(twice.finalState, got.finalState, rt.variant);
  }
});

test('hgrn cut along time with packed sequences of very different lengths', async () => {
  const random = randomFrom(7);
  const recurrence = recurrences.hgrn!;
  const inputs = {
    ...recurrence.inputs(random, 1, 3010, 5, 0.01),
    ...statesOf(recurrence, random, 4, 5),
    cuSeqlens: ints([0, 7, 7, 3000, 3010]),
  };
  const wanted = expected((round) => recurrence.reference(inputs, {}, round));
  for (const rt of runtimes) assertAccurate(await call(rt, hgrn, inputs), wanted, rt.variant);
});

test('rwkv4 equals the naive sums in float64, which need no maximum there', async () => {
  const random = randomFrom(11);
  const [b, t, d] = [2, 65, 18];
  const inputs = recurrences.rwkv4!.inputs(random, b, t, d, 1);
  const { k, v, w, u } = inputs as Record<'k' | 'v' | 'w' | 'u', FloatSample>;
  const want = floats([b, t, d], () => 0);
  for (let i = 0; i < b; i++)
    for (let c = 0; c < d; c++) {
      let above = 0;
      let below = 0;
      const decay = Math.exp(-Math.exp(at(w, c)));
      for (let s = 0; s < t; s++) {
        const [key, value] = [at(k, i, s, c), at(v, i, s, c)];
        const bonus = Math.exp(key + at(u, c));
        want.data[(i * t + s) * d + c] = (above + bonus * value) / (below + bonus);
        above = decay * above + Math.exp(key) * value;
        below = decay * below + Math.exp(key);
      }
    }
  for (const rt of runtimes) assertNear((await call(rt, rwkv4, inputs)).o, want, 1e-5, rt.variant);
});

test('logCumsumExp: random shapes, large values, -Infinity, and carried on', () =>
  property(
    fc.record({
      seed: fc.nat(),
      b: fc.integer({ min: 1, max: 2 }),
      t: fc.constantFrom(0, 1, 2, 63, 130),
      d: fc.constantFrom(1, 3, 18, 80),
      std: fc.constantFrom(0.1, 1, 30, 1e4),
      initial: sometimes(fc.constantFrom(-1e30, Number.NEGATIVE_INFINITY, 0, 50)),
      holes: fc.boolean(),
    }),
    40,
    async ({ seed, b, t, d, std, initial, holes }) => {
      const random = randomFrom(seed);
      const x = normal(random, [b, t, d], std);
      if (holes) for (let n = 0; n < x.data.length; n++) if (random() < 0.3) x.data[n] = Number.NEGATIVE_INFINITY;
      const inputs = { x, ...(initial !== undefined && { initial: floats([b, d], () => initial) }) };
      const wanted = expected((round) => logCumsumExpReference(inputs, {}, round));
      for (const rt of runtimes) {
        const got = await call(rt, logCumsumExp, inputs);
        assertAccurate(got, wanted, rt.variant);
        const cut = Math.floor(t / 3);
        const first = await call(rt, logCumsumExp, { ...inputs, x: rowsOf(x, 0, cut) });
        const second = await call(rt, logCumsumExp, { x: rowsOf(x, cut, t), initial: again(first.final) });
        assertAccurate({ o: joined([first.o!, second.o!]), final: second.final }, wanted, `${rt.variant}: cut`);
      }
    },
  ));

/** z, gates and weights by the engine's host function. */
function gates(rt: Runtime, inputs: CallInputs): Promise<Record<string, NdArray>> {
  const plan = ({ x, initial }: { x: Tensor; initial?: Tensor }) =>
    run('logSumGates', { x, initial }, (b) => {
      const [o, decay, w] = [b.output(x.shape), b.output(x.shape), b.output(x.shape)];
      const final = b.output([x.shape[0]!, x.shape[2]!]);
      logSumGates(b, { spans: scanSequences('logSumGates', x), like: x, initial, final, o, decay, w });
      return { o, decay, w, final };
    });
  return call(rt, plan, inputs);
}

test('the gates of a logarithmic sum: decay_t = e^{z_{t-1} - z_t}, w_t = e^{x_t - z_t}, no decay of an empty sum', async () => {
  const random = randomFrom(3);
  for (const initial of [undefined, Number.NEGATIVE_INFINITY, 0.5])
    for (const std of [1, 40]) {
      const x = normal(random, [2, 65, 18], std);
      const inputs = { x, ...(initial !== undefined && { initial: floats([2, 18], () => initial) }) };
      const z = logCumsumExpReference(inputs).o;
      const before = (b: number, t: number, d: number) =>
        t > 0 ? at(z, b, t - 1, d) : (initial ?? Number.NEGATIVE_INFINITY);
      const each = (f: (b: number, t: number, d: number) => number) =>
        floats(x.shape, (n) => f(Math.floor(n / (65 * 18)), Math.floor(n / 18) % 65, n % 18));
      const decay = each((b, t, d) =>
        before(b, t, d) === Number.NEGATIVE_INFINITY ? 1 : Math.exp(before(b, t, d) - at(z, b, t, d)),
      );
      const w = each((b, t, d) => Math.exp(at(x, b, t, d) - at(z, b, t, d)));
      for (const rt of runtimes) {
        const got = await gates(rt, inputs);
        assertNear(got.decay!, decay, 1e-6, `${rt.variant}: decay`);
        assertNear(got.w!, w, 1e-6, `${rt.variant}: w`);
      }
    }
});

test('gates that are not there: NaN stays NaN in its own channel, -Infinity forgets', async () => {
  for (const rt of runtimes) {
    const x = floats([1, 3, 5], (n) => n);
    const g = floats([1, 3, 5], (n) => (n === 6 ? Number.NaN : n === 7 ? Number.NEGATIVE_INFINITY : 0));
    const { o } = await call(rt, hgrn, { x, g });
    assert.ok(Number.isNaN(at(o, 0, 1, 1)) && Number.isNaN(at(o, 0, 2, 1)));
    assert.equal(at(o, 0, 1, 2), 7);
    assert.equal(at(o, 0, 2, 0), 15);
  }
});

test('wrong operands are errors that leave no memory behind', async () => {
  for (const rt of runtimes) {
    await rt.scope(async () => {
      const x = rt.empty([2, 7, 5]);
      const row = rt.empty([5]);
      const state = rt.empty([2, 5]);
      const wide = rt.empty([3, 5]);
      const words = rt.tensor(Int32Array.from([0, 3]), [2]);
      const permuted = rt.empty([2, 5, 7]).permute([0, 2, 1]);
      const { used } = rt.memory();
      const fails = async (what: () => unknown, error: new (...args: never[]) => Error) => {
        await assert.rejects(async () => what(), error);
        assert.equal(rt.memory().used, used);
      };
      await fails(() => hgrn({ x, g: row }), ShapeError);
      await fails(() => hgrnSync({ x, g: x, initialState: wide }), ShapeError);
      await fails(() => hgrn({ x, g: x, cuSeqlens: words }), ShapeError);
      await fails(() => hgrn({ x: permuted, g: permuted }), ShapeError);
      await fails(() => hgrn({ x: words, g: x } as never), WattnError);
      await fails(() => hgrn({ x, g: x }, { scale: 1 }), OptionError);
      await fails(() => hgrnStep({ x: state, g: state, state: wide }), ShapeError);
      await fails(() => hgrnStep({ x, g: x, state } as never), ShapeError);
      await fails(() => hgrnStep({ x: state, g: state, state, o: row }), ShapeError);
      const lru = { x, inputGate: x, recurrentGate: x, recurrentParam: row };
      await fails(() => rgLru({ ...lru, recurrentParam: state }), ShapeError);
      await fails(() => rgLru(lru, { c: Number.NaN }), OptionError);
      await fails(() => rgLru(lru, { reset: 1 as never }), OptionError);
      const time = { k: x, v: x, w: row, u: row };
      await fails(() => rwkv4({ ...time, num: state }), ShapeError);
      await fails(() => rwkv4({ ...time, w: state }), ShapeError);
      await fails(() => logCumsumExp({ x, initial: wide }), ShapeError);
      await fails(() => logCumsumExp({ x, y: x } as never), OptionError);
    });
  }
});

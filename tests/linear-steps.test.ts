import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { DTypeError, type Runtime, ShapeError, type Tensor } from '../src/index.ts';
import { assertAccurate, assertNear } from './accuracy.ts';
import { deltaMethods } from './delta-methods.ts';
import { type Lengths, type Method, methods, opOf, optionsFrom, stepOf, syncOf, wantedOf } from './linear-methods.ts';
import { property } from './property.ts';
import type { NdArray } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, normal, randomFrom } from './samples.ts';
import { joined, rowsOfAll, tokenOf } from './streaming.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

const streaming = [...methods, ...deltaMethods].filter(({ states }) => states.length > 0);

function casesOf(method: Method, lastT: number) {
  return fc
    .record({
      seed: fc.nat(),
      b: fc.integer({ min: 1, max: 2 }),
      t: fc.constantFrom(1, 2, 7, 40, lastT),
      h: fc.integer({ min: 1, max: 2 }),
      g: method.ungrouped ? fc.constant(1) : fc.constantFrom(1, 1, 2, 3),
      k: fc.constantFrom(1, 3, 18, 64),
      v: fc.constantFrom(1, 3, 8, 20, 64),
      m: fc.constantFrom(1, 3, 8),
      kind: fc.constantFrom('none', 'mild', 'mixed', 'bursts', 'walls') as fc.Arbitrary<'none' | 'mild'>,
      cuts: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 4 }),
    })
    .map(({ g, ...sample }) => ({ ...sample, hv: g * sample.h }))
    .filter((lengths) => lengths.b * lengths.t * lengths.hv * (method.work?.(lengths) ?? lengths.k * lengths.v) < 2e5);
}

function tensorsOf(rt: Runtime, samples: Record<string, FloatSample>): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(samples).map(([name, { shape, data }]) => [name, rt.tensor(data, shape)]));
}

const copied = (tensor: Tensor): NdArray => ({ shape: tensor.shape, data: tensor.dataSync() });

/** Outputs and last states by name. */
function outcome(method: Method, parts: readonly NdArray[], states: Record<string, Tensor>): Record<string, NdArray> {
  return {
    o: joined(parts),
    ...Object.fromEntries(method.states.map(({ final }) => [final, copied(states[final]!)])),
  };
}

/** Prefills [0,cut), [cut,...), ... with the states carried on. */
function inParts(
  rt: Runtime,
  method: Method,
  tokens: Record<string, FloatSample>,
  others: Record<string, Tensor>,
  cuts: number[],
) {
  const parts: NdArray[] = [];
  let carried: Record<string, Tensor> = {};
  for (let n = 0; n + 1 < cuts.length; n++) {
    const initial = Object.fromEntries(
      method.states.filter(({ final }) => carried[final]).map((state) => [state.initial, carried[state.final]!]),
    );
    const inputs = { ...tensorsOf(rt, rowsOfAll(tokens, cuts[n]!, cuts[n + 1]!)), ...others, ...initial };
    rt.poison();
    const { o, ...states } = syncOf(method)(inputs, optionsFrom(method, cuts[n]!));
    parts.push(copied(o!));
    carried = states;
  }
  return { parts, carried };
}

for (const method of streaming) {
  test(`${method.label}: states carried over random splits`, () =>
    property(casesOf(method, 130), 15, async ({ seed, kind, cuts, ...lengths }) => {
      const random = randomFrom(seed);
      const tokens = method.tokens(random, lengths, kind, 1);
      const constants = method.constants?.(random, lengths, kind) ?? {};
      const wanted = wantedOf(method, { ...tokens, ...constants }, method.options);
      const at = [0, ...cuts.map((cut) => Math.round(cut * lengths.t)).sort((x, y) => x - y), lengths.t];
      // What is not causal has no parts.
      const whole = (method.options as { causal?: boolean }).causal === false;
      for (const rt of runtimes)
        rt.scope(() => {
          const { parts, carried } = inParts(rt, method, tokens, tensorsOf(rt, constants), whole ? [0, lengths.t] : at);
          assertAccurate(outcome(method, parts, carried), wanted, `${rt.variant}: ${method.label} cut at ${at}`);
        });
    }));
}

for (const method of streaming.filter(({ steps }) => steps)) {
  test(`${method.label}: token by token is the prefill`, () =>
    property(casesOf(method, 63), 15, async ({ seed, kind, cuts, ...lengths }) => {
      const random = randomFrom(seed);
      const tokens = method.tokens(random, lengths, kind, 1);
      const constants = method.constants?.(random, lengths, kind) ?? {};
      const wanted = wantedOf(method, { ...tokens, ...constants }, method.options);
      // States of the method's own layout come from a prefill, which may be of no token at all.
      const known = method.states.every(({ shape }) => shape);
      const from = known && cuts.length === 0 ? 0 : Math.round((cuts[0] ?? 0) * lengths.t);
      for (const rt of runtimes)
        rt.scope(() => {
          const others = tensorsOf(rt, constants);
          const { parts, states } =
            from > 0 || !known
              ? prefilled(rt, method, tokens, others, from)
              : { parts: [] as NdArray[], states: fresh(rt, method, lengths) };
          for (let t = from; t < lengths.t; t++) {
            const inputs = {
              ...tensorsOf(rt, tokenOf(tokens, t)),
              ...others,
              ...Object.fromEntries(method.states.map(({ step, final }) => [step, states[final]!])),
            };
            parts.push(stepped(rt, method, inputs, t, lengths));
          }
          assertAccurate(outcome(method, parts, states), wanted, `${rt.variant}: ${method.label} from ${from}`);
        });
    }));
}

function prefilled(
  rt: Runtime,
  method: Method,
  tokens: Record<string, FloatSample>,
  others: Record<string, Tensor>,
  to: number,
) {
  const { parts, carried } = inParts(rt, method, tokens, others, [0, to]);
  return { parts, states: carried };
}

function fresh(rt: Runtime, method: Method, lengths: Lengths): Record<string, Tensor> {
  return tensorsOf(
    rt,
    Object.fromEntries(
      method.states.map(({ final, shape, fill = 0 }) => [final, floats(shape!(lengths.b, lengths), () => fill)]),
    ),
  );
}

/** One step, every other one into a tensor of the caller: [B,1,HV,V]. Nothing stays in memory but what it returns. */
function stepped(
  rt: Runtime,
  method: Method,
  inputs: Record<string, Tensor>,
  t: number,
  { b, hv, v }: Lengths,
): NdArray {
  const mine = t % 2 === 0 ? rt.tensor(new Float32Array(b * hv * v).fill(Number.NaN), [b, hv, v]) : undefined;
  rt.poison();
  const { used, blocks } = rt.memory();
  const { o } = stepOf(method)({ ...inputs, ...(mine && { o: mine }) }, optionsFrom(method, t));
  assert.deepEqual([...o!.shape], [b, hv, v]);
  if (mine) {
    assert.equal(o!.address, mine.address, 'the given o is returned');
    // The first call may take its scratch for good.
    if (t > 1) assert.deepEqual([rt.memory().used, rt.memory().blocks], [used, blocks], 'a step leaves nothing behind');
  }
  return { shape: [b, 1, hv, v], data: o!.dataSync() };
}

test('steps do not touch what is not theirs: the tokens stay as they are', async () => {
  for (const method of streaming.filter(({ steps, states }) => steps && states.every(({ shape }) => shape))) {
    const random = randomFrom(52);
    const lengths = { b: 2, t: 1, h: 1, hv: 1, k: 5, v: 7, m: 3 };
    for (const rt of runtimes)
      rt.scope(() => {
        const inputs = {
          ...tensorsOf(rt, tokenOf(method.tokens(random, lengths, 'mild', 1), 0)),
          ...tensorsOf(rt, method.constants?.(random, lengths, 'mild') ?? {}),
        };
        const before = Object.values(inputs).map(copied);
        const states = fresh(rt, method, lengths);
        stepOf(method)(
          { ...inputs, ...Object.fromEntries(method.states.map(({ step, final }) => [step, states[final]!])) },
          optionsFrom(method, 0),
        );
        assert.deepEqual(Object.values(inputs).map(copied), before, `${rt.variant}: ${method.label}`);
      });
  }
});

test('a prefill leaves its initial states as they are', async () => {
  for (const method of streaming.filter(({ states }) => states.every(({ shape }) => shape))) {
    const random = randomFrom(53);
    const lengths = { b: 2, t: 9, h: 1, hv: 1, k: 5, v: 7, m: 3 };
    for (const rt of runtimes)
      await rt.scope(async () => {
        const initial = fresh(rt, method, lengths);
        const before = Object.values(initial).map(copied);
        await opOf(method)(
          {
            ...tensorsOf(rt, method.tokens(random, lengths, 'mild', 1)),
            ...tensorsOf(rt, method.constants?.(random, lengths, 'mild') ?? {}),
            ...Object.fromEntries(method.states.map((state) => [state.initial, initial[state.final]!])),
          },
          method.options,
        );
        assert.deepEqual(Object.values(initial).map(copied), before, `${rt.variant}: ${method.label}`);
      });
  }
});

/** x [...] whose last two axes are swapped in memory. */
function swappedInMemory(rt: Runtime, { shape, data }: FloatSample): Tensor {
  const [rows = 0, columns = 0] = shape.slice(-2);
  const size = rows * columns;
  const swapped = Float32Array.from(data, (_, n) => {
    const [block, c, r] = [Math.floor(n / size), Math.floor((n % size) / rows), n % rows];
    return data[block * size + r * columns + c]!;
  });
  const axes = shape.map((_, axis) => axis);
  return rt
    .tensor(swapped, [...shape.slice(0, -2), columns, rows])
    .permute([...axes.slice(0, -2), axes.at(-1)!, axes.at(-2)!]);
}

/** What `body` returns, or undefined where it refuses a shape or element type. */
function unlessRefused<R>(body: () => R): R | undefined {
  try {
    return body();
  } catch (error) {
    if (error instanceof ShapeError || error instanceof DTypeError) return undefined;
    throw error;
  }
}

test('states and outputs that are not contiguous are refused or right', () => {
  for (const method of streaming.filter(({ steps, states }) => steps && states.every(({ shape }) => shape))) {
    const random = randomFrom(54);
    const lengths = { b: 2, t: 1, h: 2, hv: 2, k: 5, v: 7, m: 3 };
    const tokens = method.tokens(random, lengths, 'mild', 1);
    const constants = method.constants?.(random, lengths, 'mild') ?? {};
    const states = method.states.map((state) => ({
      ...state,
      sample: (state.sample ?? normal)(random, state.shape!(lengths.b, lengths)),
    }));
    for (const rt of runtimes)
      rt.scope(() => {
        const what = `${rt.variant}: ${method.label}`;
        const [whole, one] = [
          { ...tensorsOf(rt, tokens), ...tensorsOf(rt, constants) },
          { ...tensorsOf(rt, tokenOf(tokens, 0)), ...tensorsOf(rt, constants) },
        ];
        const statesOf = (name: 'initial' | 'step', swap: string) =>
          Object.fromEntries(
            states.map((state) => [
              state[name],
              state.final === swap && state.sample.shape.length > 2
                ? swappedInMemory(rt, state.sample)
                : rt.tensor(state.sample.data, state.sample.shape),
            ]),
          );
        const prefill = (swap: string) => syncOf(method)({ ...whole, ...statesOf('initial', swap) }, method.options);
        const want = prefill('').o!;
        for (const { final } of states) {
          const got = unlessRefused(() => prefill(final));
          if (got) assertNear(copied(got.o!), copied(want), 1e-5, `${what}: prefill, ${final} swapped`);
          const carried = statesOf('step', final);
          const stepped = unlessRefused(() => stepOf(method)({ ...one, ...carried }, optionsFrom(method, 0)));
          if (!stepped) continue;
          const { shape, data } = copied(want);
          const wanted = { shape: [shape[0]!, ...shape.slice(2)], data };
          assertNear(copied(stepped.o!), wanted, 1e-5, `${what}: step, ${final} swapped`);
          const plainly = prefill('');
          for (const state of states)
            assertNear(
              copied(carried[state.step]!),
              copied(plainly[state.final]!),
              1e-5,
              `${what}: step, ${final} swapped: ${state.final}`,
            );
        }
        const o = swappedInMemory(
          rt,
          floats([2, 2, 7], () => Number.NaN),
        );
        if (unlessRefused(() => stepOf(method)({ ...one, ...statesOf('step', ''), o }, optionsFrom(method, 0))))
          assertNear({ shape: want.shape, data: o.dataSync() }, copied(want), 1e-5, `${what}: o swapped`);
        const integers = rt.tensor(new Int32Array(28), [2, 2, 7]);
        assert.throws(
          () => stepOf(method)({ ...one, ...statesOf('step', ''), o: integers }, optionsFrom(method, 0)),
          DTypeError,
          `${what}: o of i32`,
        );
      });
  }
});

// DeltaProduct, whose keys, values and strengths have several rows a token.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import {
  type GatedDeltaProductInputs,
  gatedDeltaProduct,
  gatedDeltaProductStep,
  OptionError,
  type Runtime,
  ShapeError,
  type Tensor,
} from '../src/index.ts';
import { assertAccurate, expected } from './accuracy.ts';
import { type CallInputs, call } from './call.ts';
import { strengths, unitRows } from './delta-methods.ts';
import { type GateKind, gateKinds, gates } from './linear-methods.ts';
import { property, sometimes } from './property.ts';
import { gatedDeltaProduct as reference } from './reference/delta-product.ts';
import type { NdArray } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, ints, normal, randomFrom } from './samples.ts';
import { again, joined, rowsOf, withoutTime } from './streaming.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

interface Case {
  seed: number;
  b: number;
  t: number;
  h: number;
  group: number;
  k: number;
  v: number;
  numHouseholder: number;
  kind: GateKind | 'absent';
  scale: number | undefined;
  useQkL2norm: boolean;
}

const cases: fc.Arbitrary<Case> = fc
  .record({
    seed: fc.nat(),
    b: fc.integer({ min: 1, max: 2 }),
    t: fc.constantFrom(0, 1, 2, 17, 33, 65),
    h: fc.integer({ min: 1, max: 2 }),
    group: fc.constantFrom(1, 1, 2, 3),
    k: fc.constantFrom(1, 3, 18, 64),
    v: fc.constantFrom(1, 3, 20, 64),
    numHouseholder: fc.constantFrom(1, 2, 3, 5),
    kind: fc.constantFrom('absent' as const, ...gateKinds),
    scale: sometimes(fc.constantFrom(0.1, 1)),
    useQkL2norm: fc.boolean(),
  })
  .filter(({ b, t, h, group, k, v, numHouseholder }) => b * t * numHouseholder * h * group * k * v < 3e5);

function operandsOf({ seed, b, t, h, group, k, v, numHouseholder: n, kind, useQkL2norm }: Case) {
  const random = randomFrom(seed);
  const keys = normal(random, [b, t * n, h, k]);
  const hv = h * group;
  return {
    q: normal(random, [b, t, h, k]),
    k: useQkL2norm ? keys : unitRows(keys),
    v: normal(random, [b, t * n, hv, v]),
    beta: strengths(random, [b, t * n, hv]),
    ...(kind !== 'absent' && { g: gates(random, [b, t, hv], kind) }),
  };
}

const optionsOf = ({ numHouseholder, scale, useQkL2norm }: Case) => ({
  numHouseholder,
  useQkL2norm,
  ...(scale && { scale }),
});

const op = gatedDeltaProduct as unknown as (
  inputs: Record<string, Tensor>,
  options?: object,
) => Promise<Record<'o' | 'finalState', Tensor>>;

function run(rt: Runtime, inputs: CallInputs, options: object): Promise<Record<'o' | 'finalState', NdArray>> {
  return call(rt, op, inputs, options);
}

/** Tokens [from, to) of operands, of which some have `n` rows a token. */
function part(operands: Record<string, FloatSample>, from: number, to: number, n: number) {
  const rows = Object.entries(operands).map(([name, x]) => {
    const factor = name === 'q' || name === 'g' ? 1 : n;
    return [name, rowsOf(x, factor * from, factor * to)];
  });
  return Object.fromEntries(rows) as Record<string, FloatSample>;
}

test('random shapes, gates, packed sequences and states', () =>
  property(fc.record({ sample: cases, packed: fc.boolean(), initial: fc.boolean() }), 40, async (given) => {
    const { packed, initial } = given;
    const sample = packed ? { ...given.sample, b: 1 } : given.sample;
    const operands: CallInputs = operandsOf(sample);
    const random = randomFrom(sample.seed + 1);
    if (packed) {
      const middle = Math.floor(random() * (sample.t + 1));
      operands.cuSeqlens = ints([0, middle, middle, sample.t]);
    }
    if (initial) {
      operands.initialState = normal(random, [packed ? 3 : sample.b, sample.h * sample.group, sample.k, sample.v]);
    }
    const options = optionsOf(sample);
    const wanted = expected((round) => reference(operands as never, options, round));
    for (const rt of runtimes) assertAccurate(await run(rt, operands, options), wanted, rt.variant);
  }));

test('in parts, and token by token', () =>
  property(
    fc.record({ sample: cases, cut: fc.double({ min: 0, max: 1, noNaN: true }) }),
    30,
    async ({ sample, cut }) => {
      const { b, t, numHouseholder: n } = sample;
      const operands = operandsOf(sample);
      const options = optionsOf(sample);
      const wanted = expected((round) => reference(operands, options, round));
      const middle = Math.round(cut * t);
      for (const rt of runtimes) {
        const first = await run(rt, part(operands, 0, middle, n), options);
        const second = await run(
          rt,
          { ...part(operands, middle, t, n), initialState: again(first.finalState) },
          options,
        );
        const o = joined([first.o, second.o]);
        assertAccurate({ o, finalState: second.finalState }, wanted, `${rt.variant}: ${middle} of ${t}`);
        await rt.scope(async () => {
          const state = rt.tensor(again(first.finalState).data, first.finalState.shape);
          const outputs: NdArray[] = [first.o];
          for (let i = middle; i < t; i++) {
            const { q, g, ...rows } = part(operands, i, i + 1, n);
            const token = { q: withoutTime(q!), ...(g && { g: withoutTime(g) }), ...rows };
            const tensors = Object.entries(token).map(([name, x]) => [name, rt.tensor(x.data, x.shape)]);
            rt.poison();
            const stepped = gatedDeltaProductStep({ ...Object.fromEntries(tensors), state }, options);
            outputs.push({ shape: [b, 1, ...stepped.o.shape.slice(1)], data: stepped.o.dataSync() });
          }
          const finalState = { shape: state.shape, data: state.dataSync() };
          assertAccurate({ o: joined(outputs), finalState }, wanted, `${rt.variant}: steps from ${middle}`);
        });
      }
    },
  ));

test('operands and options that do not fit are refused, and nothing is left behind', async () => {
  const rt = runtimes[0]!;
  await rt.scope(async () => {
    const inputs: GatedDeltaProductInputs = {
      q: rt.zeros([2, 4, 2, 8]),
      k: rt.zeros([2, 12, 2, 8]),
      v: rt.zeros([2, 12, 4, 5]),
      beta: rt.zeros([2, 12, 4]),
      g: rt.zeros([2, 4, 4]),
    };
    const { used } = rt.memory();
    const options = { numHouseholder: 3 };
    await assert.rejects(gatedDeltaProduct(inputs, { numHouseholder: 2 }), {
      name: 'ShapeError',
      message: /expected 8 rows/,
    });
    for (const numHouseholder of [0, 1.5, Number.NaN])
      await assert.rejects(gatedDeltaProduct(inputs, { numHouseholder }), OptionError);
    await assert.rejects(gatedDeltaProduct(inputs, {} as never), /numHouseholder is missing/);
    await assert.rejects(gatedDeltaProduct(inputs, undefined as never), /numHouseholder is missing/);
    await assert.rejects(gatedDeltaProduct({ ...inputs, g: inputs.beta }, options), ShapeError);
    await assert.rejects(gatedDeltaProduct({ ...inputs, beta: inputs.g! }, options), ShapeError);
    await assert.rejects(gatedDeltaProduct({ ...inputs, v: inputs.k }, options), ShapeError);
    await assert.rejects(gatedDeltaProduct(inputs, { ...options, snapshotEvery: 2 } as never), OptionError);
    assert.equal(rt.memory().used, used);
  });
});

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import {
  attention,
  OptionError,
  rope,
  type SeerAttentionInputs,
  type SeerAttentionOptions,
  ShapeError,
  seerAttention,
  seerAttentionSync,
} from '../src/index.ts';
import { assertAccurate, assertNear, expected } from './accuracy.ts';
import { call } from './call.ts';
import { assertSameChoice, chosenShapes, densityOf, NEAR, qkv, unpacked } from './chosen-cases.ts';
import { assertMet, property, sometimes } from './property.ts';
import { seerAttention as reference, seerAttentionChoice } from './reference/seer-attention.ts';
import { variants } from './runtimes.ts';
import { normal, randomFrom, type Sample } from './samples.ts';

/** SeerAttention as `call` takes it; the options are always given. */
const op = (inputs: SeerAttentionInputs, options?: SeerAttentionOptions) => seerAttention(inputs, options!);

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

test('SeerAttention: the blocks and the attention of the reference', () => {
  const densities: number[] = [];
  return property(
    fc.record({
      shape: chosenShapes([1, 2, 63, 64, 65, 130, 200], 1e6),
      block: fc.constantFrom(1, 8, 16, 24),
      gate: fc.constantFrom(2, 6, 64),
      own: fc.boolean(),
      perQuery: fc.boolean(),
      way: fc.constantFrom({ topK: 0 }, { topK: 3 }, { ratio: 0.3 }, { threshold: 0.1 }, { threshold: 0.3 }),
      lastDense: sometimes(fc.constant(true)),
      diagonal: sometimes(fc.constant(true)),
      causal: fc.boolean(),
      ropeBase: fc.constantFrom(undefined, 0, 500),
      pre: fc.boolean(),
      scale: sometimes(fc.double({ min: 0.05, max: 1, noNaN: true })),
    }),
    25,
    async ({ shape, block, gate, own, perQuery, way, lastDense, diagonal, causal, ropeBase, pre, scale }) => {
      const { seed, hkv, group, d } = shape;
      const inputs = qkv(shape);
      const random = randomFrom(seed + 1);
      const heads = hkv * group;
      const size = own ? gate : d;
      const given = {
        ...inputs,
        ...(pre && { qPre: normal(random, inputs.q.shape), kPre: normal(random, inputs.k.shape) }),
        ...(own && { wq: normal(random, [heads, d, size], 2 * d ** -0.5) }),
        wk: normal(random, [perQuery ? heads : hkv, 3 * d, size], 2 * d ** -0.5),
      };
      const rest = { lastDense, diagonal, scale, ropeBase: size % 2 === 1 ? 0 : ropeBase };
      const options: SeerAttentionOptions = {
        ...way,
        block,
        causal,
        ...Object.fromEntries(Object.entries(rest).filter(([, x]) => x !== undefined)),
      };
      const choice = seerAttentionChoice(given, options);
      fc.pre(choice.gap > NEAR);
      densities.push(densityOf(choice.chosen));
      const wanted = expected((round) => reference(given, options, round, choice));
      for (const rt of runtimes) {
        const got = await call(rt, op, given, { ...options, returnSelection: true });
        assertSameChoice(unpacked(got.selection!, choice.chosen.shape[3]!), choice.chosen, rt.variant);
        assertAccurate({ o: got.o, lse: got.lse }, wanted, rt.variant);
      }
    },
  ).then(() => {
    const some = densities.filter((x) => x > 0.05 && x < 0.7).length;
    assertMet(some > densities.length / 4, `only ${some} of ${densities.length} cases leave out much`);
  });
});

test('all blocks are dense attention, and gates see q and k before rotary positions', async () => {
  const inputs = qkv({ seed: 3, batch: 2, tq: 130, tk: 150, hkv: 2, group: 2, d: 18, dv: 20 });
  const wk = normal(randomFrom(4), [2, 54, 18]);
  for (const rt of runtimes) {
    for (const causal of [false, true]) {
      const dense = await call(rt, attention, inputs, { causal });
      for (const way of [{ topK: 100 }, { ratio: 1 }, { threshold: 0, lastDense: true }]) {
        const got = await call(rt, op, { ...inputs, wk }, { ...way, causal, block: 16 });
        assertNear(got.o, dense.o, 2e-6, `${rt.variant} ${JSON.stringify(way)}`);
      }
    }
    const turned = {
      ...inputs,
      q: (await call(rt, rope, { x: inputs.q }, { offset: 20 })).o as Sample,
      k: (await call(rt, rope, { x: inputs.k })).o as Sample,
    };
    const options = { topK: 2, block: 16, returnSelection: true };
    const plain = await call(rt, op, { ...inputs, wk }, options);
    const before = await call(rt, op, { ...turned, qPre: inputs.q, kPre: inputs.k, wk }, options);
    assert.deepEqual(before.selection!.data, plain.selection!.data);
  }
});

test('empty sequences and bad operands', async () => {
  for (const rt of runtimes) {
    for (const [tq, tk] of [
      [0, 5],
      [5, 0],
      [0, 0],
    ] as const) {
      const inputs = qkv({ seed: 1, batch: 1, tq, tk, hkv: 1, group: 2, d: 4, dv: 3 });
      const wk = normal(randomFrom(4), [1, 12, 4]);
      const got = await call(rt, op, { ...inputs, wk }, { topK: 1, lastDense: true, returnSelection: true });
      assert.ok(Array.from(got.o.data).every((x) => x === 0));
    }
    rt.scope(() => {
      const q = rt.zeros([1, 8, 4, 4]);
      const k = rt.zeros([1, 8, 2, 4]);
      const wk = rt.zeros([2, 12, 4]);
      const refused = (given: object, options: object, error: new () => Error, says: RegExp) =>
        assert.throws(
          () => seerAttentionSync({ q, k, v: k, wk, ...given }, options),
          (e: Error) => e instanceof error && says.test(e.message),
        );
      const [shape, option] = [ShapeError as never, OptionError as never];
      refused({}, {}, option, /none of topK, ratio and threshold was given/);
      refused({}, { topK: 1, ratio: 0.5 }, option, /topK and ratio of topK, ratio and threshold/);
      refused({}, { topK: 1.5 }, option, /topK is 1.5/);
      refused({ wk: rt.zeros([3, 12, 4]) }, { topK: 1 }, shape, /wk has 3 heads, expected 2 as k or 4 as q/);
      refused({ wk: rt.zeros([2, 12, 6]) }, { topK: 1 }, shape, /wk leads to 6 numbers, expected D = 4/);
      refused(
        { wk: rt.zeros([2, 12, 3]), wq: rt.zeros([4, 4, 3]) },
        { topK: 1 },
        shape,
        /expected an even number to turn/,
      );
      refused({ wk: rt.zeros([2, 8, 4]) }, { topK: 1 }, shape, /wk has shape/);
      refused({ qPre: k }, { topK: 1 }, shape, /qPre has shape/);
    });
  }
});

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import {
  attention,
  type ChosenInputs,
  type MinferenceOptions,
  type MinferencePlan,
  minference,
  minferenceSync,
  OptionError,
} from '../src/index.ts';
import { assertAccurate, assertNear, expected } from './accuracy.ts';
import { call } from './call.ts';
import { assertSameChoice, chosenShapes, NEAR, qkv, unpacked } from './chosen-cases.ts';
import { assertMet, property, sometimes } from './property.ts';
import { minferenceChoice, minference as reference } from './reference/minference.ts';
import { type NdArray, zeros } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';

/** MInference as `call` takes it; the options are always given. */
const op = (inputs: ChosenInputs, options?: MinferenceOptions) => minference(inputs, options!);

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

/** Index lists [B, H, 1, n], -1 behind the last, as numbers 0 and 1 [B, H, Tk]. */
function listed(indices: NdArray, tk: number): NdArray {
  const [batch = 0, heads = 0, , n = 0] = indices.shape;
  const o = zeros([batch, heads, tk]);
  for (let list = 0; list < batch * heads; list++) {
    let before = -1;
    for (let i = 0; i < n; i++) {
      const j = indices.data[list * n + i]!;
      if (j < 0) {
        before = Number.POSITIVE_INFINITY;
        continue;
      }
      assert.ok(j > before, 'columns rise');
      before = j;
      o.data[list * tk + j] = 1;
    }
  }
  return o;
}

const plans: fc.Arbitrary<MinferencePlan> = fc.oneof(
  fc.record({
    pattern: fc.constant('verticalSlash' as const),
    vertical: fc.constantFrom(0, 40, 70),
    slash: fc.constantFrom(0, 60, 103, 110),
  }),
  fc.record({
    pattern: fc.constant('aShape' as const),
    sink: fc.constantFrom(0, 1, 4, 70),
    window: fc.constantFrom(0, 1, 17, 64, 90),
  }),
  fc.record({ pattern: fc.constant('blockSparse' as const), topK: fc.constantFrom(0, 1, 2) }),
);

test('MInference: the columns, the blocks and the attention of the reference, heads of all kinds', () => {
  let left = 0;
  return property(
    fc.record({
      shape: chosenShapes([1, 2, 63, 65, 200, 300, 300, 420, 420], 3e6),
      each: fc.array(plans, { minLength: 6, maxLength: 6 }),
      scale: sometimes(fc.double({ min: 0.05, max: 1, noNaN: true })),
    }),
    24,
    async ({ shape, each, scale }) => {
      const inputs = qkv(shape, 1.5);
      const heads = shape.hkv * shape.group;
      const plan = each.slice(0, heads);
      const options = scale ? { scale } : {};
      // the reference lists columns of vertical-slash heads, the call also an a-shape's first keys
      const choice = minferenceChoice(inputs, plan, options);
      fc.pre(choice.gap > NEAR);
      const wanted = expected((round) => reference(inputs, plan, options, round, choice));
      const columns = zeros(choice.columns.shape);
      columns.data.set(choice.columns.data);
      for (let list = 0; list < shape.batch * heads; list++) {
        const of = plan[list % heads]!;
        if (of.pattern === 'aShape')
          columns.data.fill(1, list * shape.tk, list * shape.tk + Math.min(of.sink, shape.tk));
        if (of.pattern === 'verticalSlash' && shape.tk > 200) left++;
      }
      for (const rt of runtimes) {
        const got = await call(rt, op, inputs, { plan, ...options, returnSelection: true });
        assertSameChoice(unpacked(got.selection!, choice.blocks.shape[3]!), choice.blocks, rt.variant);
        assertSameChoice(listed(got.columns!, shape.tk), columns, rt.variant);
        assertAccurate({ o: got.o, lse: got.lse }, wanted, rt.variant);
      }
    },
  ).then(() => assertMet(left > 5, `${left} vertical-slash heads leave something out`));
});

test('plans that keep everything are dense attention', async () => {
  const inputs = qkv({ seed: 3, batch: 2, tq: 200, tk: 230, hkv: 2, group: 2, d: 18, dv: 20 }, 1.5);
  const everything: MinferencePlan[] = [
    { pattern: 'verticalSlash', vertical: 230, slash: 0 },
    { pattern: 'verticalSlash', vertical: 0, slash: 230 },
    { pattern: 'aShape', sink: 230, window: 0 },
    { pattern: 'aShape', sink: 3, window: 230 },
    { pattern: 'blockSparse', topK: 4 },
  ];
  for (const rt of runtimes) {
    const dense = await call(rt, attention, inputs, { causal: true });
    for (const plan of [...everything, everything.slice(0, 4), everything.slice(1)]) {
      const got = await call(rt, op, inputs, { plan });
      assertNear(got.o, dense.o, 2e-6, `${rt.variant} ${JSON.stringify(plan)}`);
      assertNear(got.lse, dense.lse, 2e-6, `${rt.variant} ${JSON.stringify(plan)}`);
    }
  }
});

test('more queries than keys, empty sequences, bad plans', async () => {
  const plan: MinferencePlan = { pattern: 'verticalSlash', vertical: 30, slash: 50 };
  for (const rt of runtimes) {
    const more = qkv({ seed: 1, batch: 1, tq: 150, tk: 70, hkv: 1, group: 2, d: 4, dv: 3 });
    for (const one of [plan, { pattern: 'aShape', sink: 2, window: 9 }] as const) {
      const wanted = expected((round) => reference(more, [one, one], {}, round));
      assertAccurate(await call(rt, op, more, { plan: one }), wanted, rt.variant);
    }
    for (const [tq, tk] of [
      [0, 5],
      [5, 0],
      [0, 0],
    ] as const) {
      const inputs = qkv({ seed: 1, batch: 1, tq, tk, hkv: 1, group: 2, d: 4, dv: 3 });
      for (const one of [
        plan,
        { pattern: 'aShape', sink: 2, window: 9 },
        { pattern: 'blockSparse', topK: 2 },
      ] as const) {
        const got = await call(rt, op, inputs, { plan: one, returnSelection: true });
        assert.ok(Array.from(got.o.data).every((x) => x === 0));
        assert.ok(Array.from(got.lse.data).every((x) => x === Number.NEGATIVE_INFINITY));
      }
    }
    rt.scope(() => {
      const q = rt.zeros([1, 8, 2, 4]);
      const blocks = rt.memory().blocks;
      for (const [given, says] of [
        [{}, /plan.pattern is undefined, expected verticalSlash, aShape, blockSparse/],
        [{ plan: { pattern: 'dense' } }, /plan.pattern is dense/],
        [{ plan: [plan] }, /plan has 1 entries, expected one for each of 2/],
        [{ plan: [plan, { pattern: 'blockSparse' }] }, /plan\[1\].topK is NaN/],
        [{ plan: { ...plan, vertical: -1 } }, /plan.vertical is -1/],
        [{ plan: { ...plan, topK: 1 } }, /plan has no 'topK'; verticalSlash has vertical and slash/],
        [{ plan, causal: true }, /no option 'causal'/],
      ] as const) {
        assert.throws(
          () => minferenceSync({ q, k: q, v: q }, given as never),
          (e: Error) => e instanceof OptionError && says.test(e.message),
        );
      }
      assert.equal(rt.memory().blocks, blocks);
    });
  }
});

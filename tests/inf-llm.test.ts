import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { attention, infLlm, infLlmBlocks, infLlmSync, OptionError, ShapeError } from '../src/index.ts';
import { assertAccurate, assertNear, expected } from './accuracy.ts';
import { call } from './call.ts';
import { assertTopK, callWith, decodeShapes, onesOf, perChoice, qkv } from './choosing.ts';
import { assertMet, property } from './property.ts';
import { blockScores, infLlmBlocks as blocksReference, infLlm as infLlmReference } from './reference/inf-llm.ts';
import { rope } from './reference/rope.ts';
import { variants } from './runtimes.ts';
import { floats, normal, randomFrom } from './samples.ts';

const runtimes = await variants(2);
after(() => {
  for (const rt of runtimes) rt.dispose();
});

test('infLlm: blocks as sets, one softmax over window, sinks, blocks and what is left', async () => {
  let beyond = 0;
  await property(
    fc.record({
      shape: decodeShapes.filter(({ d, tq, tk }) => d % 2 === 0 && tq <= tk),
      window: fc.constantFrom(1, 6, 40, 400),
      block: fc.constantFrom(1, 5, 16),
      sinks: fc.constantFrom(0, 0, 3, 20),
      topk: fc.constantFrom(0, 1, 3, 100),
      interleaved: fc.boolean(),
      given: fc.boolean(),
    }),
    30,
    async ({ shape, given, ...options }) => {
      const { window, block, sinks, topk } = options;
      const inputs = qkv(shape);
      const { tq, tk } = shape;
      const scores = normal(randomFrom(shape.seed + 1), [shape.batch, shape.hkv, tk]);
      const reps = blocksReference(inputs.k, given ? scores : undefined, block, sinks, 2);
      const visible = { mul: 1, add: tk - tq + 1 - window - sinks, div: block };
      if (tk > window + sinks + block) beyond++;
      const wanted = perChoice((chosen) => expected((round) => infLlmReference(inputs, options, chosen, round)));
      for (const rt of runtimes) {
        const made = await call(
          rt,
          infLlmBlocks,
          { k: inputs.k, ...(given && { scores }) },
          { block, sinks, reprTopk: 2 },
        );
        assertNear(made.reps, reps, 1e-5, `${rt.variant}: reps`);
        const tensors = { ...inputs, ...(given && { reps: floats(made.reps.shape, (n) => made.reps.data[n]!) }) };
        const got = await callWith(rt, infLlm, tensors, { ...options, returnSelection: true });
        const chosen = onesOf(got.blocks!, reps.shape[1]!);
        assertTopK(blockScores(inputs, made.reps, options), chosen, { k: topk, visible }, rt.variant);
        assertAccurate({ o: got.o, lse: got.lse }, wanted(chosen), rt.variant);
      }
    },
  );
  assertMet(beyond > 8, `only ${beyond} cases have blocks`);
});

test('a window of all tokens is causal attention with rotary embedding', async () => {
  const inputs = qkv({ seed: 4, batch: 2, tq: 2, tk: 75, hkv: 2, group: 2, d: 18, dv: 20 });
  const q = rope({ x: inputs.q }, { offset: 73 }).o;
  const k = rope({ x: inputs.k }).o;
  for (const rt of runtimes) {
    const turned = { q: floats(q.shape, (n) => q.data[n]!), k: floats(k.shape, (n) => k.data[n]!), v: inputs.v };
    const dense = await call(rt, attention, turned, { causal: true });
    const got = await callWith(rt, infLlm, { ...inputs }, { window: 75, topk: 3, block: 8 });
    assertNear(got.o, dense.o, 3e-6, rt.variant);
    assertNear(got.lse, dense.lse, 1e-5, rt.variant);
  }
});

test('what does not fit is refused by name', () => {
  const rt = runtimes[0]!;
  rt.scope(() => {
    const k = rt.zeros([1, 20, 2, 8]);
    const right = { q: rt.zeros([1, 1, 4, 8]), k, v: k };
    const refused = (inputs: object, options: object, error: new (m: string) => Error, says: RegExp) => {
      const { used } = rt.memory();
      const work = () => infLlmSync({ ...right, ...inputs }, { window: 4, topk: 2, block: 4, ...options });
      assert.throws(work, (thrown) => thrown instanceof error && says.test(thrown.message), `${says}`);
      assert.equal(rt.memory().used, used, `${says}: memory`);
    };
    const odd = rt.zeros([1, 20, 2, 7]);
    const reps = rt.zeros([1, 4, 2, 8]);
    refused({}, { window: undefined }, OptionError, /window is missing/);
    refused({}, { window: 0 }, OptionError, /window is 0/);
    refused({}, { topk: undefined }, OptionError, /topk is missing/);
    refused({}, { block: 0 }, OptionError, /block is 0/);
    refused({ q: rt.zeros([1, 1, 4, 7]), k: odd }, {}, ShapeError, /no pairs/);
    refused({ reps }, {}, ShapeError, /reps has shape/);
    refused({ q: rt.zeros([1, 21, 4, 8]) }, {}, ShapeError, /21 queries and 20 keys/);
  });
});

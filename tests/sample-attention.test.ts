import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { attention, OptionError, sampleAttention, sampleAttentionSync } from '../src/index.ts';
import { assertAccurate, assertNear, expected } from './accuracy.ts';
import { call } from './call.ts';
import { assertSameChoice, chosenShapes, densityOf, NEAR, qkv, unpacked } from './chosen-cases.ts';
import { assertMet, property, sometimes } from './property.ts';
import { sampleAttention as reference, sampleAttentionChoice, sampledRows } from './reference/sample-attention.ts';
import { variants } from './runtimes.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

test('SampleAttention: the columns and the attention of the reference', () => {
  const densities: number[] = [];
  return property(
    fc.record({
      shape: chosenShapes([1, 2, 63, 64, 65, 130, 200], 1e6),
      window: fc.constantFrom(0, 0.08, 0.3),
      sample: fc.constantFrom(0.05, 0.2, 1),
      coverage: fc.constantFrom(0, 0.3, 0.7, 0.95),
      scale: sometimes(fc.double({ min: 0.05, max: 1, noNaN: true })),
    }),
    40,
    async ({ shape, window, sample, coverage, scale }) => {
      const inputs = qkv(shape, 1.5);
      const options = { window, sample, coverage, ...(scale && { scale }) };
      const choice = sampleAttentionChoice(inputs, options);
      fc.pre(choice.gap > NEAR);
      densities.push(densityOf(choice.columns));
      const wanted = expected((round) => reference(inputs, options, round, choice));
      const { shape: sizes, data } = choice.columns;
      const columns = { shape: [sizes[0]!, sizes[1]!, 1, sizes[2]!], data };
      for (const rt of runtimes) {
        const got = await call(rt, sampleAttention, inputs, { ...options, returnSelection: true });
        assertSameChoice(unpacked(got.selection!, shape.tk), columns, rt.variant);
        assertAccurate({ o: got.o, lse: got.lse }, wanted, rt.variant);
      }
    },
  ).then(() => {
    const some = densities.filter((x) => x > 0.05 && x < 0.8).length;
    assertMet(some > densities.length / 4, `only ${some} of ${densities.length} cases leave out much`);
  });
});

test('a coverage or a window of 1 is dense attention', async () => {
  const inputs = qkv({ seed: 3, batch: 2, tq: 130, tk: 150, hkv: 2, group: 2, d: 18, dv: 20 }, 1.5);
  for (const rt of runtimes) {
    const dense = await call(rt, attention, inputs, { causal: true });
    for (const options of [{ coverage: 1 }, { window: 1, coverage: 0 }, { window: 0, coverage: 1, sample: 1 }]) {
      const got = await call(rt, sampleAttention, inputs, options);
      assertNear(got.o, dense.o, 2e-6, `${rt.variant} ${JSON.stringify(options)}`);
      assertNear(got.lse, dense.lse, 2e-6, `${rt.variant} ${JSON.stringify(options)}`);
    }
  }
});

test('sampled rows end with the last query', () => {
  assert.deepEqual(sampledRows(10, 0.3), [0, 3, 6, 9]);
  assert.deepEqual(sampledRows(9, 0.25), [0, 4, 8]);
  assert.deepEqual(sampledRows(3, 0.05), [2]);
});

test('empty sequences and bad options', async () => {
  for (const rt of runtimes) {
    for (const [tq, tk] of [
      [0, 5],
      [5, 0],
      [0, 0],
    ] as const) {
      const inputs = qkv({ seed: 1, batch: 1, tq, tk, hkv: 1, group: 2, d: 4, dv: 3 });
      const got = await call(rt, sampleAttention, inputs, { returnSelection: true });
      assert.ok(Array.from(got.o.data).every((x) => x === 0));
      assert.ok(Array.from(got.selection!.data).every((x) => x === 0));
    }
    rt.scope(() => {
      const q = rt.zeros([1, 8, 2, 4]);
      const blocks = rt.memory().blocks;
      for (const [given, says] of [
        [{ window: 2 }, /window is 2/],
        [{ sample: 0 }, /sample is 0/],
        [{ coverage: -0.1 }, /coverage is -0.1/],
        [{ causal: false }, /no option 'causal'/],
      ] as const) {
        assert.throws(
          () => sampleAttentionSync({ q, k: q, v: q }, given as object),
          (e: Error) => e instanceof OptionError && says.test(e.message),
        );
      }
      assert.equal(rt.memory().blocks, blocks);
    });
  }
});

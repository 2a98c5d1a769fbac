import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { attention, OptionError, ShapeError, xAttention, xAttentionSync } from '../src/index.ts';
import { assertAccurate, assertNear, expected } from './accuracy.ts';
import { call } from './call.ts';
import { assertSameChoice, chosenAt, chosenShapes, densityOf, NEAR, qkv, unpacked } from './chosen-cases.ts';
import { assertMet, property, sometimes } from './property.ts';
import { xAttention as reference, xAttentionChoice } from './reference/xattention.ts';
import { variants } from './runtimes.ts';
import { floats, normal, randomFrom } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

test('XAttention: the blocks and the attention of the reference', () => {
  const densities: number[] = [];
  return property(
    fc.record({
      shape: chosenShapes([1, 2, 63, 64, 65, 130], 8e5),
      stride: fc.constantFrom(1, 2, 4, 8),
      blocks: fc.constantFrom(1, 2, 8, 16),
      threshold: fc.constantFrom(0, 0.3, 0.6, 0.9),
      causal: fc.boolean(),
      sink: sometimes(fc.boolean()),
      norm: sometimes(fc.constantFrom(0.5, 2)),
      scale: sometimes(fc.double({ min: 0.05, max: 1, noNaN: true })),
    }),
    40,
    async ({ shape, stride, blocks, threshold, causal, sink, norm, scale }) => {
      const inputs = qkv(shape, 1.5);
      const given = Object.fromEntries(Object.entries({ sink, norm, scale }).filter(([, x]) => x !== undefined));
      const options = { stride, threshold, block: stride * blocks, causal, ...given };
      const choice = xAttentionChoice(inputs, options);
      fc.pre(choice.gap > NEAR);
      densities.push(densityOf(choice.chosen));
      const wanted = expected((round) => reference(inputs, options, round, choice));
      for (const rt of runtimes) {
        const got = await call(rt, xAttention, inputs, { ...options, returnSelection: true });
        assertSameChoice(unpacked(got.selection!, choice.chosen.shape[3]!), choice.chosen, rt.variant);
        assertAccurate({ o: got.o, lse: got.lse }, wanted, rt.variant);
      }
    },
  ).then(() => {
    const some = densities.filter((x) => x > 0.05 && x < 0.7).length;
    assertMet(some > densities.length / 4, `only ${some} of ${densities.length} cases leave out much`);
  });
});

test('thresholds of 1 and stripes of one head are dense attention; a threshold a head', async () => {
  const shape = { seed: 3, batch: 2, tq: 130, tk: 130, hkv: 2, group: 2, d: 18, dv: 20 };
  const inputs = qkv(shape, 2);
  for (const rt of runtimes) {
    for (const causal of [false, true]) {
      const dense = await call(rt, attention, inputs, { causal });
      const all = await call(rt, xAttention, inputs, { threshold: 1, stride: 4, block: 16, causal });
      assertNear(all.o, dense.o, 2e-6, rt.variant);
      assertNear(all.lse, dense.lse, 2e-6, rt.variant);
    }
    const options = { stride: 4, block: 16, returnSelection: true };
    const mixed = await call(rt, xAttention, inputs, { ...options, threshold: [1, 0.2, 0.5, 0.8] });
    for (const [h, threshold] of [1, 0.2, 0.5, 0.8].entries()) {
      const one = await call(rt, xAttention, inputs, { ...options, threshold });
      const head = (x: { data: ArrayLike<number> }) =>
        Array.from(x.data).filter((_, n) => Math.floor(n / 20) % 4 === h);
      assert.deepEqual(head(mixed.o), head(one.o), `${rt.variant}: head ${h}`);
    }
  }
});

test('the sink is column 0 of every row, not row 0', async () => {
  // keys that point away from the queries: block 0 would never be chosen for its weight
  const [t, block] = [96, 16];
  const random = randomFrom(5);
  const q = floats([1, t, 1, 8], () => 1 + 0.1 * random());
  const k = floats([1, t, 1, 8], (n) => (n < block * 8 ? -2 : 0) + 0.1 * random());
  const inputs = { q, k, v: normal(random, [1, t, 1, 8]) };
  const options = { stride: 4, block, threshold: 0.5, returnSelection: true };
  for (const rt of runtimes) {
    for (const causal of [true, false]) {
      const chosen = async (sink: boolean) =>
        unpacked((await call(rt, xAttention, inputs, { ...options, causal, sink })).selection!, t / block);
      const [plain, sunk] = [await chosen(false), await chosen(true)];
      for (let r = 1; r < t / block; r++) {
        assert.equal(chosenAt(plain, 0, 0, r, 0), false, `row ${r} without the sink`);
        assert.equal(chosenAt(sunk, 0, 0, r, 0), true, `row ${r} with the sink`);
      }
      // row 0 does not come to see everything
      const first = Array.from({ length: t / block }, (_, c) => chosenAt(sunk, 0, 0, 0, c));
      assert.ok(first.includes(false), `row 0 sees ${first}`);
    }
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
      const got = await call(rt, xAttention, inputs, { returnSelection: true });
      assert.deepEqual([...got.o.shape], [1, tq, 2, 3]);
      assert.ok(Array.from(got.o.data).every((x) => x === 0));
      assert.ok(Array.from(got.lse.data).every((x) => x === Number.NEGATIVE_INFINITY));
    }
    rt.scope(() => {
      const q = rt.zeros([1, 8, 2, 4]);
      const k = rt.zeros([1, 8, 1, 4]);
      const blocks = rt.memory().blocks;
      const refused = (options: object, error: new () => Error, says: RegExp) =>
        assert.throws(
          () => xAttentionSync({ q, k, v: k }, options),
          (e: Error) => e instanceof error && says.test(e.message),
        );
      refused({ stride: 3, block: 128 }, OptionError as never, /block is 128, expected a multiple of stride = 3/);
      refused({ stride: 0 }, OptionError as never, /stride is 0/);
      refused({ threshold: 1.5 }, OptionError as never, /threshold is 1.5/);
      refused({ threshold: [0.5] }, OptionError as never, /threshold has 1 numbers, expected one for each of 2/);
      refused({ norm: 0 }, OptionError as never, /norm is 0/);
      refused({ causal: 1 }, OptionError as never, /causal is 1/);
      refused({ keepSink: true }, OptionError as never, /no option 'keepSink'/);
      assert.throws(() => xAttentionSync({ q, k, v: q }), ShapeError);
      assert.equal(rt.memory().blocks, blocks);
    });
  }
});

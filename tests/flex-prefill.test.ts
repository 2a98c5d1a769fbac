import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { attention, flexPrefill, flexPrefillSync, OptionError, ShapeError } from '../src/index.ts';
import { assertAccurate, assertNear, expected } from './accuracy.ts';
import { call } from './call.ts';
import { assertSameChoice, chosenShapes, densityOf, NEAR, qkv, unpacked } from './chosen-cases.ts';
import { assertMet, property, sometimes } from './property.ts';
import { flexPrefillChoice, flexPrefill as reference, rootDivergence } from './reference/flex-prefill.ts';
import { variants } from './runtimes.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

test('FlexPrefill: the blocks and the attention of the reference, heads of both kinds', () => {
  const densities: number[] = [];
  const aware = { yes: 0, no: 0 };
  return property(
    fc.record({
      shape: chosenShapes([1, 2, 63, 64, 65, 130, 180], 1e6, true),
      spread: fc.constantFrom(0.3, 1, 2),
      gamma: fc.constantFrom(0, 0.3, 0.6, 0.9),
      tau: fc.constantFrom(0, 0.1, 0.25, 1),
      block: fc.constantFrom(1, 8, 16, 24),
      minBudget: sometimes(fc.constantFrom(0, 20, 60)),
      maxBudget: sometimes(fc.constantFrom(60, 100)),
      scale: sometimes(fc.double({ min: 0.05, max: 1, noNaN: true })),
    }),
    40,
    async ({ shape, spread, gamma, tau, block, minBudget, maxBudget, scale }) => {
      const inputs = qkv(shape, spread);
      const given = Object.fromEntries(
        Object.entries({ minBudget, maxBudget, scale }).filter(([, x]) => x !== undefined),
      );
      const options = { gamma, tau, block, ...given };
      const choice = flexPrefillChoice(inputs, options);
      fc.pre(choice.gap > NEAR);
      densities.push(densityOf(choice.chosen));
      for (const yes of choice.aware.data) aware[yes ? 'yes' : 'no'] += 1;
      const wanted = expected((round) => reference(inputs, options, round, choice));
      for (const rt of runtimes) {
        const got = await call(rt, flexPrefill, inputs, { ...options, returnSelection: true });
        assertSameChoice(unpacked(got.selection!, choice.chosen.shape[3]!), choice.chosen, rt.variant);
        assertAccurate({ o: got.o, lse: got.lse }, wanted, rt.variant);
      }
    },
  ).then(() => {
    const some = densities.filter((x) => x > 0.05 && x < 0.45).length;
    assertMet(some > densities.length / 5, `only ${some} of ${densities.length} cases leave out much`);
    assertMet(aware.yes > 5 && aware.no > 5, `query-aware heads: ${JSON.stringify(aware)}`);
  });
});

test('gamma = 1 is dense attention, whatever the heads are', async () => {
  const inputs = qkv({ seed: 3, batch: 2, tq: 130, tk: 130, hkv: 2, group: 2, d: 18, dv: 20 }, 1);
  for (const rt of runtimes) {
    const dense = await call(rt, attention, inputs, { causal: true });
    for (const tau of [0, 0.2, 1]) {
      const all = await call(rt, flexPrefill, inputs, { gamma: 1, tau, block: 16 });
      assertNear(all.o, dense.o, 2e-6, `${rt.variant} ${tau}`);
      assertNear(all.lse, dense.lse, 2e-6, `${rt.variant} ${tau}`);
    }
  }
});

test('the divergence of the reference has its known values', () => {
  assert.ok(Math.abs(rootDivergence([1, 0], [0, 1]) - Math.sqrt(Math.LN2)) < 1e-12);
  assert.equal(rootDivergence([0.25, 0.75], [0.25, 0.75]), 0);
  const apart = rootDivergence([0.5 + 1e-4, 0.5 - 1e-4], [0.5 - 1e-4, 0.5 + 1e-4]);
  assert.ok(Math.abs(apart - 2e-4 / Math.SQRT2) < 1e-8, `${apart}`);
});

test('empty prompts and bad operands', async () => {
  const none = qkv({ seed: 1, batch: 2, tq: 0, tk: 0, hkv: 1, group: 2, d: 4, dv: 3 });
  for (const rt of runtimes) {
    assert.deepEqual([...(await call(rt, flexPrefill, none, { returnSelection: true })).o.shape], [2, 0, 2, 3]);
    rt.scope(() => {
      const q = rt.zeros([1, 8, 2, 4]);
      const blocks = rt.memory().blocks;
      for (const [given, says] of [
        [{ gamma: 1.1 }, /gamma is 1.1/],
        [{ tau: -1 }, /tau is -1/],
        [{ block: 0 }, /block is 0/],
        [{ minBudget: 5, maxBudget: 4 }, /maxBudget is 4/],
        [{ causal: false }, /no option 'causal'/],
      ] as const) {
        assert.throws(
          () => flexPrefillSync({ q, k: q, v: q }, given as object),
          (e: Error) => e instanceof OptionError && says.test(e.message),
        );
      }
      const k = q.slice(1, 0, 7);
      assert.throws(
        () => flexPrefillSync({ q, k, v: k }),
        (e: Error) => e instanceof ShapeError && /q has 8 tokens and k 7/.test(e.message),
      );
      assert.equal(rt.memory().blocks, blocks);
    });
  }
});

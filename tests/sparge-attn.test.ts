import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { attention, OptionError, spargeAttn, spargeAttnSync } from '../src/index.ts';
import { assertAccurate, assertNear, expected } from './accuracy.ts';
import { call } from './call.ts';
import { assertSameChoice, type ChosenShape, chosenShapes, densityOf, NEAR, qkv, unpacked } from './chosen-cases.ts';
import { assertMet, property, sometimes } from './property.ts';
import { spargeAttn as reference, spargeAttnChoice } from './reference/sparge-attn.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, normal, randomFrom } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

/** q, k and v whose blocks of 64 rows lie about centres of their own, some closely and some not. */
function clustered(shape: ChosenShape): { q: FloatSample; k: FloatSample; v: FloatSample } {
  const { q, k, v } = qkv(shape);
  const random = randomFrom(shape.seed + 1);
  const about = (x: FloatSample) => {
    const [, length = 0, heads = 0, d = 0] = x.shape;
    const blocks = Math.ceil(length / 64);
    const centres = normal(random, [blocks, heads, d]);
    const spreads = floats([blocks, heads], () => (random() < 0.7 ? 0.2 : 1.5));
    return floats(x.shape, (n) => {
      const block = Math.floor((Math.floor(n / (heads * d)) % length) / 64);
      const head = Math.floor(n / d) % heads;
      return centres.data[(block * heads + head) * d + (n % d)]! + spreads.data[block * heads + head]! * x.data[n]!;
    });
  };
  return { q: about(q), k: about(k), v };
}

test('SpargeAttn: the blocks and the attention of the reference', () => {
  const densities: number[] = [];
  return property(
    fc.record({
      shape: chosenShapes([1, 63, 65, 130, 200, 300, 450], 1e6),
      theta: fc.constantFrom(-2, 0.3, 0.6),
      cdf: fc.constantFrom(undefined, 0, 0.5, 0.9, 0.98),
      topK: fc.constantFrom(0, 0.2, 0.5),
      smoothK: sometimes(fc.constant(false)),
      sink: sometimes(fc.constant(true)),
      causal: fc.boolean(),
      scale: sometimes(fc.double({ min: 0.05, max: 1, noNaN: true })),
    }),
    25,
    async ({ shape, theta, cdf, topK, smoothK, sink, causal, scale }) => {
      const inputs = clustered(shape);
      const given = Object.fromEntries(Object.entries({ smoothK, sink, scale }).filter(([, x]) => x !== undefined));
      const options = { theta, ...(cdf === undefined ? { topK } : { cdf }), causal, ...given };
      const choice = spargeAttnChoice(inputs, options);
      fc.pre(choice.gap > NEAR);
      densities.push(densityOf(choice.chosen));
      const wanted = expected((round) => reference(inputs, options, round, choice));
      for (const rt of runtimes) {
        const got = await call(rt, spargeAttn, inputs, { ...options, returnSelection: true });
        assertSameChoice(unpacked(got.selection!, choice.chosen.shape[3]!), choice.chosen, rt.variant);
        assertAccurate({ o: got.o, lse: got.lse }, wanted, rt.variant);
      }
    },
  ).then(() => {
    const some = densities.filter((x) => x > 0.05 && x < 0.8).length;
    assertMet(some > densities.length / 4, `only ${some} of ${densities.length} cases leave out much`);
  });
});

test('a share of 1 is dense attention, and so is any theta that no block passes', async () => {
  const inputs = clustered({ seed: 4, batch: 2, tq: 300, tk: 300, hkv: 2, group: 2, d: 18, dv: 20 });
  for (const rt of runtimes) {
    for (const causal of [false, true]) {
      const dense = await call(rt, attention, inputs, { causal });
      for (const options of [{ cdf: 1 }, { topK: 1 }, { theta: 1.1, cdf: 0 }]) {
        const all = await call(rt, spargeAttn, inputs, { ...options, causal });
        assertNear(all.o, dense.o, 2e-6, `${rt.variant} ${JSON.stringify(options)}`);
        assertNear(all.lse, dense.lse, 2e-6, `${rt.variant} ${JSON.stringify(options)}`);
      }
    }
  }
});

test('stage 2 leaves out no more than its bound allows', async () => {
  const inputs = clustered({ seed: 6, batch: 1, tq: 300, tk: 300, hkv: 2, group: 1, d: 18, dv: 18 });
  for (const rt of runtimes) {
    for (const causal of [false, true]) {
      const exact = await call(rt, spargeAttn, inputs, { cdf: 0.9, causal });
      // weights below 2^-24 of the largest: less than 300 * 2^-24 of a row
      const close = await call(rt, spargeAttn, inputs, { cdf: 0.9, causal, skipBelow: 24 });
      assertNear(close.o, exact.o, 2e-4, rt.variant);
      const rough = await call(rt, spargeAttn, inputs, { cdf: 0.9, causal, skipBelow: 0 });
      assert.ok(
        Array.from(rough.lse.data).some((x, n) => x < exact.lse.data[n]! - 1e-6),
        `${rt.variant}: nothing was passed over`,
      );
    }
  }
});

test('zero rows make a block dissimilar; thresholds a head; empty sequences', async () => {
  const inputs = clustered({ seed: 7, batch: 1, tq: 300, tk: 300, hkv: 1, group: 2, d: 8, dv: 4 });
  inputs.k.data.fill(0, 130 * 8, 131 * 8);
  const options = { theta: [-2, 0.3], cdf: [0.2, 0.6], smoothK: false };
  const choice = spargeAttnChoice(inputs, options);
  assert.ok(choice.gap > NEAR);
  const none = qkv({ seed: 1, batch: 2, tq: 0, tk: 9, hkv: 1, group: 2, d: 4, dv: 3 });
  for (const rt of runtimes) {
    const got = await call(rt, spargeAttn, inputs, { ...options, returnSelection: true });
    const chosen = unpacked(got.selection!, 5);
    assertSameChoice(chosen, choice.chosen, rt.variant);
    for (let row = 0; row < 6; row++) assert.equal(chosen.data[row * 5 + 2], 1, `${rt.variant}: row ${row}`);
    assert.deepEqual([...(await call(rt, spargeAttn, none)).o.shape], [2, 0, 2, 3]);
    const keyless = qkv({ seed: 1, batch: 2, tq: 5, tk: 0, hkv: 1, group: 2, d: 4, dv: 3 });
    assert.ok(Array.from((await call(rt, spargeAttn, keyless, { causal: true })).o.data).every((x) => x === 0));
    rt.scope(() => {
      const q = rt.zeros([1, 8, 2, 4]);
      const blocks = rt.memory().blocks;
      for (const [given, says] of [
        [{ cdf: 0.5, topK: 0.5 }, /cdf and topK were both given/],
        [{ cdf: -1 }, /cdf is -1/],
        [{ topK: 2 }, /topK is 2/],
        [{ theta: [0.5] }, /theta has 1 numbers, expected one for each of 2/],
        [{ skipBelow: -1 }, /skipBelow is -1/],
        [{ smoothK: 'no' }, /smoothK is no/],
        [{ tau: 1 }, /no option 'tau'/],
      ] as const) {
        assert.throws(
          () => spargeAttnSync({ q, k: q, v: q }, given as object),
          (e: Error) => e instanceof OptionError && says.test(e.message),
        );
      }
      assert.equal(rt.memory().blocks, blocks);
    });
  }
});

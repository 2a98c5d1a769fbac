import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { attention, OptionError, ShapeError, sparseVideoGen2, sparseVideoGen2Sync } from '../src/index.ts';
import { assertAccurate, assertNear, expected } from './accuracy.ts';
import { call } from './call.ts';
import { assertSameChoice, type ChosenShape, chosenShapes, densityOf, NEAR, qkv, unpacked } from './chosen-cases.ts';
import { assertMet, property, sometimes } from './property.ts';
import { sparseVideoGen2 as reference, sparseVideoGen2Choice } from './reference/sparse-videogen2.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, normal, randomFrom, type Sample } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

/** q, k and v whose rows lie about a few centres, in any order. */
function clustered(shape: ChosenShape): { q: FloatSample; k: FloatSample; v: FloatSample } {
  const { q, k, v } = qkv(shape);
  const random = randomFrom(shape.seed + 1);
  const about = (x: FloatSample) => {
    const [, length = 0, heads = 0, d = 0] = x.shape;
    const centres = normal(random, [9, heads, d], 1.2);
    const of = Array.from({ length: x.shape[0]! * length }, () => Math.floor(random() * 9));
    return floats(x.shape, (n) => {
      const centre = (of[Math.floor(n / (heads * d))]! * heads + (Math.floor(n / d) % heads)) * d;
      return centres.data[centre + (n % d)]! + 0.3 * x.data[n]!;
    });
  };
  return { q: about(q), k: about(k), v };
}

test('Sparse VideoGen 2: the clusters, the choice and the attention of the reference', () => {
  const densities: number[] = [];
  return property(
    fc.record({
      shape: chosenShapes([1, 2, 63, 64, 65, 130, 200], 1e6),
      qClusters: fc.constantFrom(undefined, 1, 5, 40),
      kClusters: fc.constantFrom(undefined, 1, 7, 40),
      iterations: fc.constantFrom(1, 3),
      topP: fc.constantFrom(0, 0.3, 0.6, 0.9),
      minRatio: sometimes(fc.constantFrom(0, 0.3)),
      scale: sometimes(fc.double({ min: 0.05, max: 1, noNaN: true })),
    }),
    25,
    async ({ shape, qClusters, kClusters, iterations, topP, minRatio, scale }) => {
      const inputs = clustered(shape);
      const given = {
        ...(qClusters && { qClusters: Math.min(shape.tq, qClusters) }),
        ...(kClusters && { kClusters: Math.min(shape.tk, kClusters) }),
        ...(minRatio !== undefined && { minRatio }),
        ...(scale && { scale }),
      };
      const options = { iterations, topP, ...given };
      const choice = sparseVideoGen2Choice(inputs, options);
      fc.pre(choice.gap > NEAR);
      densities.push(densityOf(choice.chosen));
      const wanted = expected((round) => reference(inputs, options, round, choice));
      for (const rt of runtimes) {
        const got = await call(rt, sparseVideoGen2, inputs, { ...options, returnSelection: true });
        assert.deepEqual(Array.from(got.qLabels!.data), Array.from(choice.q.labels.data), `${rt.variant}: qLabels`);
        assert.deepEqual(Array.from(got.kLabels!.data), Array.from(choice.k.labels.data), `${rt.variant}: kLabels`);
        assertNear(got.qCentroids!, choice.q.centroids, 1e-5, `${rt.variant}: qCentroids`);
        assertNear(got.kCentroids!, choice.k.centroids, 1e-5, `${rt.variant}: kCentroids`);
        assertSameChoice(unpacked(got.selection!, choice.chosen.shape[3]!), choice.chosen, rt.variant);
        assertAccurate({ o: got.o, lse: got.lse }, wanted, rt.variant);
      }
    },
  ).then(() => {
    const some = densities.filter((x) => x > 0.05 && x < 0.8).length;
    assertMet(some > densities.length / 5, `only ${some} of ${densities.length} cases leave out much`);
  });
});

test('topP = 1 is dense attention; a second step goes on from the first centroids', async () => {
  const inputs = clustered({ seed: 3, batch: 2, tq: 130, tk: 150, hkv: 2, group: 2, d: 18, dv: 20 });
  for (const rt of runtimes) {
    const dense = await call(rt, attention, inputs);
    const all = await call(rt, sparseVideoGen2, inputs, { topP: 1, qClusters: 6, kClusters: 9 });
    assertNear(all.o, dense.o, 2e-6, rt.variant);
    assertNear(all.lse, dense.lse, 2e-6, rt.variant);
    const options = { qClusters: 6, kClusters: 9, topP: 0.5, returnSelection: true };
    const whole = await call(rt, sparseVideoGen2, inputs, { ...options, iterations: 4 });
    const first = await call(rt, sparseVideoGen2, inputs, { ...options, iterations: 3 });
    const going = { qCentroids: first.qCentroids as Sample, kCentroids: first.kCentroids as Sample };
    const second = await call(rt, sparseVideoGen2, { ...inputs, ...going }, { topP: 0.5, iterations: 1 });
    assert.deepEqual(second.o.data, whole.o.data, rt.variant);
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
      const got = await call(rt, sparseVideoGen2, inputs, { returnSelection: true });
      assert.ok(Array.from(got.o.data).every((x) => x === 0));
      assert.ok(Array.from(got.lse.data).every((x) => x === Number.NEGATIVE_INFINITY));
    }
    rt.scope(() => {
      const q = rt.zeros([1, 8, 2, 4]);
      const centroids = rt.zeros([1, 3, 2, 4]);
      const blocks = rt.memory().blocks;
      const refused = (given: object, options: object, error: new () => Error, says: RegExp) =>
        assert.throws(
          () => sparseVideoGen2Sync({ q, k: q, v: q, ...given }, options),
          (e: Error) => e instanceof error && says.test(e.message),
        );
      const [shape, option] = [ShapeError as never, OptionError as never];
      refused({}, { qClusters: 9 }, option, /qClusters is 9, expected a finite number from 1 to 8/);
      refused({}, { kClusters: 0 }, option, /kClusters is 0/);
      refused({}, { iterations: 0 }, option, /iterations is 0/);
      refused({}, { topP: 2 }, option, /topP is 2/);
      refused({}, { minRatio: -1 }, option, /minRatio is -1/);
      refused({ qCentroids: centroids }, { qClusters: 4 }, shape, /qCentroids has shape \[1, 3, 2, 4\]/);
      refused({}, { causal: true }, option, /no option 'causal'/);
      assert.equal(rt.memory().blocks, blocks);
    });
  }
});

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { attention, OptionError, retrievalIndex, ShapeError, tactic, tacticSync } from '../src/index.ts';
import { assertAccurate, assertNear, expected } from './accuracy.ts';
import { call } from './call.ts';
import { callWith, decodeShapes, qkv } from './choosing.ts';
import { onesOfLists } from './dynamic-methods.ts';
import { assertMet, property } from './property.ts';
import { attendChosen } from './reference/chosen.ts';
import { scoreMap } from './reference/select.ts';
import { byCluster, logitOf, prefixOf } from './reference/tactic.ts';
import { variants } from './runtimes.ts';
import { floats, ints } from './samples.ts';

const runtimes = await variants(2);
after(() => {
  for (const rt of runtimes) rt.dispose();
});

test('tactic: a prefix of the clusters as long as the fitted weights say, and what is taken in any case', async () => {
  let [fitted, kept, of] = [0, 0, 0];
  await property(
    fc.record({
      shape: decodeShapes,
      clusters: fc.constantFrom(1, 5, 20),
      p: fc.constantFrom(0, 0.4, 0.9, 1),
      exact: fc.constantFrom(0, 4, 50),
      samples: fc.constantFrom(1, 2, 30),
      sinks: fc.constantFrom(0, 0, 3),
      recent: fc.constantFrom(0, 0, 5),
    }),
    40,
    async ({ shape, clusters: most, ...options }) => {
      const { p, exact, samples, sinks, recent } = options;
      const inputs = qkv(shape, 1.3);
      const { q, k } = inputs;
      const { batch, tq, tk, hkv, group, d } = shape;
      const heads = hkv * group;
      const clusters = Math.min(most, tk);
      for (const rt of runtimes) {
        const index = await callWith(rt, retrievalIndex, { k }, { clusters, iterations: 3 });
        const given = {
          ...inputs,
          centroids: floats(index.centroids.shape, (n) => index.centroids.data[n]!),
          labels: ints(Array.from(index.labels.data), index.labels.shape),
        };
        const got = await callWith(rt, tactic, given, { ...options, returnSelection: true });
        const chosen = onesOfLists(got.indices!, got.counts!, tk);
        const scores = scoreMap({ q, k: index.centroids, scale: 1 });
        for (let row = 0; row < batch * heads * tq; row++) {
          const [i, h, b] = [row % tq, Math.floor(row / tq) % heads, Math.floor(row / tq / heads)];
          const kv = Math.floor(h / group);
          const seen = Math.max(0, i + tk - tq + 1);
          const own = Array.from(scores.data.slice(row * clusters, (row + 1) * clusters));
          const sorted = [...own].sort((x, y) => y - x);
          // clusters that score alike may come in either order
          if (sorted.some((x, n) => n > 0 && Math.abs(x - sorted[n - 1]!) < 1e-5 * Math.abs(sorted[0]!))) continue;
          const labels = index.labels.data;
          const order = byCluster(
            own,
            Array.from({ length: tk }, (_, j) => labels[(b * hkv + kv) * tk + j]!),
            seen,
          );
          const logits = order.map((j) => logitOf(q, (b * tq + i) * heads + h, k, (b * tk + j) * hkv + kv, d ** -0.5));
          const lengths = [-1e-4, 1e-4].map((e) =>
            prefixOf({ logits, p: Math.min(p + (p < 1 ? e : 0), 1), exact, samples }),
          );
          if (order.length > exact + samples && p > 0 && p < 1) fitted++;
          const forced = (j: number) => j < sinks || j >= seen - recent;
          const fits = Array.from({ length: lengths[1]! - lengths[0]! + 1 }, (_, n) => lengths[0]! + n).some(
            (length) => {
              const prefix = new Set(order.slice(0, length));
              return Array.from({ length: tk }, (_, j) => j).every(
                (j) => chosen.data[row * tk + j] === (j < seen && (prefix.has(j) || forced(j)) ? 1 : 0),
              );
            },
          );
          assert.ok(fits, `${rt.variant}: row ${row} is no prefix of ${lengths} of ${order.length} tokens`);
          kept += got.counts!.data[row]!;
          of += seen;
        }
        const wanted = expected((round) => attendChosen(inputs, chosen, { causal: true }, round));
        assertAccurate({ o: got.o, lse: got.lse }, wanted, rt.variant);
      }
    },
  );
  assertMet(fitted > 50 && kept < 0.9 * of, `${fitted} rows were fitted, ${kept} of ${of} tokens kept`);
});

test('a share of 1 is causal attention', async () => {
  const inputs = qkv({ seed: 3, batch: 2, tq: 2, tk: 75, hkv: 2, group: 2, d: 18, dv: 20 });
  for (const rt of runtimes) {
    const dense = await call(rt, attention, { ...inputs }, { causal: true });
    const index = await callWith(rt, retrievalIndex, { k: inputs.k }, { clusters: 6 });
    const labels = ints(Array.from(index.labels.data), index.labels.shape);
    const centroids = floats(index.centroids.shape, (n) => index.centroids.data[n]!);
    const { o } = await callWith(rt, tactic, { ...inputs, centroids, labels }, { p: 1 });
    assertNear(o, dense.o, 2e-6, rt.variant);
  }
});

test('what does not fit is refused by name', () => {
  const rt = runtimes[0]!;
  rt.scope(() => {
    const k = rt.zeros([1, 20, 2, 8]);
    const index = { centroids: rt.zeros([1, 3, 2, 8]), labels: rt.zeros([1, 2, 20], 'i32') };
    const right = { q: rt.zeros([1, 1, 4, 8]), k, v: k, ...index };
    const refused = (inputs: object, options: object, error: new (m: string) => Error, says: RegExp) => {
      const { used } = rt.memory();
      const work = () => tacticSync({ ...right, ...inputs }, { p: 0.5, ...options });
      assert.throws(work, (thrown) => thrown instanceof error && says.test(thrown.message), `${says}`);
      assert.equal(rt.memory().used, used, `${says}: memory`);
    };
    const short = rt.zeros([1, 2, 19], 'i32');
    refused({}, { p: undefined }, OptionError, /p is missing/);
    refused({}, { p: 2 }, OptionError, /p is 2/);
    refused({}, { samples: 0 }, OptionError, /samples is 0/);
    refused({}, { topk: 3 }, OptionError, /no option 'topk'/);
    refused({ labels: undefined }, {}, ShapeError, /labels is missing/);
    refused({ labels: short }, {}, ShapeError, /labels has shape/);
  });
});

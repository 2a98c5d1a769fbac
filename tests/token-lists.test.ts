// Tokens chosen among candidates: RetrievalAttention's inverted file, Twilight's share by keys in four bits.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import {
  attention,
  OptionError,
  retrievalAttention,
  retrievalAttentionSync,
  retrievalIndex,
  ShapeError,
  topKAttention,
  twilight,
  twilightKeys,
  twilightSync,
} from '../src/index.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { call } from './call.ts';
import { assertTopK, callWith, decodeShapes, qkv } from './choosing.ts';
import { onesOfLists } from './dynamic-methods.ts';
import { assertMet, property } from './property.ts';
import { attendChosen } from './reference/chosen.ts';
import { pastTokens } from './reference/chosen-tokens.ts';
import { type NdArray, type Result, zeros } from './reference/ndarray.ts';
import { scoreMap, seen, selectTopK, softmaxMap } from './reference/select.ts';
import { variants } from './runtimes.ts';
import { floats, ints, type Sample } from './samples.ts';

const runtimes = await variants(2);
after(() => {
  for (const rt of runtimes) rt.dispose();
});

const floatsOf = (x: NdArray): Sample => floats(x.shape, (n) => x.data[n]!);
const intsOf = (x: NdArray): Sample => ints(Array.from(x.data), x.shape);

test('retrievalAttention: the best of the probed clusters, and the flat index', async () => {
  let [pruned, flat] = [0, 0];
  await property(
    fc.record({
      shape: decodeShapes,
      clusters: fc.constantFrom(1, 5, 12),
      nprobe: fc.constantFrom(1, 2, 20),
      topk: fc.constantFrom(0, 1, 9, 400),
      sinks: fc.constantFrom(0, 0, 3),
      recent: fc.constantFrom(0, 0, 5),
    }),
    24,
    async ({ shape, clusters: most, nprobe, topk, sinks, recent }) => {
      const inputs = qkv(shape);
      const clusters = Math.min(most, shape.tk);
      const { tq, tk, hkv, group, batch } = shape;
      const heads = hkv * group;
      const visible = pastTokens(inputs);
      const exact = scoreMap({ q: inputs.q, k: inputs.k, scale: shape.d ** -0.5 });
      const options = { topk, sinks, recent, returnSelection: true };
      const rule = { k: topk, first: sinks, last: recent, forced: 'added' as const, visible };
      for (const rt of runtimes) {
        const index = await callWith(rt, retrievalIndex, { k: inputs.k }, { clusters, iterations: 3 });
        const given = { ...inputs, centroids: floatsOf(index.centroids), labels: intsOf(index.labels) };
        const byCentroid = scoreMap({ q: inputs.q, k: index.centroids, scale: 1 });
        // clusters that score alike may be probed otherwise
        const order = (row: number) =>
          Array.from(byCentroid.data.slice(row * clusters, (row + 1) * clusters)).sort((a, b) => b - a);
        const rows = batch * heads * tq;
        const near = (row: number) =>
          nprobe < clusters && order(row)[nprobe - 1]! - order(row)[nprobe]! < 1e-5 * Math.abs(order(row)[0]!);
        if (Array.from({ length: rows }, (_, row) => row).some(near)) return;
        const probed = selectTopK(byCentroid, nprobe);
        const scores = zeros(exact.shape);
        for (let at = 0; at < scores.data.length; at++) {
          const [j, row] = [at % tk, Math.floor(at / tk)];
          const [h, b] = [Math.floor(row / tq) % heads, Math.floor(row / tq / heads)];
          const label = index.labels.data[(b * hkv + Math.floor(h / group)) * tk + j]!;
          const candidate = probed.data[row * clusters + label] === 1;
          scores.data[at] = candidate ? exact.data[at]! : Number.NEGATIVE_INFINITY;
          if (!candidate) pruned++;
        }
        const cases = [
          [given, { ...options, nprobe }, scores],
          [inputs, options, exact],
        ] as const;
        for (const [tensors, opts, map] of cases) {
          const got = await callWith(rt, retrievalAttention, { ...tensors }, opts);
          const chosen = onesOfLists(got.indices!, got.counts!, tk);
          assertTopK(map, chosen, rule, `${rt.variant}: ${JSON.stringify(opts)}`);
          const wanted = expected((round) => attendChosen(inputs, chosen, { causal: true }, round));
          assertAccurate({ o: got.o, lse: got.lse }, wanted, rt.variant);
          flat++;
        }
      }
    },
  );
  assertMet(pruned > 1000 && flat > 50, `${pruned} keys passed over in ${flat} calls`);
});

/** Keys that codes stand for. */
function decoded(codes: NdArray, range: NdArray, d: number): Result {
  const [B, T, H, W] = codes.shape as [number, number, number, number];
  const k = zeros([B, T, H, d]);
  for (let at = 0; at < k.data.length; at++) {
    const [c, row] = [at % d, Math.floor(at / d)];
    const code = (codes.data[row * W + (c % W)]! >> (c < W ? 0 : 4)) & 15;
    k.data[at] = range.data[row * 2 + 1]! + range.data[row * 2]! * code;
  }
  return k;
}

test('twilightKeys: no key is further than half a step from its codes', () =>
  property(decodeShapes, 20, async (shape) => {
    const { k } = qkv(shape);
    for (const rt of runtimes) {
      const { codes, range } = await call(rt, twilightKeys, { k });
      const got = decoded(codes, range, shape.d);
      for (let n = 0; n < got.data.length; n++) {
        const row = Math.floor(n / shape.d);
        const step = range.data[row * 2]!;
        const error = Math.abs(got.data[n]! - k.data[n]!);
        assert.ok(error <= 0.5 * step * (1 + 1e-5) + 1e-6, `${rt.variant}: ${error} at a step of ${step}`);
      }
    }
  }));

test('twilight: as few candidates as hold the share by four bits; all tokens, or those of a base', async () => {
  let [kept, of] = [0, 0];
  await property(
    fc.record({ shape: decodeShapes, p: fc.constantFrom(0, 0.3, 0.9, 1), base: fc.constantFrom(undefined, 1, 20) }),
    24,
    async ({ shape, p, base }) => {
      const inputs = qkv(shape, 1.5);
      const { tk } = shape;
      const visible = pastTokens(inputs);
      for (const rt of runtimes) {
        const made = await call(rt, twilightKeys, { k: inputs.k });
        const based = base
          ? await callWith(rt, topKAttention, { ...inputs }, { k: base, causal: true, returnSelection: true })
          : undefined;
        const lists = based ? { indices: intsOf(based.indices!), counts: intsOf(based.counts!) } : {};
        const given = {
          ...inputs,
          ...lists,
          codes: { shape: made.codes.shape, data: Uint8Array.from(made.codes.data) },
          range: floatsOf(made.range),
        };
        const options = { p, returnSelection: true };
        const got = await callWith(rt, twilight, given, options);
        const again = await callWith(rt, twilight, { ...inputs, ...lists }, options);
        assertSameBits(again.o, got.o, `${rt.variant}: codes made and given`);
        const candidates = based ? onesOfLists(based.indices!, based.counts!, tk) : undefined;
        const estimate = scoreMap({ q: inputs.q, k: decoded(made.codes, made.range, shape.d), scale: shape.d ** -0.5 });
        for (let n = 0; candidates && n < estimate.data.length; n++) {
          if (!candidates.data[n]) estimate.data[n] = Number.NEGATIVE_INFINITY;
        }
        const weights = softmaxMap(estimate, 1, visible);
        const chosen = onesOfLists(got.indices!, got.counts!, tk);
        for (let row = 0; row * tk < chosen.data.length; row++) {
          const n = seen(visible, row % shape.tq, tk);
          let [mass, least, most, count, total] = [0, 1, 0, 0, 0];
          for (let j = 0; j < tk; j++) {
            const at = row * tk + j;
            const may = j < n && (candidates ? candidates.data[at] === 1 : true);
            if (chosen.data[at]) assert.ok(may, `${rt.variant}: row ${row} chose ${j}`);
            if (!may) continue;
            total++;
            if (!chosen.data[at]) {
              most = Math.max(most, weights.data[at]!);
              continue;
            }
            count++;
            mass += weights.data[at]!;
            least = Math.min(least, weights.data[at]!);
          }
          kept += count;
          of += total;
          if (total === 0) continue;
          if (p === 1) assert.equal(count, total, `${rt.variant}: row ${row}`);
          assert.ok(mass >= p - 1e-5, `${rt.variant}: row ${row} holds ${mass} of ${p}`);
          assert.ok(least >= most - 1e-5, `${rt.variant}: row ${row} took ${least} and left ${most}`);
          if (p < 1) assert.ok(count === 1 || mass - least <= p + 1e-5, `${rt.variant}: row ${row} took too many`);
        }
        const wanted = expected((round) => attendChosen(inputs, chosen, { causal: true }, round));
        assertAccurate({ o: got.o, lse: got.lse }, wanted, rt.variant);
      }
    },
  );
  assertMet(kept < 0.9 * of, `${kept} of ${of} kept`);
});

test('all clusters and all tokens, or a share of 1: causal attention', async () => {
  const shape = { seed: 3, batch: 2, tq: 2, tk: 75, hkv: 2, group: 2, d: 18, dv: 20 };
  const inputs = qkv(shape);
  for (const rt of runtimes) {
    const dense = await call(rt, attention, { ...inputs }, { causal: true });
    const index = await callWith(rt, retrievalIndex, { k: inputs.k }, { clusters: 6 });
    const given = { ...inputs, centroids: floatsOf(index.centroids), labels: intsOf(index.labels) };
    const results = [
      await callWith(rt, retrievalAttention, given, { topk: 75, nprobe: 6 }),
      await callWith(rt, retrievalAttention, given, { topk: 60, nprobe: 6, sinks: 5, recent: 10 }),
      await callWith(rt, retrievalAttention, { ...inputs }, { topk: 75 }),
      await callWith(rt, twilight, { ...inputs }, { p: 1 }),
    ];
    for (const { o } of results) assertNear(o, dense.o, 2e-6, rt.variant);
  }
});

test('what does not fit is refused by name, and no keys give zeros', () => {
  const rt = runtimes[0]!;
  rt.scope(() => {
    const q = rt.zeros([1, 1, 4, 8]);
    const k = rt.zeros([1, 20, 2, 8]);
    const right = { q, k, v: k };
    const index = { centroids: rt.zeros([1, 3, 2, 8]), labels: rt.zeros([1, 2, 20], 'i32') };
    const refused = (work: () => unknown, error: new (m: string) => Error, says: RegExp) => {
      const { used } = rt.memory();
      assert.throws(
        () => rt.scope(work),
        (thrown) => thrown instanceof error && says.test(thrown.message),
        `${says}`,
      );
      assert.equal(rt.memory().used, used, `${says}: memory`);
    };
    const retrieve = (inputs: object, options: object) =>
      retrievalAttentionSync({ ...right, ...inputs }, { topk: 2, ...options });
    refused(() => retrieve({ labels: index.labels }, {}), OptionError, /labels was given alone/);
    refused(() => retrieve(index, {}), OptionError, /nprobe is undefined with centroids/);
    refused(() => retrieve({}, { nprobe: 2 }), OptionError, /nprobe is 2 without centroids/);
    refused(
      () => retrieve({ ...index, labels: rt.zeros([1, 2, 19], 'i32') }, { nprobe: 1 }),
      ShapeError,
      /labels has shape/,
    );
    refused(() => twilightSync(right, {} as never), OptionError, /p is missing/);
    refused(() => twilightSync(right, { p: 1.5 }), OptionError, /p is 1.5/);
    refused(
      () => twilightSync({ ...right, counts: rt.zeros([1, 4, 1], 'i32') }, { p: 0.5 }),
      OptionError,
      /go together/,
    );
    const codes = rt.zeros([1, 20, 2, 16], 'u8');
    refused(
      () => twilightSync({ ...right, codes, range: rt.zeros([1, 20, 2, 2]) }, { p: 0.5 }),
      ShapeError,
      /codes has shape/,
    );
    const none = { q, k: k.slice(1, 0, 0), v: k.slice(1, 0, 0) };
    for (const { o } of [
      retrievalAttentionSync(none, { topk: 2 }),
      retrievalAttentionSync(
        { ...none, centroids: index.centroids, labels: index.labels.slice(2, 0, 0) },
        { topk: 2, nprobe: 1 },
      ),
      twilightSync(none, { p: 0.5 }),
    ]) {
      assert.deepEqual([...o.dataSync()], new Array(32).fill(0));
    }
  });
});

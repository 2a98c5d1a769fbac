// Tokens chosen by some channels or directions: SparQ, Double Sparsity, Loki.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import {
  attention,
  doubleSparsity,
  doubleSparsityChannels,
  doubleSparsityLabels,
  doubleSparsitySync,
  loki,
  lokiBasis,
  lokiKeys,
  lokiSync,
  OptionError,
  ShapeError,
  sparq,
  sparqSync,
  type Tensor,
} from '../src/index.ts';
import { assertAccurate, assertNear, expected, maxError } from './accuracy.ts';
import { call } from './call.ts';
import { assertTopK, callWith, decodeShapes, onesOf, perChoice, qkv } from './choosing.ts';
import { onesOfLists } from './dynamic-methods.ts';
import { assertMet, property } from './property.ts';
import { attendChosen } from './reference/chosen.ts';
import {
  alongBasis,
  channelWeights,
  doubleSparsityScores,
  lokiScores,
  pastTokens,
  sparq as sparqReference,
  sparqScores,
  takeChannels,
} from './reference/chosen-tokens.ts';
import { type NdArray, zeros } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { floats, ints, mapped, normal, randomFrom, roundToBfloat, type Sample } from './samples.ts';

const runtimes = await variants(2);
after(() => {
  for (const rt of runtimes) rt.dispose();
});

/** k [B, T, H, D] as [B, H, D, T]. */
function transposed(k: NdArray): Sample {
  const [B, T, H, D] = k.shape as [number, number, number, number];
  return floats([B, H, D, T], (n) => {
    const [t, c, h, b] = [n % T, Math.floor(n / T) % D, Math.floor(n / T / D) % H, Math.floor(n / T / D / H)];
    return k.data[((b * T + t) * H + h) * D + c]!;
  });
}

/** Means of values [B, T, H, D], [B, H, D]. */
function meanOf(v: NdArray): Sample {
  const [B, T, H, D] = v.shape as [number, number, number, number];
  return floats([B, H, D], (n) => {
    let sum = 0;
    for (let t = 0; t < T; t++) sum += v.data[(Math.floor(n / H / D) * T + t) * H * D + (n % (H * D))]!;
    return sum / T;
  });
}

const choices = fc.record({
  shape: decodeShapes,
  topk: fc.constantFrom(0, 1, 7, 64, 400),
  sinks: fc.constantFrom(0, 0, 1, 4),
  recent: fc.constantFrom(0, 0, 1, 9),
  r: fc.constantFrom(1, 2, 5, 16),
});

test('sparq: tokens as sets, results of what was chosen; with keys by channels and means given too', async () => {
  let fewer = 0;
  await property(choices, 34, async ({ shape, topk, recent, r: most }) => {
    const inputs = qkv(shape);
    const r = Math.min(most, shape.d);
    const options = { r, topk, local: recent, returnSelection: true };
    const { map, gap } = sparqScores(inputs, { r });
    // channels that are almost equally large may be chosen otherwise
    if (gap < 1e-5) return;
    if (topk < shape.tk) fewer++;
    const visible = pastTokens(inputs);
    const wanted = perChoice((chosen) => expected((round) => sparqReference(inputs, { r }, chosen, round)));
    for (const rt of runtimes) {
      const given = { ...inputs, kT: transposed(inputs.k), vMean: meanOf(inputs.v) };
      for (const [what, tensors] of Object.entries({ plain: inputs, given })) {
        const got = await callWith(rt, sparq, { ...tensors }, options);
        const chosen = onesOfLists(got.indices!, got.counts!, shape.tk);
        assertTopK(map, chosen, { k: topk, last: recent, visible }, `${rt.variant}, ${what}`);
        assertAccurate({ o: got.o, lse: got.lse }, wanted(chosen), `${rt.variant}, ${what}`);
      }
    }
  });
  assertMet(fewer > 12, `only ${fewer} cases leave tokens out`);
});

test('doubleSparsity: tokens as sets, results of what was chosen, labels made and given', async () => {
  await property(choices, 24, async ({ shape, topk, sinks, recent, r: most }) => {
    const inputs = qkv(shape);
    const r = Math.min(most, shape.d);
    const random = randomFrom(shape.seed + 1);
    const picks = Array.from({ length: shape.hkv }, () =>
      Array.from({ length: shape.d }, (_, c) => c)
        .sort(() => random() - 0.5)
        .slice(0, r),
    );
    const channels = ints(picks.flat(), [shape.hkv, r]);
    const options = { topk, sinks, recent, returnSelection: true };
    const scores = doubleSparsityScores(inputs, channels);
    const wanted = perChoice((chosen) => expected((round) => attendChosen(inputs, chosen, { causal: true }, round)));
    for (const rt of runtimes) {
      const { labels } = await call(rt, doubleSparsityLabels, { k: inputs.k, channels });
      assert.equal(maxError(labels, takeChannels(inputs.k, channels)).error, 0, `${rt.variant}: labels`);
      const given = { ...inputs, channels, labels: floats(labels.shape, (n) => labels.data[n]!) };
      for (const [what, tensors] of Object.entries({ plain: { ...inputs, channels }, given })) {
        const got = await callWith(rt, doubleSparsity, tensors, options);
        const chosen = onesOfLists(got.indices!, got.counts!, shape.tk);
        const rule = { k: topk, first: sinks, last: recent, forced: 'added' as const, visible: pastTokens(inputs) };
        assertTopK(scores, chosen, rule, `${rt.variant}, ${what}`);
        assertAccurate({ o: got.o, lse: got.lse }, wanted(chosen), `${rt.variant}, ${what}`);
      }
    }
  });
});

test('doubleSparsityChannels: the channels of the largest products', () =>
  property(fc.record({ shape: decodeShapes, r: fc.constantFrom(1, 2, 16) }), 20, async ({ shape, r: most }) => {
    const { q, k } = qkv({ ...shape, tq: shape.tk });
    const r = Math.min(most, shape.d);
    const weights = channelWeights({ q, k });
    const map = { shape: [1, shape.hkv, 1, shape.d], data: weights.data };
    for (const rt of runtimes) {
      const { channels } = await callWith(rt, doubleSparsityChannels, { q, k }, { r });
      const chosen = onesOf({ shape: [1, shape.hkv, r], data: channels.data }, shape.d);
      assertTopK(map, chosen, { k: r }, rt.variant);
    }
  }));

test('loki: tokens as sets, results of what was chosen, keys along the basis made and given', async () => {
  await property(choices, 24, async ({ shape, topk, sinks, recent, r: most }) => {
    const inputs = qkv(shape);
    const r = Math.min(most, shape.d);
    const basis = normal(randomFrom(shape.seed + 1), [shape.hkv, r, shape.d], shape.d ** -0.5);
    const options = { topk, sinks, recent, returnSelection: true };
    const scores = lokiScores(inputs, basis);
    const wanted = perChoice((chosen) => expected((round) => attendChosen(inputs, chosen, { causal: true }, round)));
    for (const rt of runtimes) {
      const { kBasis } = await call(rt, lokiKeys, { k: inputs.k, basis });
      assertNear(kBasis, alongBasis(inputs.k, basis), 1e-5, `${rt.variant}: kBasis`);
      const given = { ...inputs, basis, kBasis: floats(kBasis.shape, (n) => kBasis.data[n]!) };
      for (const [what, tensors] of Object.entries({ plain: { ...inputs, basis }, given })) {
        const got = await callWith(rt, loki, tensors, options);
        const chosen = onesOfLists(got.indices!, got.counts!, shape.tk);
        const rule = { k: topk, first: sinks, last: recent, forced: 'added' as const, visible: pastTokens(inputs) };
        assertTopK(scores, chosen, rule, `${rt.variant}, ${what}`);
        assertAccurate({ o: got.o, lse: got.lse }, wanted(chosen), `${rt.variant}, ${what}`);
      }
    }
  });
});

test('lokiBasis: orthonormal, of the variances along it, falling, and all that can be had', async () => {
  const random = randomFrom(9);
  for (const [d, tokens] of [
    [1, 5],
    [3, 40],
    [18, 200],
    [64, 50],
  ] as const) {
    const mixed = normal(random, [d, d]);
    const raw = normal(random, [2, tokens, 2, d]);
    // correlated channels with a mean of their own
    const k = floats(raw.shape, (n) => {
      let sum = 3;
      for (let c = 0; c < d; c++) sum += mixed.data[c * d + (n % d)]! * raw.data[n - (n % d) + c]!;
      return sum;
    });
    for (const rt of runtimes) {
      const { basis, variances } = await callWith(rt, lokiBasis, { k }, { r: d });
      for (let h = 0; h < 2; h++) {
        const directions = Array.from({ length: d }, (_, n) =>
          Array.from({ length: d }, (_, c) => basis.data[(h * d + n) * d + c]!),
        );
        const product = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
        // keys along each direction, less their mean
        const along = directions.map((direction) => {
          const rows = Array.from({ length: 2 * tokens }, (_, row) => {
            let sum = 0;
            for (let c = 0; c < d; c++) sum += direction[c]! * k.data[(row * 2 + h) * d + c]!;
            return sum;
          });
          const mean = rows.reduce((a, b) => a + b, 0) / rows.length;
          return rows.map((x) => x - mean);
        });
        const largest = variances.data[h * d]!;
        let total = 0;
        for (let n = 0; n < d; n++) {
          total += variances.data[h * d + n]!;
          assert.ok(n === 0 || variances.data[h * d + n]! <= variances.data[h * d + n - 1]!, 'falling');
          for (let m = 0; m <= n; m++) {
            const turned = product(directions[n]!, directions[m]!);
            assert.ok(Math.abs(turned - (m === n ? 1 : 0)) < 1e-6, `${rt.variant}: ${n} and ${m} of ${d}: ${turned}`);
            // the variances that are told, and none between two directions: what makes them principal
            const both = product(along[n]!, along[m]!) / (2 * tokens);
            const want = m === n ? variances.data[h * d + n]! : 0;
            assert.ok(Math.abs(both - want) < 2e-6 * largest, `${rt.variant}: covariance of ${n} and ${m} of ${d}`);
          }
        }
        assert.ok(total > 0);
      }
    }
  }
});

test('all tokens chosen, or all channels and the whole basis: causal attention and topKAttention', async () => {
  const shape = { seed: 3, batch: 2, tq: 2, tk: 75, hkv: 2, group: 2, d: 18, dv: 20 };
  const inputs = qkv(shape);
  const channels = ints(
    Array.from({ length: 36 }, (_, n) => n % 18),
    [2, 18],
  );
  const one = zeros([2, 18, 18]);
  for (let n = 0; n < 36; n++) one.data[n * 18 + (n % 18)] = 1;
  const basis = floats(one.shape, (n) => one.data[n]!);
  for (const rt of runtimes) {
    const dense = await call(rt, attention, { ...inputs }, { causal: true });
    const all = [
      await callWith(rt, sparq, { ...inputs }, { r: 3, topk: 75 }),
      await callWith(rt, sparq, { ...inputs }, { r: 18, topk: 0, local: 75 }),
      await callWith(rt, doubleSparsity, { ...inputs, channels }, { topk: 75 }),
      await callWith(rt, loki, { ...inputs, basis }, { topk: 60, sinks: 5, recent: 10 }),
    ];
    for (const { o, lse } of all) {
      assertNear(o, dense.o, 2e-6, `${rt.variant}: o`);
      assertNear(lse, dense.lse, 4e-6, `${rt.variant}: lse`);
    }
    const exact = await callWith(rt, doubleSparsity, { ...inputs, channels }, { topk: 9, returnSelection: true });
    const turned = await callWith(rt, loki, { ...inputs, basis }, { topk: 9, returnSelection: true });
    assert.deepEqual(turned.indices!.data, exact.indices!.data, `${rt.variant}: all directions choose as all channels`);
  }
});

test('keys and values in 16 bits', async () => {
  const shape = { seed: 7, batch: 1, tq: 1, tk: 90, hkv: 2, group: 1, d: 64, dv: 32 };
  const { q, k, v } = qkv(shape);
  const rounded = { q, k: mapped(k, roundToBfloat), v: mapped(v, roundToBfloat) };
  const channels = ints([1, 5, 9, 33, 40, 60, 2, 3, 4, 5, 6, 7], [2, 6]);
  for (const rt of runtimes) {
    await rt.scope(async () => {
      const stored = { k: rt.tensor(rounded.k.data, k.shape, 'bf16'), v: rt.tensor(rounded.v.data, v.shape, 'bf16') };
      const options = { topk: 12, returnSelection: true };
      for (const [op, more, own] of [
        [sparq, {}, { r: 9 }],
        [doubleSparsity, { channels }, {}],
      ] as const) {
        const run = (inputs: Record<string, Sample | Tensor>) =>
          callWith(rt, op as unknown as typeof loki, { ...inputs, ...more }, { ...options, ...own });
        const [want, got] = [await run(rounded), await run({ q, ...stored })];
        assert.deepEqual(got.indices!.data, want.indices!.data, rt.variant);
        assertNear(got.o, want.o, 3e-6, rt.variant);
      }
    });
  }
});

test('what does not fit is refused by name, and no keys give zeros', () => {
  const rt = runtimes[0]!;
  rt.scope(() => {
    const q = rt.zeros([1, 1, 4, 8]);
    const k = rt.zeros([1, 20, 2, 8]);
    const right = { q, k, v: k };
    const channels = rt.tensor(Int32Array.of(0, 1, 2, 3), [2, 2]);
    const basis = rt.zeros([2, 3, 8]);
    type Call = (inputs: never, options: never) => unknown;
    const refused = (op: Call, inputs: object, options: object, error: new (m: string) => Error, says: RegExp) => {
      const { used } = rt.memory();
      assert.throws(
        () => op({ ...right, ...inputs } as never, options as never),
        (thrown) => thrown instanceof error && says.test(thrown.message),
        `${says}`,
      );
      assert.equal(rt.memory().used, used, `${says}: memory`);
    };
    refused(sparqSync as Call, {}, { topk: 2 }, OptionError, /sparq: r is missing/);
    refused(sparqSync as Call, {}, { r: 2 }, OptionError, /sparq: topk is missing/);
    refused(sparqSync as Call, {}, { r: 9, topk: 2 }, OptionError, /r is 9/);
    refused(sparqSync as Call, {}, { r: 2, topk: 2, recent: 1 }, OptionError, /no option 'recent'/);
    refused(sparqSync as Call, { kT: rt.zeros([1, 2, 20, 8]) }, { r: 2, topk: 2 }, ShapeError, /kT has shape/);
    refused(sparqSync as Call, { vMean: rt.zeros([1, 8]) }, { r: 2, topk: 2 }, ShapeError, /vMean has shape/);
    refused(doubleSparsitySync as Call, {}, { topk: 2 }, ShapeError, /channels is missing/);
    const wrong = rt.tensor(Int32Array.of(0, 8, 2, 3), [2, 2]);
    refused(
      doubleSparsitySync as Call,
      { channels: wrong },
      { topk: 2 },
      OptionError,
      /channels has 8, expected 0 to 7/,
    );
    const labels = rt.zeros([1, 20, 2, 3]);
    refused(doubleSparsitySync as Call, { channels, labels }, { topk: 2 }, ShapeError, /labels has shape/);
    refused(lokiSync as Call, { basis: rt.zeros([2, 3, 9]) }, { topk: 2 }, ShapeError, /basis has shape/);
    refused(lokiSync as Call, { basis, kBasis: labels.slice(1, 0, 9) }, { topk: 2 }, ShapeError, /kBasis has shape/);
    refused(lokiSync as Call, { basis }, { topk: -1 }, OptionError, /topk is -1/);
    const none = { ...right, k: k.slice(1, 0, 0), v: k.slice(1, 0, 0) };
    for (const result of [
      sparqSync(none, { r: 2, topk: 3 }),
      doubleSparsitySync({ ...none, channels }, { topk: 3 }),
      lokiSync({ ...none, basis }, { topk: 3 }),
    ]) {
      assert.deepEqual([...result.o.dataSync()], new Array(32).fill(0));
    }
  });
});

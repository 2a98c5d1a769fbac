// Attention over caches that let tokens go: h2o, tova, snapkv, pyramidkv.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import {
  attention,
  createRuntime,
  DTypeError,
  h2o,
  h2oSync,
  OptionError,
  pyramidBudgets,
  pyramidkv,
  ShapeError,
  snapkv,
  snapkvSync,
  tova,
  tovaSync,
} from '../src/index.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { call } from './call.ts';
import { assertMet, property } from './property.ts';
import { evicting, votedKeys } from './reference/evict.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, mapped, normal, randomFrom, roundToHalf } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

/** Nearer than this in share of a weight, float32 may let another token go. */
const TIE = 2e-5;

const shapes = fc.record({
  seed: fc.nat(),
  batch: fc.integer({ min: 1, max: 2 }),
  t: fc.constantFrom(1, 2, 63, 65),
  hkv: fc.integer({ min: 1, max: 2 }),
  group: fc.constantFrom(1, 1, 2, 3, 5),
  d: fc.constantFrom(1, 3, 18, 64),
  dv: fc.constantFrom(1, 20, 64),
  std: fc.constantFrom(0.5, 1, 2, 8),
});

type Shape = Record<'seed' | 'batch' | 't' | 'hkv' | 'group' | 'd' | 'dv' | 'std', number>;

function operands({ seed, batch, t, hkv, group, d, dv, std }: Shape) {
  const random = randomFrom(seed);
  return {
    q: normal(random, [batch, t, hkv * group, d], std),
    k: normal(random, [batch, t, hkv, d]),
    v: normal(random, [batch, t, hkv, dv]),
  };
}

test('h2o and tova let the same tokens go as the definition', async () => {
  const met = { let: 0, shared: 0, window: 0, huge: 0 };
  await property(
    fc.record({
      shape: shapes,
      budget: fc.constantFrom(1, 3, 8, 31, 64, 70),
      recent: fc.double({ min: 0, max: 1, noNaN: true }),
      method: fc.constantFrom('h2o', 'tova', 'tovaPerHead'),
    }),
    60,
    async ({ shape, budget, recent: share, method }) => {
      const inputs = operands(shape);
      const recent = method === 'h2o' ? Math.round(budget * share) : 0;
      const perHead = method !== 'tova';
      const eviction = { budget, recent, addSums: method === 'h2o', perHead };
      if (!(evicting(inputs, eviction).gap > TIE)) return;
      const wanted = expected((round) => {
        const { o, kept } = evicting(inputs, eviction, round);
        return { o, kept };
      });
      for (const rt of runtimes) {
        const got =
          method === 'h2o'
            ? await call(rt, (x: never) => h2o(x, { heavy: budget - recent, recent }), inputs)
            : await call(rt, (x: never) => tova(x, { budget, perHead }), inputs);
        assertAccurate(got, wanted, `${rt.variant} ${method}`);
        assertSameBits(got.kept, wanted.want.kept, `${rt.variant} ${method}: kept`);
      }
      if (shape.t > budget) ++met.let;
      if (shape.t > budget && shape.group > 1) ++met.shared;
      if (shape.t > budget && recent === budget) ++met.window;
      if (shape.t > budget && shape.std === 8) ++met.huge;
    },
  );
  for (const [name, count] of Object.entries(met)) assertMet(count >= 2, `${count} cases of ${name}`);
});

test('snapkv and pyramidkv keep the same keys as the definition', async () => {
  const met = { chosen: 0, max: 0, shared: 0, all: 0 };
  await property(
    fc.record({
      shape: shapes,
      window: fc.constantFrom(1, 4, 32, 64),
      more: fc.constantFrom(0, 1, 9, 30),
      kernelSize: fc.constantFrom(1, 5, 7),
      pooling: fc.constantFrom('avg' as const, 'max' as const),
      pyramid: fc.boolean(),
    }),
    60,
    async ({ shape, window, more, kernelSize, pooling, pyramid }) => {
      const inputs = operands(shape);
      const [layer, layers] = [1, 4];
      const voting = { window, capacity: window + more, kernelSize, pooling };
      const capacity = pyramid
        ? pyramidBudgets({ layers, capacity: window + more, window, length: shape.t })[layer]!
        : window + more;
      const { gap } = votedKeys(inputs, { ...voting, capacity });
      // maxima of neighbours are often equal, exactly: the earlier key then stays
      if (gap < TIE && gap !== 0) return;
      const wanted = expected((round) => {
        const { o, kept } = votedKeys(inputs, { ...voting, capacity }, round);
        return { o, kept };
      });
      for (const rt of runtimes) {
        const got = pyramid
          ? await call(rt, (x: never) => pyramidkv(x, { ...voting, layer, layers }), inputs)
          : await call(rt, (x: never) => snapkv(x, voting), inputs);
        assertAccurate(got, wanted, rt.variant);
        assertSameBits(got.kept, wanted.want.kept, `${rt.variant}: kept`);
      }
      const chosen = capacity > window && capacity < shape.t;
      if (chosen) ++met.chosen;
      if (chosen && pooling === 'max' && kernelSize > 1) ++met.max;
      if (chosen && shape.group > 1) ++met.shared;
      if (capacity >= shape.t) ++met.all;
    },
  );
  for (const [name, count] of Object.entries(met)) assertMet(count >= 2, `${count} cases of ${name}`);
});

test('a budget of the whole length is causal attention, no heavy tokens are a sliding window', async () => {
  const inputs = operands({ seed: 5, batch: 2, t: 65, hkv: 2, group: 2, d: 18, dv: 20, std: 1 });
  for (const rt of runtimes) {
    const dense = (await call(rt, attention, inputs, { causal: true })).o;
    for (const [name, op] of Object.entries({
      h2o: (x: never) => h2o(x, { heavy: 60, recent: 5 }),
      tova: (x: never) => tova(x, { budget: 1000 }),
    })) {
      const { o, kept } = await call(rt, op, inputs);
      assertNear(o, dense, 2e-6, `${rt.variant}: ${name}`);
      assert.deepEqual(Array.from(kept.data).slice(0, 65), [...new Array(65).keys()]);
    }
    const last = {
      shape: [2, 1, 4, 20],
      data: [64 * 80, 129 * 80].flatMap((n) => Array.from(dense.data).slice(n, n + 80)),
    };
    const all = await call(rt, (x: never) => snapkv(x, { capacity: 65 }), inputs);
    assertNear(all.o, last, 2e-6, `${rt.variant}: snapkv`);
    const windowed = (await call(rt, attention, inputs, { causal: true, window: [7, 0] })).o;
    const { o } = await call(rt, (x: never) => h2o(x, { heavy: 0, recent: 7 }), inputs);
    assertNear(o, windowed, 2e-6, `${rt.variant}: heavy 0`);
  }
});

test('of equal weights the earliest token goes', async () => {
  const shape = [1, 9, 1, 4];
  const zero = mapped(normal(randomFrom(1), shape), () => 0);
  for (const rt of runtimes) {
    const { kept } = await call(rt, (x: never) => tova(x, { budget: 4 }), { q: zero, k: zero, v: zero });
    assert.deepEqual(Array.from(kept.data), [5, 6, 7, 8], 'all weights are equal');
    const snap = await call(rt, (x: never) => snapkv(x, { window: 2, capacity: 5, kernelSize: 1 }), {
      q: zero,
      k: zero,
      v: zero,
    });
    assert.deepEqual(Array.from(snap.kept.data), [0, 1, 2, 7, 8], 'of equal votes the earliest key stays');
  }
});

test('halves are taken as what they stand for, and strides as they are', async () => {
  const inputs = operands({ seed: 9, batch: 1, t: 40, hkv: 2, group: 1, d: 18, dv: 20, std: 1 });
  const halves = (x: FloatSample) => mapped(x, roundToHalf);
  const rounded = { q: halves(inputs.q), k: halves(inputs.k), v: halves(inputs.v) };
  for (const rt of runtimes) {
    rt.scope(() => {
      const half = (x: FloatSample) => rt.tensor(x.data, x.shape, 'f16');
      const headFirst = (x: FloatSample) => {
        const [B, T, H, D] = x.shape as [number, number, number, number];
        const to = rt.empty([B, H, T, D]);
        const view = to.view();
        for (let n = 0; n < x.data.length; n++) {
          const [d, h, t] = [n % D, Math.floor(n / D) % H, Math.floor(n / D / H)];
          view[(h * T + t) * D + d] = x.data[n]!;
        }
        return to.permute([0, 2, 1, 3]);
      };
      const float = ({ q, k, v }: typeof rounded) => ({
        q: rt.tensor(q.data, q.shape),
        k: rt.tensor(k.data, k.shape),
        v: rt.tensor(v.data, v.shape),
      });
      const narrow = { q: half(inputs.q), k: half(inputs.k), v: half(inputs.v) };
      const strided = { q: headFirst(rounded.q), k: headFirst(rounded.k), v: headFirst(rounded.v) };
      for (const op of [
        (x: typeof narrow) => h2oSync(x, { heavy: 5, recent: 3 }),
        (x: typeof narrow) => tovaSync(x, { budget: 6 }),
        (x: typeof narrow) => snapkvSync(x, { window: 4, capacity: 10 }),
      ]) {
        const want = op(float(rounded));
        for (const got of [op(narrow), op(strided)]) {
          assert.deepEqual(got.kept.dataSync(), want.kept.dataSync());
          assert.deepEqual(got.o.dataSync(), want.o.dataSync());
        }
      }
    });
  }
});

test('no tokens give no rows', async () => {
  const inputs = operands({ seed: 1, batch: 2, t: 0, hkv: 2, group: 2, d: 4, dv: 5, std: 1 });
  for (const rt of runtimes) {
    const { o, kept } = await call(rt, (x: never) => h2o(x, { heavy: 2, recent: 2 }), inputs);
    assert.deepEqual(
      [o.shape, kept.shape],
      [
        [2, 0, 4, 5],
        [2, 2, 0],
      ],
    );
    const snap = await call(rt, (x: never) => snapkv(x, { capacity: 40 }), inputs);
    assert.deepEqual(
      [snap.o.shape, snap.kept.shape],
      [
        [2, 0, 4, 5],
        [2, 2, 0],
      ],
    );
  }
});

test('the budgets of a pyramid fall in equal steps, but for rounding, and add up exactly', () => {
  assert.deepEqual(pyramidBudgets({ layers: 4, capacity: 128, window: 8 }), [242, 166, 90, 14]);
  for (const layers of [1, 2, 3, 7, 32]) {
    for (const capacity of [33, 64, 1000]) {
      for (const beta of [1, 2, 20, 1000]) {
        for (const length of [0, 40, 500, 1500, 10 ** 6]) {
          const budgets = pyramidBudgets({ layers, capacity, beta, length });
          const what = JSON.stringify({ layers, capacity, beta, length, budgets });
          assert.equal(
            budgets.reduce((a, b) => a + b, 0),
            layers * capacity,
            what,
          );
          assert.ok(
            budgets.every((x, l) => x >= 32 && (l === 0 || x <= budgets[l - 1]!)),
            what,
          );
          const steps = budgets.slice(1).map((x, l) => budgets[l]! - x);
          assert.ok(Math.max(0, ...steps) - Math.min(...steps, Number.POSITIVE_INFINITY) <= 2 || layers < 3, what);
          if (capacity < length) assert.ok(budgets[0]! <= length, what);
        }
      }
    }
  }
});

test('options and operands that do not fit are named', () => {
  const [rt] = runtimes;
  rt!.scope(() => {
    const x = rt!.empty([1, 4, 2, 8]);
    const inputs = { q: x, k: x, v: x };
    assert.throws(() => h2oSync(inputs, { heavy: 0, recent: 0 }), /heavy and recent are both 0/);
    assert.throws(() => h2oSync(inputs, { heavy: 1.5, recent: 0 }), OptionError);
    assert.throws(() => h2oSync(inputs, { recent: 4 } as never), /heavy is NaN/);
    assert.throws(() => h2oSync(inputs, { heavy: 1, recent: 1, window: 3 } as never), /no option 'window'/);
    assert.throws(() => h2oSync({ ...inputs, k: rt!.empty([1, 5, 2, 8]) }, { heavy: 1, recent: 1 }), ShapeError);
    assert.throws(() => h2oSync({ ...inputs, q: rt!.empty([1, 4, 3, 8]) }, { heavy: 1, recent: 1 }), /multiple of Hkv/);
    const codes = rt!.empty([1, 4, 2, 8], 'i8');
    assert.throws(() => tovaSync({ ...inputs, v: codes }, { budget: 2 }), DTypeError);
    assert.throws(() => tovaSync(inputs, { budget: 0 }), /budget is 0/);
    assert.throws(() => snapkvSync(inputs, { capacity: 8 }), /capacity is 8, expected at least the window's 32/);
    assert.throws(() => snapkvSync(inputs, { capacity: 8, window: 2, kernelSize: 4 }), /odd/);
    assert.throws(() => snapkvSync(inputs, { capacity: 8, window: 2, pooling: 'sum' as never }), /avg or max/);
    assert.throws(() => snapkvSync(inputs, { window: 2 } as never), /capacity is NaN/);
    assert.throws(() => pyramidBudgets({ layers: 0, capacity: 40 }), /layers is 0/);
  });
});

test('threads change no bit', async () => {
  const inputs = operands({ seed: 3, batch: 1, t: 300, hkv: 4, group: 2, d: 64, dv: 64, std: 1 });
  const [rt] = runtimes;
  using several = await createRuntime({ variant: rt!.variant, threads: 3 });
  for (const op of [
    (x: never) => h2o(x, { heavy: 40, recent: 40 }),
    (x: never) => tova(x, { budget: 80, perHead: true }),
    (x: never) => snapkv(x, { capacity: 100 }),
  ]) {
    const want = await call(rt!, op, inputs);
    const got = await call(several, op, inputs);
    assertSameBits(got.o, want.o, 'o');
    assertSameBits(got.kept, want.kept, 'kept');
  }
});

test('a key that is not a number goes no further than its head, and is never let go for its weight', async () => {
  const inputs = operands({ seed: 4, batch: 1, t: 20, hkv: 2, group: 1, d: 18, dv: 20, std: 1 });
  // head 1 of token 3
  inputs.k.data[(3 * 2 + 1) * 18] = Number.NaN;
  for (const rt of runtimes) {
    const { o, kept } = await call(rt, (x: never) => h2o(x, { heavy: 4, recent: 4 }), inputs);
    for (let n = 0; n < o.data.length; n++) {
      const [t, h] = [Math.floor(n / 40), Math.floor(n / 20) % 2];
      if (h === 0 || t < 3) assert.ok(Number.isFinite(o.data[n]), `${rt.variant}: token ${t}, head ${h}`);
      else if (t < 9) assert.ok(Number.isNaN(o.data[n]), `${rt.variant}: token ${t}, head ${h}`);
    }
    const tokens = Array.from(kept.data);
    for (const own of [tokens.slice(0, 8), tokens.slice(8)]) {
      assert.deepEqual(own.slice(4), [16, 17, 18, 19]);
      assert.equal(new Set(own).size, 8);
    }
  }
});

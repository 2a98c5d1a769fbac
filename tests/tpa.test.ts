import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { explain } from '../src/explain.ts';
import { attention, createRuntime, OptionError, ShapeError, type Tensor, tpa, tpaSync } from '../src/index.ts';
import { assertAccurate, assertSameBits, expected } from './accuracy.ts';
import { type CallInputs, call } from './call.ts';
import { assertMet, property, sometimes } from './property.ts';
import { outerSum, type TpaInputs, tpaContracted, tpa as tpaReference } from './reference/tpa.ts';
import { availableVariants, variants } from './runtimes.ts';
import { type FloatSample, ints, mapped, normal, randomFrom, roundToBfloat, roundToHalf } from './samples.ts';

const runtimes = await variants();
const [rt = assert.fail('no runtime')] = runtimes;
after(() => {
  for (const each of runtimes) each.dispose();
});

const FACTORS = ['aQ', 'bQ', 'aK', 'bK', 'aV', 'bV'] as const;

test('tpa contracted, materialised and as it chooses, at odd shapes', () => {
  let [long, hidden] = [0, 0];
  return property(
    fc
      .record({
        seed: fc.nat(),
        batch: fc.integer({ min: 1, max: 2 }),
        tq: fc.constantFrom(1, 1, 2, 5, 16, 20),
        tk: fc.constantFrom(1, 2, 3, 63, 64, 65, 130, 600),
        heads: fc.constantFrom(1, 2, 3, 6, 7, 8, 13),
        ranks: fc.tuple(fc.constantFrom(1, 2, 3, 6), fc.constantFrom(1, 2, 3), fc.constantFrom(1, 2, 4)),
        d: fc.constantFrom(1, 3, 18, 64, 80),
        dv: fc.constantFrom(undefined, undefined, 5, 20),
        whole: sometimes(fc.constant(true)),
        kvLens: sometimes(fc.constant(true)),
        causal: fc.boolean(),
        window: sometimes(fc.tuple(fc.integer({ min: -1, max: 70 }), fc.integer({ min: -1, max: 3 }))),
        softcap: sometimes(fc.constant(4)),
        stored: fc.constantFrom('f32', 'f32', 'f16', 'bf16'),
      })
      .filter(({ batch, tq, tk, heads, d }) => batch * tq * tk * heads * d < 1e5),
    34,
    async ({ seed, batch, tq, tk, heads, ranks, d, dv = d, whole, kvLens, causal, window, softcap, stored }) => {
      const random = randomFrom(seed);
      const round = { f32: (x: number) => x, f16: roundToHalf, bf16: roundToBfloat }[stored]!;
      const [rq, rk, rv] = ranks;
      const rows = (t: number, r: number, n: number) => mapped(normal(random, [batch, t, r, n], 1.5), round);
      const cache = { aK: rows(tk, rk, heads), bK: rows(tk, rk, d), aV: rows(tk, rv, heads), bV: rows(tk, rv, dv) };
      const queries = whole
        ? { q: normal(random, [batch, tq, heads, d]) }
        : { aQ: normal(random, [batch, tq, rq, heads], 1.5), bQ: normal(random, [batch, tq, rq, d], 1.5) };
      const lens = kvLens && ints(Array.from({ length: batch }, () => Math.floor(random() * (tk + 1))));
      const inputs: TpaInputs = { ...queries, ...cache, ...(lens && { kvLens: lens }) };
      const options = {
        causal,
        ...(window && { window: window as [number, number] }),
        ...(softcap && { softcap }),
      };
      long += tk > 512 ? 1 : 0;
      hidden += causal && tq > tk ? 1 : 0;
      const wanted = expected(
        (precision) => tpaReference(inputs, options, precision),
        [(precision) => tpaContracted(inputs, options, precision)],
      );
      for (const each of runtimes) {
        await each.scope(async () => {
          const given: CallInputs = { ...queries, ...(lens && { kvLens: lens }) };
          for (const [name, x] of Object.entries(cache))
            given[name] = each.tensor(x.data, [...x.shape], stored as 'f32');
          for (const contract of tq <= 16 ? [true, false, undefined] : [undefined]) {
            const got = await call(each, tpa, given, { ...options, ...(contract !== undefined && { contract }) });
            assertAccurate(got, wanted, `${each.variant}, ${stored}, contract ${contract}`);
          }
        });
      }
    },
  ).then(() =>
    assertMet(long > 0 && hidden > 0, `${long} cases of several splits, ${hidden} with rows that see nothing`),
  );
});

test('large scores, and factors that lie side by side in rows of one cache', async () => {
  const random = randomFrom(3);
  const [tk, heads, d] = [140, 7, 18];
  for (const std of [8, 300]) {
    const sample = (t: number, r: number, n: number, by = 1) => normal(random, [1, t, r, n], by);
    const inputs = {
      aQ: sample(3, 2, heads, std),
      bQ: sample(3, 2, d),
      aK: sample(tk, 2, heads),
      bK: sample(tk, 2, d),
      aV: sample(tk, 3, heads),
      bV: sample(tk, 3, d),
    };
    const wanted = expected(
      (round) => tpaReference(inputs, { causal: true }, round),
      [(round) => tpaContracted(inputs, { causal: true }, round)],
    );
    for (const each of runtimes) {
      await each.scope(async () => {
        const width = 5 * (heads + d);
        const cache = each.zeros([1, tk, width]);
        const memory = cache.view();
        const given: Record<string, Tensor | FloatSample> = { aQ: inputs.aQ, bQ: inputs.bQ };
        let column = 0;
        for (const name of FACTORS.slice(2)) {
          const { shape, data } = inputs[name];
          const [, , r = 0, n = 0] = shape;
          for (let i = 0; i < data.length; i++) {
            memory[Math.floor(i / (r * n)) * width + column + (i % (r * n))] = data[i]!;
          }
          given[name] = cache.slice(2, column, column + r * n).restride([1, tk, r, n], [tk * width, width, n, 1]);
          column += r * n;
        }
        for (const contract of [true, false]) {
          const got = await call(each, tpa, given, { causal: true, contract });
          assertAccurate(got, wanted, `${each.variant}, std ${std}, contract ${contract}`);
        }
      });
    }
  }
});

test('ranks of all heads with unit factors are multi-head attention', async () => {
  const random = randomFrom(4);
  const [heads, d] = [4, 16];
  const rows = (t: number) => normal(random, [2, t, heads, d]);
  const [q, k, v] = [rows(1), rows(90), rows(90)];
  const unit = (t: number): FloatSample => ({
    shape: [2, t, heads, heads],
    data: Float32Array.from({ length: 2 * t * heads * heads }, (_, n) =>
      n % heads === Math.floor(n / heads) % heads ? heads : 0,
    ),
  });
  const factors = { aQ: unit(1), bQ: q, aK: unit(90), bK: k, aV: unit(90), bV: v };
  assert.deepEqual(Array.from(outerSum(factors.aK, k, (x) => x).data), Array.from(k.data), 'the factors give the keys');
  for (const each of runtimes) {
    const want = await call(each, attention, { q, k, v });
    const wanted = { want, limit: { o: 1e-6, lse: 1e-6 } };
    for (const contract of [true, false]) {
      assertAccurate(await call(each, tpa, factors, { contract }), wanted, `${each.variant}, contract ${contract}`);
    }
  }
});

test('tpa: the same bits on any number of threads, and from the synchronous twin', async () => {
  const random = randomFrom(5);
  const sample = (t: number, r: number, n: number) => normal(random, [2, t, r, n]);
  const cache = { aK: sample(1300, 2, 8), bK: sample(1300, 2, 16), aV: sample(1300, 2, 8), bV: sample(1300, 2, 16) };
  for (const variant of availableVariants()) {
    using one = await createRuntime({ variant, threads: 1 });
    using two = await createRuntime({ variant, threads: 2 });
    for (const tq of [2, 60]) {
      const inputs = { aQ: sample(tq, 6, 8), bQ: sample(tq, 6, 16), ...cache };
      const want = await call(one, tpa, inputs, { causal: true });
      assertSameBits((await call(two, tpa, inputs, { causal: true })).o, want.o, `${tq} queries`);
      const sync = async (all: never, given?: object) => tpaSync(all, given);
      assertSameBits((await call(one, sync, inputs, { causal: true })).o, want.o, `${tq} queries, sync`);
    }
  }
});

test('tpa says what it chooses, and refuses by name what does not fit', () => {
  const f32 = (...shape: number[]) => rt.zeros(shape);
  const cache = { aK: f32(1, 9, 2, 16), bK: f32(1, 9, 2, 8), aV: f32(1, 9, 2, 16), bV: f32(1, 9, 2, 8) };
  const right = { aQ: f32(1, 1, 6, 16), bQ: f32(1, 1, 6, 8), ...cache };
  assert.match(explain('tpa', right).notes.join(), /contracted: attention on factors of ranks 6, 2 and 2/);
  const many = { aQ: f32(1, 40, 6, 16), bQ: f32(1, 40, 6, 8), ...cache };
  assert.match(explain('tpa', many).notes.join(), /materialised: queries, keys and values of 16 heads/);
  const wrong: [object, object, new (...args: never[]) => Error, RegExp][] = [
    [{ bQ: undefined }, {}, OptionError, /aQ was given for the queries, expected aQ and bQ, or q/],
    [{ q: f32(1, 1, 16, 8) }, {}, OptionError, /q and aQ and bQ was given/],
    [{ aK: f32(1, 9, 3, 16) }, {}, ShapeError, /bK has shape \[1, 9, 2, 8\].*Rk = 3/],
    [{ aV: f32(1, 9, 2, 5) }, {}, ShapeError, /aV has shape \[1, 9, 2, 5\].*H = 16/],
    [{ aV: f32(1, 9, 0, 16), bV: f32(1, 9, 0, 8) }, {}, ShapeError, /ranks are 6, 2 and 0/],
    [{}, { contract: 'yes' }, OptionError, /contract is yes/],
    [{ aQ: many.aQ, bQ: many.bQ }, { contract: true }, OptionError, /contract is for at most 16 queries/],
    [{}, { blockMask: 1 }, OptionError, /has no option 'blockMask'/],
  ];
  for (const [inputs, options, error, says] of wrong) {
    const thrown = (e: unknown) => e instanceof error && says.test((e as Error).message);
    assert.throws(() => tpaSync({ ...right, ...inputs } as never, options as never), thrown);
  }
});

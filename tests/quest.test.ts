import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { scorePages as scorePagesOn } from '../src/engines/select/page-bounds.ts';
import {
  attention,
  DTypeError,
  OptionError,
  quest,
  questPages,
  questSync,
  ShapeError,
  type Tensor,
} from '../src/index.ts';
import { runSync } from '../src/runtime/program.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { call } from './call.ts';
import { assertTopK, callWith, decodeShapes, onesOf, perChoice, qkv } from './choosing.ts';
import { assertMet, property } from './property.ts';
import { questPages as pagesReference, quest as questReference, scorePages, visiblePages } from './reference/quest.ts';
import { variants } from './runtimes.ts';
import { mapped, normal, randomFrom, roundToBfloat, roundToHalf } from './samples.ts';

const runtimes = await variants(2);
after(() => {
  for (const rt of runtimes) rt.dispose();
});

test('quest: pages as sets, results of what was chosen, with bounds made and given', async () => {
  let fewer = 0;
  await property(
    fc.record({ shape: decodeShapes, pageSize: fc.constantFrom(1, 3, 8, 16), topk: fc.constantFrom(1, 2, 4, 30) }),
    60,
    async ({ shape, pageSize, topk }) => {
      const inputs = qkv(shape);
      const options = { pageSize, topk };
      const bounds = pagesReference(inputs, { pageSize });
      const scores = scorePages({ q: inputs.q, bounds });
      const pages = Math.ceil(shape.tk / pageSize);
      if (topk < pages) fewer++;
      const wanted = perChoice((chosen) =>
        expected((round) => {
          const { o, lse } = questReference(inputs, options, round, chosen);
          return { o, lse };
        }),
      );
      for (const rt of runtimes) {
        const made = await call(rt, questPages, { k: inputs.k }, { pageSize });
        assertSameBits(made.bounds, bounds, `${rt.variant}: bounds`);
        const got = await callWith(rt, quest, { ...inputs }, options);
        const chosen = onesOf(got.pages, pages);
        assertTopK(scores, chosen, { k: topk, visible: visiblePages(inputs, pageSize) }, rt.variant);
        assertAccurate(got, wanted(chosen), rt.variant);
        await rt.scope(async () => {
          const given = rt.tensor(Float32Array.from(made.bounds.data), made.bounds.shape);
          const again = await callWith(rt, quest, { ...inputs, bounds: given }, options);
          for (const name of ['o', 'lse', 'pages'] as const)
            assertSameBits(again[name], got[name], `${rt.variant}: ${name}`);
        });
      }
    },
  );
  assertMet(fewer > 20, `only ${fewer} cases leave pages out`);
});

test('the score of a page is never below the product with any of its keys', async () => {
  let tight = 0;
  await property(
    fc.record({
      seed: fc.nat(),
      d: fc.constantFrom(1, 3, 18, 64, 128),
      pageSize: fc.constantFrom(1, 7, 16),
      spread: fc.constantFrom(1e-3, 1, 1e3),
      dtype: fc.constantFrom('f32', 'bf16'),
    }),
    60,
    async ({ seed, d, pageSize, spread, dtype }) => {
      const random = randomFrom(seed);
      const [tk, heads] = [50, 2];
      const q = normal(random, [1, 1, heads, d], spread);
      const k = normal(random, [1, tk, heads, d], spread);
      for (const rt of runtimes) {
        const { bounds } = await call(rt, questPages, { k }, { pageSize, dtype: dtype as 'f32' });
        const scores = scorePages({ q, bounds });
        const pages = Math.ceil(tk / pageSize);
        for (let h = 0; h < heads; h++) {
          for (let j = 0; j < tk; j++) {
            let [product, size] = [0, 0];
            for (let c = 0; c < d; c++) {
              const x = q.data[h * d + c]! * k.data[(j * heads + h) * d + c]!;
              product += x;
              size += Math.abs(x);
            }
            const bound = scores.data[h * pages + Math.floor(j / pageSize)]!;
            // both are sums of exact products of the stored numbers: in f64 nothing but its own rounding is left
            assert.ok(bound >= product - 1e-15 * d * size, `${rt.variant}: ${bound} < ${product}`);
            if (bound - product < 1e-6 * size) tight++;
          }
        }
        // the kernel's own score: f32 sums of 2 d products, each of which rounds once
        rt.scope(() => {
          const held = rt.tensor(Float32Array.from(bounds.data), bounds.shape);
          const given = { q: rt.tensor(q.data, q.shape), bounds: held };
          const all = { mul: 0, add: pages, div: 1 };
          const { map } = runSync('test', given, (b) => ({ map: b.keep(scorePagesOn(b, given.q, held, all)) }));
          const got = map.dataSync() as Float32Array;
          for (let h = 0; h < heads; h++) {
            for (let j = 0; j < tk; j++) {
              const page = Math.floor(j / pageSize);
              let [product, size] = [0, 0];
              for (let c = 0; c < d; c++) {
                const x = q.data[h * d + c]!;
                const at = (h * pages + page) * 2 * d + c;
                product += x * k.data[(j * heads + h) * d + c]!;
                size += Math.abs(x) * Math.max(Math.abs(bounds.data[at]!), Math.abs(bounds.data[at + d]!));
              }
              const bound = got[h * pages + page]!;
              assert.ok(bound >= product - 2 ** -24 * (2 * d + 2) * size, `${rt.variant}: f32 ${bound} < ${product}`);
            }
          }
        });
      }
    },
  );
  assertMet(tight > 100, `only ${tight} bounds are reached`);
});

test('all pages are causal attention', () =>
  property(decodeShapes, 20, async (shape) => {
    const inputs = qkv(shape);
    for (const rt of runtimes) {
      const dense = await call(rt, attention, { ...inputs }, { causal: true });
      const all = await callWith(rt, quest, { ...inputs }, { topk: 1000, pageSize: 5 });
      assertNear(all.o, dense.o, 3e-6, `${rt.variant}: o`);
      assertNear(all.lse, dense.lse, 1e-5, `${rt.variant}: lse`);
    }
  }));

test('keys and values in 16 bits and bounds in bf16 choose by what they hold; i8 needs bounds', async () => {
  const shape = { seed: 5, batch: 2, tq: 1, tk: 150, hkv: 2, group: 1, d: 64, dv: 48 };
  const options = { topk: 3, pageSize: 16 };
  const { q, k, v } = qkv(shape);
  for (const rt of runtimes) {
    for (const [dtype, round] of [
      ['f16', roundToHalf],
      ['bf16', roundToBfloat],
    ] as const) {
      const rounded = { q, k: mapped(k, round), v: mapped(v, round) };
      const want = await callWith(rt, quest, rounded, options);
      await rt.scope(async () => {
        const stored = Object.fromEntries(
          Object.entries({ k: rounded.k, v: rounded.v }).map(([name, x]) => [name, rt.tensor(x.data, x.shape, dtype)]),
        );
        const got = await callWith(rt, quest, { q, ...stored }, options);
        assert.deepEqual(got.pages.data, want.pages.data);
        assertNear(got.o, want.o, 3e-6, `${rt.variant}, ${dtype}`);
      });
    }
    await rt.scope(async () => {
      const keys = rt.tensor(k.data, k.shape);
      const { bounds } = await questPages({ k: keys }, { dtype: 'bf16' });
      const held = { shape: bounds.shape, data: (await bounds.data()) as Float32Array };
      const got = await callWith(rt, quest, { q, k, v, bounds }, options);
      const scores = scorePages({ q, bounds: held });
      assertTopK(
        scores,
        onesOf(got.pages, 10),
        { k: 3, visible: visiblePages({ q, k }, 16) },
        `${rt.variant}: bf16 bounds`,
      );
      const codes = rt.tensor(
        Int8Array.from(k.data, (x) => Math.round(x * 20)),
        k.shape,
        'i8',
      );
      const kScale = rt.tensor(new Float32Array(2 * 150 * 2).fill(1 / 20), [2, 150, 2]);
      const values = rt.tensor(v.data, v.shape);
      const query = rt.tensor(q.data, q.shape);
      const i8 = await quest({ q: query, k: codes, v: values, kScale, bounds }, options);
      assert.deepEqual(await i8.pages.data(), got.pages.data);
      await assert.rejects(quest({ q: query, k: codes, v: values, kScale }, options), DTypeError);
    });
  }
});

test('quest: no keys, and what does not fit', () => {
  const rt = runtimes[0]!;
  rt.scope(() => {
    const q = rt.zeros([1, 1, 4, 8]);
    const k = rt.zeros([1, 40, 2, 8]);
    const right = { q, k, v: k };
    const { o, lse } = questSync({ q, k: k.slice(1, 0, 0), v: k.slice(1, 0, 0) }, { topk: 2 });
    assert.deepEqual([...o.dataSync()], new Array(32).fill(0));
    assert.ok([...lse.dataSync()].every((x) => x === Number.NEGATIVE_INFINITY));
    const refused = (
      change: Record<string, Tensor>,
      options: object,
      error: new (m: string) => Error,
      says: RegExp,
    ) => {
      const { used } = rt.memory();
      assert.throws(
        () => questSync({ ...right, ...change }, { topk: 2, ...options } as never),
        (thrown) => thrown instanceof error && says.test(thrown.message),
        `${says}`,
      );
      assert.equal(rt.memory().used, used, `${says}: memory`);
    };
    refused({}, { topk: undefined }, OptionError, /topk is missing/);
    refused({}, { topk: 0 }, OptionError, /topk is 0/);
    refused({}, { pageSize: 0 }, OptionError, /pageSize is 0/);
    refused({}, { extra: 0 }, OptionError, /no option 'extra'/);
    refused({ bounds: rt.zeros([1, 2, 2, 2, 8]) }, {}, ShapeError, /bounds has shape/);
    refused({ bounds: rt.zeros([1, 2, 3, 2, 16]).slice(4, 0, 8) }, {}, ShapeError, /contiguous/);
    refused({ k: rt.zeros([1, 40, 3, 8]), v: rt.zeros([1, 40, 3, 8]) }, {}, ShapeError, /heads/);
  });
});

// Caches of compact forms: what attends through them is attention to all tokens that were put in.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { FactorCache, LatentCache, YocoCache } from '../src/cache/index.ts';
import {
  attention,
  CacheDataError,
  CacheFullError,
  DisposedError,
  DTypeError,
  OptionError,
  ShapeError,
  type Tensor,
} from '../src/index.ts';
import { assertAccurate, assertSameBits, expected } from './accuracy.ts';
import { type AttentionOptions, attention as attentionReference } from './reference/attention.ts';
import { groupedLatentAttention as groupedReference } from './reference/grouped-latent.ts';
import { mlaAbsorbed, mla as mlaReference } from './reference/mla.ts';
import type { NdArray, Round } from './reference/ndarray.ts';
import { tpaContracted, tpa as tpaReference } from './reference/tpa.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, mapped, normal, randomFrom, roundToBfloat, roundToHalf } from './samples.ts';

const runtimes = await variants();
const [rt = assert.fail('no runtime')] = runtimes;
after(() => {
  for (const each of runtimes) each.dispose();
});

type Runtime = typeof rt;
type Samples = Record<string, FloatSample>;

/** What the three caches have in common. */
interface Cache {
  readonly length: number;
  readonly bytes: number;
  readonly width: number;
  append(rows: Record<string, Tensor>): Promise<void>;
  appendSync(rows: Record<string, Tensor>): void;
  attend(queries: Record<string, Tensor>, options?: object): Promise<Record<string, Tensor>>;
  attendSync(queries: Record<string, Tensor>, options?: object): Record<string, Tensor>;
  truncate(length: number): void;
  fork(): Cache;
  save(): Uint8Array;
  dispose(): void;
}

interface Form {
  readonly name: string;
  readonly width: number;
  make(rt: Runtime, dtype: 'f32' | 'f16' | 'bf16', capacity?: number): Cache;
  restore(rt: Runtime, bytes: Uint8Array): Cache;
  rows(random: () => number, tokens: number): Samples;
  queries(random: () => number, tokens: number): Samples;
  reference(all: Samples, round: Round): Record<string, NdArray>;
  other?(all: Samples, round: Round): Record<string, NdArray>;
}

const causal: AttentionOptions = { causal: true };
// biome-ignore lint/suspicious/noExplicitAny: each form has inputs of its own
type Any = any;

const latent = (latents: number | undefined): Form => {
  const [heads, n, r, c, v] = [4, 6, 5, 10, 7];
  const options = { latentDim: c, ropeDim: r, ...(latents && { latentHeads: latents }), batch: 2 };
  const grouped = (all: Samples): Any => ({
    ...all,
    cKv: { ...all.cKv, shape: [2, all.cKv!.shape[1]!, latents ?? 1, c] },
  });
  return {
    name: `LatentCache of ${latents ?? 'MLA'}`,
    width: (latents ?? 1) * c + r,
    make: (on, dtype, capacity = 64) => new LatentCache(on, { ...options, dtype, capacity }) as Any,
    restore: (on, bytes) => LatentCache.restore(on, bytes) as Any,
    rows: (random, tokens) => ({
      cKv: normal(random, latents ? [2, tokens, latents, c] : [2, tokens, c]),
      kRope: normal(random, [2, tokens, r]),
    }),
    queries: (random, tokens) => ({
      qNope: normal(random, [2, tokens, heads, n]),
      qRope: normal(random, [2, tokens, heads, r]),
      wUk: normal(random, [heads, c, n]),
      wUv: normal(random, [heads, c, v]),
    }),
    reference: (all, round) => groupedReference(grouped(all), causal as Any, round, mlaReference),
    other: (all, round) => groupedReference(grouped(all), causal as Any, round, mlaAbsorbed),
  };
};

const forms: Form[] = [
  latent(undefined),
  latent(2),
  {
    name: 'FactorCache',
    width: 2 * (6 + 9) + 3 * (6 + 5),
    make: (on, dtype, capacity = 64) =>
      new FactorCache(on, { heads: 6, headDim: 9, valueDim: 5, rankK: 2, rankV: 3, batch: 2, dtype, capacity }) as Any,
    restore: (on, bytes) => FactorCache.restore(on, bytes) as Any,
    rows: (random, tokens) => ({
      aK: normal(random, [2, tokens, 2, 6]),
      bK: normal(random, [2, tokens, 2, 9]),
      aV: normal(random, [2, tokens, 3, 6]),
      bV: normal(random, [2, tokens, 3, 5]),
    }),
    queries: (random, tokens) => ({
      aQ: normal(random, [2, tokens, 4, 6]),
      bQ: normal(random, [2, tokens, 4, 9]),
    }),
    reference: (all, round) => tpaReference(all as Any, causal, round) as Any,
    other: (all, round) => tpaContracted(all as Any, causal, round) as Any,
  },
  {
    name: 'YocoCache',
    width: 2 * (8 + 3),
    make: (on, dtype, capacity = 64) =>
      new YocoCache(on, { kvHeads: 2, headDim: 8, valueDim: 3, batch: 2, dtype, capacity }) as Any,
    restore: (on, bytes) => YocoCache.restore(on, bytes) as Any,
    rows: (random, tokens) => ({ k: normal(random, [2, tokens, 2, 8]), v: normal(random, [2, tokens, 2, 3]) }),
    queries: (random, tokens) => ({ q: normal(random, [2, tokens, 4, 8]) }),
    reference: (all, round) => attentionReference(all as Any, causal, round) as Any,
  },
];

/** Rows of samples [2, T, ...] one behind another. */
function joined(parts: readonly FloatSample[]): FloatSample {
  const [, , ...inner] = parts[0]!.shape;
  const total = parts.reduce((sum, { shape }) => sum + shape[1]!, 0);
  const data = [0, 1].flatMap((b) =>
    parts.map((part) => part.data.subarray((b * part.data.length) / 2, ((b + 1) * part.data.length) / 2)),
  );
  const all = new Float32Array(data.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of data) {
    all.set(part, at);
    at += part.length;
  }
  return { shape: [2, total, ...inner], data: all };
}

const on = (each: Runtime, samples: Samples) =>
  Object.fromEntries(Object.entries(samples).map(([name, { data, shape }]) => [name, each.tensor(data, [...shape])]));

const read = async (result: Record<string, Tensor>) =>
  Object.fromEntries(
    await Promise.all(
      Object.entries(result).map(async ([name, tensor]) => [name, { shape: tensor.shape, data: await tensor.data() }]),
    ),
  ) as Record<string, NdArray>;

for (const form of forms) {
  test(`${form.name}: a prompt, then tokens one by one, in every storage`, async () => {
    for (const [dtype, round] of [
      ['f32', (x: number) => x],
      ['f16', roundToHalf],
      ['bf16', roundToBfloat],
    ] as const) {
      const random = randomFrom(1);
      const pieces = [21, 1, 1, 0, 17].map((tokens) => form.rows(random, tokens));
      const queries = pieces.map((piece) => form.queries(random, Object.values(piece)[0]!.shape[1]!));
      for (const each of runtimes) {
        const blocks = each.memory().blocks;
        const cache = form.make(each, dtype);
        assert.equal(cache.width, form.width);
        for (const [i, piece] of pieces.entries()) {
          await each.scope(async () => {
            if (i % 2) cache.appendSync(on(each, piece));
            else await cache.append(on(each, piece));
            const all = Object.fromEntries(
              Object.keys(piece).map((name) => [
                name,
                mapped(joined(pieces.slice(0, i + 1).map((other) => other[name]!)), round),
              ]),
            );
            const wanted = expected(
              (precision) => form.reference({ ...all, ...queries[i]! }, precision),
              form.other ? [(precision) => form.other!({ ...all, ...queries[i]! }, precision)] : [],
            );
            const got = await read(await cache.attend(on(each, queries[i]!)));
            assertAccurate(got, wanted, `${each.variant}, ${dtype}, piece ${i}`);
            const twin = await read(cache.attendSync(on(each, queries[i]!)));
            assertSameBits(twin.o!, got.o!, 'sync');
          });
        }
        assert.equal(cache.length, 40);
        assert.equal(cache.bytes, 2 * 40 * form.width * (dtype === 'f32' ? 4 : 2));
        cache.dispose();
        assert.ok(each.memory().blocks <= blocks + 1, 'nothing stays but scratch');
      }
    }
  });

  test(`${form.name}: forks part, truncated tokens are gone, saved bytes give it back`, async () => {
    const random = randomFrom(2);
    const [first, second, third] = [9, 4, 4].map((tokens) => form.rows(random, tokens)) as [Samples, Samples, Samples];
    const queries = form.queries(random, 2);
    const cache = form.make(rt, 'bf16');
    cache.appendSync(on(rt, first));
    const attend = async (of: Cache) => (await read(of.attendSync(on(rt, queries)))).o!;
    const before = await attend(cache);
    const fork = cache.fork();
    cache.appendSync(on(rt, second));
    fork.appendSync(on(rt, third));
    assert.notDeepEqual(await attend(cache), await attend(fork));
    const both = await attend(cache);
    const saved = cache.save();
    fork.truncate(9);
    assertSameBits(await attend(fork), before, 'truncated fork');
    fork.appendSync(on(rt, second));
    assertSameBits(await attend(fork), both, 'the fork with the same tokens');
    const restored = form.restore(rt, saved);
    assert.equal(restored.length, 13);
    assertSameBits(await attend(restored), both, 'restored');
    restored.appendSync(on(rt, third));
    const blocks = rt.memory().blocks;
    for (const n of [0, 3, 19, 40, saved.length - 1]) {
      assert.throws(() => form.restore(rt, saved.slice(0, n)), CacheDataError, `${n} bytes`);
    }
    for (let at = 0; at < saved.length; at += 37) {
      const changed = saved.slice();
      changed[at]! ^= 4;
      assert.throws(() => form.restore(rt, changed), CacheDataError, `byte ${at}`);
    }
    const other = forms[(forms.indexOf(form) + 2) % forms.length]!;
    assert.throws(() => other.restore(rt, saved), /these bytes are those of a/);
    assert.equal(rt.memory().blocks, blocks, 'what could not be restored holds no memory');
    for (const each of [cache, fork, restored]) each.dispose();
    assert.throws(() => cache.appendSync(on(rt, first)), DisposedError);
  });

  test(`${form.name}: tokens that do not fit leave it as it was`, async () => {
    const random = randomFrom(3);
    const cache = form.make(rt, 'f32', 12);
    const [rows, queries] = [form.rows(random, 10), form.queries(random, 1)];
    cache.appendSync(on(rt, rows));
    const attend = async () => (await read(cache.attendSync(on(rt, queries)))).o!;
    const before = await attend();
    const [name] = Object.keys(rows) as [string];
    const more = on(rt, form.rows(random, 3));
    assert.throws(
      () => cache.appendSync(more),
      (e) => e instanceof CacheFullError && /room for 2 of 12/.test(e.message),
    );
    await assert.rejects(cache.append(more), CacheFullError);
    const two = on(rt, form.rows(random, 2));
    assert.throws(() => cache.appendSync({ ...two, [name]: more[name]! }), ShapeError);
    assert.throws(() => cache.appendSync({ ...two, [name]: rt.empty([...two[name]!.shape], 'f16') }), DTypeError);
    assert.throws(() => cache.appendSync({ ...two, extra: two[name]! }), OptionError);
    const { [name]: _, ...less } = two;
    assert.throws(
      () => cache.appendSync(less),
      (e) => e instanceof ShapeError && e.message.includes(`${name} is missing`),
    );
    for (const length of [-1, 11, 2.5]) assert.throws(() => cache.truncate(length), OptionError);
    const flight = cache.append(two);
    assert.throws(() => cache.appendSync(two), /append is in flight/);
    assert.throws(() => cache.truncate(1), /append is in flight/);
    await flight;
    cache.truncate(10);
    assertSameBits(await attend(), before, 'unchanged');
    cache.dispose();
  });
}

test('all layers above attend to one cache', async () => {
  const random = randomFrom(4);
  const [k, v] = [normal(random, [1, 30, 2, 8]), normal(random, [1, 30, 2, 8])];
  using cache = new YocoCache(rt, { kvHeads: 2, headDim: 8, capacity: 30 });
  const [keys, values] = [rt.tensor(k.data, [...k.shape]), rt.tensor(v.data, [...v.shape])];
  await cache.append({ k: keys, v: values });
  for (let layer = 0; layer < 3; layer++) {
    const sample = normal(random, [1, 1, 6, 8]);
    const q = rt.tensor(sample.data, [...sample.shape]);
    const [got, want] = [await cache.attend({ q }), await attention({ q, k: keys, v: values })];
    assertSameBits((await read({ o: got.o })).o!, (await read({ o: want.o })).o!, `layer ${layer}`);
  }
  assert.equal(cache.bytes, 30 * 2 * 2 * 8 * 4);
});

test('options of caches that make no sense are refused by name', () => {
  const wrong: [() => unknown, RegExp][] = [
    [() => new LatentCache(rt, { latentDim: 8, ropeDim: 4 } as never), /LatentCache: capacity is missing/],
    [() => new LatentCache(rt, { latentDim: 0, ropeDim: 4, capacity: 9 }), /latentDim is 0/],
    [() => new LatentCache(rt, { latentDim: 8, ropeDim: 4, capacity: 9, dtype: 'i8' as never }), /dtype is 'i8'/],
    [() => new FactorCache(rt, { heads: 2, headDim: 8, rankK: 1, capacity: 9 } as never), /rankV is missing/],
    [() => new YocoCache(rt, { kvHeads: 2, headDim: 8, capacity: 9, layers: 4 } as never), /no option 'layers'/],
    [() => new YocoCache(rt, { kvHeads: 2, headDim: 8, capacity: 9, batch: 0 }), /batch is 0/],
  ];
  for (const [make, says] of wrong) assert.throws(make, (e) => e instanceof OptionError && says.test(e.message));
});

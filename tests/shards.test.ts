// Attention over keys in parts: prefixes that sequences share, shards along time.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { explain } from '../src/explain.ts';
import {
  attention,
  type CascadeInputs,
  type CascadeOptions,
  cascadeAttention,
  cascadeAttentionSync,
  createRuntime,
  joinShard,
  joinShardSync,
  OptionError,
  type RingInputs,
  type RingOptions,
  ringAttention,
  ringAttentionSync,
  ShapeError,
  type Tensor,
} from '../src/index.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { type CallInputs, call } from './call.ts';
import { assertMet, property, sometimes } from './property.ts';
import { type AttentionOptions, attention as attentionReference } from './reference/attention.ts';
import { cascadeAttention as cascadeReference, ringAttention as ringReference, tokensOf } from './reference/shards.ts';
import { availableVariants, variants } from './runtimes.ts';
import {
  type FloatSample,
  ints,
  mapped,
  normal,
  randomFrom,
  roundToBfloat,
  roundToHalf,
  type Sample,
} from './samples.ts';

const runtimes = await variants();
const [rt = assert.fail('no runtime')] = runtimes;
after(() => {
  for (const each of runtimes) each.dispose();
});

/** Cascade attention with level i of prefixes as prefixK0, prefixV0 ... of one record. */
const cascadeOf =
  (levels: number) =>
  (inputs: Record<string, Tensor>, options?: CascadeOptions): ReturnType<typeof cascadeAttention> => {
    const list = (name: string) => Array.from({ length: levels }, (_, i) => inputs[`${name}${i}`]!);
    const { q, k, v, kvLens } = inputs as Record<'q' | 'k' | 'v', Tensor> & { kvLens?: Tensor };
    const lens = inputs.prefixLens0 ? { prefixLens: list('prefixLens') } : {};
    const all: CascadeInputs = { q, k, v, prefixK: list('prefixK'), prefixV: list('prefixV'), ...lens };
    return cascadeAttention({ ...all, ...(kvLens && { kvLens }) }, options);
  };

test('cascade attention at odd shapes, with prefixes of several levels and lengths', () => {
  let [many, few, levelled] = [0, 0, 0];
  return property(
    fc.record({
      seed: fc.nat(),
      sharing: fc.constantFrom<number[]>([1], [2], [3], [2, 2], [3, 2], [1, 5], [8, 2]),
      levels: fc.nat(2),
      tq: fc.constantFrom(1, 1, 2, 5, 23),
      own: fc.constantFrom(0, 1, 3, 40, 65),
      hkv: fc.integer({ min: 1, max: 2 }),
      group: fc.constantFrom(1, 2, 3),
      d: fc.constantFrom(1, 3, 18, 64, 80),
      dv: fc.constantFrom(undefined, undefined, 5, 20),
      prefixLens: sometimes(fc.constant(true)),
      kvLens: sometimes(fc.constant(true)),
      causal: fc.boolean(),
      softcap: sometimes(fc.constant(4)),
      stored: fc.constantFrom('f32', 'f32', 'f16', 'bf16'),
    }),
    16,
    async ({ seed, sharing, levels, tq, own, hkv, group, d, dv = d, prefixLens, kvLens, causal, softcap, stored }) => {
      const random = randomFrom(seed);
      const batch = sharing.reduce<number>((n, m) => n * m, 1);
      const heads = hkv * group;
      // of causal queries each must have its own key
      const tk = own + (causal ? tq : 0);
      const counts = Array.from({ length: levels }, (_, i) => [1, sharing[0]!, batch][i]!);
      const lengths = Array.from({ length: levels }, () => [1, 7, 64, 130, 0][Math.floor(random() * 5)]!);
      const round = { f32: (x: number) => x, f16: roundToHalf, bf16: roundToBfloat }[stored]!;
      const rows = (n: number, t: number, width: number) => mapped(normal(random, [n, t, hkv, width]), round);
      const q = normal(random, [batch, tq, heads, d]);
      const [k, v] = [rows(batch, tk, d), rows(batch, tk, dv)];
      const prefixK = counts.map((n, i) => rows(n, lengths[i]!, d));
      const prefixV = counts.map((n, i) => rows(n, lengths[i]!, dv));
      const upTo = (n: number, low: number, high: number) =>
        ints(Array.from({ length: n }, () => low + Math.floor(random() * (high - low + 1))));
      const inputs = {
        q,
        k,
        v,
        prefixK,
        prefixV,
        ...(prefixLens && { prefixLens: counts.map((n, i) => upTo(n, 0, lengths[i]!)) }),
        ...(kvLens && { kvLens: upTo(batch, causal ? tq : 0, tk) }),
      };
      const options = { causal, ...(softcap && { softcap }) };
      const wanted = expected((precision) => cascadeReference(inputs, options, precision));
      many += batch * tq > 16 ? 1 : 0;
      few += batch * tq <= 16 && levels > 0 ? 1 : 0;
      levelled += levels > 1 ? 1 : 0;
      for (const each of runtimes) {
        await each.scope(async () => {
          const kept = (x: FloatSample) => each.tensor(x.data, [...x.shape], stored as 'f32');
          const flat: CallInputs = { q, k: kept(k), v: kept(v), ...(inputs.kvLens && { kvLens: inputs.kvLens }) };
          for (let i = 0; i < levels; i++) {
            flat[`prefixK${i}`] = kept(prefixK[i]!);
            flat[`prefixV${i}`] = kept(prefixV[i]!);
            if (inputs.prefixLens) flat[`prefixLens${i}`] = inputs.prefixLens[i]!;
          }
          const got = await call(each, cascadeOf(levels), flat, options);
          assertAccurate(got, wanted, `${each.variant}, ${stored}`);
        });
      }
    },
  ).then(() =>
    assertMet(many > 1 && few > 1 && levelled > 1, `${many} of many rows, ${few} of few, ${levelled} levels`),
  );
});

test('cascade attention of queries in other layouts, and one level as tensors', async () => {
  const random = randomFrom(9);
  const q = normal(random, [4, 3, 2, 5]);
  const [prefixK, prefixV] = [normal(random, [2, 70, 1, 5]), normal(random, [2, 70, 1, 5])];
  const [k, v] = [normal(random, [4, 9, 1, 5]), normal(random, [4, 9, 1, 5])];
  const wanted = expected((round) =>
    cascadeReference({ q, k, v, prefixK: [prefixK], prefixV: [prefixV] }, { causal: true }, round),
  );
  // rows by head, and batch entries further apart than their rows
  const byHead = rt.empty([4, 2, 3, 5]).permute([0, 2, 1, 3]);
  const apart = rt.zeros([4, 6, 2, 5]).slice(1, 2, 5);
  for (const view of [byHead, apart]) {
    const [buffer, at] = [rt.buffer, view.address / 4];
    const memory = new Float32Array(buffer);
    const [sB, sT, sH] = view.strides as [number, number, number, number];
    for (let n = 0; n < q.data.length; n++) {
      const [c, h, t, b] = [n % 5, Math.floor(n / 5) % 2, Math.floor(n / 10) % 3, Math.floor(n / 30)];
      memory[at + b * sB + t * sT + h * sH + c] = q.data[n]!;
    }
    const got = await call(rt, cascadeAttention, { q: view, prefixK, prefixV, k, v }, { causal: true });
    assertAccurate(got, wanted, `strides ${view.strides}`);
  }
});

const ring = (inputs: RingInputs, options?: RingOptions) => ringAttention(inputs, options!);

/** Tokens of every shard by the layouts' definitions. */
function shardTokens(options: RingOptions, tk: number): number[][] {
  const { shards, layout } = options;
  const tokens = Array.from({ length: tk }, (_, t) => t);
  if (typeof shards !== 'number') {
    const ends = shards.map((_, i) => shards.slice(0, i + 1).reduce((sum, n) => sum + n, 0));
    return shards.map((n, i) => tokens.slice(ends[i]! - n, ends[i]));
  }
  const runs = (n: number) =>
    Array.from({ length: n }, (_, i) => tokens.slice(Math.floor((i * tk) / n), Math.floor(((i + 1) * tk) / n)));
  if (layout === 'striped') return Array.from({ length: shards }, (_, s) => tokens.filter((t) => t % shards === s));
  if (layout !== 'zigzag') return runs(shards);
  const halves = runs(2 * shards);
  return Array.from({ length: shards }, (_, s) => [...halves[s]!, ...halves[2 * shards - 1 - s]!]);
}

const ringCases = fc.record({
  seed: fc.nat(),
  batch: fc.integer({ min: 1, max: 2 }),
  tq: fc.constantFrom(1, 2, 17, 63, 65, 130),
  tk: fc.constantFrom(1, 2, 16, 63, 65, 130, 200),
  hkv: fc.integer({ min: 1, max: 2 }),
  group: fc.constantFrom(1, 2),
  d: fc.constantFrom(1, 3, 18, 64),
  dv: fc.constantFrom(undefined, undefined, 5, 20),
  shards: fc.oneof(fc.constantFrom(1, 2, 3, 5, 9), fc.array(fc.nat(3), { minLength: 1, maxLength: 6 })),
  layout: fc.constantFrom<NonNullable<RingOptions['layout']>>('contiguous', 'zigzag', 'striped'),
  causal: fc.boolean(),
  window: sometimes(fc.tuple(fc.integer({ min: -1, max: 70 }), fc.integer({ min: -1, max: 70 }))),
  softcap: sometimes(fc.constant(3)),
  std: fc.constantFrom(1, 1, 8),
});

test('ring attention is attention, whatever the shards', () => {
  let [empty, hidden] = [0, 0];
  return property(
    ringCases,
    26,
    async ({ seed, batch, tq, tk, hkv, group, d, dv = d, shards, layout, causal, window, softcap, std }) => {
      const random = randomFrom(seed);
      const inputs = {
        q: normal(random, [batch, tq, hkv * group, d], std),
        k: normal(random, [batch, tk, hkv, d]),
        v: normal(random, [batch, tk, hkv, dv]),
      };
      const shares: number[] | number = shards;
      let lengths: number | number[] = shares as number;
      if (Array.isArray(shares)) {
        // shares of all tokens, some of nothing
        const total = shares.reduce((sum, n) => sum + n, 0);
        const cuts = shares.map((_, i) => {
          const before = shares.slice(0, i + 1).reduce((sum, n) => sum + n, 0);
          return total === 0 ? (i === shares.length - 1 ? tk : 0) : Math.floor((before * tk) / total);
        });
        lengths = cuts.map((end, i) => end - (cuts[i - 1] ?? 0));
      }
      const sharded: RingOptions = Array.isArray(lengths) ? { shards: lengths } : { shards: lengths, layout };
      const masking: AttentionOptions = {
        causal,
        ...(window && { window: window as [number, number] }),
        ...(softcap && { softcap }),
      };
      const tokens = shardTokens(sharded, tk);
      empty += tokens.some((shard) => shard.length === 0) ? 1 : 0;
      hidden += causal && tq > tk ? 1 : 0;
      const wanted = expected(
        (round) => attentionReference(inputs, masking, round),
        [(round) => ringReference(inputs, tokens, masking, round)],
      );
      for (const each of runtimes) {
        const got = await call(each, ring, inputs, { ...masking, ...sharded } as RingOptions);
        assertAccurate(got, wanted, `${each.variant} ${JSON.stringify(sharded)}`);
      }
    },
  ).then(() =>
    assertMet(empty > 1 && hidden > 0, `${empty} cases with empty shards, ${hidden} with rows that see nothing`),
  );
});

test('shards that arrive one by one, in any order, are joined in place', async () => {
  const random = randomFrom(5);
  for (const [tq, tk] of [
    [1, 150],
    [5, 150],
    [70, 150],
  ] as const) {
    const inputs = {
      q: normal(random, [2, tq, 4, 18]),
      k: normal(random, [2, tk, 2, 18]),
      v: normal(random, [2, tk, 2, 7]),
    };
    const parts = [
      [60, 61],
      [149, 150],
      [0, 60],
      [61, 61],
      [61, 149],
    ] as const;
    for (const causal of [false, true]) {
      const options = { causal, window: [100, -1] as const };
      const wanted = expected(
        (round) => attentionReference(inputs, options, round),
        [
          (round) => {
            const shards = parts.map(([from, to]) => Array.from({ length: to - from }, (_, i) => from + i));
            return ringReference(inputs, shards, options, round);
          },
        ],
      );
      for (const each of runtimes) {
        await each.scope(async () => {
          const [q, k, v] = (['q', 'k', 'v'] as const).map((name) =>
            each.tensor(inputs[name].data, [...inputs[name].shape]),
          ) as [Tensor, Tensor, Tensor];
          // what o holds where lse says that there was no key must not matter
          const o = each.tensor(new Float32Array(2 * tq * 4 * 7).fill(Number.NaN), [2, tq, 4, 7]);
          const lse = each.tensor(new Float32Array(2 * tq * 4).fill(Number.NEGATIVE_INFINITY), [2, tq, 4]);
          for (const [from, to] of parts) {
            const shard = { k: k.slice(1, from, to), v: v.slice(1, from, to) };
            const got = await joinShard({ q, ...shard, o, lse }, { ...options, qStart: tk - tq, kStart: from });
            assert.equal(got.o, o);
            assert.equal(got.lse, lse);
          }
          const got = {
            o: { shape: o.shape, data: await o.data() },
            lse: { shape: lse.shape, data: await lse.data() },
          };
          assertAccurate(got, wanted, `${each.variant}, ${tq} queries, causal ${causal}`);
        });
      }
    }
  }
});

test('a ring of devices that hold zigzag or striped queries and pass their keys on', async () => {
  const [t, devices] = [50, 3];
  const random = randomFrom(10);
  const sample = (heads: number, d: number) => normal(random, [2, t, heads, d]);
  const inputs = { q: sample(4, 18), k: sample(2, 18), v: sample(2, 6) };
  for (const layout of ['zigzag', 'striped'] as const) {
    const shards = shardTokens({ shards: devices, layout }, t);
    const options = { causal: true, window: [30, -1] as const };
    const whole = attentionReference(inputs, options);
    for (const each of runtimes) {
      await each.scope(async () => {
        const held = shards.map((tokens) => {
          const rows = (x: FloatSample) => {
            const own = tokensOf(x, tokens);
            return each.tensor(own.data, [...own.shape], 'f32');
          };
          const places = each.tensor(Int32Array.from(tokens), [tokens.length]);
          return { q: rows(inputs.q), k: rows(inputs.k), v: rows(inputs.v), places };
        });
        for (const [rank, { q, places }] of held.entries()) {
          let result: { o: Tensor; lse: Tensor } | undefined;
          for (let step = 0; step < devices; step++) {
            const from = held[(rank - step + devices) % devices]!;
            const shard = { k: from.k, v: from.v, qPositions: places, kPositions: from.places };
            result = await joinShard({ q, ...shard, ...result }, options);
          }
          for (const name of ['o', 'lse'] as const) {
            const shape = [...result![name].shape, 1, 1].slice(0, 4);
            const want = { ...whole[name], shape: [...whole[name].shape, 1, 1].slice(0, 4) };
            const got = { shape, data: await result![name].data() };
            assertNear(got, tokensOf(want, shards[rank]!), 2e-6, `${each.variant}, ${layout}, ${name} of ${rank}`);
          }
        }
      });
    }
  }
});

test('a shard that shows nothing leaves o and lse as they are, bit by bit', async () => {
  const random = randomFrom(6);
  const sample = (...shape: number[]) => normal(random, shape);
  for (const tq of [3, 40]) {
    const [q, k, v] = [sample(1, tq, 2, 8), sample(1, 20, 2, 8), sample(1, 20, 2, 8)];
    await rt.scope(async () => {
      const tensor = ({ data, shape }: Sample) => rt.tensor(data, [...shape]);
      const state = await joinShard({ q: tensor(q), k: tensor(k), v: tensor(v) });
      const before = { o: await state.o.data(), lse: await state.lse.data() };
      const ahead = { q: tensor(q), k: tensor(k), v: tensor(v), ...state };
      await joinShard(ahead, { causal: true, kStart: tq });
      const none = rt.empty([1, 0, 2, 8]);
      await joinShard({ ...ahead, k: none, v: none });
      // half of the rows see the first key: the others keep theirs
      await joinShard(ahead, { causal: true, kStart: tq - 1 });
      const last = { o: await state.o.data(), lse: await state.lse.data() };
      const upTo = (x: unknown, n: number) => ({ shape: [n], data: (x as Float32Array).slice(0, n) });
      assertSameBits(upTo(last.o, (tq - 1) * 16), upTo(before.o, (tq - 1) * 16), 'o');
      assertSameBits(upTo(last.lse, (tq - 1) * 2), upTo(before.lse, (tq - 1) * 2), 'lse');
      assert.notDeepEqual(last.lse, before.lse);
    });
  }
});

test('the same bits on any number of threads, and from the synchronous twins', async () => {
  const random = randomFrom(7);
  const sample = (...shape: number[]) => normal(random, shape);
  const [q, k, v] = [sample(2, 300, 4, 16), sample(2, 300, 2, 16), sample(2, 300, 2, 16)];
  const [prefixK, prefixV] = [sample(1, 700, 2, 16), sample(1, 700, 2, 16)];
  for (const variant of availableVariants()) {
    using one = await createRuntime({ variant, threads: 1 });
    using two = await createRuntime({ variant, threads: 2 });
    for (const layout of ['contiguous', 'zigzag', 'striped'] as const) {
      const options = { shards: 3, layout, causal: true };
      const want = await call(one, ring, { q, k, v }, options);
      assertSameBits((await call(two, ring, { q, k, v }, options)).o, want.o, layout);
      const sync = async (inputs: never, given?: object) => ringAttentionSync(inputs, given as RingOptions);
      assertSameBits((await call(one, sync, { q, k, v }, options)).o, want.o, `${layout}, sync`);
    }
    const inputs = { q, k, v, prefixK, prefixV };
    const want = await call(one, cascadeAttention, inputs, { causal: true });
    assertSameBits((await call(two, cascadeAttention, inputs, { causal: true })).o, want.o, 'cascade');
    const sync = async (all: never, given?: object) => cascadeAttentionSync(all, given);
    assertSameBits((await call(one, sync, inputs, { causal: true })).o, want.o, 'cascade, sync');
  }
});

test('one shard and no prefix are attention itself', async () => {
  const random = randomFrom(8);
  const sample = (...shape: number[]) => normal(random, shape);
  const inputs = { q: sample(2, 40, 4, 16), k: sample(2, 50, 2, 16), v: sample(2, 50, 2, 16) };
  const want = await call(rt, attention, inputs, { causal: true });
  assertSameBits((await call(rt, ring, inputs, { shards: 1, causal: true })).o, want.o, 'ring');
  assertSameBits((await call(rt, cascadeOf(0), inputs, { causal: true })).o, want.o, 'cascade');
  // without a shared prefix in several parts, the parts may be cut anywhere
  const cut = { q: inputs.q, k: sample(2, 40, 2, 16), v: sample(2, 40, 2, 16), prefixK: sample(2, 9, 2, 16) };
  const prefixV = sample(2, 9, 2, 16);
  const whole = await call(rt, cascadeAttention, { ...cut, prefixV }, { causal: true });
  await rt.scope(async () => {
    const [pk, pv] = [cut.prefixK, prefixV].map(({ data, shape }) => rt.tensor(data, [...shape])) as [Tensor, Tensor];
    const levels = {
      prefixK0: pk.slice(1, 0, 4),
      prefixV0: pv.slice(1, 0, 4),
      prefixK1: pk.slice(1, 4, 9),
      prefixV1: pv.slice(1, 4, 9),
    };
    const parts = await call(rt, cascadeOf(2), { q: cut.q, k: cut.k, v: cut.v, ...levels }, { causal: true });
    assertNear(parts.o, whole.o, 1e-5, 'levels');
  });
});

test('a ring needs room for one packed shard, not for all', async () => {
  const room = async (shards: number, layout: RingOptions['layout']) => {
    using own = await createRuntime({ variant: 'simd', threads: 1 });
    const q = own.zeros([1, 2048, 1, 32]);
    // scratch is there from the first call on
    ringAttentionSync({ q: q.slice(1, 0, 32), k: q.slice(1, 0, 64), v: q.slice(1, 0, 64) }, { shards: 1 });
    const before = own.memory().used;
    ringAttentionSync({ q, k: q, v: q }, { shards, layout: layout!, causal: true });
    return own.memory().peak - before;
  };
  const results = 4 * 2048 * 33;
  const packed = (await room(1, 'contiguous')) - results;
  assert.ok(packed >= 4 * 2048 * 64, `${packed} bytes of packed keys and values`);
  for (const layout of ['contiguous', 'zigzag', 'striped'] as const) {
    const eighth = (await room(8, layout)) - results;
    assert.ok(eighth < packed / 5, `${layout}: ${eighth} bytes beside the results, one shard has ${packed}`);
  }
});

test('explain tells what is read once and what is skipped', () => {
  const q = rt.zeros([1, 512, 2, 16]);
  const notes = (op: string, inputs: object, options: object) => explain(op, inputs as never, options).notes.join('\n');
  const contiguous = notes('ringAttention', { q, k: q, v: q }, { shards: 4, causal: true });
  assert.match(contiguous, /ring of 4 contiguous shards: at most 128 of 512/);
  assert.match(contiguous, /rows of each step: 512, 384, 256, 128; 37\.5 % of rows and shards are skipped/);
  const zigzag = notes('ringAttention', { q, k: q, v: q }, { shards: 4, causal: true, layout: 'zigzag' });
  assert.match(zigzag, /rows of each step: 512 \+ 64, 448 \+ 128, 384 \+ 192, 320 \+ 256;/);
  const ahead = notes(
    'joinShard',
    { q, k: q, v: q, o: rt.zeros([1, 512, 2, 16]), lse: rt.zeros([1, 512, 2]) },
    {
      causal: true,
      kStart: 512,
    },
  );
  assert.match(ahead, /0 of 512 rows see this shard, which is skipped/);
  const own = rt.zeros([8, 1, 2, 16]);
  const shared = notes('cascadeAttention', { q: own, k: own, v: own, prefixK: q, prefixV: q }, { causal: true });
  assert.match(
    shared,
    /level 0: 1 prefixes of 512 keys, each read once for 8 sequences: 131072 bytes in place of 1048576/,
  );
  const full = explain('ringAttention', { q, k: q, v: q }, { shards: 4 });
  const causal = explain('ringAttention', { q, k: q, v: q }, { shards: 4, causal: true });
  assert.ok(causal.flops < 0.6 * full.flops, `${causal.flops} of ${full.flops}`);
});

test('what does not fit is refused by name, and nothing is written', async () => {
  const f32 = (...shape: number[]) => rt.zeros(shape);
  const [q, k, v] = [f32(4, 2, 2, 8), f32(4, 5, 1, 8), f32(4, 5, 1, 8)];
  const cascade = { q, k, v, prefixK: f32(2, 9, 1, 8), prefixV: f32(2, 9, 1, 8) };
  const i32 = (...values: number[]) => rt.tensor(Int32Array.from(values), [values.length]);
  const wrong: [object, object, new (...args: never[]) => Error, RegExp][] = [
    [{ prefixK: undefined, prefixV: undefined }, {}, ShapeError, /prefixK is missing/],
    [{ prefixK: f32(3, 9, 1, 8), prefixV: f32(3, 9, 1, 8) }, {}, ShapeError, /level 0 has 3 prefixes for 4 sequences/],
    [{ prefixK: [cascade.prefixK] }, { causal: 1 }, OptionError, /causal is 1/],
    [{ prefixK: [cascade.prefixK, cascade.prefixK] }, {}, OptionError, /prefixK has 2 levels, prefixV 1/],
    [{ prefixV: f32(2, 8, 1, 8) }, {}, ShapeError, /prefixV has shape \[2, 8, 1, 8\]/],
    [{ prefixK: f32(2, 9, 1, 7) }, {}, ShapeError, /prefixK has shape \[2, 9, 1, 7\].*D = 8/],
    [{ prefixLens: i32(3, 10) }, {}, ShapeError, /prefixLens\[1\] is 10, expected 0 to P = 9/],
    [{ prefixLens: i32(3) }, {}, ShapeError, /prefixLens has shape \[1\]/],
    [
      { kvLens: i32(5, 1, 5, 5) },
      { causal: true },
      ShapeError,
      /sequence 1 has 1 keys of its own for 2 causal queries/,
    ],
    [{ cuSeqlens: i32(0, 2) }, {}, OptionError, /has no input 'cuSeqlens'/],
    [{}, { window: [1, 1] }, OptionError, /has no option 'window'/],
  ];
  const used = rt.memory().used;
  for (const [inputs, options, error, says] of wrong) {
    const thrown = (e: unknown) =>
      e instanceof error && says.test((e as Error).message) && /cascade/.test((e as Error).message);
    assert.throws(() => cascadeAttentionSync({ ...cascade, ...inputs } as never, options as never), thrown);
  }
  const wrongRings: [object, RegExp][] = [
    [{}, /shards is missing/],
    [{ shards: 0 }, /shards is 0/],
    [{ shards: 2.5 }, /shards is 2.5/],
    [{ shards: [3, 3] }, /shards is \[3,3\].*add up to Tk = 5/],
    [{ shards: [2, 3], layout: 'striped' }, /shards is \[2,3\] with layout 'striped'/],
    [{ shards: 2, layout: 'spiral' }, /layout is 'spiral', expected 'contiguous' or/],
  ];
  for (const [options, says] of wrongRings) {
    assert.throws(
      () => ringAttentionSync({ q, k, v }, options as never),
      (e) => e instanceof OptionError && says.test(e.message),
    );
  }
  const o = rt.tensor(new Float32Array(128).fill(3), [4, 2, 2, 8]);
  const lse = rt.tensor(new Float32Array(16).fill(1), [4, 2, 2]);
  const shard: [object, object, RegExp][] = [
    [{ o }, {}, /o was given alone/],
    [{ o, lse: f32(4, 2, 1) }, {}, /lse has shape \[4, 2, 1\]/],
    [{ o: q, lse }, {}, /q lies in the memory of o or lse/],
    [{ o, lse }, { kStart: -1 }, /kStart is -1/],
    [{ o, lse }, { kStart: 0.5 }, /kStart is 0.5/],
    [{ o, lse, kPositions: i32(1, 2) }, {}, /kPositions has shape \[2\]/],
    [{ o, lse, qPositions: f32(2) }, { causal: true }, /qPositions is f32, expected i32/],
  ];
  for (const [inputs, options, says] of shard) {
    assert.throws(() => joinShardSync({ q, k, v, ...inputs }, options), says);
  }
  assert.deepEqual([...new Set([...(await o.data()), ...(await lse.data())])], [3, 1]);
  o.dispose();
  lse.dispose();
  assert.ok(rt.memory().used >= used);
});

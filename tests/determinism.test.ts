import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import {
  attention,
  attentionSync,
  differentialAttention,
  differentialAttentionSync,
  forgettingAttn,
  forgettingAttnSync,
  layerNorm,
  layerNormSync,
  matmul,
  matmulSync,
  mla,
  mlaSync,
  pagedAttention,
  pagedAttentionSync,
  parallax,
  parallaxSync,
  rmsNorm,
  rmsNormSync,
  rope,
  ropeSync,
  type Tensor,
  WattnError,
} from '../src/index.ts';
import { assertSameBits } from './accuracy.ts';
import { type CallInputs, call } from './call.ts';
import type { NdArray } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { floats, ints, normal, randomFrom } from './samples.ts';

// By thread count, each with its runtimes by variant.
const teams = await Promise.all([1, 2, 4].map((threads) => variants(threads)));
after(() => {
  for (const rt of teams.flat()) rt.dispose();
});

const random = randomFrom(41);
const shape = (...sizes: number[]) => normal(random, sizes);

// biome-ignore lint/suspicious/noExplicitAny: every op's inputs and options are its own
type AnyOp = (inputs: any, options?: any) => Promise<object>;
// biome-ignore lint/suspicious/noExplicitAny: likewise
type AnySyncOp = (inputs: any, options?: any) => object;

const calls: [string, AnyOp, AnySyncOp, CallInputs, object?][] = [
  [
    'attention',
    attention,
    attentionSync,
    { q: shape(2, 130, 4, 64), k: shape(2, 130, 2, 64), v: shape(2, 130, 2, 64) },
  ],
  [
    'attention causal',
    attention,
    attentionSync,
    { q: shape(1, 500, 3, 18), k: shape(1, 557, 3, 18), v: shape(1, 557, 3, 20) },
    { causal: true },
  ],
  [
    'attention with everything',
    attention,
    attentionSync,
    {
      q: shape(2, 400, 4, 18),
      k: shape(2, 430, 2, 18),
      v: shape(2, 430, 2, 20),
      bias: shape(1, 4, 400, 430),
      sinks: shape(4),
      alibiSlopes: floats([4], () => 0.1),
      colBias: shape(2, 430, 4),
      kvLens: ints([430, 377]),
    },
    { causal: true, window: [260, 0], softcap: 20 },
  ],
  [
    'attention packed',
    attention,
    attentionSync,
    { q: shape(1, 330, 2, 64), k: shape(1, 330, 2, 64), v: shape(1, 330, 2, 64), cuSeqlens: ints([0, 1, 65, 65, 330]) },
    { causal: true },
  ],
  [
    'decode',
    attention,
    attentionSync,
    { q: shape(1, 1, 8, 64), k: shape(1, 5000, 4, 64), v: shape(1, 5000, 4, 64) },
    { causal: true },
  ],
  [
    'decode of 16 queries',
    attention,
    attentionSync,
    { q: shape(2, 16, 2, 64), k: shape(2, 1031, 2, 64), v: shape(2, 1031, 2, 64) },
    { causal: true },
  ],
  [
    'pagedAttention',
    pagedAttention,
    pagedAttentionSync,
    {
      q: shape(2, 4, 4, 64),
      kCache: shape(200, 16, 2, 64),
      vCache: shape(200, 16, 2, 64),
      blockTable: ints(
        Array.from({ length: 200 }, (_, n) => (n * 7) % 200),
        [2, 100],
      ),
      seqLens: ints([1600, 1011]),
    },
  ],
  [
    'mla',
    mla,
    mlaSync,
    {
      qNope: shape(1, 100, 4, 32),
      qRope: shape(1, 100, 4, 8),
      cKv: shape(1, 130, 64),
      kRope: shape(1, 130, 8),
      wUk: shape(4, 64, 32),
      wUv: shape(4, 64, 20),
    },
    { causal: true },
  ],
  [
    'mla decode',
    mla,
    mlaSync,
    {
      qNope: shape(1, 1, 4, 32),
      qRope: shape(1, 1, 4, 8),
      cKv: shape(1, 7000, 64),
      kRope: shape(1, 7000, 8),
      wUk: shape(4, 64, 32),
      wUv: shape(4, 64, 20),
    },
    { causal: true },
  ],
  [
    'differentialAttention',
    differentialAttention,
    differentialAttentionSync,
    {
      q1: shape(1, 300, 2, 18),
      k1: shape(1, 300, 2, 18),
      q2: shape(1, 300, 2, 18),
      k2: shape(1, 300, 2, 18),
      v: shape(1, 300, 2, 20),
      lambda: shape(2),
    },
    { causal: true },
  ],
  [
    'forgettingAttn',
    forgettingAttn,
    forgettingAttnSync,
    {
      q: shape(1, 300, 2, 18),
      k: shape(1, 300, 2, 18),
      v: shape(1, 300, 2, 20),
      g: floats([1, 300, 2], () => -random()),
    },
  ],
  [
    'parallax',
    parallax,
    parallaxSync,
    { q: shape(1, 300, 2, 18), k: shape(1, 300, 2, 18), v: shape(1, 300, 2, 20), r: shape(1, 300, 2, 18) },
    { causal: true },
  ],
  ['rope', rope, ropeSync, { x: shape(2, 600, 16, 128) }],
  ['rmsNorm', rmsNorm, rmsNormSync, { x: shape(2000, 700) }],
  ['layerNorm', layerNorm, layerNormSync, { x: shape(2000, 700), weight: shape(700), bias: shape(700) }],
  [
    'matmul',
    matmul,
    matmulSync,
    { a: shape(130, 257), b: shape(257, 65), bias: shape(65) },
    { activation: 'geluTanh' },
  ],
];

test('the teams have the thread counts asked for', () => {
  assert.deepEqual(
    teams.map((team) => team.map((rt) => rt.threads)),
    [1, 2, 4].map((threads) => (teams[0] ?? []).map(() => threads)),
  );
});

for (const [what, op, sync, inputs, options] of calls) {
  test(`${what}: 1, 2 and 4 threads and the synchronous twin give the same bits, call after call`, async () => {
    const [single = []] = teams;
    for (const [n, alone] of single.entries()) {
      const want = await call(alone, op, inputs, options);
      assert.ok(
        Object.values(want).every(({ data }) => Array.from(data).every((x) => !Number.isNaN(x))),
        'NaN from memory that was not written',
      );
      for (const rt of teams.map((team) => team[n]).filter((x) => x !== undefined)) {
        for (const form of [op, op, async (...args: Parameters<AnySyncOp>) => sync(...args)]) {
          const got = (await call(rt, form, inputs, options)) as Record<string, NdArray>;
          for (const [name, output] of Object.entries(want))
            assertSameBits(got[name] as NdArray, output, `${rt.variant}, ${rt.threads} threads: ${name}`);
        }
      }
    }
  });
}

/** Enough work that an async call gives the event loop turns in between. */
const long = { q: shape(1, 1500, 4, 64), k: shape(1, 1500, 4, 64), v: shape(1, 1500, 4, 64) };
const short = { q: shape(1, 70, 2, 18), k: shape(1, 130, 1, 18), v: shape(1, 130, 1, 20) };

type Runtime = (typeof teams)[number][number];

function tensorsOf(rt: Runtime, samples: typeof long): { q: Tensor; k: Tensor; v: Tensor } {
  const tensor = ({ data, shape: sizes }: typeof long.q) => rt.tensor(data, sizes);
  return { q: tensor(samples.q), k: tensor(samples.k), v: tensor(samples.v) };
}

async function copied({ o }: { o: Tensor }): Promise<NdArray> {
  return { shape: o.shape, data: await o.data() };
}

for (const rt of teams.flat()) {
  const where = `${rt.variant}, ${rt.threads} threads`;

  test(`${where}: calls in flight together give what they give alone`, async () => {
    const wantLong = (await call(rt, attention, long, { causal: true })).o;
    const wantShort = (await call(rt, attention, short)).o;
    await rt.scope(async () => {
      const [big, small] = [tensorsOf(rt, long), tensorsOf(rt, short)];
      const results = await Promise.all([
        attention(big, { causal: true }),
        attention(small),
        attention(big, { causal: true }),
        attention(small),
      ]);
      for (const [n, want] of [wantLong, wantShort, wantLong, wantShort].entries()) {
        assertSameBits(await copied(results[n]!), want, `call ${n}`);
      }
    });
  });

  test(`${where}: a synchronous call in the middle of an asynchronous one is refused and harms nothing`, async () => {
    const want = (await call(rt, attention, long, { causal: true })).o;
    await rt.scope(async () => {
      const [big, small] = [tensorsOf(rt, long), tensorsOf(rt, short)];
      const pending = attention(big, { causal: true });
      await new Promise((resolve) => setImmediate(resolve));
      assert.throws(() => attentionSync(small), WattnError);
      assertSameBits(await copied(await pending), want, 'o');
      attentionSync(small);
    });
  });

  test(`${where}: inputs disposed while a call is in flight stay until it ends`, async () => {
    const want = (await call(rt, attention, long, { causal: true })).o;
    await rt.scope(async () => {
      const big = tensorsOf(rt, long);
      const pending = attention(big, { causal: true });
      for (const tensor of Object.values(big)) tensor.dispose();
      const garbage = rt.tensor(new Float32Array(long.q.data.length).fill(Number.NaN), long.q.shape);
      assertSameBits(await copied(await pending), want, 'o');
      garbage.dispose();
    });
  });
}

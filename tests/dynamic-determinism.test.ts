import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { explain } from '../src/explain.ts';
import * as wattn from '../src/index.ts';
import { createRuntime, type Tensor, topKAttention, topPAttention } from '../src/index.ts';
import { assertSameBits } from './accuracy.ts';
import { type CallInputs, call } from './call.ts';
import type { NdArray } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { floats, normal, randomFrom } from './samples.ts';

const teams = await Promise.all([1, 3].map((threads) => variants(threads)));
after(() => {
  for (const rt of teams.flat()) rt.dispose();
});

const random = randomFrom(81);
const [B, T, H, D] = [1, 432, 4, 16] as const;
const qkv = { q: normal(random, [B, T, H, D]), k: normal(random, [B, T, 2, D]), v: normal(random, [B, T, 2, D]) };
const gate = floats([B, T, H], random);
const shape = [6, 8, 9] as const;

const calls: Record<string, [inputs: CallInputs, options: object]> = {
  topKAttention: [qkv, { k: 60, causal: true }],
  topPAttention: [qkv, { p: 0.6 }],
  nsa: [
    { ...qkv, gCmp: gate, gSlc: gate, gSwa: gate },
    { blockSize: 16, blockCounts: 6, windowSize: 40 },
  ],
  moba: [qkv, { chunkSize: 48, topk: 3 }],
  vmoba: [qkv, { shape, chunk: [2, 3, 3], threshold: 0.3 }],
  dsa: [
    { ...qkv, qIdx: normal(random, [B, T, 2, 8]), kIdx: normal(random, [B, T, 8]), wIdx: normal(random, [B, T, 2]) },
    { topk: 70 },
  ],
  vsa: [qkv, { shape, topk: 3 }],
  sla: [qkv, { topk: 0.3, blockQ: 32, blockK: 32 }],
  draftAttention: [qkv, { shape, pool: [4, 4], keep: 0.3 }],
};

type Op = (inputs: object, options?: object) => Promise<Record<string, Tensor>>;

test('results have the same bits whatever the number of threads', async () => {
  for (const [name, [inputs, options]] of Object.entries(calls)) {
    const op = (wattn as unknown as Record<string, Op>)[name]!;
    for (let variant = 0; variant < teams[0]!.length; variant++) {
      const [alone, together] = await Promise.all(teams.map((team) => call(team[variant]!, op, inputs, options)));
      for (const output in alone) assertSameBits(together![output]!, alone[output]!, `${name}: ${output}`);
    }
  }
});

test('lists that do not fit at once come in parts, which change nothing', async () => {
  const length = 1100;
  const sample = (heads: number, d: number) => normal(random, [1, length, heads, d]);
  const inputs = { q: sample(8, 4), k: sample(8, 4), v: sample(8, 4) };
  for (const rt of teams[0]!) {
    for (const [op, options] of [
      [topPAttention, { p: 0.5, causal: true }],
      [topKAttention, { k: 900 }],
    ] as const) {
      const parts = await call(rt, op as unknown as Op, inputs, options);
      const whole = (await call(rt, op as unknown as Op, inputs, { ...options, returnSelection: true })) as Record<
        string,
        NdArray
      >;
      for (const output in parts) assertSameBits(parts[output]!, whole[output]!, `${rt.variant}: ${output}`);
    }
  }
});

test('explain tells densities and lists', async () => {
  using rt = await createRuntime({ threads: 1, variant: 'simd' });
  const q = rt.zeros([1, 1024, 4, 16]);
  const notes = (op: string, inputs: object, options: object) => explain(op, inputs, options).notes.join('\n');
  assert.match(notes('moba', { q, k: q, v: q }, { chunkSize: 64, topk: 2 }), /about 18\.0 % of the pairs/);
  const k = q.slice(2, 0, 1);
  assert.match(notes('topKAttention', { q, k, v: k }, { k: 100 }), /at most 100 of 1024 keys for each of 1024 queries/);
  const used = rt.memory().used;
  explain('topKAttention', { q, k, v: k }, { k: 100 });
  assert.equal(rt.memory().used, used);
});

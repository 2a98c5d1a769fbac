// Sequences of several query blocks, spans of keys and slabs of scores.
import { after, test } from 'node:test';
import { dsa, moba, nsa, poolBlocks, type Tensor, topKAttention } from '../src/index.ts';
import { assertSameBits } from './accuracy.ts';
import { call } from './call.ts';
import { checkDynamic, onesOfBits, onesOfLists, runtimes } from './dynamic-methods.ts';
import { chooseDsa, dsa as dsaReference } from './reference/dsa.ts';
import { chooseMoba, moba as mobaReference } from './reference/moba.ts';
import { chooseNsa, nsa as nsaReference } from './reference/nsa.ts';
import { chooseTopK, topKAttention as topKReference } from './reference/top-attention.ts';
import { floats, normal, randomFrom } from './samples.ts';

after(() => {
  for (const rt of runtimes) rt.dispose();
});

const random = randomFrom(101);
const [B, T, H, D, Dv] = [1, 430, 2, 8, 12] as const;
const qkv = { q: normal(random, [B, T, H, D]), k: normal(random, [B, T, 1, D]), v: normal(random, [B, T, 1, Dv]) };

test('moba', () => {
  const options = { chunkSize: 50, topk: 3 };
  return checkDynamic({
    name: 'moba',
    op: moba as never,
    inputs: qkv,
    options,
    choose: () => chooseMoba(qkv, options),
    chosen: ({ selection }) => onesOfBits(selection!, 9),
    reference: (round, chosen) => mobaReference(qkv, options, round, chosen),
  });
});

test('nsa', () => {
  const inputs = { ...qkv, gCmp: floats([B, T, H], random), gSlc: floats([B, T, H], random) };
  const options = { blockSize: 16, blockCounts: 6 };
  return checkDynamic({
    name: 'nsa',
    op: nsa as never,
    inputs,
    options,
    choose: () => chooseNsa(inputs, options),
    chosen: ({ selection }) => onesOfBits(selection!, 27),
    reference: (round, chosen) => nsaReference(inputs, options, round, chosen),
  });
});

test('dsa', () => {
  const inputs = {
    ...qkv,
    qIdx: normal(random, [B, T, 2, 8]),
    kIdx: normal(random, [B, T, 8]),
    wIdx: normal(random, [B, T, 2]),
  };
  const options = { topk: 90 };
  return checkDynamic({
    name: 'dsa',
    op: dsa as never,
    inputs,
    options,
    choose: () => chooseDsa(inputs, options),
    chosen: ({ indices, counts }) => onesOfLists(indices!, counts!, T),
    reference: (round, chosen) => dsaReference(inputs, options, round, chosen),
  });
});

test('topKAttention of keys that span several parts of the second-level cache', () => {
  const wide = {
    q: normal(random, [1, 4, 2, 64]),
    k: normal(random, [1, 2500, 1, 64]),
    v: normal(random, [1, 2500, 1, 64]),
  };
  const options = { k: 700, causal: true };
  return checkDynamic({
    name: 'topKAttention',
    op: topKAttention as never,
    inputs: wide,
    options,
    choose: () => chooseTopK(wide, options),
    chosen: ({ indices, counts }) => onesOfLists(indices!, counts!, 2500),
    reference: (round, chosen) => topKReference(wide, options, round, chosen),
  });
});

test('compressed keys that a cache has give what those of the call give', async () => {
  type Op = (inputs: object, options?: object) => Promise<Record<string, Tensor>>;
  const gSlc = floats([B, T, H], random);
  for (const rt of runtimes) {
    const pooled = async (x: (typeof qkv)['k'], block: number) =>
      (await call(rt, poolBlocks as unknown as Op, { x }, { block })).o as never;
    const [k16, v16, k50] = [await pooled(qkv.k, 16), await pooled(qkv.v, 16), await pooled(qkv.k, 50)];
    for (const [op, inputs, cached, options] of [
      [nsa, { ...qkv, gSlc, gCmp: gSlc }, { kCmp: k16, vCmp: v16 }, { blockSize: 16, blockCounts: 6 }],
      [moba, qkv, { kMean: k50 }, { chunkSize: 50, topk: 3 }],
    ] as const) {
      const want = await call(rt, op as unknown as Op, inputs, options);
      const got = await call(rt, op as unknown as Op, { ...inputs, ...cached }, options);
      assertSameBits(got.o!, want.o!, rt.variant);
    }
  }
});

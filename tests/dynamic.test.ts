import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { attention as attentionOp, dsa, moba, nsa, topKAttention, topPAttention } from '../src/index.ts';
import { assertAccurate, expected } from './accuracy.ts';
import { call } from './call.ts';
import { checkDynamic, onesOfBits, onesOfLists, runtimes } from './dynamic-methods.ts';
import { property } from './property.ts';
import { attention } from './reference/attention.ts';
import { chooseDsa, dsa as dsaReference } from './reference/dsa.ts';
import { chooseMoba, moba as mobaReference } from './reference/moba.ts';
import { chooseNsa, nsa as nsaReference } from './reference/nsa.ts';
import {
  chooseTopK,
  chooseTopP,
  topKAttention as topKReference,
  topPAttention as topPReference,
} from './reference/top-attention.ts';
import { floats, normal, randomFrom } from './samples.ts';

const shapes = {
  seed: fc.nat(),
  B: fc.constantFrom(1, 2),
  Tk: fc.constantFrom(1, 2, 17, 63, 65, 100),
  // queries are aligned with the last keys; more queries than keys see nothing at first
  missing: fc.constantFrom(0, 0, 0, 5, 60, -3),
  kvHeads: fc.constantFrom(1, 2),
  group: fc.constantFrom(1, 2, 3),
  D: fc.constantFrom(1, 3, 18, 64, 80),
  Dv: fc.constantFrom(1, 5, 16, 24),
  std: fc.constantFrom(1, 1, 6),
};

interface Shape {
  seed: number;
  B: number;
  Tk: number;
  missing: number;
  kvHeads: number;
  group: number;
  D: number;
  Dv: number;
  std: number;
}

function operands({ seed, B, Tk, missing, kvHeads, group, D, Dv, std }: Shape) {
  const random = randomFrom(seed);
  const Tq = Math.max(1, Tk - missing);
  const H = kvHeads * group;
  const q = normal(random, [B, Tq, H, D], std);
  return {
    random,
    Tq,
    H,
    inputs: { q, k: normal(random, [B, Tk, kvHeads, D]), v: normal(random, [B, Tk, kvHeads, Dv]) },
  };
}

test('topKAttention', () =>
  property(
    fc.record({ ...shapes, k: fc.constantFrom(0, 1, 2, 7, 40, 1000), causal: fc.boolean() }),
    10,
    async ({ k, causal, ...shape }) => {
      const { inputs } = operands(shape);
      const options = { k, causal };
      await checkDynamic({
        name: 'topKAttention',
        op: topKAttention as never,
        inputs,
        options,
        choose: () => chooseTopK(inputs, options),
        chosen: ({ indices, counts }) => onesOfLists(indices!, counts!, shape.Tk),
        reference: (round, chosen) => topKReference(inputs, options, round, chosen),
      });
    },
  ));

test('topPAttention', () =>
  property(
    fc.record({ ...shapes, p: fc.constantFrom(0, 0.3, 0.8, 0.99, 1), causal: fc.boolean() }),
    10,
    async ({ p, causal, ...shape }) => {
      const { inputs, Tq, H } = operands(shape);
      const options = { p, causal };
      await checkDynamic({
        name: 'topPAttention',
        op: topPAttention as never,
        inputs,
        options,
        choose: () => chooseTopP(inputs, options),
        chosen: ({ indices, counts }) => {
          assert.deepEqual([...counts!.shape], Tq === 1 ? [shape.B, H] : [shape.B, H, Tq]);
          return onesOfLists(indices!, counts!, shape.Tk);
        },
        reference: (round, chosen) => topPReference(inputs, options, round, chosen),
      });
    },
  ));

test('moba', () =>
  property(
    fc.record({ ...shapes, chunkSize: fc.constantFrom(1, 5, 16, 64, 70), topk: fc.constantFrom(1, 2, 3, 50) }),
    10,
    async ({ chunkSize, topk, ...shape }) => {
      const { inputs } = operands(shape);
      const options = { chunkSize, topk };
      await checkDynamic({
        name: 'moba',
        op: moba as never,
        inputs,
        options,
        choose: () => chooseMoba(inputs, options),
        chosen: ({ selection }) => onesOfBits(selection!, Math.ceil(shape.Tk / chunkSize)),
        reference: (round, chosen) => mobaReference(inputs, options, round, chosen),
      });
    },
  ));

test('dsa', () =>
  property(
    fc.record({
      ...shapes,
      topk: fc.constantFrom(0, 1, 6, 30, 2048),
      HI: fc.constantFrom(1, 3, 4),
      DI: fc.constantFrom(1, 16, 18),
    }),
    10,
    async ({ topk, HI, DI, ...shape }) => {
      const { random, Tq, inputs: qkv } = operands(shape);
      const inputs = {
        ...qkv,
        qIdx: normal(random, [shape.B, Tq, HI, DI]),
        kIdx: normal(random, [shape.B, shape.Tk, DI]),
        wIdx: normal(random, [shape.B, Tq, HI]),
      };
      const options = { topk };
      await checkDynamic({
        name: 'dsa',
        op: dsa as never,
        inputs,
        options,
        choose: () => chooseDsa(inputs, options),
        chosen: ({ indices, counts }) => onesOfLists(indices!, counts!, shape.Tk),
        reference: (round, chosen) => dsaReference(inputs, options, round, chosen),
      });
    },
  ));

test('nsa', () =>
  property(
    fc.record({
      ...shapes,
      blockSize: fc.constantFrom(1, 4, 8, 33),
      blockCounts: fc.constantFrom(1, 3, 5, 40),
      windowSize: fc.constantFrom(1, 7, 500),
      gates: fc.constantFrom(1, 2, 3, 4, 5, 6, 7, 7),
      compressed: fc.boolean(),
    }),
    10,
    async ({ blockSize, blockCounts, windowSize, gates, compressed, ...shape }) => {
      const { random, Tq, H, inputs: qkv } = operands(shape);
      const { B, Tk, kvHeads, D, Dv } = shape;
      const gate = () => floats([B, Tq, H], random);
      const blocks = Math.ceil(Tk / blockSize);
      const inputs = {
        ...qkv,
        ...(gates & 1 && { gCmp: gate() }),
        ...(gates & 2 && { gSlc: gate() }),
        ...(gates & 4 && { gSwa: gate() }),
        ...(compressed && {
          kCmp: normal(random, [B, blocks, kvHeads, D]),
          vCmp: normal(random, [B, blocks, kvHeads, Dv]),
        }),
      };
      const options = { blockSize, blockCounts, ...(gates & 4 && { windowSize }) };
      await checkDynamic({
        name: `nsa, gates ${gates}`,
        op: nsa as never,
        inputs,
        options,
        choose: () => chooseNsa(inputs, options),
        chosen: ({ selection }) => onesOfBits(selection!, blocks),
        reference: (round, chosen) => nsaReference(inputs, options, round, chosen),
      });
    },
  ));

test('told to keep everything each is dense attention', async () => {
  const random = randomFrom(5);
  const [B, T, H, D] = [1, 130, 2, 16] as const;
  const [q, k, v] = [normal(random, [B, T, H, D]), normal(random, [B, T, 1, D]), normal(random, [B, T, 1, D])];
  const inputs = { q, k, v };
  const index = {
    qIdx: normal(random, [B, T, 2, 8]),
    kIdx: normal(random, [B, T, 8]),
    wIdx: normal(random, [B, T, 2]),
  };
  const gSlc = floats([B, T, H], () => 1);
  const [full, causal] = [{}, { causal: true }].map((options) =>
    expected((round) => ({ o: attention(inputs, options, round).o })),
  );
  for (const rt of runtimes) {
    for (const [name, wanted, op, extra, options] of [
      ['topKAttention', full, topKAttention, {}, { k: T }],
      ['topPAttention', full, topPAttention, {}, { p: 1 }],
      ['topKAttention', causal, topKAttention, {}, { k: T, causal: true }],
      ['topPAttention', causal, topPAttention, {}, { p: 1, causal: true }],
      ['moba', causal, moba, {}, { chunkSize: 32, topk: 5 }],
      ['dsa', causal, dsa, index, { topk: T }],
      ['nsa', causal, nsa, { gSlc }, { blockSize: 16, blockCounts: 9 }],
    ] as const) {
      const got = await call(rt, op as never, { ...inputs, ...extra }, options as object);
      assertAccurate(got as never, wanted!, `${rt.variant}: ${name}`);
    }
    const dense = await call(rt, attentionOp, inputs, { causal: true });
    assertAccurate(dense as never, causal!, rt.variant);
  }
});

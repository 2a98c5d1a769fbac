import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { draftAttention, sla, vmoba, vsa } from '../src/index.ts';
import { assertAccurate, expected } from './accuracy.ts';
import { call } from './call.ts';
import { checkDynamic, onesOfBits, runtimes } from './dynamic-methods.ts';
import { property, sometimes } from './property.ts';
import { attention } from './reference/attention.ts';
import { boxesOf } from './reference/chosen.ts';
import { chooseSla, sla as slaReference } from './reference/sla.ts';
import {
  chooseDraft,
  chooseVmoba,
  chooseVsa,
  chunksOf,
  draftAttention as draftReference,
  vmoba as vmobaReference,
  vsa as vsaReference,
} from './reference/video-sparse.ts';
import { floats, mapped, normal, randomFrom } from './samples.ts';

type Grid = [number, number, number];

const grids = fc.constantFrom<Grid>([1, 1, 1], [2, 4, 6], [3, 5, 4], [5, 3, 7], [4, 4, 4]);
const operandShapes = {
  seed: fc.nat(),
  B: fc.constantFrom(1, 2),
  kvHeads: fc.constantFrom(1, 2),
  group: fc.constantFrom(1, 2),
  D: fc.constantFrom(1, 3, 18, 64),
  Dv: fc.constantFrom(1, 5, 16, 24),
  std: fc.constantFrom(1, 1, 5),
};

function operands(
  { seed, B, kvHeads, group, D, Dv, std }: Record<keyof typeof operandShapes, number>,
  Tq: number,
  Tk = Tq,
) {
  const random = randomFrom(seed);
  const H = kvHeads * group;
  const q = normal(random, [B, Tq, H, D], std);
  return { random, H, inputs: { q, k: normal(random, [B, Tk, kvHeads, D]), v: normal(random, [B, Tk, kvHeads, Dv]) } };
}

const size = (grid: readonly number[]) => grid.reduce((product, n) => product * n, 1);

test('vmoba in one, two and three dimensions', () =>
  property(
    fc.record({
      ...operandShapes,
      shape: grids,
      chunk: fc.constantFrom<number | [number, number] | Grid>(1, 2, [2, 2], [3, 2], [2, 2, 3], [1, 2, 2], [9, 9, 9]),
      threshold: fc.constantFrom(undefined, 0, 0.1, 0.6, 1),
      topk: sometimes(fc.constantFrom(1, 2, 3, 100)),
    }),
    11,
    async ({ shape, chunk, threshold, topk, ...rest }) => {
      const { inputs } = operands(rest, size(shape));
      const by = topk === undefined ? { ...(threshold !== undefined && { threshold }) } : { topk };
      const options = { shape, chunk, ...by };
      await checkDynamic({
        name: 'vmoba',
        op: vmoba as never,
        inputs,
        options,
        choose: () => chooseVmoba(inputs, options),
        chosen: ({ selection }) => onesOfBits(selection!, chunksOf(options).count),
        reference: (round, chosen) => vmobaReference(inputs, options, round, chosen),
      });
    },
  ));

test('vsa', () =>
  property(
    fc.record({
      ...operandShapes,
      shape: grids,
      cube: sometimes(fc.constantFrom<Grid>([2, 2, 2], [1, 2, 3], [2, 4, 6])),
      topk: fc.constantFrom(0, 1, 2, 5, 100),
      gated: fc.boolean(),
    }),
    10,
    async ({ shape, cube, topk, gated, ...rest }) => {
      const { random, H, inputs: qkv } = operands(rest, size(shape));
      const inputs = { ...qkv, ...(gated && { gate: normal(random, [rest.B, size(shape), H, rest.Dv]) }) };
      const options = { shape, topk, ...(cube && { cube }) };
      await checkDynamic({
        name: 'vsa',
        op: vsa as never,
        inputs,
        options,
        choose: () => chooseVsa(inputs, options),
        chosen: ({ selection }) => onesOfBits(selection!, boxesOf(shape, cube ?? [4, 4, 4]).count),
        reference: (round, chosen) => vsaReference(inputs, options, round, chosen),
      });
    },
  ));

test('draftAttention', () =>
  property(
    fc.record({
      ...operandShapes,
      shape: grids,
      pool: sometimes(fc.constantFrom<[number, number]>([2, 2], [2, 3], [1, 4])),
      keep: fc.constantFrom(undefined, 0, 0.2, 0.5, 1),
    }),
    10,
    async ({ shape, pool, keep, ...rest }) => {
      const { inputs } = operands(rest, size(shape));
      const options = { shape, ...(pool && { pool }), ...(keep !== undefined && { keep }) };
      await checkDynamic({
        name: 'draftAttention',
        op: draftAttention as never,
        inputs,
        options,
        choose: () => chooseDraft(inputs, options),
        chosen: ({ selection }) => onesOfBits(selection!, boxesOf(shape, [1, ...(pool ?? [8, 16])]).count),
        reference: (round, chosen) => draftReference(inputs, options, round, chosen),
      });
    },
  ));

test('sla', () =>
  property(
    fc.record({
      ...operandShapes,
      Tq: fc.constantFrom(1, 2, 33, 65),
      Tk: fc.constantFrom(1, 17, 64, 65),
      topk: fc.constantFrom(0, 0.3, 0.5, 1),
      blockQ: fc.constantFrom(1, 8, 64),
      blockK: fc.constantFrom(3, 8, 64),
      featureMap: fc.constantFrom<'softmax' | 'elu' | 'relu'>('softmax', 'elu', 'relu'),
      linear: fc.constantFrom<'rest' | 'all'>('rest', 'rest', 'all'),
      proj: fc.constantFrom(0, 1, 2),
    }),
    12,
    async ({ Tq, Tk, proj, ...rest }) => {
      const { topk, blockQ, blockK, featureMap, linear, ...shape } = rest;
      const { random, inputs: qkv } = operands({ ...shape, std: 1 }, Tq, Tk);
      const Dv = shape.Dv;
      const inputs = {
        ...qkv,
        ...(proj > 0 && { proj: normal(random, [Dv, Dv], Dv ** -0.5) }),
        ...(proj > 1 && { projBias: normal(random, [Dv]) }),
      };
      const options = { topk, blockQ, blockK, featureMap, linear };
      await checkDynamic({
        name: 'sla',
        op: sla as never,
        inputs,
        options,
        choose: () => chooseSla(inputs, options),
        chosen: ({ selection }) => onesOfBits(selection!, Math.ceil(Tk / blockK)),
        reference: (round, chosen) => slaReference(inputs, options, round, chosen),
      });
    },
  ));

test('told to keep everything each is dense attention', async () => {
  const random = randomFrom(15);
  const shape: Grid = [3, 6, 7];
  const [B, T, H, D] = [1, size(shape), 2, 16] as const;
  const inputs = { q: normal(random, [B, T, H, D]), k: normal(random, [B, T, 1, D]), v: normal(random, [B, T, 1, D]) };
  const wanted = expected((round) => ({ o: attention(inputs, {}, round).o }));
  const gate = floats([B, T, H, D], () => 0);
  for (const rt of runtimes) {
    for (const [name, op, extra, options] of [
      ['vmoba', vmoba, {}, { shape, chunk: [2, 3], threshold: 1 }],
      ['vmoba', vmoba, {}, { shape, chunk: 2, topk: 2 }],
      ['vsa', vsa, { gate }, { shape, topk: 8 }],
      ['draftAttention', draftAttention, {}, { shape, pool: [4, 4], keep: 1 }],
      ['sla', sla, {}, { topk: 1 }],
    ] as const) {
      const got = await call(rt, op as never, { ...inputs, ...extra }, options as object);
      assertAccurate(got as never, wanted, `${rt.variant}: ${name}`);
    }
  }
});

test('a common offset of the keys changes no choice of sla, as the reference that subtracts their mean promises', async () => {
  const random = randomFrom(16);
  const inputs = {
    q: normal(random, [1, 64, 1, 8]),
    k: normal(random, [1, 64, 1, 8]),
    v: normal(random, [1, 64, 1, 8]),
  };
  const shifted = { ...inputs, k: mapped(inputs.k, (x) => x + 2) };
  const options = { topk: 0.5, blockQ: 8, blockK: 8, returnSelection: true };
  for (const rt of runtimes) {
    const [a, b] = [await call(rt, sla, inputs, options), await call(rt, sla, shifted, options)];
    assert.deepEqual(a.selection!.data, b.selection!.data, rt.variant);
  }
});

import { test } from 'node:test';
import fc from 'fast-check';
import { type Each, selectAbove, selectTopK, selectTopP } from '../src/engines/select/choose.ts';
import type { Runtime, Tensor } from '../src/index.ts';
import { assertSameBits } from './accuracy.ts';
import { call } from './call.ts';
import { property } from './property.ts';
import * as reference from './reference/select.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, ints, normal, randomFrom, type Sample } from './samples.ts';
import { program } from './select-calls.ts';

const rts = await variants();

const topK = program((b, { map, k }: { map: Tensor; k?: Tensor }, options: { k: Each }) => ({
  bits: selectTopK(b, map, { ...options, k: k ?? options.k }),
}));
const topP = program((b, { map, p }: { map: Tensor; p?: Tensor }, options: { p: Each }) => ({
  bits: selectTopP(b, map, { ...options, p: p ?? options.p }),
}));
const above = program((b, { map, threshold }: { map: Tensor; threshold?: Tensor }, options: { threshold: Each }) => ({
  bits: selectAbove(b, map, { ...options, threshold: threshold ?? options.threshold }),
}));

/** Scores with many equal ones, or none; with NaN and infinities in some. */
function scores(random: () => number, shape: readonly number[], kind: string): FloatSample {
  const x = normal(random, shape);
  if (kind === 'normal') return x;
  if (kind === 'levels') return floats(shape, () => Math.floor(random() * 4) - 1);
  if (kind === 'equal') return floats(shape, () => (random() < 0.5 ? 0 : -0));
  if (kind === 'sorted') return floats(shape, (n) => n % 1000);
  if (kind === 'steep') return floats(shape, () => Math.exp(40 * random()));
  // a search that samples every so many numbers finds none but the highest, or the lowest, or some of both
  const every = Math.max(1, Math.floor(shape.at(-1)! / 64));
  if (kind === 'odd high')
    return floats(shape, (n) => ((n % shape.at(-1)!) % every === 0 ? 50 : 1) * Math.abs(x.data[n]!));
  if (kind === 'odd low')
    return floats(shape, (n) => ((n % shape.at(-1)!) % every === 0 ? 0.02 : 1) * Math.abs(x.data[n]!));
  const special = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, -0, 1e-45, -1e-45];
  const share = kind === 'nan' ? 1 : 0.3;
  return floats(shape, (n) => {
    if (kind === 'nan') return random() < 0.8 ? Number.NaN : x.data[n]!;
    return random() < share ? special[Math.floor(random() * special.length)]! : x.data[n]!;
  });
}

const KINDS = ['normal', 'levels', 'equal', 'sorted', 'steep', 'odd high', 'odd low', 'special', 'nan'];
/** Kinds whose sums depend on their order. */
const INEXACT = ['normal', 'steep', 'odd high', 'odd low'];

const choices = fc.record({
  first: fc.constantFrom(undefined, 0, 1, 3, 40),
  last: fc.constantFrom(undefined, 0, 1, 2, 33),
  forced: fc.constantFrom(undefined, 'counted' as const, 'added' as const, 'union' as const),
  scope: fc.constantFrom(undefined, 'row' as const, 'head' as const),
  visible: fc.constantFrom(
    undefined,
    { mul: 1, add: 1, div: 1 },
    { mul: 7, add: -20, div: 3 },
    { mul: -2, add: 50, div: 1 },
    { mul: 0, add: 0, div: 5 },
  ),
});

const cases = fc.record({
  shape: fc.tuple(
    fc.constantFrom(1, 2),
    fc.constantFrom(1, 3),
    fc.constantFrom(0, 1, 2, 7, 13),
    fc.constantFrom(1, 2, 31, 32, 33, 47, 49, 64, 65, 100, 129, 300, 700),
  ),
  kind: fc.constantFrom(...KINDS),
  seed: fc.nat(),
  choice: choices,
});

function named(choice: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(choice).filter(([, value]) => value !== undefined));
}

type Choose = (inputs: never, options: never) => Promise<{ bits: Tensor }>;

async function check(rt: Runtime, op: Choose, inputs: Record<string, Sample>, options: object, want: reference.Ones) {
  const { bits } = await call(
    rt,
    op as (inputs: never, options?: object) => Promise<{ bits: Tensor }>,
    inputs,
    options,
  );
  assertSameBits(bits, reference.bitsOf(want), `${rt.variant} ${JSON.stringify(options)} [${inputs.map!.shape}]`);
}

test('top-k is the k highest, equal scores from the left and NaN last', async () => {
  await property(
    fc.record({ each: cases, k: fc.constantFrom(0, 1, 2, 5, 16, 33, 64, 150, 1000), per: fc.boolean() }),
    150,
    async ({ each: { shape, kind, seed, choice }, k, per }) => {
      const random = randomFrom(seed);
      const map = scores(random, shape, kind);
      const [B, L, R] = shape;
      const ks = Array.from({ length: B * L * R }, () => Math.floor(random() * 1.3 * k));
      const want = reference.selectTopK(map, per ? (row) => ks[row]! : k, choice);
      const inputs = { map, ...(per ? { k: ints(ks, [B, L, R]) } : {}) };
      for (const rt of rts) await check(rt, topK, inputs, { ...named(choice), k }, want);
    },
  );
});

test('top-p is the fewest highest that hold the share, equal scores from the left', async () => {
  await property(
    fc.record({
      each: cases,
      p: fc.constantFrom(0, 0.25, 0.5, 0.9, 0.99, 1),
      minimum: fc.constantFrom(undefined, 0, 1, 5, 70),
      per: fc.boolean(),
    }),
    150,
    async ({ each: { shape, kind, seed, choice }, p, minimum, per }) => {
      const random = randomFrom(seed);
      // whole numbers add up alike in any order
      const map = scores(random, shape, kind);
      if (INEXACT.includes(kind)) map.data.set(map.data.map((x) => Math.round(Math.abs(x) * 100)));
      const [B, L, R] = shape;
      const ps = floats([B, L, R], () => (random() < 0.2 ? 1 : Math.fround(random())));
      const want = reference.selectTopP(map, per ? (row) => ps.data[row]! : p, { ...choice, minimum });
      const inputs = { map, ...(per ? { p: ps } : {}) };
      for (const rt of rts) await check(rt, topP, inputs, named({ ...choice, p, minimum }), want);
    },
  );
});

test('above is what is above the threshold', async () => {
  await property(
    fc.record({
      each: cases,
      threshold: fc.constantFrom(0, -0.5, 1, Number.NEGATIVE_INFINITY, Number.NaN),
      per: fc.boolean(),
    }),
    80,
    async ({ each: { shape, kind, seed, choice }, threshold, per }) => {
      const random = randomFrom(seed);
      const map = scores(random, shape, kind);
      const [B, L, R] = shape;
      const levels = normal(random, [B, L, R]);
      const { first, last, visible } = choice;
      const want = reference.selectAbove(map, per ? (row) => levels.data[row]! : threshold, { first, last, visible });
      const inputs = { map, ...(per ? { threshold: levels } : {}) };
      for (const rt of rts) await check(rt, above, inputs, named({ first, last, visible, threshold }), want);
    },
  );
});

test('long rows: any k and any share', async () => {
  const random = randomFrom(7);
  for (const kind of KINDS) {
    const map = scores(random, [1, 1, 3, 5000], kind);
    for (const k of [1, 17, 700, 4900, 4999]) {
      const want = reference.selectTopK(map, k);
      for (const rt of rts) await check(rt, topK, { map }, { k }, want);
    }
    // powers of two, or whole numbers
    if (kind === 'steep') map.data.set(map.data.map((x) => 2 ** Math.round(Math.log2(x) / 4)));
    else if (INEXACT.includes(kind)) map.data.set(map.data.map((x) => Math.round(Math.abs(x) * 1000)));
    for (const p of [0.1, 0.5, 0.9, 0.999]) {
      // a count that comes out too low would be filled up to the minimum by other columns
      const minimum = reference
        .selectTopP(map, p)
        .data.subarray(0, 5000)
        .reduce((sum, x) => sum + x, -1);
      const want = reference.selectTopP(map, p, { minimum });
      for (const rt of rts) await check(rt, topP, { map }, { p, minimum }, want);
    }
  }
});

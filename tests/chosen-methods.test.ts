// What all methods that choose blocks or columns share: threads, twins, storage types and strides do not change a bit.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as wattn from '../src/index.ts';
import { OPS } from '../src/ops/registry.ts';
import { assertSameBits, maxError } from './accuracy.ts';
import { call } from './call.ts';
import { qkv } from './chosen-cases.ts';
import { variants } from './runtimes.ts';
import { mapped, normal, randomFrom, roundToBfloat, roundToHalf, type Sample } from './samples.ts';

const teams = await Promise.all([1, 3].map((threads) => variants(threads)));
after(() => {
  for (const rt of teams.flat()) rt.dispose();
});

type Op = (inputs: Record<string, wattn.Tensor>, options?: object) => Promise<Record<string, wattn.Tensor>>;

const shape = { seed: 12, batch: 2, tq: 250, tk: 250, hkv: 2, group: 2, d: 34, dv: 20 };
const heads = shape.hkv * shape.group;
const gates = {
  wq: normal(randomFrom(1), [heads, shape.d, 16], 0.2),
  wk: normal(randomFrom(2), [shape.hkv, 3 * shape.d, 16], 0.2),
};

const plan: wattn.MinferencePlan[] = [
  { pattern: 'verticalSlash', vertical: 60, slash: 105 },
  { pattern: 'aShape', sink: 5, window: 70 },
  { pattern: 'blockSparse', topK: 2 },
  { pattern: 'verticalSlash', vertical: 40, slash: 60 },
];
const methods: [name: string, options: object, rest?: Record<string, Sample>][] = [
  ['minference', { plan }],
  ['flexPrefill', { gamma: 0.5, tau: 0.2, block: 32 }],
  ['xAttention', { stride: 4, block: 32, threshold: 0.5 }],
  ['xAttention', { stride: 8, block: 64, threshold: 0.5, causal: false }],
  ['spargeAttn', { theta: 0.05, cdf: 0.6, causal: true, skipBelow: 30 }],
  ['seerAttention', { topK: 3, block: 32 }, gates],
  ['sampleAttention', { coverage: 0.5 }],
  ['sparseVideoGen2', { qClusters: 7, kClusters: 11, iterations: 2, topP: 0.5 }],
];

const opOf = (name: string) => (wattn as unknown as Record<string, Op>)[name]!;

test('every method is here', () => {
  const chosen = OPS.filter(({ attributes }) => attributes.includes('returnSelection')).map(({ name }) => name);
  const here = new Set(methods.map(([name]) => name));
  const own = [
    'minference',
    'flexPrefill',
    'xAttention',
    'spargeAttn',
    'seerAttention',
    'sampleAttention',
    'sparseVideoGen2',
  ];
  for (const name of own) assert.ok(chosen.includes(name) && here.has(name), name);
});

for (const [name, given, rest = {}] of methods) {
  const options = { ...given, returnSelection: true };
  test(`${name}: threads, the synchronous twin and strides give the same bits`, async () => {
    const inputs = { ...qkv(shape, 1.2), ...rest };
    for (const [n, alone] of teams[0]!.entries()) {
      const want = await call(alone, opOf(name), inputs, options);
      const same = (got: typeof want, what: string) => {
        assert.deepEqual(Object.keys(got), Object.keys(want));
        for (const part in want) assertSameBits(got[part]!, want[part]!, `${alone.variant}, ${what}: ${part}`);
      };
      same(await call(teams[1]![n]!, opOf(name), inputs, options), 'three threads');
      const sync: Op = async (...args) => opOf(`${name}Sync`)(...args);
      same(await call(alone, sync, inputs, options), 'the synchronous twin');
      // heads before tokens, with a gap between the rows of values
      await alone.scope(async () => {
        const apart = (x: Sample, gap: number) => {
          const [b, t, h, d] = x.shape as [number, number, number, number];
          const moved = alone.tensor(new Float32Array(b * h * t * (d + gap)), [b, h, t, d + gap]);
          const view = moved.view() as Float32Array;
          x.data.forEach((y, at) => {
            const [c, i, j, k] = [
              at % d,
              Math.floor(at / d) % h,
              Math.floor(at / d / h) % t,
              Math.floor(at / d / h / t),
            ];
            view[((k * h + i) * t + j) * (d + gap) + c] = y;
          });
          return moved.permute([0, 2, 1, 3]).slice(3, 0, d);
        };
        const strided = { ...inputs, q: apart(inputs.q, 0), k: apart(inputs.k, 6), v: apart(inputs.v, 3) };
        same(await call(alone, opOf(name), strided, options), 'other strides');
      });
    }
  });

  test(`${name}: keys, values and queries stored in 16 bits`, async () => {
    for (const [stored, round] of [
      ['f16', roundToHalf],
      ['bf16', roundToBfloat],
    ] as const) {
      const { q, k, v } = qkv(shape, 1.2);
      const rounded = { q: mapped(q, round), k: mapped(k, round), v: mapped(v, round) };
      for (const rt of teams[0]!) {
        const want = await call(rt, opOf(name), { ...rounded, ...rest }, options);
        await rt.scope(async () => {
          const tensors = Object.fromEntries(
            Object.entries(rounded).map(([key, x]) => [key, rt.tensor(x.data, x.shape, stored)]),
          );
          const got = await call(rt, opOf(name), { ...tensors, ...rest }, options);
          for (const part in want) {
            // halves are scaled on the way: the last bit of a product may differ
            const { error } = maxError(got[part]!, want[part]!);
            assert.ok(error < 3e-6, `${rt.variant}, ${stored}: ${part} is off by ${error}`);
          }
        });
      }
    }
  });

  test(`${name}: one token, one head, and a NaN that stays where it is`, async () => {
    const small = { ...shape, batch: 1, tq: 1, tk: 1, hkv: 1, group: 1 };
    const one = name === 'seerAttention' ? { wk: normal(randomFrom(3), [1, 3 * shape.d, shape.d]) } : {};
    const few = 'plan' in options ? { ...options, plan: plan[0] } : { ...options, qClusters: 1, kClusters: 1 };
    if (!name.startsWith('sparseVideo'))
      for (const key of ['qClusters', 'kClusters']) delete (few as Record<string, unknown>)[key];
    for (const rt of teams[0]!) {
      const inputs = qkv(small);
      const { o, lse } = await call(rt, opOf(name), { ...inputs, ...one }, few);
      assert.ok(maxError(o!, { shape: o!.shape, data: inputs.v.data }).error < 1e-6, `${rt.variant}: the only value`);
      assert.ok(Number.isFinite(lse!.data[0]));
      const poisoned = qkv({ ...shape, batch: 2 });
      poisoned.q.data[3] = Number.NaN;
      const got = await call(rt, opOf(name), { ...poisoned, ...rest }, options);
      const half = got.o!.data.length / 2;
      assert.ok(Array.from(got.o!.data).slice(half).every(Number.isFinite), `${rt.variant}: the other sequence`);
    }
  });
}

import { after, test } from 'node:test';
import * as wattn from '../src/index.ts';
import { dsa, type Runtime, type Tensor } from '../src/index.ts';
import { assertAccurate, assertSameBits, expected } from './accuracy.ts';
import { call, codesOn } from './call.ts';
import { dsa as dsaReference } from './reference/dsa.ts';
import { variants } from './runtimes.ts';
import {
  type FloatSample,
  floats,
  mapped,
  normal,
  quantised,
  randomFrom,
  roundToBfloat,
  roundToHalf,
} from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

const random = randomFrom(91);
const [B, T, H, D, Dv] = [2, 108, 4, 12, 20] as const;
const qkv = { q: normal(random, [B, T, H, D]), k: normal(random, [B, T, 2, D]), v: normal(random, [B, T, 2, Dv]) };
const gate = floats([B, T, H], random);
const shape = [3, 6, 6] as const;

type Samples = Record<string, FloatSample>;

const calls: Record<string, [plain: Samples, options: object]> = {
  topKAttention: [{}, { k: 20, causal: true }],
  topPAttention: [{}, { p: 0.6 }],
  nsa: [
    { gCmp: gate, gSlc: gate, gSwa: gate },
    { blockSize: 8, blockCounts: 5, windowSize: 10 },
  ],
  moba: [{}, { chunkSize: 20, topk: 3 }],
  vmoba: [{}, { shape, chunk: [2, 3], threshold: 0.3 }],
  dsa: [
    { qIdx: normal(random, [B, T, 2, 8]), kIdx: normal(random, [B, T, 8]), wIdx: normal(random, [B, T, 2]) },
    { topk: 30 },
  ],
  vsa: [{}, { shape, topk: 2 }],
  sla: [{ proj: normal(random, [Dv, Dv]) }, { topk: 0.4, blockQ: 16, blockK: 16 }],
  draftAttention: [{}, { shape, pool: [4, 4], keep: 0.4 }],
};

type Op = (inputs: object, options?: object) => Promise<Record<string, Tensor>>;

/** Operands stored as another type, and their values; [B, H, T, D] in memory. */
const storages: [what: string, round: (x: number) => number, make: (rt: Runtime, x: FloatSample) => Tensor][] = [
  ['f16', roundToHalf, (rt, { data, shape }) => rt.tensor(data, [...shape], 'f16')],
  ['bf16', roundToBfloat, (rt, { data, shape }) => rt.tensor(data, [...shape], 'bf16')],
  [
    'heads before tokens',
    (x) => x,
    (rt, x) => {
      const [b, t, h, d] = x.shape as [number, number, number, number];
      const turned = floats([b, h, t, d], (n) => {
        const [c, j, i, a] = [n % d, Math.floor(n / d) % t, Math.floor(n / d / t) % h, Math.floor(n / d / t / h)];
        return x.data[((a * t + j) * h + i) * d + c]!;
      });
      return rt.tensor(turned.data, turned.shape).permute([0, 2, 1, 3]);
    },
  ],
];

for (const [what, round, make] of storages) {
  test(`operands as ${what} give what their values give`, async () => {
    for (const rt of runtimes) {
      for (const [name, [plain, options]] of Object.entries(calls)) {
        const op = (wattn as unknown as Record<string, Op>)[name]!;
        await rt.scope(async () => {
          const values = Object.fromEntries(Object.entries(qkv).map(([key, x]) => [key, mapped(x, round)]));
          const stored = Object.fromEntries(Object.entries(values).map(([key, x]) => [key, make(rt, x)]));
          const want = await call(rt, op, { ...values, ...plain }, options);
          const got = await call(rt, op, { ...stored, ...plain }, options);
          for (const output in want) assertSameBits(got[output]!, want[output]!, `${rt.variant}: ${name}, ${output}`);
        });
      }
    }
  });
}

test('dsa on caches of 8 bits, with keys that are values too', async () => {
  const [index] = calls.dsa!;
  const codes = quantised(normal(random, [B, T, 1, D]));
  const q = qkv.q;
  const values = { q, k: codes.value, v: codes.value, ...index } as never;
  const wanted = expected((round) => dsaReference(values, { topk: 30 }, round));
  for (const rt of runtimes) {
    await rt.scope(async () => {
      const k = codesOn(rt, codes);
      const kScale = rt.tensor(codes.scale.data, codes.scale.shape);
      const got = await call(rt, dsa, { q, k, v: k, kScale, vScale: kScale, ...index }, { topk: 30 });
      assertAccurate(got as never, wanted, rt.variant);
    });
  }
});

// What all methods share that decode on chosen tokens: threads, the synchronous twin and strides do not change a bit.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as wattn from '../src/index.ts';
import { assertSameBits } from './accuracy.ts';
import { call } from './call.ts';
import { qkv } from './choosing.ts';
import { variants } from './runtimes.ts';
import { ints, normal, randomFrom, type Sample } from './samples.ts';

const teams = await Promise.all([1, 3].map((threads) => variants(threads)));
after(() => {
  for (const rt of teams.flat()) rt.dispose();
});

type Op = (inputs: Record<string, wattn.Tensor>, options?: object) => Promise<Record<string, wattn.Tensor>>;

const shape = { seed: 12, batch: 2, tq: 3, tk: 1500, hkv: 2, group: 2, d: 34, dv: 20 };
const random = randomFrom(13);
const whole = (most: number, ...axes: number[]) =>
  ints(
    Array.from({ length: axes.reduce((a, b) => a * b) }, () => Math.floor(random() * most)),
    axes,
  );
const index = { centroids: normal(random, [2, 9, 2, 34]), labels: whole(9, 2, 2, 1500) };
const taken = { topk: 50, sinks: 3, recent: 7 };

const methods: [name: string, options: object, rest?: Record<string, Sample>][] = [
  ['quest', { topk: 9 }],
  ['sparq', { topk: 50, r: 7, local: 9 }],
  ['doubleSparsity', taken, { channels: whole(34, 2, 6) }],
  ['loki', taken, { basis: normal(random, [2, 6, 34]) }],
  ['hashAttention', taken, { qBits: whole(2 ** 31, 2, 4, 3), kBits: whole(2 ** 31, 2, 2, 1500) }],
  ['retrievalAttention', taken],
  ['retrievalAttention', { ...taken, nprobe: 3 }, index],
  ['twilight', { p: 0.6 }],
  ['tactic', { p: 0.6, sinks: 3 }, index],
  ['magicPig', { sinks: 3, recent: 7 }, { planes: normal(random, [34, 12, 5]) }],
  ['infLlm', { window: 100, topk: 4, block: 32, sinks: 5 }],
];

const opOf = (name: string) => (wattn as unknown as Record<string, Op>)[name]!;

/** A sample [B, T, H, D] with heads before tokens and a gap behind each row. */
function apart(rt: wattn.Runtime, x: Sample): wattn.Tensor {
  const [b, t, h, d] = x.shape as [number, number, number, number];
  const moved = rt.tensor(new Float32Array(b * h * t * (d + 3)), [b, h, t, d + 3]);
  const view = moved.view() as Float32Array;
  x.data.forEach((y, at) => {
    const [c, i, j, k] = [at % d, Math.floor(at / d) % h, Math.floor(at / d / h) % t, Math.floor(at / d / h / t)];
    view[((k * h + i) * t + j) * (d + 3) + c] = y;
  });
  return moved.permute([0, 2, 1, 3]).slice(3, 0, d);
}

for (const [name, options, rest = {}] of methods) {
  test(`${name} ${JSON.stringify(options)}: threads, the synchronous twin and strides give the same bits`, async () => {
    const inputs = { ...qkv(shape, 1.2), ...rest };
    for (const [n, alone] of teams[0]!.entries()) {
      const want = await call(alone, opOf(name), inputs, options);
      const same = (got: typeof want, what: string) => {
        assert.deepEqual(Object.keys(got), Object.keys(want));
        for (const part in want) assertSameBits(got[part]!, want[part]!, `${alone.variant}, ${what}: ${part}`);
      };
      same(await call(teams[1]![n]!, opOf(name), inputs, options), 'three threads');
      same(
        await call(alone, async (...args: Parameters<Op>) => opOf(`${name}Sync`)(...args), inputs, options),
        'the twin',
      );
      await alone.scope(async () => {
        const strided = { ...inputs, q: apart(alone, inputs.q), k: apart(alone, inputs.k), v: apart(alone, inputs.v) };
        same(await call(alone, opOf(name), strided, options), 'other strides');
      });
    }
  });
}

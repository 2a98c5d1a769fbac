import { after, test } from 'node:test';
import { attention } from '../src/index.ts';
import { assertAccurate, expected } from './accuracy.ts';
import { call } from './call.ts';
import { attention as reference } from './reference/attention.ts';
import { variants } from './runtimes.ts';
import { mapped, normal, randomFrom, roundToHalf } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

/** Halves of every kind: subnormals, zeros and the largest numbers in some blocks of 64 keys, ordinary numbers in the others. */
function everyKind(shape: [number, number, number, number], seed: number) {
  const random = randomFrom(seed);
  const row = shape[2] * shape[3];
  const x = normal(random, shape);
  for (let n = 0; n < x.data.length; n++) {
    const block = Math.floor(n / row / 64) % 4;
    const kind = Math.floor(random() * 4);
    if (block === 1 && kind === 0) x.data[n] = (random() - 0.5) * 2 ** -14;
    if (block === 1 && kind === 1) x.data[n] = 0;
    if (block === 2 && kind === 0) x.data[n] = (random() < 0.5 ? -1 : 1) * 2 ** -24;
  }
  return mapped(x, roundToHalf);
}

test('one query against f16 keys and values: subnormals are exact', async () => {
  for (const [d, std] of [
    [64, 1],
    [8, 30],
    [128, 1e-6],
    [16, 1e6],
  ] as const) {
    const inputs = {
      q: normal(randomFrom(d), [1, 1, 2, d], std),
      k: everyKind([1, 300, 2, d], 1),
      v: everyKind([1, 300, 2, d], 2),
    };
    const wanted = expected((round) => reference(inputs, {}, round));
    for (const rt of runtimes) {
      await rt.scope(async () => {
        const [k, v] = [
          rt.tensor(inputs.k.data, inputs.k.shape, 'f16'),
          rt.tensor(inputs.v.data, inputs.v.shape, 'f16'),
        ];
        assertAccurate(await call(rt, attention, { q: inputs.q, k, v }), wanted, `${rt.variant}, D ${d}, q ${std}`);
      });
    }
  }
});

test('subnormal f16 values alone, and the largest ones, keep their digits', async () => {
  for (const size of [2 ** -20, 6e4]) {
    const random = randomFrom(5);
    const v = mapped(normal(random, [1, 100, 1, 16], 1), (x) => roundToHalf(Math.max(-1, Math.min(1, x)) * size));
    const inputs = { q: normal(random, [1, 1, 1, 16]), k: mapped(normal(random, [1, 100, 1, 16]), roundToHalf), v };
    // in units of the largest: an absolute bound would not see the subnormals
    const { want, limit } = expected((round) => ({ o: mappedTo(reference(inputs, {}, round).o, 1 / size) }));
    for (const rt of runtimes) {
      await rt.scope(async () => {
        const stored = { k: rt.tensor(inputs.k.data, inputs.k.shape, 'f16'), v: rt.tensor(v.data, v.shape, 'f16') };
        const { o } = await call(rt, attention, { q: inputs.q, ...stored });
        assertAccurate({ o: mappedTo(o, 1 / size) }, { want, limit }, `${rt.variant}, values of ${size}`);
      });
    }
  }
});

test('infinities and NaN of f16 caches reach what sees them, and nothing else', async () => {
  const random = randomFrom(6);
  const inputs = {
    q: normal(random, [1, 1, 2, 16]),
    k: mapped(normal(random, [1, 200, 2, 16]), roundToHalf),
    v: mapped(normal(random, [1, 200, 2, 16]), roundToHalf),
  };
  inputs.v.data[(150 * 2 + 1) * 16 + 3] = Number.POSITIVE_INFINITY;
  inputs.v.data[(70 * 2 + 0) * 16 + 5] = Number.NaN;
  const wanted = expected((round) => reference(inputs, {}, round));
  for (const rt of runtimes) {
    await rt.scope(async () => {
      const [k, v] = [rt.tensor(inputs.k.data, inputs.k.shape, 'f16'), rt.tensor(inputs.v.data, inputs.v.shape, 'f16')];
      assertAccurate(await call(rt, attention, { q: inputs.q, k, v }), wanted, rt.variant);
    });
  }
  inputs.k.data[(10 * 2 + 1) * 16] = Number.NaN;
  const unknown = expected((round) => reference(inputs, {}, round));
  for (const rt of runtimes) {
    await rt.scope(async () => {
      const [k, v] = [rt.tensor(inputs.k.data, inputs.k.shape, 'f16'), rt.tensor(inputs.v.data, inputs.v.shape, 'f16')];
      assertAccurate(await call(rt, attention, { q: inputs.q, k, v }), unknown, `${rt.variant}, a key of NaN`);
    });
  }
});

function mappedTo<X extends { shape: readonly number[]; data: ArrayLike<number> }>({ shape, data }: X, factor: number) {
  return { shape, data: Float64Array.from(data, (x) => x * factor) };
}

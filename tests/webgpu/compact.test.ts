import { after, test } from 'node:test';
import { type CodePlan, codeLayer, int4Plan, kiviPlan } from '../../src/cache/index.ts';
import { dequantizeKv, type QuantizeKvOptions, quantizeKv, type Runtime, tpa } from '../../src/index.ts';
import { run } from '../../src/runtime/program.ts';
import { normal, randomFrom } from '../samples.ts';
import { bothRuntimes, sameOnBoth } from './both.ts';

after(async () => (await bothRuntimes()).gpu.dispose());

/** Tensors of normal numbers, the same for each runtime. */
function normals(rt: Runtime, seed: number) {
  const random = randomFrom(seed);
  return (shape: number[], dtype: 'f32' | 'bf16' = 'f32') => rt.tensor(normal(random, shape).data, shape, dtype);
}

const codings: readonly (readonly [
  name: string,
  options: QuantizeKvOptions,
  given: 'codebook' | 'scale' | '',
  D: number,
])[] = [
  ['keys of 4 bits by token', { of: 'keys', bits: 4, axis: 'token', group: 16 }, '', 18],
  ['keys of 2 bits by channel', { of: 'keys', bits: 2, axis: 'channel', group: 32 }, '', 16],
  ['values of 4 bits, symmetric', { of: 'values', bits: 4, axis: 'token', group: 16, symmetric: true }, '', 20],
  ['values of 2 bits with outliers', { of: 'values', bits: 2, axis: 'token', group: 32, outliers: 2 }, '', 40],
  ['keys by codebook with outliers', { of: 'keys', bits: 2, axis: 'channel', group: 32, outliers: 1 }, 'scale', 16],
  ['values by codebook', { of: 'values', bits: 4, axis: 'token', group: 16 }, 'codebook', 16],
];

for (const [name, options, given, D] of codings) {
  test(`${name}: to codes and back`, async () => {
    await sameOnBoth(
      (rt) => {
        const next = normals(rt, 3);
        const levels = Float32Array.from(
          { length: 2 ** options.bits! },
          (_, i, n = 2 ** options.bits! - 1) => (2 * i) / n - 1,
        );
        return {
          x: next([2, 37, 2, D]),
          ...(given === 'scale' && { scale: next([2, D]), offset: next([2, D]) }),
          ...(given !== '' && { codebook: rt.tensor(levels, [levels.length]) }),
        };
      },
      async (x) => {
        const { codes, ...rest } = await quantizeKv(x, options);
        const coded = { codes, ...rest, ...(x.codebook && { codebook: x.codebook }) };
        const { symmetric, outliers, ...back } = options;
        // numbers of tokens behind the last are arbitrary: what they stand for is compared
        return dequantizeKv(coded as never, { ...back, dim: D, tokens: 37 });
      },
      1e-5,
    );
  });
}

/** Feeds a layer a prompt and tokens, some of which are taken back. */
async function fed(rt: Runtime, plan: CodePlan): Promise<object> {
  const next = normals(rt, 4);
  const layer = codeLayer(rt, { layer: 0, layers: 1, kvHeads: 2, headDim: 32, capacity: 160 }, plan);
  const results: Record<string, unknown> = {};
  let step = 0;
  for (const T of [70, 1, 3]) {
    const [q, k, v] = [next([1, T, 4, 32]), next([1, T, 2, 32]), next([1, T, 2, 32])];
    layer.reserve(T);
    const commits: (() => void)[] = [];
    const { o } = await run('layer', { q, k, v }, (b) => {
      commits.push(() => append.commit());
      const append = layer.append(b, k, v);
      return layer.attend(b, { q, scale: 0.2, softcap: 0 });
    });
    for (const commit of commits) commit();
    results[`o${step++}`] = o;
  }
  layer.dispose();
  return results;
}

const plans = { int4: int4Plan(), kivi: kiviPlan({ bits: 2 }) };

for (const [name, plan] of Object.entries(plans)) {
  test(`attention on ${name} codes and the floats behind them`, async () => {
    await sameOnBoth(
      (rt) => rt,
      (rt) => fed(rt, plan),
      1e-3,
    );
  });
}

test('attention on factors, contracted and materialised', async () => {
  for (const contract of [true, false]) {
    for (const [whole, heads, Tq, Dv, dtype] of [
      [false, 5, 2, 20, 'f32'],
      [true, 3, 1, 8, 'bf16'],
    ] as const) {
      await sameOnBoth(
        (rt) => {
          const next = normals(rt, 6);
          const [B, Tk, D] = [2, 70, 18];
          return {
            ...(whole ? { q: next([B, Tq, heads, D]) } : { aQ: next([B, Tq, 3, heads]), bQ: next([B, Tq, 3, D]) }),
            aK: next([B, Tk, 2, heads], dtype),
            bK: next([B, Tk, 2, D], dtype),
            aV: next([B, Tk, 4, heads], dtype),
            bV: next([B, Tk, 4, Dv], dtype),
          };
        },
        (x) => tpa(x, { contract, causal: true, softcap: 4 }),
        1e-5,
      );
    }
  }
});

// Feature maps, running sums and column sums on a GPU: what WebAssembly gives, at odd shapes and for extreme numbers.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import * as features from '../../src/engines/features.ts';
import { CumsumParams, PseudoInverseParams } from '../../src/generated/params.ts';
import type { Runtime, Tensor } from '../../src/index.ts';
import { encode } from '../../src/runtime/params.ts';
import { type Builder, run } from '../../src/runtime/program.ts';
import { methods, opOf } from '../linear-methods.ts';
import { type FloatSample, floats, normal, randomFrom } from '../samples.ts';
import { bothRuntimes, sameOnBoth } from './both.ts';
import { goldenOnGpu } from './golden.ts';

after(async () => (await bothRuntimes()).gpu.dispose());

const TIGHT = 2e-5;

goldenOnGpu(['based', 'rebased', 'cosformer', 'performer']);

const tensor = (rt: Runtime, { data, shape }: FloatSample) => rt.tensor(data, shape as number[]);

/** Rows with what maps find hard: zeros, a row of one size, large and small numbers. */
function hard(shape: readonly number[], size: number): FloatSample {
  const random = randomFrom(shape.length + size);
  const d = shape.at(-1)!;
  const row = normal(random, shape, size);
  return floats(shape, (n) => {
    const at = Math.floor(n / d);
    if (at % 5 === 3) return 0;
    if (at % 7 === 2) return -Math.abs(row.data[n]!);
    return row.data[n]!;
  });
}

/** A map of rows, added to a program; the features it makes are copied out. */
type AddMap = (b: Builder, x: Tensor, o: Tensor) => Tensor;

async function sameMap(label: string, x: FloatSample, width: number, add: AddMap, strided: boolean): Promise<void> {
  try {
    await sameOnBoth(
      (rt) => {
        const [b = 0, t = 0, h = 0, d = 0] = x.shape;
        // heads before tokens: rows lie apart
        const view = strided ? rt.tensor(x.data, [b, h, t, d]).permute([0, 2, 1, 3]) : tensor(rt, x);
        return { x: view, o: rt.empty([...view.shape.slice(0, -1), width]) };
      },
      async ({ x: rows, o }) => {
        await run('map', { rows, o }, (b) => ({ o: add(b, rows, o) }));
        return { o };
      },
      TIGHT,
    );
  } catch (error) {
    (error as Error).message = `${label} of [${x.shape}]: ${(error as Error).message}`;
    throw error;
  }
}

const SHAPES = [
  [2, 5, 3, 18],
  [1, 33, 1, 1],
  [1, 2, 2, 80],
] as const;

describe('maps', () => {
  test('functions of elements', async () => {
    for (const map of features.POINTWISE) {
      for (const size of [1, 60]) {
        const x = hard([2, 5, 3, 18], size);
        await sameMap(map, x, 18, (b, rows, o) => features.pointwise(b, map, rows, -0.5, o), size > 1);
      }
    }
    const extremes = floats([1, 1, 1, 8], (n) => [1e30, -1e30, 0, 89, -104, 1e-30, 15, -15][n]!);
    for (const map of ['relu', 'sigmoid', 'exp', 'tanh', 'softplus', 'logSigmoid', 'elu1'] as const) {
      const add: AddMap = (b, rows, o) => features.pointwise(b, map, rows, 1, o);
      const finite = map === 'exp' ? floats([1, 1, 1, 4], (n) => [100, -1e30, 0, 80][n]!) : extremes;
      await sameMap(map, finite, finite.shape[3]!, add, false);
    }
  });

  test('functions of rows', async () => {
    const maps: [string, (d: number) => number, AddMap][] = [
      ['softmax', (d) => d, (b, x, o) => features.softmax(b, x, { scale: 0.7 }, o)],
      ['l2norm', (d) => d, (b, x, o) => features.l2norm(b, x, {}, o)],
      ['l2norm with a floor', (d) => d, (b, x, o) => features.l2norm(b, x, { eps: 0, floor: 1e-3 }, o)],
      ['focused', (d) => d, (b, x, o) => features.focused(b, x, {}, o)],
      ['focused by a root', (d) => d, (b, x, o) => features.focused(b, x, { power: 1.5 }, o)],
      ['cosine', (d) => 2 * d, (b, x, o) => features.cosine(b, x, { offset: 3 }, o)],
      ['dpfp', (d) => 6 * d, (b, x, o) => features.dpfp(b, x, { nu: 3 }, o)],
      ['taylor2', (d) => 1 + d + (d * (d + 1)) / 2, (b, x, o) => features.taylor2(b, x, {}, o)],
      ['taylor2, full', (d) => 1 + d + d * d, (b, x, o) => features.taylor2(b, x, { layout: 'full' }, o)],
      ['qtVit', (d) => 1 + 2 * d, (b, x, o) => features.qtVit(b, x, {}, o)],
    ];
    for (const [label, width, add] of maps) {
      for (const [n, shape] of SHAPES.entries()) {
        await sameMap(label, hard(shape, n === 1 ? 30 : 1), width(shape[3]), add, n === 0);
      }
    }
  });

  test('norms of very large and very small rows', async () => {
    for (const size of [1e-30, 1e-18, 1e18, 1e30]) {
      for (const eps of [0, 1e-6]) {
        const add: AddMap = (b, x, o) => features.l2norm(b, x, { eps }, o);
        await sameMap(`l2norm at ${size}`, hard([1, 9, 1, 18], size), 18, add, false);
      }
    }
  });

  test('a softmax of -Infinity', async () => {
    const x = floats([1, 4, 1, 18], (n) => (n < 18 || n % 3 === 0 ? Number.NEGATIVE_INFINITY : Math.sin(n)));
    await sameMap('softmax', x, 18, (b, rows, o) => features.softmax(b, rows, {}, o), false);
  });

  test('random features', async () => {
    const w = normal(randomFrom(1), [20, 18]);
    for (const choices of [
      { stabilizer: 'row' },
      { stabilizer: 'global' },
      { stabilizer: 0.5 },
      { kernel: 'relu' },
    ] as features.FavorChoices[]) {
      for (const t of [3, 130]) {
        await sameOnBoth(
          (rt) => ({ x: tensor(rt, hard([2, t, 3, 18], 1)), w: tensor(rt, w), o: rt.empty([2, t, 3, 20]) }),
          async (given) => {
            await run('favor', given, (b) => ({ o: features.favor(b, given.x, given.w, choices, given.o) }));
            return { o: given.o };
          },
          1e-4,
        );
      }
    }
  });

  for (const method of methods.filter(({ name }) => ['performer', 'hedgehog', 't2r', 'slab'].includes(name))) {
    test(method.label, async () => {
      const lengths = { b: 1, t: 70, h: 2, hv: method.ungrouped ? 2 : 4, k: 18, v: 20, m: 8 };
      await sameOnBoth(
        (rt) => {
          const random = randomFrom(9);
          const samples = {
            ...method.tokens(random, lengths, 'mild', 1),
            ...method.constants?.(random, lengths, 'mild'),
          };
          return Object.fromEntries(Object.entries(samples).map(([name, x]) => [name, tensor(rt, x)]));
        },
        (inputs) => opOf(method)(inputs, method.options),
        1e-4,
      );
    });
  }
});

test('running sums keep the digits of their differences', async () => {
  const { gpu } = await bothRuntimes();
  for (const [B, T, H] of [
    [2, 1, 3],
    [1, 300, 17],
    [1, 5000, 1],
  ] as const) {
    // small gates behind large ones
    const random = randomFrom(T);
    const x = floats([B, T, H], () => (random() < 0.1 ? -1000 : -1e-3) * random());
    for (const factor of [-1, 0.3]) {
      const sums = await gpu.scope(async () => {
        const given = { x: tensor(gpu, x), o: gpu.empty([B, T, H, 2]) };
        gpu.poison();
        await run('cumsum', given, (b) => {
          const params = encode(CumsumParams, { x: given.x.address, o: given.o.address, factor, length: T, heads: H });
          b.dispatch({ kernel: 'cumsum', params, items: B * H, flops: 0 });
          return {};
        });
        return given.o.data();
      });
      for (let batch = 0; batch < B; ++batch) {
        for (let h = 0; h < H; ++h) {
          let sum = 0;
          for (let t = 0; t < T; ++t) {
            const at = (batch * T + t) * H + h;
            sum += x.data[at]!;
            const want = Math.fround(factor) * sum;
            const got = sums[2 * at]! + sums[2 * at + 1]!;
            assert.ok(Math.abs(got - want) <= 1e-11 * Math.abs(want), `o[${batch}, ${t}, ${h}] is ${got}, not ${want}`);
          }
        }
      }
    }
  }
});

test('largest sums of columns', async () => {
  for (const n of [1, 3, 65, 300]) {
    await sameOnBoth(
      (rt) => ({
        k: tensor(
          rt,
          floats([2, n, n], (i) => ((i * 7919) % 101) / 101),
        ),
        most: rt.empty([2]),
      }),
      async (given) => {
        await run('columnSums', given, (b) => {
          const { k, most } = given;
          const values = { k: k.address, most: most.address, o: 0, matrices: 2, n, iterations: 0, shared: 0 };
          b.dispatch({ kernel: 'columnSums', params: encode(PseudoInverseParams, values), items: 2, flops: 0 });
          return {};
        });
        return { most: given.most };
      },
      TIGHT,
    );
  }
});

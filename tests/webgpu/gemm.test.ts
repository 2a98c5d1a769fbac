import { after, test } from 'node:test';
import { gemm, gemmPack, packedSize } from '../../src/engines/gemm.ts';
import { type Activation, matmul, packMatrix, type Runtime, type Tensor } from '../../src/index.ts';
import { run } from '../../src/runtime/program.ts';
import { type DType, sizeOf } from '../../src/tensor.ts';
import { randomFrom } from '../samples.ts';
import { bothRuntimes, sameOnBoth } from './both.ts';

after(async () => (await bothRuntimes()).gpu.dispose());

function numbers(rt: Runtime, shape: readonly number[], dtype: DType = 'f32', seed = 1): Tensor {
  const next = randomFrom(seed);
  return rt.tensor(
    Float32Array.from({ length: sizeOf(shape) }, () => next() * 2 - 1),
    shape,
    dtype,
  );
}

/** Of the largest magnitude: sums in another order. */
const TOLERANCE = 2e-6;

test('products of every way: few rows, tiles of each size, sums in parts, odd and even lengths', async () => {
  for (const [m, k, n] of [
    [1, 1, 1],
    [1, 700, 20],
    [2, 64, 9],
    [3, 65, 8],
    [7, 130, 33],
    [16, 300, 12],
    [17, 5, 3],
    [33, 16, 40],
    [65, 100, 63],
    [40, 256, 40],
    [50, 700, 70],
    [37, 259, 41],
    [20, 0, 6],
  ] as const) {
    await sameOnBoth(
      (rt) => ({ a: numbers(rt, [m, k]), b: numbers(rt, [k, n], 'f32', 2) }),
      ({ a, b }) => matmul({ a, b }),
      TOLERANCE,
    );
  }
});

test('large tiles, with edges', async () => {
  for (const [m, k, n] of [
    [16 * 128 - 5, 20, 8 * 128 - 9],
    [16 * 128, 36, 8 * 128 - 60],
  ] as const) {
    await sameOnBoth(
      (rt) => ({ a: numbers(rt, [m, k]), b: numbers(rt, [k, n], 'f32', 2), bias: numbers(rt, [n], 'f32', 3) }),
      ({ a, b, bias }) => matmul({ a, b, bias }, { activation: 'relu' }),
      TOLERANCE,
    );
  }
});

test('storage types, transposed weights, bias and activations, packed weights', async () => {
  const activations: readonly Activation[] = ['none', 'relu', 'silu', 'geluTanh'];
  for (const [m, k, n] of [
    [2, 70, 36],
    [35, 68, 44],
    [35, 61, 43],
  ] as const) {
    for (const dtype of ['f32', 'f16', 'bf16'] as const) {
      await sameOnBoth(
        (rt) => ({ a: numbers(rt, [m, k]), b: numbers(rt, [n, k], dtype, 2), bias: numbers(rt, [n], 'f32', 3) }),
        async ({ a, b, bias }) => {
          const packed = await packMatrix(b, { transposeB: true });
          const results: Record<string, Tensor> = {};
          for (const activation of activations) {
            results[activation] = (await matmul({ a, b: packed, bias }, { activation })).o;
          }
          packed.dispose();
          return { ...results, o: (await matmul({ a, b }, { transposeB: true })).o };
        },
        TOLERANCE,
      );
    }
  }
});

test('batches of products by strides, into views that leave what lies between', async () => {
  for (const [count, m, k, n] of [
    [3, 5, 12, 7],
    [3, 20, 12, 8],
    [2, 50, 300, 44],
    [4, 18, 7, 9],
  ] as const) {
    await sameOnBoth(
      (rt) => ({
        a: numbers(rt, [m, count, k]),
        b: numbers(rt, [count, k, n], 'f32', 2),
        o: rt.zeros([m, count, n + 4]),
      }),
      ({ a, b, o }) =>
        run('test', { a }, (builder) => {
          const size = packedSize(k, n);
          const bPack = builder.temporary([count, size]).address;
          gemmPack(builder, b, false, bPack);
          gemm(builder, {
            a: a.address,
            aStride: count * k,
            bPack,
            o: o.address,
            oStride: count * (n + 4),
            bias: 0,
            m,
            k,
            n,
            activation: 'none',
            batch: [count, k, size, n + 4],
          });
          return { o };
        }),
      TOLERANCE,
    );
  }
});

test('large sums of what activations meet: nothing overflows on the way', async () => {
  await sameOnBoth(
    (rt) => ({
      a: rt.tensor(Float32Array.of(-1e4, -100, -60, -20, 0, 20, 100, 1e4), [8, 1]),
      b: rt.tensor([1, 1, 1, 1], [1, 4]),
    }),
    async ({ a, b }) => ({
      silu: (await matmul({ a, b }, { activation: 'silu' })).o,
      gelu: (await matmul({ a, b }, { activation: 'geluTanh' })).o,
    }),
    TOLERANCE,
  );
});

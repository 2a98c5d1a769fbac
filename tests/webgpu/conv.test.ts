import { after, test } from 'node:test';
import { centeredConv } from '../../src/engines/conv.ts';
import { causalConv1d, causalConv1dStep, dwConv2d, type Runtime, type Tensor } from '../../src/index.ts';
import { run } from '../../src/runtime/program.ts';
import { type FloatSample, normal, randomFrom } from '../samples.ts';
import { bothRuntimes, sameOnBoth } from './both.ts';

after(async () => (await bothRuntimes()).gpu.dispose());

const TIGHT = 2e-6;
const tensor = (rt: Runtime, x: FloatSample) => rt.tensor(x.data, x.shape as number[]);

for (const { lengths, D, taps, activation } of [
  { lengths: [1], D: 1, taps: 1, activation: 'none' },
  { lengths: [2], D: 70, taps: 4, activation: 'silu' },
  { lengths: [600], D: 18, taps: 4, activation: 'silu' },
  { lengths: [65], D: 5, taps: 11, activation: 'none' },
  { lengths: [7, 0, 130, 1], D: 66, taps: 3, activation: 'none' },
  { lengths: [0], D: 3, taps: 4, activation: 'none' },
] as const) {
  test(`causalConv1d: T ${lengths.join(' + ')}, D ${D}, ${taps} taps`, async () => {
    const packed = lengths.length > 1;
    const B = packed ? 1 : 2;
    const N = packed ? lengths.length : B;
    const T = lengths.reduce((sum: number, n) => sum + n, 0);
    const boundary = (i: number) => lengths.slice(0, i).reduce((sum: number, n) => sum + n, 0);
    for (const states of [true, false]) {
      await sameOnBoth(
        (rt) => {
          const random = randomFrom(T + D);
          return {
            x: tensor(rt, normal(random, [B, T, D])),
            weight: tensor(rt, normal(random, [D, taps])),
            ...(states && { bias: tensor(rt, normal(random, [D])) }),
            ...(states && { initialState: tensor(rt, normal(random, [N, D, taps - 1])) }),
            ...(packed && {
              cuSeqlens: rt.tensor(
                Int32Array.from({ length: N + 1 }, (_, i) => boundary(i)),
                [N + 1],
              ),
            }),
          };
        },
        (operands) => causalConv1d(operands, { activation }),
        TIGHT,
      );
    }
  });
}

test('steps of causalConv1d move the state on in place', async () => {
  await sameOnBoth(
    (rt) => {
      const random = randomFrom(1);
      return {
        x: tensor(rt, normal(random, [3, 19])),
        weight: tensor(rt, normal(random, [19, 4])),
        state: tensor(rt, normal(random, [3, 19, 3])),
      };
    },
    async (operands) => {
      causalConv1dStep(operands);
      return { ...causalConv1dStep(operands), state: operands.state };
    },
    TIGHT,
  );
});

test('dwConv2d of odd and even kernels', async () => {
  for (const [height, width, C, kh, kw] of [
    [7, 9, 5, 3, 3],
    [1, 4, 8, 5, 2],
    [6, 3, 3, 2, 5],
  ] as const) {
    await sameOnBoth(
      (rt) => {
        const random = randomFrom(height * width);
        return {
          x: tensor(rt, normal(random, [2, height, width, C])),
          weight: tensor(rt, normal(random, [kh, kw, C])),
          ...(kh > 2 && { bias: tensor(rt, normal(random, [C])) }),
        };
      },
      (operands) => dwConv2d(operands),
      TIGHT,
    );
  }
});

test('convolution around every token', async () => {
  for (const [T, H, D, taps] of [
    [1, 1, 1, 33],
    [65, 3, 18, 33],
    [40, 2, 64, 3],
  ] as const) {
    await sameOnBoth(
      (rt) => {
        const random = randomFrom(T);
        return {
          x: tensor(rt, normal(random, [2, T, H, D])),
          weight: tensor(rt, normal(random, [H, taps])),
        };
      },
      ({ x, weight }: { x: Tensor; weight: Tensor }) =>
        run('centeredConv', { x, weight }, (b) => {
          const o = b.output([2, T, H, D]);
          centeredConv(b, x, weight, o);
          return { o };
        }),
      TIGHT,
    );
  }
});

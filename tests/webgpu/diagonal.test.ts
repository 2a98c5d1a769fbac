import { after, test } from 'node:test';
import { dss, fftConv, type Runtime, s4, s4d, s4dStep, s4dTable, s4Kernel } from '../../src/index.ts';
import { type FloatSample, floats, normal, randomFrom } from '../samples.ts';
import { bothRuntimes, sameOnBoth } from './both.ts';
import { goldenOnGpu } from './golden.ts';

after(async () => (await bothRuntimes()).gpu.dispose());

const TIGHT = 2e-5;
const tensor = (rt: Runtime, x: FloatSample) => rt.tensor(x.data, x.shape as number[]);

goldenOnGpu(['s4d']);

/** Eigenvalues, output weights and steps of H channels of N states; `growing`: some states grow. */
function system(rt: Runtime, random: () => number, H: number, N: number, growing = false) {
  return {
    AReal: tensor(
      rt,
      floats([H, N], (i) => (growing && i % 3 === 0 ? 0.1 : -0.5) * random() - (growing ? 0 : 0.01)),
    ),
    AImag: tensor(
      rt,
      floats([H, N], (i) => (i % 7 === 2 ? 0 : Math.PI * (i % N))),
    ),
    C: tensor(rt, normal(random, [H, N, 2])),
    logDt: tensor(
      rt,
      floats([H], () => Math.log(0.001) + random() * Math.log(100)),
    ),
  };
}

for (const { T, H, N, states, lengths } of [
  { T: 1, H: 1, N: 1, states: true },
  { T: 65, H: 5, N: 3, states: true },
  { T: 200, H: 18, N: 35, states: false },
  { T: 40, H: 9, N: 4, states: true, lengths: [7, 0, 32, 1] },
  { T: 0, H: 3, N: 2, states: true },
] as { T: number; H: number; N: number; states: boolean; lengths?: number[] }[]) {
  const B = lengths ? 1 : 2;
  const S = lengths?.length ?? B;
  const at = (i: number) => (lengths ?? []).slice(0, i).reduce((sum, n) => sum + n, 0);
  for (const discretization of ['zoh', 'bilinear'] as const) {
    for (const mode of lengths || T === 0 ? (['recurrent'] as const) : (['recurrent', 'convolution'] as const)) {
      test(`s4d: T ${lengths?.join(' + ') ?? T}, ${H} channels of ${N} states, ${discretization}, ${mode}`, async () => {
        await sameOnBoth(
          (rt) => {
            const random = randomFrom(T + H);
            return {
              u: tensor(rt, normal(random, [B, T, H])),
              ...system(rt, random, H, N),
              D: tensor(rt, normal(random, [H])),
              ...(states && { initialState: tensor(rt, normal(random, [S, H, N, 2])) }),
              ...(lengths && {
                cuSeqlens: rt.tensor(
                  Int32Array.from({ length: S + 1 }, (_, i) => at(i)),
                  [S + 1],
                ),
              }),
            };
          },
          (operands) => s4d(operands, { discretization, mode }),
          TIGHT,
        );
      });
    }
  }
}

test('dss: states that grow are normalised, as a recurrence and as a convolution', async () => {
  for (const mode of ['recurrent', 'convolution'] as const) {
    await sameOnBoth(
      (rt) => {
        const random = randomFrom(3);
        return { u: tensor(rt, normal(random, [2, 70, 4])), ...system(rt, random, 4, 6, true) };
      },
      (operands) => dss(operands, { variant: 'softmax', mode }),
      1e-4,
    );
  }
});

test('a table of coefficients serves steps', async () => {
  await sameOnBoth(
    (rt) => {
      const random = randomFrom(4);
      const parameters = system(rt, random, 5, 6);
      return { parameters, u: tensor(rt, normal(random, [2, 5])), state: tensor(rt, normal(random, [2, 5, 6, 2])) };
    },
    async ({ parameters, u, state }) => {
      const { table } = s4dTable(parameters);
      s4dStep({ u, table, state });
      return { ...s4dStep({ u, table, state }), state, table };
    },
    TIGHT,
  );
});

test('fftConv of kernels of any length', async () => {
  for (const [B, T, H, L] of [
    [1, 1, 1, 1],
    [2, 65, 5, 65],
    [3, 300, 6, 17],
    [1, 128, 2, 200],
  ] as const) {
    await sameOnBoth(
      (rt) => {
        const random = randomFrom(T);
        return {
          u: tensor(rt, normal(random, [B, T, H])),
          kernel: tensor(rt, normal(random, [H, L])),
          D: tensor(rt, normal(random, [H])),
        };
      },
      (operands) => fftConv(operands),
      TIGHT,
    );
  }
});

test('kernels of S4 of any length', async () => {
  for (const [H, N, length] of [
    [1, 1, 1],
    [5, 8, 64],
    [3, 32, 37],
    [2, 4, 10],
    [6, 16, 512],
  ] as const) {
    const make = (rt: Runtime) => {
      const random = randomFrom(length);
      const { logDt } = system(rt, random, H, N);
      return {
        AReal: tensor(
          rt,
          floats([H, N], () => -0.5),
        ),
        AImag: tensor(
          rt,
          floats([H, N], (i) => Math.PI * (i % N) + 0.1),
        ),
        P: tensor(rt, normal(random, [H, N, 2], 0.5)),
        B: tensor(rt, normal(random, [H, N, 2])),
        C: tensor(rt, normal(random, [H, N, 2])),
        logDt,
      };
    };
    await sameOnBoth(make, async (operands) => s4Kernel(operands, { length }), TIGHT);
  }
  await sameOnBoth(
    (rt) => {
      const random = randomFrom(9);
      const { AReal, AImag, C, logDt } = system(rt, random, 3, 4);
      const [P, B] = [normal(random, [3, 4, 2]), normal(random, [3, 4, 2])];
      return { u: tensor(rt, normal(random, [2, 48, 3])), AReal, AImag, P: tensor(rt, P), B: tensor(rt, B), C, logDt };
    },
    (operands) => s4(operands),
    TIGHT,
  );
});

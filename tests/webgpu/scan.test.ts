import { after, test } from 'node:test';
import {
  hgrn,
  logCumsumExp,
  type Runtime,
  rgLru,
  rgLruStep,
  rwkv4,
  selectiveScan,
  selectiveScanStep,
} from '../../src/index.ts';
import { type FloatSample, floats, normal, randomFrom } from '../samples.ts';
import { bothRuntimes, sameOnBoth } from './both.ts';
import { goldenOnGpu } from './golden.ts';

after(async () => (await bothRuntimes()).gpu.dispose());

const TIGHT = 2e-5;

goldenOnGpu(['hgrn', 'rg_lru', 'rwkv4', 'selective_scan']);

const tensor = (rt: Runtime, x: FloatSample) => rt.tensor(x.data, x.shape as number[]);

/** Lengths of the sequences packed along T, and channels. */
const SHAPES: readonly { lengths: readonly number[]; D: number; batch?: number; states?: boolean }[] = [
  { lengths: [1], D: 1 },
  { lengths: [2], D: 18, batch: 2, states: true },
  { lengths: [65], D: 20, batch: 3 },
  { lengths: [200], D: 33, states: true },
  { lengths: [7, 0, 130, 1], D: 17, states: true },
  { lengths: [1100], D: 16, states: true },
  { lengths: [0], D: 5, states: true },
];

const name = ({ lengths, D, batch = 1 }: (typeof SHAPES)[number]) => `B ${batch}, T ${lengths.join(' + ')}, D ${D}`;

function shapeOf({ lengths, D, batch = 1 }: (typeof SHAPES)[number]) {
  const B = lengths.length > 1 ? 1 : batch;
  const T = lengths.reduce((sum, n) => sum + n, 0);
  const boundaries = Int32Array.from({ length: lengths.length + 1 }, (_, i) =>
    lengths.slice(0, i).reduce((sum, n) => sum + n, 0),
  );
  return { B, T, D, N: lengths.length > 1 ? lengths.length : B, boundaries, packed: lengths.length > 1 };
}

for (const shape of SHAPES) {
  const { B, T, D, N, boundaries, packed } = shapeOf(shape);
  const tokens = [B, T, D];
  const common = (rt: Runtime) => (packed ? { cuSeqlens: rt.tensor(boundaries, [N + 1]) } : {});

  test(`hgrn, ${name(shape)}`, async () => {
    for (const strength of [0.1, 40]) {
      await sameOnBoth(
        (rt) => {
          const random = randomFrom(T + D);
          return {
            x: tensor(rt, normal(random, tokens)),
            g: tensor(
              rt,
              floats(tokens, (i) => (i % 97 === 5 ? Number.NEGATIVE_INFINITY : -strength * random())),
            ),
            ...(shape.states && { initialState: tensor(rt, normal(random, [N, D])) }),
            ...common(rt),
          };
        },
        (operands) => hgrn(operands),
        TIGHT,
      );
    }
  });

  test(`rgLru, ${name(shape)}`, async () => {
    for (const reset of [false, true]) {
      await sameOnBoth(
        (rt) => {
          const random = randomFrom(T + D);
          return {
            x: tensor(rt, normal(random, tokens)),
            inputGate: tensor(rt, floats(tokens, random)),
            recurrentGate: tensor(rt, floats(tokens, random)),
            recurrentParam: tensor(rt, normal(random, [D], 4)),
            ...(shape.states && { initialState: tensor(rt, normal(random, [N, D])) }),
            ...common(rt),
          };
        },
        (operands) => rgLru(operands, { reset }),
        TIGHT,
      );
    }
  });

  test(`rwkv4, ${name(shape)}`, async () => {
    for (const spread of [1, 30]) {
      await sameOnBoth(
        (rt) => {
          const random = randomFrom(T + D);
          const states = shape.states && {
            num: tensor(rt, normal(random, [N, D])),
            den: tensor(
              rt,
              floats([N, D], () => 0.1 + random()),
            ),
            max: tensor(rt, normal(random, [N, D])),
          };
          return {
            k: tensor(rt, normal(random, tokens, spread)),
            v: tensor(rt, normal(random, tokens)),
            w: tensor(rt, normal(random, [D], 2)),
            u: tensor(rt, normal(random, [D])),
            ...states,
            ...common(rt),
          };
        },
        (operands) => rwkv4(operands as never),
        // WebAssembly rounds the running maximum at every token that it fades in, the GPU at every run of tokens
        spread > 1 ? 1e-3 : TIGHT,
      );
    }
  });

  test(`logCumsumExp, ${name(shape)}`, { skip: packed }, async () => {
    await sameOnBoth(
      (rt) => {
        const random = randomFrom(T + D);
        const none = Number.NEGATIVE_INFINITY;
        return {
          x: tensor(
            rt,
            floats(tokens, (i) => (i < 2 * D || i % 11 === 3 ? none : 30 * random() - 15)),
          ),
          ...(shape.states && {
            initial: tensor(
              rt,
              floats([N, D], (i) => (i % 3 === 0 ? none : random())),
            ),
          }),
        };
      },
      (operands) => logCumsumExp(operands),
      TIGHT,
    );
  });

  const kinds = [
    { n: 16, full: true, strength: 1 },
    { n: 5, full: false, strength: 30 },
    { n: 1, full: true, strength: 1 },
    { n: 35, full: true, strength: 3 },
  ];
  for (const { n, full, strength } of kinds) {
    test(`selectiveScan, ${name(shape)}, ${n} states`, async () => {
      await sameOnBoth(
        (rt) => {
          const random = randomFrom(T + D + n);
          return {
            u: tensor(rt, normal(random, tokens)),
            delta: tensor(rt, full ? normal(random, tokens, 2) : floats(tokens, random)),
            A: tensor(
              rt,
              floats([D, n], () => -strength * random()),
            ),
            B: tensor(rt, normal(random, [B, T, n])),
            C: tensor(rt, normal(random, [B, T, n])),
            ...(full && {
              D: tensor(rt, normal(random, [D])),
              z: tensor(rt, normal(random, tokens, 3)),
              deltaBias: tensor(rt, normal(random, [D])),
            }),
            ...(shape.states && { initialState: tensor(rt, normal(random, [N, D, n])) }),
            ...common(rt),
          };
        },
        (operands) => selectiveScan(operands, { deltaSoftplus: full }),
        TIGHT,
      );
    });
  }
}

test('steps update states in place', async () => {
  const [B, D, n] = [2, 19, 16];
  await sameOnBoth(
    (rt) => {
      const random = randomFrom(3);
      return {
        u: tensor(rt, normal(random, [B, D])),
        delta: tensor(rt, floats([B, D], random)),
        A: tensor(
          rt,
          floats([D, n], () => -random()),
        ),
        B: tensor(rt, normal(random, [B, n])),
        C: tensor(rt, normal(random, [B, n])),
        state: tensor(rt, normal(random, [B, D, n])),
      };
    },
    async (operands) => {
      selectiveScanStep(operands);
      return { ...selectiveScanStep(operands), state: operands.state };
    },
    TIGHT,
  );
  await sameOnBoth(
    (rt) => {
      const random = randomFrom(4);
      return {
        x: tensor(rt, normal(random, [B, D])),
        inputGate: tensor(rt, floats([B, D], random)),
        recurrentGate: tensor(rt, floats([B, D], random)),
        recurrentParam: tensor(rt, normal(random, [D])),
        state: tensor(rt, normal(random, [B, D])),
      };
    },
    async (operands) => {
      rgLruStep(operands);
      return { ...rgLruStep(operands, { reset: false }), state: operands.state };
    },
    TIGHT,
  );
});

import { after, test } from 'node:test';
import {
  lact,
  mesaNet,
  mesaNetStep,
  type Runtime,
  titans,
  titansLinear,
  titansLinearStep,
  tttLinear,
  tttLinearStep,
} from '../../src/index.ts';
import { type FloatSample, floats, normal, randomFrom } from '../samples.ts';
import { bothRuntimes, sameOnBoth } from './both.ts';
import { goldenOnGpu } from './golden.ts';

after(async () => (await bothRuntimes()).gpu.dispose());

const TIGHT = 1e-4;
const tensor = (rt: Runtime, x: FloatSample) => rt.tensor(x.data, x.shape as number[]);

goldenOnGpu(['ttt_linear', 'titans_linear', 'mesa_net']);

/** q, k, v [B, T, H, D] and a norm. */
function inputs(rt: Runtime, random: () => number, [B, T, H, D]: readonly number[], norm: boolean) {
  const tokens = [B!, T!, H!, D!];
  return {
    q: tensor(rt, normal(random, tokens)),
    k: tensor(rt, normal(random, tokens, 0.5)),
    v: tensor(rt, normal(random, tokens)),
    ...(norm && {
      lnWeight: tensor(rt, normal(random, [H!, D!])),
      lnBias: tensor(rt, normal(random, [H!, D!], 0.1)),
    }),
  };
}

/** Rates of titans, [B, T, H] each. */
function rates(rt: Runtime, random: () => number, shape: readonly number[]) {
  const upTo = (most: number) =>
    tensor(
      rt,
      floats(shape, () => most * random()),
    );
  return { eta: upTo(1), theta: upTo(0.1), alpha: upTo(0.2) };
}

/** x x^T of square matrices: what a state of keys looks like. */
function grams({ shape, data }: FloatSample): FloatSample {
  const d = shape.at(-1)!;
  return floats(shape, (n) => {
    const [row, column] = [Math.floor(n / d), n % d];
    const first = Math.floor(row / d) * d;
    let sum = 0;
    for (let j = 0; j < d; ++j) sum += (data[row * d + j]! * data[(first + column) * d + j]!) / d;
    return sum;
  });
}

for (const { shape, miniBatch, lengths, norm } of [
  { shape: [2, 65, 2, 18], miniBatch: 16, norm: true },
  { shape: [1, 3, 1, 1], miniBatch: 2, norm: false },
  { shape: [1, 70, 2, 20], miniBatch: 40, lengths: [0, 33, 37], norm: true },
  { shape: [1, 37, 1, 64], miniBatch: 16, norm: true },
] as { shape: number[]; miniBatch: number; lengths?: number[]; norm: boolean }[]) {
  const [B, T, H, D] = shape as [number, number, number, number];
  const N = lengths?.length ?? B;
  const at = (i: number) => (lengths ?? []).slice(0, i).reduce((sum, n) => sum + n, 0);
  const packed = (rt: Runtime) =>
    lengths
      ? {
          cuSeqlens: rt.tensor(
            Int32Array.from({ length: N + 1 }, (_, i) => at(i)),
            [N + 1],
          ),
        }
      : {};
  const label = `[${shape}] in mini-batches of ${miniBatch}${lengths ? `, packed ${lengths}` : ''}`;

  test(`tttLinear ${label}`, async () => {
    await sameOnBoth(
      (rt) => {
        const random = randomFrom(T + D);
        return {
          ...inputs(rt, random, shape, norm),
          eta: tensor(
            rt,
            floats([B, T, H], () => 0.3 * random()),
          ),
          initialState: tensor(rt, normal(random, [N, H, D, D], 0.1)),
          initialStateBias: tensor(rt, normal(random, [N, H, 1, D], 0.1)),
          initialGradient: tensor(rt, normal(random, [N, H, (D + 1) * D], 0.1)),
          ...(lengths && { tokenIdx: tensor(rt, floats([miniBatch], random)) }),
          initialPosition: rt.tensor(
            Int32Array.from({ length: N }, (_, i) => (i + 1) % miniBatch),
            [N],
          ),
          ...packed(rt),
        };
      },
      (operands) => tttLinear(operands, { miniBatchSize: miniBatch, flush: lengths !== undefined }),
      TIGHT,
    );
  });

  test(`titansLinear ${label}`, async () => {
    await sameOnBoth(
      (rt) => {
        const random = randomFrom(T + D);
        return {
          ...inputs(rt, random, shape, norm),
          ...rates(rt, random, [B, T, H]),
          initialState: tensor(rt, normal(random, [N, H, D, D], 0.1)),
          initialMomentum: tensor(rt, normal(random, [N, H, D, D], 0.1)),
          ...(norm && {
            initialAnchor: tensor(rt, normal(random, [N, H, D, D], 0.1)),
            initialPosition: rt.tensor(
              Int32Array.from({ length: N }, (_, i) => (i + 1) % miniBatch),
              [N],
            ),
          }),
          ...packed(rt),
        };
      },
      (operands) => titansLinear(operands, { chunkSize: miniBatch }),
      TIGHT,
    );
  });
}

test('titans with two layers', async () => {
  const [B, T, H, D] = [1, 21, 2, 6];
  await sameOnBoth(
    (rt) => {
      const random = randomFrom(5);
      return {
        ...inputs(rt, random, [B, T, H, D], true),
        ...rates(rt, random, [B, T, H]),
        initialState: tensor(rt, normal(random, [B, H, 8 * D * D], 0.3)),
      };
    },
    (operands) => titans(operands),
    TIGHT,
  );
});

test('steps update states in place', async () => {
  const [B, H, D] = [2, 2, 18];
  await sameOnBoth(
    (rt) => {
      const random = randomFrom(6);
      return {
        q: tensor(rt, normal(random, [B, H, D])),
        k: tensor(rt, normal(random, [B, H, D])),
        v: tensor(rt, normal(random, [B, H, D])),
        eta: tensor(rt, floats([B, H], random)),
        state: tensor(rt, normal(random, [B, H, D, D])),
        gradient: tensor(rt, normal(random, [B, H, D * D])),
        position: rt.tensor(Int32Array.of(3, 15), [B]),
      };
    },
    async (operands) => ({ ...tttLinearStep(operands, { bias: false }), ...operands }),
    TIGHT,
  );
  await sameOnBoth(
    (rt) => {
      const random = randomFrom(7);
      return {
        q: tensor(rt, normal(random, [B, H, D])),
        k: tensor(rt, normal(random, [B, H, D])),
        v: tensor(rt, normal(random, [B, H, D])),
        eta: tensor(rt, floats([B, H], random)),
        theta: tensor(rt, floats([B, H], random)),
        alpha: tensor(rt, floats([B, H], random)),
        state: tensor(rt, normal(random, [B, H, D, D])),
        momentum: tensor(rt, normal(random, [B, H, D, D])),
        anchor: tensor(rt, normal(random, [B, H, D, D])),
        position: rt.tensor(Int32Array.of(3, 15), [B]),
      };
    },
    async (operands) => ({ ...titansLinearStep(operands), ...operands }),
    TIGHT,
  );
  await sameOnBoth(
    (rt) => {
      const random = randomFrom(8);
      const products = normal(random, [B, H, D, D]);
      return {
        q: tensor(rt, normal(random, [B, H, D])),
        k: tensor(rt, normal(random, [B, H, D])),
        v: tensor(rt, normal(random, [B, H, D])),
        g: tensor(
          rt,
          floats([B, H], () => -random()),
        ),
        beta: tensor(rt, floats([B, H], random)),
        lamb: tensor(
          rt,
          floats([H, D], () => 0.5 + random()),
        ),
        hKk: tensor(rt, grams(products)),
        hKv: tensor(rt, normal(random, [B, H, D, D])),
      };
    },
    async (operands) => ({ ...mesaNetStep(operands), ...operands }),
    1e-3,
  );
});

test('SwiGLU weights: chunks, momentum, orthogonal updates', async () => {
  for (const { T, chunk, K, M, V, muon, momentum, states } of [
    { T: 70, chunk: 16, K: 6, M: 10, V: 5, muon: true, momentum: true, states: true },
    { T: 9, chunk: 20, K: 3, M: 2, V: 4, muon: false, momentum: false, states: false },
    { T: 80, chunk: 80, K: 18, M: 12, V: 18, muon: true, momentum: false, states: false },
  ]) {
    const [B, H] = [2, 2];
    await sameOnBoth(
      (rt) => {
        const random = randomFrom(T);
        const rate = () =>
          tensor(
            rt,
            floats([B, T, H], () => 0.1 * random()),
          );
        return {
          q: tensor(rt, normal(random, [B, T, H, K])),
          k: tensor(rt, normal(random, [B, T, H, K])),
          v: tensor(rt, normal(random, [B, T, H, V])),
          lr0: rate(),
          lr1: rate(),
          lr2: rate(),
          ...(momentum && { momentum: tensor(rt, floats([B, T, H], random)) }),
          w0: tensor(rt, normal(random, [B, H, M, K], 0.5)),
          w1: tensor(rt, normal(random, [B, H, V, M], 0.5)),
          w2: tensor(rt, normal(random, [B, H, M, K], 0.5)),
          ...(states && {
            initialNorms: tensor(
              rt,
              floats([B, H, 2 * M + V], () => 1 + random()),
            ),
            initialGradient: tensor(rt, normal(random, [B, H, (2 * K + V) * M], 0.1)),
            initialMomentum: tensor(rt, normal(random, [B, H, (2 * K + V) * M], 0.1)),
            initialFactor: tensor(rt, floats([B, H], random)),
            initialPosition: rt.tensor(Int32Array.of(3, 0), [B]),
          }),
        };
      },
      (operands) => lact(operands, { chunkSize: chunk, useMuon: muon }),
      1e-3,
    );
  }
});

test('MesaNet: chunks, segments, gates, lengths of heads', async () => {
  for (const { B, T, H, K, V, gates, lengths, few } of [
    { B: 1, T: 230, H: 2, K: 18, V: 6, gates: true, few: false },
    { B: 2, T: 1, H: 1, K: 3, V: 20, gates: false, few: true },
    { B: 1, T: 40, H: 2, K: 20, V: 20, gates: true, lengths: [17, 0, 22, 1], few: true },
  ] as { B: number; T: number; H: number; K: number; V: number; gates: boolean; lengths?: number[]; few: boolean }[]) {
    const N = lengths?.length ?? B;
    const at = (i: number) => (lengths ?? []).slice(0, i).reduce((sum, n) => sum + n, 0);
    await sameOnBoth(
      (rt) => {
        const random = randomFrom(T);
        return {
          q: tensor(rt, normal(random, [B, T, H, K])),
          k: tensor(rt, normal(random, [B, T, H, K], K ** -0.5)),
          v: tensor(rt, normal(random, [B, T, H, V])),
          beta: tensor(rt, floats([B, T, H], random)),
          ...(gates && {
            g: tensor(
              rt,
              floats([B, T, H], (i) => (i % 31 === 7 ? Number.NEGATIVE_INFINITY : -random())),
            ),
          }),
          lamb: tensor(
            rt,
            floats([H, K], () => 0.5 + random()),
          ),
          ...(lengths && {
            cuSeqlens: rt.tensor(
              Int32Array.from({ length: N + 1 }, (_, i) => at(i)),
              [N + 1],
            ),
          }),
        };
      },
      (operands) => mesaNet(operands, few ? { maxIterations: 8 } : {}),
      1e-3,
    );
  }
});

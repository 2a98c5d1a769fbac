// The gated-linear engine on a GPU: every method of it gives what WebAssembly gives, by chunks and token by token.
import { after, describe, test } from 'node:test';
import { type LinearCall, linear } from '../../src/engines/linear.ts';
import type { SequenceSpan } from '../../src/engines/sequences.ts';
import {
  joinSegment,
  linearSegment,
  logLinearAttn,
  logLinearAttnStep,
  type Runtime,
  type Tensor,
} from '../../src/index.ts';
import { run } from '../../src/runtime/program.ts';
import { type GateKind, gates, type Lengths, type Method, methods, opOf, stepOf } from '../linear-methods.ts';
import { type FloatSample, floats, ints, mapped, normal, randomFrom, type Sample } from '../samples.ts';
import { bothRuntimes, sameOnBoth } from './both.ts';
import { goldenOnGpu } from './golden.ts';

after(async () => (await bothRuntimes()).gpu.dispose());

/** What two ways to add in f32 may differ by. */
const TIGHT = 5e-5;

goldenOnGpu([
  'linear_attn',
  'retention',
  'simple_gla',
  'gla',
  'ssd',
  'rwkv5',
  'rwkv6',
  'hgrn2',
  'mlstm',
  'lightning_attn',
  'abc',
  'gsa',
  'log_linear_attn',
]);

const tensor = (rt: Runtime, { data, shape }: Sample) => rt.tensor(data, shape as number[]);
const tensors = (rt: Runtime, samples: Readonly<Record<string, Sample>>) =>
  Object.fromEntries(Object.entries(samples).map(([name, sample]) => [name, tensor(rt, sample)]));

/** Two batch entries of T tokens. */
const twoEntries = (T: number) =>
  [0, 1].map((batch): SequenceSpan => ({ batch, qStart: 0, qLength: T, kStart: 0, kLength: T, offset: 0 }));

interface Case {
  readonly lengths: Lengths;
  readonly kind: GateKind;
  readonly size?: number;
  readonly states?: boolean;
  /** Boundaries of packed sequences. */
  readonly cut?: readonly number[];
}

const CASES: readonly Case[] = [
  { lengths: { b: 2, t: 65, h: 2, hv: 4, k: 18, v: 20, m: 8 }, kind: 'mild' },
  { lengths: { b: 1, t: 130, h: 1, hv: 1, k: 64, v: 80, m: 20 }, kind: 'strong', states: true, size: 30 },
  { lengths: { b: 2, t: 64, h: 1, hv: 2, k: 3, v: 1, m: 3 }, kind: 'walls', states: true },
  {
    lengths: { b: 1, t: 200, h: 2, hv: 2, k: 16, v: 8, m: 8 },
    kind: 'bursts',
    states: true,
    cut: [0, 0, 3, 70, 70, 200],
  },
  { lengths: { b: 1, t: 17, h: 1, hv: 3, k: 80, v: 3, m: 1 }, kind: 'mixed', states: true },
  { lengths: { b: 1, t: 12, h: 2, hv: 2, k: 18, v: 24, m: 8 }, kind: 'thirty', states: true, cut: [0, 5, 5, 12] },
  { lengths: { b: 2, t: 1, h: 1, hv: 2, k: 1, v: 3, m: 3 }, kind: 'mild', states: true },
  { lengths: { b: 1, t: 0, h: 1, hv: 1, k: 3, v: 3, m: 3 }, kind: 'mild', states: true },
];

/** Methods whose maps of features are another engine's, or that need one that is not this file's to try. */
const ELSEWHERE = ['performer', 'hedgehog', 't2r', 'slab', 'mom', 'logLinearAttn'];

function samplesOf(method: Method, { lengths: given, kind, size = 1, states, cut }: Case): Record<string, Sample> {
  const random = randomFrom(given.t + given.k);
  const ungrouped = method.ungrouped ? { hv: given.h } : {};
  const lengths = { ...given, ...ungrouped };
  const count = cut ? cut.length - 1 : lengths.b;
  const samples: Record<string, Sample> = {
    ...method.tokens(random, lengths, kind, size),
    ...method.constants?.(random, lengths, kind),
    ...(cut && { cuSeqlens: ints(cut) }),
  };
  for (const { initial, shape, sample = normal } of states ? method.states : []) {
    if (shape) samples[initial] = sample(random, shape(count, lengths));
  }
  return samples;
}

describe('methods', () => {
  for (const method of methods.filter(({ name }) => !ELSEWHERE.includes(name))) {
    test(method.label, async () => {
      for (const sample of CASES) {
        if (sample.cut && !method.packed) continue;
        try {
          await sameOnBoth(
            (rt) => tensors(rt, samplesOf(method, sample)),
            (inputs) => opOf(method)(inputs, method.options),
            TIGHT,
          );
        } catch (error) {
          (error as Error).message = `${JSON.stringify(sample)}: ${(error as Error).message}`;
          throw error;
        }
      }
    });
  }
});

/** x [B, T, ...] at token t, without the time axis. */
function atToken({ data, shape }: FloatSample, t: number): FloatSample {
  const [b = 0, length = 0, ...rest] = shape;
  const row = rest.reduce((product, n) => product * n, 1);
  return floats([b, ...rest], (n) => data[(Math.floor(n / row) * length + t) * row + (n % row)]!);
}

test('steps from zeros', async () => {
  const labels = ['simpleGla', 'gla', 'gla over keys and values', 'rwkv6', 'linearAttn, normalised', 'mlstm', 'metala'];
  const lengths = { b: 2, t: 3, h: 1, hv: 2, k: 18, v: 24, m: 3 };
  for (const method of methods.filter(({ label }) => labels.includes(label))) {
    const random = randomFrom(7);
    const tokens = method.tokens(random, lengths, 'mild', 1);
    const constants = method.constants?.(random, lengths, 'mild') ?? {};
    const states = method.states.map((state) => [state.step, state.shape!(lengths.b, lengths)] as const);
    await sameOnBoth(
      (rt) => ({
        tokens: [0, 1, 2].map((t) =>
          tensors(rt, Object.fromEntries(Object.entries(tokens).map(([name, x]) => [name, atToken(x, t)]))),
        ),
        constants: tensors(rt, constants),
        states: Object.fromEntries(states.map(([name, shape]) => [name, rt.zeros(shape)])),
      }),
      async ({ tokens, constants, states }) => {
        const results: Record<string, Tensor> = { ...states };
        for (const [t, token] of tokens.entries()) {
          results[`o${t}`] = stepOf(method)({ ...token, ...constants, ...states }, method.options).o!;
        }
        return results;
      },
      TIGHT,
    );
  }
});

/** One call of the engine. */
const engine = (operands: Omit<LinearCall, 'scale'>): Promise<object> =>
  run('linear', operands, (b) => {
    linear(b, { scale: 0.5, ...operands });
    return {};
  });

test('options that no method has together', async () => {
  const [B, H, HV] = [2, 1, 2];
  for (const [T, K, V] of [
    [70, 20, 24],
    [9, 300, 5],
  ] as const) {
    const random = randomFrom(T);
    const q = mapped(normal(random, [B, T, H, K]), Math.abs);
    const k = mapped(normal(random, [B, T, H, K]), Math.abs);
    const v = normal(random, [B, T, HV, V]);
    const g = gates(random, [B, T, HV], 'mild');
    const gk = gates(random, [B, T, H, K], 'bursts');
    const f = mapped(gk, (x) => Math.exp(x) * (random() < 0.1 ? -1 : 1));
    const perToken = mapped(normal(random, [B, T, HV]), Math.abs);
    const more = [normal(random, [H, K]), normal(random, [HV]), normal(random, [B, HV, K, V])] as const;
    const z = mapped(normal(random, [B, HV, K]), Math.abs);
    const spans = twoEntries(T);
    type Rest = (rt: Runtime) => Partial<LinearCall>;
    const options: Rest[] = [
      (rt) => ({
        g: tensor(rt, g),
        exclusive: true,
        weight: tensor(rt, perToken),
        own: { bonus: tensor(rt, more[0]), skip: tensor(rt, more[1]) },
      }),
      (rt) => ({ g: tensor(rt, mapped(g, Math.exp)), linearGates: true, own: { scalar: tensor(rt, perToken) } }),
      (rt) => ({ g: tensor(rt, f), linearGates: true, weight: tensor(rt, perToken) }),
      (rt) => ({ g: tensor(rt, gk), exclusive: true, normalizer: { kind: 'perFeature', epsilon: 0.1 } }),
      (rt) => ({ g: tensor(rt, g), normalizer: { kind: 'clamp', epsilon: 1e-3 } }),
      (rt) => ({
        normalizer: { kind: 'stabilized', epsilon: 1e-3, m: tensor(rt, perToken) },
        own: { skip: tensor(rt, more[1]) },
      }),
    ];
    for (const rest of options) {
      await sameOnBoth(
        (rt) => {
          const given = rest(rt);
          const sums = given.normalizer ? { z: tensor(rt, z) } : {};
          return {
            q: tensor(rt, q),
            k: tensor(rt, k),
            v: tensor(rt, v),
            o: rt.empty([B, T, HV, V]),
            sequences: spans,
            initial: { state: tensor(rt, more[2]), ...sums },
            final: {
              state: rt.empty([B, HV, K, V]),
              ...(given.normalizer && { z: rt.empty([B, HV, K]) }),
              decay: rt.empty([B, HV, K]),
            },
            ...given,
          };
        },
        async (operands) => {
          await engine(operands);
          const { o, final } = operands;
          return { o, state: final.state, z: final.z, decay: final.decay };
        },
        TIGHT,
      );
    }
  }
});

test('operands of other layouts and types', async () => {
  const [B, T, H, K, V] = [2, 70, 2, 20, 12];
  const random = randomFrom(3);
  const [q, k, v] = [K, K, V].map((d) => normal(random, [B, H, T, d]));
  const g = gates(random, [B, H, T, K], 'strong');
  const spans = twoEntries(T);
  for (const type of ['f32', 'f16', 'bf16'] as const) {
    await sameOnBoth(
      (rt) => {
        const swapped = (x: FloatSample, dtype: 'f32' | 'f16' | 'bf16') =>
          rt.tensor(x.data, x.shape as number[], dtype).permute([0, 2, 1, 3]);
        return {
          q: swapped(q!, type),
          k: swapped(k!, type),
          v: swapped(v!, type),
          g: swapped(g, 'f32'),
          o: rt.empty([B, T, H, V]),
          sequences: spans,
          // a state whose columns lie apart
          final: { state: rt.zeros([B, H, V, K]).permute([0, 1, 3, 2]) },
        };
      },
      async (operands) => {
        await engine(operands);
        return { o: operands.o, state: operands.final.state };
      },
      TIGHT,
    );
  }
});

test('segments and their joining', async () => {
  const [B, T, H, K, V] = [1, 70, 2, 16, 24];
  const random = randomFrom(4);
  const [k, v, gk] = [normal(random, [B, T, H, K]), normal(random, [B, T, H, V]), gates(random, [B, T, H, K], 'mild')];
  await sameOnBoth(
    (rt) => ({ segment: tensors(rt, { k, v, gk }), state: tensor(rt, normal(randomFrom(5), [B, H, K, V])) }),
    async ({ segment, state }) => {
      const { update, decay } = await linearSegment(segment as never);
      await joinSegment({ state, update, decay });
      return { update, decay, state };
    },
    TIGHT,
  );
});

test('logLinearAttn: lengths, states and steps', async () => {
  const [H, HV, K, V] = [1, 2, 18, 20];
  for (const [T, parts, kind] of [
    [200, [200], 'mild'],
    [330, [70, 61, 199], 'bursts'],
    [9, [3, 1, 5], 'walls'],
  ] as const) {
    const levels = 10;
    const random = randomFrom(T);
    const all = {
      q: normal(random, [1, T, H, K]),
      k: normal(random, [1, T, H, K]),
      v: normal(random, [1, T, HV, V]),
      g: gates(random, [1, T, HV], kind),
      levelScales: normal(random, [1, T, HV, levels]),
    };
    await sameOnBoth(
      (rt) => tensors(rt, all),
      async (inputs) => {
        const results: Record<string, Tensor> = {};
        let at = 0;
        let before: { initialState: Tensor; initialPosition: Tensor } | undefined;
        for (const [n, length] of parts.entries()) {
          const part = Object.fromEntries(
            Object.entries(inputs).map(([name, x]) => [name, x.slice(1, at, at + length)]),
          );
          const { o, finalState, position } = await logLinearAttn({ ...part, ...before } as never);
          before = { initialState: finalState, initialPosition: position };
          Object.assign(results, { [`o${n}`]: o, [`state${n}`]: finalState, [`position${n}`]: position });
          at += length;
        }
        return results;
      },
      TIGHT,
    );
  }
  const token = {
    q: normal(randomFrom(1), [2, H, K]),
    k: normal(randomFrom(2), [2, H, K]),
    v: normal(randomFrom(3), [2, HV, V]),
    g: gates(randomFrom(4), [2, HV], 'mild'),
    levelScales: normal(randomFrom(5), [2, HV, 4]),
  };
  await sameOnBoth(
    (rt) => ({
      ...tensors(rt, token),
      state: rt.zeros([2, HV, 4, K, V]),
      position: rt.tensor(Int32Array.of(0, 3), [2]),
    }),
    async (inputs) => {
      const results: Record<string, Tensor> = {};
      for (let t = 0; t < 4; ++t) results[`o${t}`] = logLinearAttnStep(inputs as never).o;
      const { state, position } = inputs as never as { state: Tensor; position: Tensor };
      return { ...results, state, position };
    },
    TIGHT,
  );
});

// The delta family on a GPU: golden sizes are the conform command's, here are the odd ones, against WebAssembly.
import { after, test } from 'node:test';
import type { Runtime, Tensor } from '../../src/index.ts';
import * as wattn from '../../src/index.ts';
import { deltaMethods, strengths, unitKeys } from '../delta-methods.ts';
import { type GateKind, gates, type Lengths, type Method } from '../linear-methods.ts';
import { type FloatSample, floats, normal, randomFrom, type Sample } from '../samples.ts';
import { bothRuntimes, sameOnBoth } from './both.ts';

after(async () => (await bothRuntimes()).gpu.dispose());

type Operation = (inputs: Record<string, Tensor>, options: object) => Promise<object>;

const TOLERANCE = 2e-5;
/** Methods that the kernels of other families go on with. */
const WITH_OTHERS = ['gatedOja', 'precondGatedDeltaRule', 'precondKda'];

function tensorOf(rt: Runtime, { data, shape }: Sample): Tensor {
  return rt.tensor(data, shape);
}

/** A tensor [B, T, H, D] whose memory is [B, H, T, D]. */
function headsFirst(rt: Runtime, { shape, data }: FloatSample): Tensor {
  const [b, t, h, d] = shape as [number, number, number, number];
  const swapped = new Float32Array(data.length);
  for (let row = 0; row < b * t * h; ++row) {
    const [batch, time, head] = [Math.floor(row / (t * h)), Math.floor(row / h) % t, row % h];
    swapped.set(data.subarray(row * d, (row + 1) * d), ((batch * h + head) * t + time) * d);
  }
  return rt.tensor(swapped, [b, h, t, d]).permute([0, 2, 1, 3]);
}

interface Shape {
  readonly lengths: Lengths;
  readonly kind?: GateKind;
  readonly size?: number;
  readonly cuts?: readonly number[];
  readonly states?: boolean;
  readonly headsFirst?: boolean;
  readonly dtype?: 'f16' | 'bf16';
  readonly options?: object;
}

/** Runs a method on both. */
async function same(method: Method, shape: Shape): Promise<void> {
  const { lengths, kind = 'mild', size = 1, cuts, states = true } = shape;
  const random = randomFrom(1 + lengths.t);
  const tokens = method.tokens(random, lengths, kind, size);
  const constants = method.constants?.(random, lengths, kind) ?? {};
  const count = cuts ? cuts.length - 1 : lengths.b;
  const given: Record<string, FloatSample> = {};
  for (const { initial, shape: stateOf, sample = normal } of states ? method.states : []) {
    if (stateOf) given[initial] = sample(random, stateOf(count, lengths));
  }
  await sameOnBoth(
    (rt) => {
      const inputs: Record<string, Tensor> = {};
      for (const [name, x] of Object.entries({ ...tokens, ...constants, ...given })) {
        const rows = ['q', 'k', 'v'].includes(name) && shape.dtype;
        inputs[name] =
          shape.headsFirst && name in tokens && x.shape.length === 4
            ? headsFirst(rt, x as FloatSample)
            : rows
              ? rt.tensor(x.data as Float32Array, x.shape, shape.dtype)
              : tensorOf(rt, x as Sample);
      }
      if (cuts) inputs.cuSeqlens = rt.tensor(Int32Array.from(cuts), [cuts.length]);
      return inputs;
    },
    (inputs) =>
      (wattn as unknown as Record<string, Operation>)[method.name]!(inputs, { ...method.options, ...shape.options }),
    TOLERANCE,
  );
}

const small: Lengths = { b: 2, t: 17, h: 1, hv: 2, k: 18, v: 20, m: 1 };

for (const method of deltaMethods.filter(
  ({ name, label }) => !WITH_OTHERS.includes(name) && label !== 'comba, normalised',
)) {
  test(`${method.label ?? method.name} at odd shapes`, async () => {
    const ungrouped = method.ungrouped ? { hv: 1 } : {};
    await same(method, { lengths: { ...small, ...ungrouped }, kind: 'mild' });
    await same(method, { lengths: { ...small, ...ungrouped, t: 65, k: 3, v: 1 }, kind: 'strong', headsFirst: true });
    await same(method, {
      lengths: { ...small, ...ungrouped, b: 1, t: 40 },
      kind: 'walls',
      cuts: [0, 0, 1, 18, 40, 40],
      size: 30,
    });
    await same(method, { lengths: { ...small, ...ungrouped, t: 1 }, states: false });
    await same(method, { lengths: { ...small, ...ungrouped, t: 0 } });
  });
}

const gated = deltaMethods.find(({ label }) => label === 'gatedDeltaRule')!;
const rows = deltaMethods.find(({ label }) => label === 'kda')!;
const lowRank = deltaMethods.find(({ label, name }) => (label ?? name) === 'dplr')!;

test('keys of every width, and 16-bit operands', async () => {
  for (const k of [80, 128]) await same(gated, { lengths: { ...small, t: 20, k, v: 9 }, kind: 'bursts' });
  await same(lowRank, { lengths: { ...small, t: 9, hv: 1, k: 100, v: 3 } });
  for (const dtype of ['f16', 'bf16'] as const) await same(gated, { lengths: { ...small, k: 5, v: 3 }, dtype });
});

test('states kept on the way', async () => {
  const options = { snapshotEvery: 5 };
  await same(gated, { lengths: { ...small, t: 23 }, options });
  await same(rows, { lengths: { ...small, b: 1, t: 23 }, cuts: [0, 11, 11, 23], options });
});

test('several steps a token', async () => {
  const [B, T, n, H, HV, K, V] = [2, 19, 3, 1, 2, 18, 20];
  for (const useQkL2norm of [false, true]) {
    await sameOnBoth(
      (rt) => {
        const random = randomFrom(4);
        const { q } = unitKeys(random, { b: B, t: T, h: H, hv: HV, k: K, v: V, m: 1 }, 1);
        const { k, v } = unitKeys(random, { b: B, t: T * n, h: H, hv: HV, k: K, v: V, m: 1 }, 1);
        const [beta, g] = [strengths(random, [B, T * n, HV]), gates(random, [B, T, HV], 'mild')];
        return Object.fromEntries(Object.entries({ q, k, v, beta, g }).map(([name, x]) => [name, tensorOf(rt, x)]));
      },
      (inputs) => wattn.gatedDeltaProduct(inputs as never, { numHouseholder: n, useQkL2norm }),
      TOLERANCE,
    );
  }
});

test('steps in place', async () => {
  const [B, H, HV, K, V] = [2, 1, 2, 18, 24];
  const shapes = { q: [B, H, K], k: [B, H, K], v: [B, HV, V], beta: [B, HV], g: [B, HV], state: [B, HV, K, V] };
  await sameOnBoth(
    (rt) => {
      const random = randomFrom(5);
      const inputs = Object.entries(shapes).map(([name, shape]) => {
        const x = name === 'g' ? gates(random, shape, 'mild') : normal(random, shape, 0.4);
        return [name, tensorOf(rt, x)] as const;
      });
      return Object.fromEntries(inputs) as Record<keyof typeof shapes, Tensor>;
    },
    async (inputs) => ({ ...wattn.gatedDeltaRuleStep(inputs, { useQkL2norm: true }), state: inputs.state }),
    TOLERANCE,
  );
});

test('triangular systems', async () => {
  for (const [C, N] of [
    [1, 1],
    [3, 0],
    [16, 70],
    [65, 3],
    [100, 0],
  ] as const) {
    await sameOnBoth(
      (rt) => {
        const random = randomFrom(C);
        const a = tensorOf(
          rt,
          floats([2, C, C], () => 0.2 * (random() - 0.5)),
        );
        return N ? { a, b: tensorOf(rt, normal(random, [2, C, N])) } : { a };
      },
      (inputs) => wattn.triSolve(inputs),
      TOLERANCE,
    );
  }
});

test('segments', async () => {
  const lengths = { ...small, t: 21 };
  await sameOnBoth(
    (rt) => {
      const random = randomFrom(8);
      const { k, v } = unitKeys(random, lengths, 1);
      const beta = strengths(random, [2, 21, 2]);
      const gk = gates(random, [2, 21, 2, 18], 'mild');
      return { k: tensorOf(rt, k), v: tensorOf(rt, v), beta: tensorOf(rt, beta), gk: tensorOf(rt, gk) };
    },
    (inputs) => wattn.deltaSegment(inputs),
    TOLERANCE,
  );
});

test('long sequences by chunks', async () => {
  const long: Lengths = { b: 1, t: 300, h: 1, hv: 2, k: 20, v: 12, m: 1 };
  await same(gated, { lengths: { ...long, b: 2 }, kind: 'mild' });
  await same(gated, { lengths: { ...long, t: 1100, hv: 1 }, kind: 'bursts', cuts: [0, 0, 1, 600, 1100], states: true });
  for (const kind of ['strong', 'walls', 'slow'] as const) await same(gated, { lengths: long, kind, headsFirst: true });
  const normalized = deltaMethods.find(({ label }) => label === 'deltaRule, normalised')!;
  await same(normalized, { lengths: { ...long, k: 64, v: 64 }, states: false, dtype: 'bf16' });
  const erasing = deltaMethods.find(({ label, name }) => (label ?? name) === 'comba')!;
  await same(erasing, { lengths: { ...long, k: 80, v: 68 } });
});

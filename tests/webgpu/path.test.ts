// PaTH attention and DeltaFormer on a GPU against WebAssembly.
import { after, test } from 'node:test';
import { deltaformer, pathAttn, type Runtime, type Tensor } from '../../src/index.ts';
import { unitRows } from '../delta-methods.ts';
import { type FloatSample, floats, normal, randomFrom } from '../samples.ts';
import { bothRuntimes, sameOnBoth } from './both.ts';

after(async () => (await bothRuntimes()).gpu.dispose());

const TOLERANCE = 5e-5;

interface Shape {
  readonly T: number;
  readonly B?: number;
  readonly Hq?: number;
  readonly Hkv?: number;
  readonly D?: number;
  readonly Dv?: number;
  readonly cuts?: readonly number[];
  readonly gated?: boolean;
  readonly dtype?: 'f16' | 'bf16';
}

/** Operands of both; rows of w have length one. */
function operands(rt: Runtime, { T, B = 1, Hq = 2, Hkv = 1, D = 18, Dv = 20, cuts, gated, dtype }: Shape) {
  const random = randomFrom(T + D);
  const tensor = ({ data, shape }: FloatSample, type?: 'f16' | 'bf16') => rt.tensor(data, shape, type ?? 'f32');
  const rows = (heads: number, d: number) => normal(random, [B, T, heads, d]);
  const q = tensor(rows(Hq, D), dtype);
  const [k, v] = [tensor(rows(Hkv, D), dtype), tensor(rows(Hkv, Dv), dtype)];
  const w = tensor(T > 0 ? unitRows(rows(Hkv, D)) : rows(Hkv, D), dtype);
  const [beta, strength] = [floats([B, T, Hkv], () => 2 * random()), floats([B, T, Hq], random)];
  const g = gated ? tensor(floats([B, T, Hq], () => -random())) : undefined;
  const cuSeqlens = cuts && rt.tensor(Int32Array.from(cuts), [cuts.length]);
  return { q, k, v, w, beta: tensor(beta), strength: tensor(strength), g, cuSeqlens };
}

type Operands = ReturnType<typeof operands>;

const packed = ({ cuSeqlens }: { cuSeqlens?: Tensor | undefined }) => (cuSeqlens ? { cuSeqlens } : {});

const samePath = (shape: Shape) =>
  sameOnBoth(
    (rt) => operands(rt, shape),
    ({ q, k, v, w, beta, g, cuSeqlens }: Operands) =>
      pathAttn({ q, k, v, w, beta, ...(g && { g }), ...packed({ cuSeqlens }) }),
    TOLERANCE,
  );

const sameDeltaformer = (shape: Shape) =>
  sameOnBoth(
    (rt) => operands(rt, shape),
    ({ q, k, v, strength, cuSeqlens }: Operands) => deltaformer({ q, k, v, beta: strength, ...packed({ cuSeqlens }) }),
    TOLERANCE,
  );

test('PaTH attention at odd shapes', async () => {
  for (const T of [0, 1, 2, 63, 65, 200]) await samePath({ T });
  await samePath({ T: 70, B: 2, Hq: 4, Hkv: 2, D: 64, Dv: 64 });
  await samePath({ T: 90, cuts: [0, 0, 1, 70, 90, 90] });
  await samePath({ T: 66, D: 3, Dv: 1, dtype: 'f16' });
});

test('PaTH attention over several spans', async () => {
  await samePath({ T: 600, Hq: 1 });
});

test('PaTH attention with forget gates', async () => {
  await samePath({ T: 100, gated: true });
});

test('DeltaFormer at odd shapes', async () => {
  for (const T of [0, 1, 2, 63, 65, 200]) await sameDeltaformer({ T });
  await sameDeltaformer({ T: 70, B: 2, Hq: 4, Hkv: 2, D: 64, Dv: 64 });
  await sameDeltaformer({ T: 90, cuts: [0, 0, 1, 70, 90, 90] });
  await sameDeltaformer({ T: 66, D: 3, Dv: 1, dtype: 'bf16' });
});

test('DeltaFormer over several spans', async () => {
  await sameDeltaformer({ T: 1100, Hq: 1, D: 4, Dv: 4 });
});

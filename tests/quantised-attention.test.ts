import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { type AttentionOptions, attention, blockMask, createRuntime, OptionError } from '../src/index.ts';
import { assertSameBits } from './accuracy.ts';
import { call, codesOn } from './call.ts';
import { assertMet, property, sometimes } from './property.ts';
import { type AttentionInputs, attention as exact } from './reference/attention.ts';
import type { NdArray } from './reference/ndarray.ts';
import { e2m1, e4m3, quantisedAttention, type Rounding } from './reference/quantised-attention.ts';
import { variants } from './runtimes.ts';
import {
  bits,
  type FloatSample,
  floats,
  ints,
  mapped,
  normal,
  quantised,
  randomFrom,
  roundToHalf,
  type Sample,
} from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

const kinds: Rounding[] = [
  { kind: 'int8' },
  { kind: 'sage' },
  { kind: 'sage2' },
  { kind: 'sage2', smoothV: true },
  { kind: 'sage3' },
  { kind: 'fp8' },
  { kind: 'fp8', hadamard: true },
];

/**
 * How far a kernel may be from the reference, as a share of what the rounding itself costs. Both round at the same places; a number near
 * the middle between two codes may fall to either side, and if it is one of v, a whole column shows it. Other groups, scales or
 * places would be as far from the reference as that is from exact attention.
 */
const share = 0.2;
/** And relative to the result: int8's exponential is right to 1e-4. */
const floor = (kind: Rounding['kind']) => (kind === 'int8' ? 1.5e-4 : 3e-6);

function distance(a: NdArray, b: NdArray): number {
  let sum = 0;
  for (let n = 0; n < a.data.length; n++) {
    const [x, y] = [a.data[n]!, b.data[n]!];
    if (x !== y) sum += (x - y) ** 2;
  }
  return Math.sqrt(sum / Math.max(1, a.data.length));
}

const sizeOf = (x: NdArray) => {
  const finite = Array.from(x.data).filter(Number.isFinite);
  return Math.sqrt(finite.reduce((sum, y) => sum + y * y, 0) / Math.max(1, finite.length));
};

type Inputs = { q: FloatSample; k: FloatSample; v: FloatSample } & {
  [name in Exclude<keyof AttentionInputs, 'q' | 'k' | 'v'>]?: Sample;
};

/** Holds every variant to the reference; what rounding costs in o, relative to it. */
async function check(inputs: Inputs, options: AttentionOptions, rounding: Rounding, what = ''): Promise<number> {
  const plain = options as { causal?: boolean };
  const want = quantisedAttention(inputs, plain, rounding);
  const truth = exact(inputs, plain);
  for (const rt of runtimes) {
    const got = await call(rt, attention, inputs, { ...options, quantization: rounding });
    for (const name of ['o', 'lse'] as const) {
      const limit = share * distance(want[name], truth[name]) + floor(rounding.kind) * Math.max(1, sizeOf(truth[name]));
      const error = distance(got[name], want[name]);
      assert.ok(
        error <= limit,
        `${rt.variant} ${JSON.stringify(rounding)} ${what}: ${name} off by ${error} > ${limit}`,
      );
    }
  }
  return distance(want.o, truth.o) / sizeOf(truth.o);
}

test('random shapes, windows and kinds agree with the reference', async () => {
  const met = new Set<string>();
  await property(
    fc
      .record({
        seed: fc.nat(),
        rounding: fc.constantFrom(...kinds),
        batch: fc.integer({ min: 1, max: 2 }),
        hkv: fc.integer({ min: 1, max: 2 }),
        group: fc.constantFrom(1, 1, 3),
        tq: fc.constantFrom(1, 5, 63, 65, 130, 130),
        tk: fc.constantFrom(1, 2, 63, 64, 65, 130),
        d: fc.constantFrom(1, 3, 18, 64, 80, 128),
        dv: fc.constantFrom(undefined, 1, 20),
        causal: fc.boolean(),
        window: sometimes(fc.tuple(fc.integer({ min: -1, max: 70 }), fc.integer({ min: -1, max: 70 }))),
      })
      .filter(({ batch, hkv, group, tq, tk, d }) => batch * hkv * group * tq * tk * d < 6e5),
    80,
    async ({ seed, rounding, batch, hkv, group, tq, tk, d, dv = d, causal, window }) => {
      const random = randomFrom(seed);
      met.add(`${JSON.stringify(rounding)} ${tq > 64}`);
      const inputs = {
        q: normal(random, [batch, tq, hkv * group, d]),
        k: normal(random, [batch, tk, hkv, d]),
        v: normal(random, [batch, tk, hkv, dv]),
      };
      await check(inputs, { causal, ...(window && { window }) }, rounding);
    },
  );
  assertMet(met.size === 2 * kinds.length, `kinds and lengths met: ${[...met]}`);
});

test('rows that fill neither vectors nor tiles', async () => {
  for (const rounding of kinds) {
    for (const [tq, tk, d] of [
      [65, 1, 1],
      [127, 3, 1],
      [131, 65, 1],
      [67, 2, 3],
    ] as const) {
      const [q, k, v] = [tq, tk, tk].map((t) => normal(randomFrom(tq + t), [1, t, 1, d])) as [
        FloatSample,
        FloatSample,
        FloatSample,
      ];
      await check({ q, k, v }, {}, rounding, `Tq ${tq}, Tk ${tk}, D ${d}`);
    }
  }
});

test('packed sequences, biases, masks, sinks', async () => {
  for (const rounding of kinds) {
    const random = randomFrom(3);
    const q = normal(random, [1, 150, 2, 10]);
    const k = mapped(normal(random, [1, 170, 1, 10]), (x) => x + 0.5);
    const v = normal(random, [1, 170, 1, 9]);
    const cuts = { cuSeqlens: ints([0, 0, 70, 150]), cuSeqlensK: ints([0, 9, 79, 170]) };
    await check({ q, k, v, ...cuts }, { causal: true }, rounding, 'packed');
    const extras = {
      bias: normal(random, [1, 2, 1, 170]),
      mask: bits(random, [1, 1, 150, 170], 0.5),
      sinks: normal(random, [2], 2),
    };
    await check({ q, k, v, ...extras }, { window: [90, 20] }, rounding, 'masked');
  }
});

/** Every kind's values of a format through a call of one key, whose weight is 1 and whose value is rounded. */
test('formats round to nearest, ties to even', async () => {
  const steps = floats([1, 1, 1, 256], (n) => (n - 128) * 3.5);
  const one = floats([1, 1, 1, 1], () => 1);
  // the largest is 448, so the scale is 1
  for (const rt of runtimes) {
    const { o } = await call(rt, attention, { q: one, k: one, v: steps }, { quantization: 'fp8' });
    for (const [n, x] of Array.from(o.data).entries()) {
      assert.equal(x, e4m3(steps.data[n]!), `${rt.variant}: e4m3 of ${steps.data[n]}`);
    }
    for (const x of [0.24, 0.25, 0.26, 0.75, 1.25, 1.74, 1.75, 2.5, 3.5, 4.9, 5, 5.1, -0.75, -5]) {
      const group = floats([1, 2, 1, 1], (n) => (n === 0 ? 6 : x));
      const last = floats([1, 2, 1, 1], (n) => n * 200);
      const found = await call(rt, attention, { q: one, k: last, v: group }, { quantization: 'sage3', scale: 1 });
      assert.equal(found.o.data[0], e2m1(x), `${rt.variant}: e2m1 of ${x}`);
    }
  }
});

test('what all keys have in common leaves o alone and moves lse by its score', async () => {
  const random = randomFrom(5);
  const [q, k, v] = [
    [1, 70, 2, 32],
    [1, 130, 1, 32],
    [1, 130, 1, 16],
  ].map((shape) => normal(random, shape)) as [FloatSample, FloatSample, FloatSample];
  const common = floats([32], (n) => ((n * 7) % 5) * 4 - 8);
  const moved = floats(k.shape, (n) => k.data[n]! + common.data[n % 32]!);
  for (const rounding of kinds.filter(({ kind }) => kind !== 'fp8')) {
    for (const rt of runtimes) {
      const before = await call(rt, attention, { q, k, v }, { quantization: rounding as never });
      const after = await call(rt, attention, { q, k: moved, v }, { quantization: rounding as never });
      const what = `${rt.variant} ${JSON.stringify(rounding)}`;
      const off = distance(after.o, before.o);
      assert.ok(off < 2e-3 * sizeOf(before.o), `${what}: o moved by ${off}`);
      for (let n = 0; n < before.lse.data.length; n++) {
        let score = 0;
        for (let c = 0; c < 32; c++) score += q.data[n * 32 + c]! * common.data[c]! * 32 ** -0.5;
        const error = Math.abs(after.lse.data[n]! - before.lse.data[n]! - score);
        assert.ok(error < 5e-3, `${what}: lse ${n} moved by ${error} besides ${score}`);
      }
    }
  }
});

function cosine(a: NdArray, b: NdArray): number {
  let [ab, aa, bb] = [0, 0, 0];
  for (let n = 0; n < a.data.length; n++) {
    ab += a.data[n]! * b.data[n]!;
    aa += a.data[n]! ** 2;
    bb += b.data[n]! ** 2;
  }
  return ab / Math.sqrt(aa * bb);
}

test('int8 and sage keep the direction of o on random data and with outlier channels', async () => {
  for (const [d, outliers] of [
    [128, false],
    [64, true],
    [128, true],
  ] as const) {
    const random = randomFrom(d);
    const shape = [1, 300, 2, d];
    // a few channels whose keys are far from zero, alike for all tokens, as models have them
    const shift = (n: number) => (outliers && (n % d) % 31 === 5 ? 8 * (1 + ((n % d) % 3)) : 0);
    const [q, v, noise] = [normal(random, shape), normal(random, shape), normal(random, shape)];
    const k = floats(shape, (n) => noise.data[n]! + shift(n));
    const want = exact({ q, k, v }, { causal: true });
    for (const rt of runtimes) {
      for (const quantization of ['int8', 'sage'] as const) {
        const { o } = await call(rt, attention, { q, k, v }, { causal: true, quantization });
        const found = cosine(o, want.o);
        assert.ok(found >= 0.999, `${rt.variant} ${quantization}, D ${d}, outliers ${outliers}: cosine ${found}`);
      }
    }
  }
});

test('NaN and infinities come through as NaN, and other heads stay as they are', async () => {
  for (const rounding of kinds) {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const random = randomFrom(8);
      const [q, k, v] = [0, 1, 2].map(() => normal(random, [1, 140, 2, 20])) as [FloatSample, FloatSample, FloatSample];
      for (const name of ['q', 'k', 'v'] as const) {
        const inputs = { q, k, v };
        inputs[name] = mapped(inputs[name], (x) => x);
        // head 0 of token 133
        inputs[name].data[133 * 40 + 3] = bad;
        for (const rt of runtimes) {
          const what = `${rt.variant} ${JSON.stringify(rounding)}: ${bad} in ${name}`;
          const clean = await call(rt, attention, { q, k, v }, { quantization: rounding as never });
          const { o, lse } = await call(rt, attention, inputs, { quantization: rounding as never });
          const finite = (row: number) =>
            Array.from(o.data)
              .slice(row * 20, row * 20 + 20)
              .every(Number.isFinite);
          assert.ok(!finite(133 * 2), `${what}: row 133 of head 0 is finite`);
          if (name !== 'v') assert.ok(Number.isNaN(lse.data[133 * 2]), `${what}: lse is ${lse.data[133 * 2]}`);
          for (let row = 1; row < 280; row += 2) {
            for (let c = 0; c < 20; c++)
              assert.equal(o.data[row * 20 + c], clean.o.data[row * 20 + c], `${what}: head 1`);
          }
        }
      }
    }
  }
});

test('stored types are rounded as their f32 values; threads change nothing', async () => {
  const random = randomFrom(9);
  const q = normal(random, [1, 140, 2, 40]);
  const half = [0, 1].map(() => mapped(normal(random, [1, 140, 2, 40]), roundToHalf)) as [FloatSample, FloatSample];
  const codes = [0, 1].map(() => quantised(normal(random, [1, 140, 2, 40]))) as [
    ReturnType<typeof quantised>,
    ReturnType<typeof quantised>,
  ];
  using two = await createRuntime({ threads: 2, variant: runtimes.at(-1)!.variant });
  for (const rounding of kinds) {
    const options = { causal: true, quantization: rounding as never };
    for (const rt of runtimes) {
      const f32 = await call(rt, attention, { q, k: half[0], v: half[1] }, options);
      const [k, v] = half.map((x) => rt.tensor(x.data, x.shape, 'f16'));
      assertSameBits((await call(rt, attention, { q, k, v }, options)).o, f32.o, `${rt.variant} f16`);
      if (rt.variant === two.variant) {
        assertSameBits((await call(two, attention, { q, k: half[0], v: half[1] }, options)).o, f32.o, 'two threads');
      }
      const cached = {
        k: codesOn(rt, codes[0]),
        v: codesOn(rt, codes[1]),
        kScale: codes[0].scale,
        vScale: codes[1].scale,
      };
      const wide = await call(rt, attention, { q, k: codes[0].value, v: codes[1].value }, options);
      assertSameBits((await call(rt, attention, { q, ...cached }, options)).o, wide.o, `${rt.variant} i8`);
      for (const tensor of [k!, v!, cached.k, cached.v]) tensor.dispose();
    }
  }
});

test('options that say nothing, or do not go together', async () => {
  const [rt] = runtimes;
  const tensor = () => rt!.tensor(new Float32Array(64), [1, 2, 1, 32]);
  using q = tensor();
  using k = tensor();
  using v = tensor();
  const mask = blockMask((_batch, _head, i, j) => j <= i, { Tq: 2, Tk: 2 });
  const before = rt!.memory().blocks;
  for (const [options, text] of [
    [{ quantization: 'int4' }, /quantization is "int4", expected one of int8, sage, sage2, sage3, fp8/],
    [{ quantization: null }, /quantization is null/],
    [{ quantization: {} }, /quantization is \{\}/],
    [{ quantization: { kind: 'sage', smoothV: true } }, /sage has no option 'smoothV'/],
    [{ quantization: { kind: 'sage2', smoothV: 1 } }, /smoothV is 1, expected true or false/],
    [{ quantization: 'int8', softcap: 30 }, /softcap was given with quantization/],
    [{ quantization: 'int8', blockMask: mask }, /blockMask was given with quantization/],
  ] as const) {
    await assert.rejects(
      attention({ q, k, v }, options as never),
      (error: Error) => error instanceof OptionError && text.test(error.message),
      String(text),
    );
  }
  assert.equal(rt!.memory().blocks, before);
});

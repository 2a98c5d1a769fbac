import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { attention, mergeState, type Runtime, type Tensor } from '../src/index.ts';
import { assertAccurate, assertNear, expected, maxError } from './accuracy.ts';
import { call, codesOn } from './call.ts';
import { property, sometimes } from './property.ts';
import { type AttentionInputs, type AttentionOptions, attention as reference } from './reference/attention.ts';
import type { NdArray } from './reference/ndarray.ts';
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
  roundToBfloat,
  roundToHalf,
  type Sample,
} from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

type Inputs = { q: FloatSample; k: FloatSample; v: FloatSample } & {
  [name in Exclude<keyof AttentionInputs, 'q' | 'k' | 'v'>]?: Sample;
};

/** Runs attention on every variant and holds o and lse to the reference's accuracy. */
async function check(inputs: Inputs, options: AttentionOptions = {}, what = ''): Promise<void> {
  const wanted = expected((round) => reference(inputs, options, round));
  for (const rt of runtimes)
    assertAccurate(await call(rt, attention, inputs, options as object), wanted, `${rt.variant} ${what}`);
}

const lengths = [1, 2, 5, 63, 64, 65, 130];
const dims = [1, 3, 18, 64, 80, 128, 256];

const shapes = fc
  .record({
    seed: fc.nat(),
    batch: fc.integer({ min: 1, max: 2 }),
    hkv: fc.integer({ min: 1, max: 2 }),
    group: fc.constantFrom(1, 1, 2, 3, 5),
    tq: fc.constantFrom(...lengths),
    tk: fc.constantFrom(...lengths),
    d: fc.constantFrom(...dims),
    dv: fc.constantFrom(undefined, undefined, ...dims),
  })
  .filter(({ batch, hkv, group, tq, tk, d, dv = d }) => batch * hkv * group * tq * tk * (d + dv) < 4e6);

type Shape = typeof shapes extends fc.Arbitrary<infer S> ? S : never;

function qkv({ batch, hkv, group, tq, tk, d, dv = d }: Omit<Shape, 'seed'>, random: () => number, std = 1): Inputs {
  return {
    q: normal(random, [batch, tq, hkv * group, d], std),
    k: normal(random, [batch, tk, hkv, d]),
    v: normal(random, [batch, tk, hkv, dv]),
  };
}

const broadcast = fc.record({ b: fc.boolean(), h: fc.boolean(), i: fc.boolean() });

function broadcastShape({ b, h, i }: { b: boolean; h: boolean; i: boolean }, { q, k }: Inputs): number[] {
  return [b ? q.shape[0]! : 1, h ? q.shape[2]! : 1, i ? q.shape[1]! : 1, k.shape[1]!];
}

// Large logits have tests of their own: with few rows a naive version is now and then exact by luck, the more so the larger they are.
test('random shapes with random options', () =>
  property(
    fc.record({
      shape: shapes,
      causal: fc.boolean(),
      window: sometimes(fc.tuple(fc.integer({ min: -1, max: 70 }), fc.integer({ min: -1, max: 70 }))),
      sharpness: sometimes(fc.double({ min: 0.1, max: 3, noNaN: true })),
      softcap: sometimes(fc.double({ min: 0.5, max: 50, noNaN: true })),
      bias: sometimes(broadcast),
      mask: sometimes(fc.record({ axes: broadcast, density: fc.constantFrom(0, 0.02, 0.3, 0.9) })),
      kvLens: sometimes(fc.constant(true)),
      sinks: sometimes(fc.constant(true)),
      alibi: sometimes(fc.constant(true)),
      colBias: sometimes(fc.constant(true)),
    }),
    120,
    async ({ shape, causal, window, sharpness, softcap, bias, mask, kvLens, sinks, alibi, colBias }) => {
      const random = randomFrom(shape.seed);
      const inputs = qkv(shape, random);
      const [batch, , heads] = inputs.q.shape as [number, number, number];
      const tk = shape.tk;
      if (bias) inputs.bias = normal(random, broadcastShape(bias, inputs), 2);
      if (mask) inputs.mask = bits(random, broadcastShape(mask.axes, inputs), mask.density);
      if (kvLens) inputs.kvLens = ints(Array.from({ length: batch }, () => Math.floor(random() * (tk + 1))));
      if (sinks) inputs.sinks = normal(random, [heads], 3);
      if (alibi) inputs.alibiSlopes = floats([heads], () => random() / 4);
      if (colBias) inputs.colBias = normal(random, [batch, tk, heads], 2);
      await check(inputs, {
        causal,
        ...(window && { window: window as [number, number] }),
        ...(sharpness && { scale: sharpness * shape.d ** -0.5 }),
        ...(softcap && { softcap }),
      });
    },
  ));

test('every pair of options, for many queries and for few', async () => {
  const features: [string, (random: () => number) => Partial<Inputs>, AttentionOptions][] = [
    ['causal', () => ({}), { causal: true }],
    ['window', () => ({}), { window: [40, 3] }],
    ['scale', () => ({}), { scale: 0.5 }],
    ['softcap', () => ({}), { softcap: 3 }],
    ['bias', (random) => ({ bias: normal(random, [2, 4, 1, 150], 2) }), {}],
    ['mask', (random) => ({ mask: bits(random, [2, 1, 1, 150], 0.5) }), {}],
    ['kvLens', () => ({ kvLens: ints([149, 71]) }), {}],
    ['sinks', (random) => ({ sinks: normal(random, [4], 3) }), {}],
    ['alibiSlopes', (random) => ({ alibiSlopes: floats([4], () => random() / 10) }), {}],
    ['colBias', (random) => ({ colBias: normal(random, [2, 150, 4], 4) }), {}],
  ];
  for (const [n, [one, addOne, first]] of features.entries()) {
    for (const [other, addOther, second] of features.slice(n)) {
      for (const tq of [3, 40]) {
        const random = randomFrom(n);
        const inputs = qkv({ batch: 2, hkv: 2, group: 2, tq, tk: 150, d: 10, dv: 12 }, random);
        const all = { ...inputs, ...addOne(random), ...addOther(random) };
        await check(all, { ...first, ...second }, `${one} and ${other}`);
      }
    }
  }
});

test('packed sequences of random lengths, empty ones too', () =>
  property(
    fc.record({
      seed: fc.nat(),
      sequences: fc.array(fc.tuple(fc.nat(70), fc.nat(70)), { minLength: 1, maxLength: 5 }),
      sameKeys: fc.boolean(),
      causal: fc.boolean(),
      window: sometimes(fc.tuple(fc.nat(20), fc.nat(20))),
      alibi: sometimes(fc.constant(true)),
      sinks: sometimes(fc.constant(true)),
      colBias: sometimes(fc.constant(true)),
      bias: sometimes(fc.constant(true)),
      d: fc.constantFrom(3, 18, 64),
      group: fc.constantFrom(1, 3),
    }),
    40,
    async ({ seed, sequences, sameKeys, causal, window, alibi, sinks, colBias, bias, d, group }) => {
      const random = randomFrom(seed);
      const ends = (side: 0 | 1) => {
        let end = 0;
        return [0, ...sequences.map((sequence) => (end += sequence[side]))];
      };
      const [q, k] = [ends(0), sameKeys ? ends(0) : ends(1)];
      const [tq, tk] = [q.at(-1)!, k.at(-1)!];
      if (tq === 0 || tk === 0) return;
      const inputs = qkv({ batch: 1, hkv: 2, group, tq, tk, d, dv: d + 4 }, random);
      inputs.cuSeqlens = ints(q);
      if (!sameKeys) inputs.cuSeqlensK = ints(k);
      if (alibi) inputs.alibiSlopes = floats([2 * group], () => random());
      if (sinks) inputs.sinks = normal(random, [2 * group]);
      if (colBias) inputs.colBias = normal(random, [1, tk, 2 * group]);
      if (bias) inputs.bias = normal(random, [1, 1, tq, tk]);
      await check(inputs, { causal, ...(window && { window: window as [number, number] }) });
    },
  ));

for (const [d, dv] of [
  [512, 512],
  [512, 64],
  [65, 511],
] as const) {
  test(`wide heads: D ${d}, Dv ${dv}`, async () => {
    const random = randomFrom(d + dv);
    await check(qkv({ batch: 1, hkv: 1, group: 2, tq: 33, tk: 70, d, dv }, random), { causal: true });
  });
}

for (const std of [30, 1e4]) {
  for (const options of [{}, { causal: true }, { window: [9, 0] as const }]) {
    test(`large logits: std ${std}, ${JSON.stringify(options)}`, async () => {
      const random = randomFrom(std);
      await check(qkv({ batch: 1, hkv: 2, group: 2, tq: 130, tk: 130, d: 64, dv: 64 }, random, std), options);
    });
  }
}

test('a bias of -1e9, -3.4e38 or -Infinity hides a key as a mask does', async () => {
  for (const hidden of [-1e9, -3.4e38, Number.NEGATIVE_INFINITY]) {
    const random = randomFrom(11);
    const inputs = qkv({ batch: 2, hkv: 1, group: 2, tq: 65, tk: 70, d: 18, dv: 20 }, random);
    const mask = bits(random, [2, 2, 65, 70], 0.5);
    // A row with nothing but hidden keys is another question, so each row sees key 3.
    for (let row = 0; row < 2 * 2 * 65; row++) mask.data[row * 70 + 3] = 1;
    const bias = floats(mask.shape, (n) => (mask.data[n] ? 0 : hidden));
    const wanted = expected((round) => reference({ ...inputs, mask }, {}, round));
    for (const rt of runtimes)
      assertAccurate(await call(rt, attention, { ...inputs, bias }), wanted, `${rt.variant}, bias ${hidden}`);
  }
});

test('a row that a bias hides wholly gives zeros at -Infinity and a mean of values, never NaN, at finite biases', async () => {
  for (const hidden of [-1e9, -3.4e38, Number.NEGATIVE_INFINITY]) {
    const random = randomFrom(12);
    const inputs = qkv({ batch: 1, hkv: 1, group: 1, tq: 9, tk: 70, d: 18, dv: 3 }, random);
    const bias = floats([1, 1, 9, 70], (n) => (Math.floor(n / 70) === 4 ? hidden : 0));
    for (const rt of runtimes) {
      const { o, lse } = await call(rt, attention, { ...inputs, bias });
      const row = Array.from(o.data).slice(4 * 3, 5 * 3);
      const what = `${rt.variant}, bias ${hidden}: o ${row}, lse ${lse.data[4]}`;
      if (hidden === Number.NEGATIVE_INFINITY) {
        assert.deepEqual([...row, lse.data[4]], [0, 0, 0, hidden], what);
      } else {
        row.forEach((x, c) => {
          const column = Array.from({ length: 70 }, (_, j) => inputs.v.data[j * 3 + c]!);
          assert.ok(x >= Math.min(...column) - 1e-6 && x <= Math.max(...column) + 1e-6, what);
        });
      }
      const others = Array.from(o.data).filter((_, n) => Math.floor(n / 3) !== 4);
      assert.ok(others.every(Number.isFinite), what);
    }
  }
});

test('more queries than keys: the first rows see nothing', async () => {
  for (const [tq, tk] of [
    [130, 1],
    [65, 64],
    [70, 7],
  ] as const) {
    const inputs = qkv({ batch: 1, hkv: 1, group: 2, tq, tk, d: 18, dv: 20 }, randomFrom(tq));
    await check(inputs, { causal: true });
    for (const rt of runtimes) {
      const { o, lse } = await call(rt, attention, inputs, { causal: true });
      const empty = (tq - tk) * 2;
      assert.ok(Array.from(lse.data).every((x, n) => (x === Number.NEGATIVE_INFINITY) === n < empty));
      assert.ok(
        Array.from(o.data)
          .slice(0, empty * 20)
          .every((x) => x === 0),
      );
    }
  }
});

test('windows at their edges', async () => {
  const inputs = qkv({ batch: 1, hkv: 1, group: 1, tq: 130, tk: 130, d: 18, dv: 20 }, randomFrom(5));
  const windows = [
    [0, 0],
    [1, 0],
    [0, 1],
    [63, 0],
    [64, 0],
    [65, 0],
    [62, 65],
    [129, 0],
    [130, 130],
    [100000, 0],
    [0, 100000],
    [-1, 3],
    [3, -1],
  ] as const;
  for (const window of windows) for (const causal of [false, true]) await check(inputs, { window, causal });
  const few = qkv({ batch: 1, hkv: 1, group: 1, tq: 130, tk: 65, d: 18, dv: 20 }, randomFrom(5));
  const many = qkv({ batch: 1, hkv: 1, group: 1, tq: 65, tk: 130, d: 18, dv: 20 }, randomFrom(5));
  for (const window of windows) for (const uneven of [few, many]) await check(uneven, { window });
});

test('what causality hides changes nothing, however large', async () => {
  const random = randomFrom(7);
  for (const t of [64, 70, 130]) {
    const inputs = qkv({ batch: 1, hkv: 1, group: 2, tq: t, tk: t, d: 20, dv: 20 }, random);
    // All queries point the same way, so that one long key stands 300 above the rest for every row.
    inputs.q = mapped(inputs.q, (x) => x);
    for (let n = 0; n < inputs.q.data.length; n++) if (n % 20 === 0) inputs.q.data[n] = 1;
    for (const late of [1, 5, 6, 7, 63, t - 1]) {
      const plain = { ...inputs, k: mapped(inputs.k, (x) => x) };
      const huge = { ...inputs, k: mapped(inputs.k, (x) => x) };
      huge.k.data[late * 20] = 300 * Math.sqrt(20);
      await check(huge, { causal: true });
      for (const rt of runtimes) {
        const [a, b] = [
          await call(rt, attention, plain, { causal: true }),
          await call(rt, attention, huge, { causal: true }),
        ];
        for (const [name, width] of [
          ['o', 40],
          ['lse', 2],
        ] as const) {
          const rows = ({ data }: NdArray): NdArray => ({
            shape: [late * width],
            data: Array.from(data).slice(0, late * width),
          });
          assertNear(
            rows(b[name] as NdArray),
            rows(a[name] as NdArray),
            0,
            `${rt.variant}: ${name} before key ${late} of ${t}`,
          );
        }
      }
    }
  }
});

test('windows, masks and lengths hide large keys too', async () => {
  const random = randomFrom(8);
  const inputs = qkv({ batch: 1, hkv: 1, group: 1, tq: 70, tk: 70, d: 20, dv: 20 }, random);
  for (let n = 0; n < inputs.q.data.length; n += 20) inputs.q.data[n] = 1;
  for (const huge of [0, 13, 40, 69]) {
    const k = mapped(inputs.k, (x) => x);
    k.data[huge * 20] = 300 * Math.sqrt(20);
    const mask = { shape: [1, 1, 70, 70], data: Uint8Array.from({ length: 4900 }, (_, n) => Number(n % 70 !== huge)) };
    await check({ ...inputs, k }, { window: [9, 3] });
    await check({ ...inputs, k, mask });
    await check({ ...inputs, k, kvLens: ints([huge]) });
    await check({ ...inputs, k, bias: floats([1, 1, 1, 70], (n) => (n === huge ? Number.NEGATIVE_INFINITY : 0)) });
  }
});

test('NaN in q or k reaches exactly the rows that see it, NaN in v at least those', async () => {
  const options: [string, AttentionOptions, (inputs: Inputs) => Partial<Inputs>][] = [
    ['full', {}, () => ({})],
    ['causal', { causal: true }, () => ({})],
    ['window', { window: [9, 4] }, () => ({})],
    ['softcap', { softcap: 5, causal: true }, () => ({})],
    ['kvLens', {}, () => ({ kvLens: ints([50]) })],
    ['mask', {}, ({ k }) => ({ mask: bits(randomFrom(2), [1, 1, 70, k.shape[1]!], 0.5) })],
    ['bias', { causal: true }, ({ k }) => ({ bias: normal(randomFrom(2), [1, 1, 1, k.shape[1]!]) })],
    ['sinks', { causal: true }, () => ({ sinks: floats([2], () => 1) })],
  ];
  for (const [what, attributes, extra] of options) {
    for (const poisoned of ['q', 'k', 'v'] as const) {
      for (const row of [0, 17, 60, 69]) {
        const inputs = qkv({ batch: 1, hkv: 1, group: 2, tq: 70, tk: 70, d: 18, dv: 20 }, randomFrom(3));
        const width = inputs[poisoned].shape[2]! * inputs[poisoned].shape[3]!;
        inputs[poisoned].data[row * width + 7] = Number.NaN;
        const wanted = expected((round) => reference({ ...inputs, ...extra(inputs) }, attributes, round));
        for (const rt of runtimes) {
          const { o, lse } = await call(rt, attention, { ...inputs, ...extra(inputs) }, attributes);
          const want = wanted.want.o.data;
          // A tile of rows multiplies the values that only some of its rows see, and 0 * NaN is NaN.
          const forgiven = (x: number, n: number) =>
            poisoned === 'v' && Number.isNaN(x) && n % 20 === 7 ? want[n]! : x;
          const got = { lse, o: { shape: o.shape, data: Array.from(o.data, forgiven) } };
          assert.ok(Array.from(want).some(Number.isNaN) || what === 'kvLens');
          assertAccurate(got, wanted, `${rt.variant}, ${what}, NaN in ${poisoned} row ${row}`);
        }
      }
    }
  }
});

test('NaN in one sequence, head or batch entry stays there', async () => {
  const random = randomFrom(9);
  const inputs = qkv({ batch: 1, hkv: 2, group: 1, tq: 150, tk: 150, d: 18, dv: 20 }, random);
  for (const poisoned of ['q', 'k', 'v'] as const) {
    const width = inputs[poisoned].shape[2]! * inputs[poisoned].shape[3]!;
    const bad = { ...inputs, [poisoned]: mapped(inputs[poisoned], (x) => x), cuSeqlens: ints([0, 70, 73, 150]) };
    // The second sequence, its first head.
    for (let row = 70; row < 73; row++) bad[poisoned].data.fill(Number.NaN, row * width, row * width + width / 2);
    const wanted = expected((round) => reference(bad, {}, round));
    for (const rt of runtimes)
      assertAccurate(await call(rt, attention, bad), wanted, `${rt.variant}, packed, ${poisoned}`);
    const batch = qkv({ batch: 3, hkv: 1, group: 2, tq: 30, tk: 70, d: 18, dv: 20 }, random);
    batch[poisoned].data.fill(Number.NaN, batch[poisoned].data.length / 3, (2 * batch[poisoned].data.length) / 3);
    const wantedBatch = expected((round) => reference(batch, {}, round));
    for (const rt of runtimes)
      assertAccurate(await call(rt, attention, batch), wantedBatch, `${rt.variant}, batch, ${poisoned}`);
  }
});

for (const [dtype, round] of [
  ['f16', roundToHalf],
  ['bf16', roundToBfloat],
] as const) {
  test(`queries, keys and values stored as ${dtype}`, () =>
    property(
      fc.record({ shape: shapes, causal: fc.boolean(), tiny: fc.boolean(), narrowQueries: fc.boolean() }),
      25,
      async ({ shape, causal, tiny, narrowQueries }) => {
        const random = randomFrom(shape.seed);
        const { q, k, ...rest } = qkv(shape, random);
        // Values down to the subnormals of float16.
        const v = tiny ? mapped(rest.v, (x) => x * 10 ** (-8 * random())) : rest.v;
        const stored = { q: narrowQueries ? mapped(q, round) : q, k: mapped(k, round), v: mapped(v, round) };
        const wanted = expected((precision) => reference(stored, { causal }, precision));
        for (const rt of runtimes) {
          await rt.scope(async () => {
            const tensor = (x: FloatSample) => rt.tensor(x.data, x.shape, dtype);
            const inputs = { q: narrowQueries ? tensor(q) : q, k: tensor(k), v: tensor(v) };
            assertAccurate(await call(rt, attention, inputs, { causal }), wanted, rt.variant);
          });
        }
      },
    ));
}

// The codes are exact in float32 and each product with a scale rounds once, as in the naive version, so the same bound holds.
test('keys and values stored as i8 with a scale per row and head', () =>
  property(
    fc.record({ shape: shapes.filter(({ tq, group }) => tq * group > 1), causal: fc.boolean() }),
    25,
    async ({ shape, causal }) => {
      const { q, ...rest } = qkv(shape, randomFrom(shape.seed));
      const [k, v] = [quantised(rest.k), quantised(rest.v)];
      const wanted = expected((precision) => reference({ q, k: k.value, v: v.value }, { causal }, precision));
      for (const rt of runtimes) {
        await rt.scope(async () => {
          const inputs = { q, k: codesOn(rt, k), v: codesOn(rt, v), kScale: k.scale, vScale: v.scale };
          assertAccurate(await call(rt, attention, inputs, { causal }), wanted, rt.variant);
        });
      }
    },
  ));

/** x [B,T,H,D] stored as [B,H,T,D]. */
function headsFirst({ shape, data }: FloatSample): FloatSample {
  const [b, t, h, d] = shape as [number, number, number, number];
  return floats([b, h, t, d], (n) => {
    const [c, i, head, batch] = [n % d, Math.floor(n / d) % t, Math.floor(n / d / t) % h, Math.floor(n / d / t / h)];
    return data[((batch * t + i) * h + head) * d + c] as number;
  });
}

test('views: heads-first storage, slices of one packed projection', async () => {
  for (const [d, group] of [
    [18, 1],
    [64, 2],
    [5, 3],
  ] as const) {
    const inputs = qkv({ batch: 2, hkv: 2, group, tq: 65, tk: 70, d, dv: d }, randomFrom(d));
    const wanted = expected((round) => reference(inputs, { causal: true }, round));
    for (const rt of runtimes) {
      await rt.scope(async () => {
        const transposed = (x: FloatSample) =>
          rt.tensor(headsFirst(x).data, [...headsFirst(x).shape]).permute([0, 2, 1, 3]);
        const got = await call(
          rt,
          attention,
          { q: transposed(inputs.q), k: transposed(inputs.k), v: transposed(inputs.v) },
          { causal: true },
        );
        assertAccurate(got, wanted, `${rt.variant}: permuted`);
        // [B,T,2H,D]: keys beside values.
        const row = 2 * d;
        const packed = floats([2, 70, 4, d], (n) => {
          const [within, at] = [n % (2 * row), Math.floor(n / (2 * row)) * row];
          return (within < row ? inputs.k.data[at + within] : inputs.v.data[at + within - row]) as number;
        });
        const kv = rt.tensor(packed.data, [...packed.shape]);
        assertAccurate(
          await call(rt, attention, { q: inputs.q, k: kv.slice(2, 0, 2), v: kv.slice(2, 2, 4) }, { causal: true }),
          wanted,
          `${rt.variant}: sliced heads`,
        );
        const late = {
          ...inputs,
          k: { shape: [2, 50, 2, d], data: drop(inputs.k, 20) },
          v: { shape: [2, 50, 2, d], data: drop(inputs.v, 20) },
        } as Inputs;
        const [k, v] = [rt.tensor(inputs.k.data, [...inputs.k.shape]), rt.tensor(inputs.v.data, [...inputs.v.shape])];
        const sliced = await call(
          rt,
          attention,
          { q: inputs.q, k: k.slice(1, 20, 70), v: v.slice(1, 20, 70) },
          { causal: true },
        );
        assertAccurate(
          sliced,
          expected((round) => reference(late, { causal: true }, round)),
          `${rt.variant}: sliced time`,
        );
      });
    }
  }
});

test('values that are a slice of the keys', async () => {
  for (const tq of [1, 65]) {
    const { q, k } = qkv({ batch: 2, hkv: 1, group: 2, tq, tk: 70, d: 24, dv: 24 }, randomFrom(27));
    const v = floats([2, 70, 1, 16], (n) => k.data[Math.floor(n / 16) * 24 + (n % 16)]!);
    const wanted = expected((round) => reference({ q, k, v }, {}, round));
    for (const rt of runtimes) {
      await rt.scope(async () => {
        const keys = rt.tensor(k.data, k.shape);
        assertAccurate(
          await call(rt, attention, { q, k: keys, v: keys.slice(3, 0, 16) }),
          wanted,
          `${rt.variant}, Tq ${tq}`,
        );
      });
    }
  }
});

test('axes of length 0', async () => {
  for (const [batch, tq, tk] of [
    [0, 5, 7],
    [2, 0, 7],
    [2, 5, 0],
    [2, 40, 0],
    [2, 0, 0],
  ] as const) {
    const inputs = qkv({ batch, hkv: 2, group: 2, tq, tk, d: 18, dv: 20 }, randomFrom(28));
    await check(inputs);
    await check(inputs, { causal: true, window: [3, 0] });
  }
});

/** The rows of x [B,T,H,D] from `first` on. */
function drop({ shape, data }: FloatSample, first: number): Float32Array {
  const [b, t, h, d] = shape as [number, number, number, number];
  return Float32Array.from({ length: b * (t - first) * h * d }, (_, n) => {
    const [within, batch] = [n % ((t - first) * h * d), Math.floor(n / ((t - first) * h * d))];
    return data[batch * t * h * d + first * h * d + within]!;
  });
}

async function onEach(checkOn: (rt: Runtime) => Promise<void>): Promise<void> {
  for (const rt of runtimes) await checkOn(rt);
}

test('identity: keys split over N calls and merged are all keys at once', () =>
  onEach(async (rt) => {
    const inputs = qkv({ batch: 2, hkv: 2, group: 2, tq: 33, tk: 130, d: 18, dv: 20 }, randomFrom(21), 3);
    const whole = await call(rt, attention, inputs);
    for (const cuts of [
      [0, 1, 130],
      [0, 64, 65, 130],
      [0, 20, 20, 40, 129, 130],
    ]) {
      await rt.scope(async () => {
        const [q, k, v] = [inputs.q, inputs.k, inputs.v].map((x) => rt.tensor(x.data, [...x.shape])) as [
          never,
          never,
          never,
        ];
        let merged: Awaited<ReturnType<typeof attention>> | undefined;
        for (let n = 1; n < cuts.length; n++) {
          const [begin, end] = [cuts[n - 1]!, cuts[n]!];
          if (begin === end) continue;
          const part = await attention({
            q,
            k: (k as Tensor).slice(1, begin, end),
            v: (v as Tensor).slice(1, begin, end),
          });
          merged = merged ? await mergeState({ oA: merged.o, lseA: merged.lse, oB: part.o, lseB: part.lse }) : part;
        }
        const { o, lse } = merged ?? assert.fail('no parts');
        assertNear(
          { shape: o.shape, data: (await o.data()) as Float32Array },
          whole.o,
          5e-6,
          `${rt.variant}: o of ${cuts}`,
        );
        assertNear(
          { shape: lse.shape, data: (await lse.data()) as Float32Array },
          whole.lse,
          5e-6,
          `${rt.variant}: lse of ${cuts}`,
        );
      });
    }
  }));

test('identity: a constant added to colBias leaves o and moves lse', () =>
  onEach(async (rt) => {
    const random = randomFrom(22);
    const inputs = qkv({ batch: 1, hkv: 2, group: 2, tq: 65, tk: 70, d: 18, dv: 20 }, random);
    const colBias = normal(random, [1, 70, 4]);
    const plain = await call(rt, attention, { ...inputs, colBias }, { causal: true });
    const moved = await call(rt, attention, { ...inputs, colBias: mapped(colBias, (x) => x + 8) }, { causal: true });
    assertNear(moved.o, plain.o, 1e-5, `${rt.variant}: o`);
    assertNear(
      moved.lse,
      { shape: [1, 65, 4], data: Array.from(plain.lse.data, (x) => x + 8) },
      1e-5,
      `${rt.variant}: lse`,
    );
  }));

test('identity: ALiBi under causality is a colBias', () =>
  onEach(async (rt) => {
    const inputs = qkv({ batch: 1, hkv: 1, group: 2, tq: 65, tk: 65, d: 18, dv: 20 }, randomFrom(23));
    const slopes = [0.5, 0.125];
    const alibi = await call(
      rt,
      attention,
      { ...inputs, alibiSlopes: floats([2], (n) => slopes[n]!) },
      { causal: true },
    );
    const colBias = floats([1, 65, 2], (n) => slopes[n % 2]! * Math.floor(n / 2));
    const byColumn = await call(rt, attention, { ...inputs, colBias }, { causal: true });
    assertNear(byColumn.o, alibi.o, 2e-5, `${rt.variant}: o`);
  }));

test('identity: subtracting the mean key leaves o and moves lse by scale q.mean', () =>
  onEach(async (rt) => {
    const inputs = qkv({ batch: 1, hkv: 1, group: 1, tq: 65, tk: 70, d: 16, dv: 20 }, randomFrom(24));
    const mean = Array.from({ length: 16 }, (_, c) =>
      Math.fround(Array.from({ length: 70 }, (__, j) => inputs.k.data[j * 16 + c]!).reduce((a, b) => a + b) / 70),
    );
    const plain = await call(rt, attention, inputs);
    const centred = await call(rt, attention, {
      ...inputs,
      k: floats(inputs.k.shape, (n) => inputs.k.data[n]! - mean[n % 16]!),
    });
    assertNear(centred.o, plain.o, 5e-6, `${rt.variant}: o`);
    const shift = (i: number) => mean.reduce((sum, m, c) => sum + m * inputs.q.data[i * 16 + c]!, 0) / 4;
    const lse = { shape: [1, 65, 1], data: Array.from(centred.lse.data, (x, i) => x + shift(i)) };
    assertNear(lse, plain.lse, 5e-6, `${rt.variant}: lse`);
  }));

test('identity: a constant added to v is added to o', () =>
  onEach(async (rt) => {
    const inputs = qkv({ batch: 1, hkv: 2, group: 2, tq: 65, tk: 70, d: 16, dv: 20 }, randomFrom(25));
    const plain = await call(rt, attention, inputs, { causal: true });
    const moved = await call(rt, attention, { ...inputs, v: mapped(inputs.v, (x) => x + 1) }, { causal: true });
    assertNear({ shape: [1, 65, 4, 20], data: Array.from(moved.o.data, (x) => x - 1) }, plain.o, 5e-6, rt.variant);
  }));

test('identity: grouped heads are repeated keys and values', () =>
  onEach(async (rt) => {
    const inputs = qkv({ batch: 2, hkv: 2, group: 3, tq: 65, tk: 70, d: 18, dv: 20 }, randomFrom(26));
    const repeated = ({ shape, data }: FloatSample) => {
      const [b, t, , d] = shape as [number, number, number, number];
      return floats(
        [b, t, 6, d],
        (n) =>
          data[(Math.floor(n / (6 * d)) * 2 + Math.floor(Math.floor((n % (6 * d)) / d) / 3)) * d + (n % d)] as number,
      );
    };
    const grouped = await call(rt, attention, inputs, { causal: true });
    const full = await call(
      rt,
      attention,
      { ...inputs, k: repeated(inputs.k), v: repeated(inputs.v) },
      { causal: true },
    );
    assertNear(grouped.o, full.o, 2e-6, `${rt.variant}: o`);
    assertNear(grouped.lse, full.lse, 5e-6, `${rt.variant}: lse`);
  }));

test('the comparison itself notices NaN, infinities and shapes', () => {
  const array = (...data: number[]): NdArray => ({ shape: [data.length], data });
  assert.equal(maxError(array(1, Number.NaN), array(1, Number.NaN)).error, 0);
  assert.equal(maxError(array(Number.NaN), array(1)).error, Number.POSITIVE_INFINITY);
  assert.equal(maxError(array(1), array(Number.NaN)).error, Number.POSITIVE_INFINITY);
  assert.equal(maxError(array(Number.NEGATIVE_INFINITY), array(Number.NEGATIVE_INFINITY)).error, 0);
  assert.equal(maxError(array(0), array(Number.NEGATIVE_INFINITY)).error, Number.POSITIVE_INFINITY);
  assert.throws(() => maxError(array(1), array(1, 2)));
});

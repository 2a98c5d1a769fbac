import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { rotaryAngles } from '../src/engines/rotary.ts';
import {
  type CodedTensors,
  createRuntime,
  DTypeError,
  dequantizeKv,
  OptionError,
  quantizedAttention,
  quantizedAttentionSync,
  quantizeKv,
  quantizeKvSync,
  type Runtime,
  ShapeError,
  type Tensor,
  type WasmRuntime,
} from '../src/index.ts';
import { assertNear, assertSameBits, expected, maxError } from './accuracy.ts';
import { call } from './call.ts';
import { assertMet, property, sometimes } from './property.ts';
import { coded, quantizedAttention as reference } from './reference/codes.ts';
import type { NdArray } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, ints, mapped, normal, randomFrom } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

// biome-ignore lint/suspicious/noExplicitAny: inputs and options are put together by name
type AnyOp = (inputs: any, options?: any) => Promise<Record<'o' | 'lse', Tensor>>;

/** Ways to code keys and values. */
const keyFormats = [
  { bits: 4, axis: 'token', group: 32, symmetric: true },
  { bits: 4, axis: 'token', group: 16 },
  { bits: 4, axis: 'channel', group: 32 },
  { bits: 4, axis: 'channel', group: 64, symmetric: true },
  { bits: 2, axis: 'channel', group: 32 },
  { bits: 2, axis: 'token', group: 32 },
  { bits: 4, axis: 'token', group: 1024, codebook: true },
  { bits: 4, axis: 'channel', given: true },
  { bits: 4, axis: 'channel', given: true, codebook: true, outliers: 2 },
] as const;
const valueFormats = [
  { bits: 4, axis: 'token', group: 32, symmetric: true },
  { bits: 4, axis: 'token', group: 16 },
  { bits: 2, axis: 'token', group: 32 },
  { bits: 2, axis: 'token', group: 64 },
  { bits: 4, axis: 'token', group: 1024, codebook: true, outliers: 1 },
] as const;
type Format = {
  bits: number;
  axis: 'token' | 'channel';
  group?: number;
  symmetric?: boolean;
  codebook?: boolean;
  given?: boolean;
  outliers?: number;
};

const levels = (bits: number) =>
  Float32Array.from(
    { length: 2 ** bits },
    (_, i) => Math.sign(2 * i + 1 - 2 ** bits) * (Math.abs(2 * i + 1 - 2 ** bits) / (2 ** bits - 1)) ** 1.3,
  );

/** Inputs and options of quantizeKv for a format. */
function asked(x: FloatSample, format: Format, of: 'keys' | 'values') {
  const { codebook, given, ...options } = format;
  const [, , H, D] = x.shape as [number, number, number, number];
  const outliers = Math.min(format.outliers ?? 0, D - 1);
  return {
    inputs: {
      x,
      ...(codebook && { codebook: { shape: [2 ** format.bits], data: levels(format.bits) } }),
      ...(given && {
        scale: floats([H, D], (n) => (codebook ? 2 : 0.3) + 0.01 * (n % 7)),
        offset: floats([H, D], (n) => (codebook ? 0 : -2) - 0.02 * (n % 5)),
      }),
    },
    options: { ...options, of, ...(format.outliers ? { outliers } : {}) },
  };
}

/** The results of quantizeKv as samples, with the codebook. */
async function quantised(rt: Runtime, x: FloatSample, format: Format, of: 'keys' | 'values') {
  const { inputs, options } = asked(x, format, of);
  const got = (await call(rt, quantizeKv as unknown as AnyOp, inputs, options)) as unknown as Record<string, NdArray>;
  if (inputs.codebook) got.codebook = inputs.codebook;
  return got as Record<string, FloatSample>;
}

/** What coded rows stand for, in f32. */
async function widened(
  rt: Runtime,
  rows: Record<string, FloatSample>,
  x: FloatSample,
  format: Format,
  of: 'keys' | 'values',
) {
  const { bits, axis, group } = format;
  const options = { of, bits, axis, ...(group && { group }), dim: x.shape[3]!, tokens: x.shape[1]! };
  return (await call(rt, dequantizeKv as unknown as AnyOp, rows, options)).o as NdArray;
}

const shapes = fc.record({
  seed: fc.nat(),
  batch: fc.integer({ min: 1, max: 2 }),
  tokens: fc.constantFrom(1, 15, 16, 17, 63, 65, 130, 600),
  heads: fc.integer({ min: 1, max: 3 }),
  d: fc.constantFrom(1, 3, 18, 64, 80, 128),
});

test('codes are off by at most half a scale, with and without codebooks and outliers', async () => {
  let outliers = 0;
  await property(
    fc.record({
      shape: shapes,
      of: fc.constantFrom('keys' as const, 'values' as const),
      format: fc.constantFrom<Format>(...keyFormats, ...valueFormats),
    }),
    60,
    async ({ shape: { seed, batch, tokens, heads, d }, of, format }) => {
      if (of === 'values' && format.axis === 'channel') return;
      const x = normal(randomFrom(seed), [batch, Math.min(tokens, 130), heads, d]);
      if (seed % 3 === 0) x.data.fill(0.75, 0, d);
      if (seed % 5 === 0) x.data.fill(0, d, 3 * d);
      for (const rt of runtimes) {
        const rows = await quantised(rt, x, format, of);
        const got = await widened(rt, rows, x, format, of);
        if (format.given) {
          // what is inside of the scales' reach
          const reach = format.codebook ? 1.7 : 2;
          for (let n = 0; n < x.data.length; n++) {
            if (Math.abs(x.data[n]!) < reach)
              assert.ok(Math.abs(got.data[n]! - x.data[n]!) <= 0.32, `${rt.variant} ${n}`);
          }
          continue;
        }
        const { most } = coded(x, { ...format, outliers: Math.min(format.outliers ?? 0, d - 1) }, rows.codebook?.data);
        if (format.outliers && d > 1) outliers++;
        for (let n = 0; n < x.data.length; n++) {
          const error = Math.abs(got.data[n]! - x.data[n]!);
          const limit = most.data[n]! * (1 + 1e-5) + 2e-6;
          assert.ok(
            error <= limit,
            `${rt.variant}, ${JSON.stringify(format)} ${of}: ${n} of [${x.shape}] is off by ${error} > ${limit}`,
          );
        }
      }
    },
  );
  assertMet(outliers > 2, `${outliers} cases with outliers`);
});

/** What the two-byte query and weights may change: scores by `score`, outputs by `o`. */
function roundingOf(q: FloatSample, k: NdArray, v: NdArray, scale: number) {
  const largest = (x: NdArray) => Array.from(x.data).reduce((most, y) => Math.max(most, Math.abs(y)), 0);
  const score = (scale * q.shape[3]! * largest(q) * 2 * largest(k)) / 65534;
  return { score, o: 4 * score * largest(v) + (16 * 2 * largest(v)) / 65534 };
}

const prefixed = (rows: Record<string, unknown>, side: 'k' | 'v') =>
  Object.fromEntries(
    Object.entries(rows).map(([name, value]) => [side + name[0]!.toUpperCase() + name.slice(1), value]),
  );

const optionsOf = (k: Format, v: Format) => ({
  kBits: k.bits,
  kAxis: k.axis,
  ...(k.group && { kGroup: k.group }),
  vBits: v.bits,
  ...(v.group && { vGroup: v.group }),
});

const concat = (a: NdArray, b: FloatSample | undefined): NdArray => {
  if (!b) return a;
  const [B, T, H, D] = a.shape as [number, number, number, number];
  const n = b.shape[1]!;
  const [row, more] = [T * H * D, n * H * D];
  const data = new Float32Array(B * (row + more));
  for (let i = 0; i < B; i++) {
    data.set((a.data as Float32Array).subarray(i * row, (i + 1) * row), i * (row + more));
    data.set(b.data.subarray(i * more, (i + 1) * more), i * (row + more) + row);
  }
  return { shape: [B, T + n, H, D], data };
};

test('attention on codes is attention on what they stand for', async () => {
  const met = new Set<string>();
  await property(
    fc.record({
      shape: shapes,
      group: fc.constantFrom(1, 1, 2, 3, 8),
      tq: fc.constantFrom(1, 1, 2, 5, 40),
      dv: fc.constantFrom(undefined, undefined, 20, 64),
      kFormat: fc.constantFrom<Format>(...keyFormats),
      vFormat: fc.constantFrom<Format>(...valueFormats),
      rest: fc.constantFrom<number[]>([0, 0], [0, 0], [1, 7], [40, 3], [0, 20]),
      softcap: sometimes(fc.constant(5)),
      window: sometimes(fc.constantFrom([100, 0], [3, 0])),
      sinks: sometimes(fc.constant(true)),
      alibi: sometimes(fc.constant(true)),
      turn: sometimes(fc.constant(true)),
    }),
    60,
    async ({ shape, group, tq, dv: width, kFormat, vFormat, rest, softcap, window, sinks, alibi, turn }) => {
      const { seed, batch, tokens, heads, d } = shape;
      if (batch * heads * group * tq * tokens * d > 4e6) return;
      const dv = width ?? d;
      const random = randomFrom(seed);
      const total = tokens + Math.max(...rest);
      const [kn, vn] = [Math.min(rest[0]!, total - 1), Math.min(rest[1]!, total - 1)];
      const turned = turn && kn === 0 && d % 2 === 0;
      const q = normal(random, [batch, tq, heads * group, d]);
      const k = normal(random, [batch, total - kn, heads, d]);
      const v = normal(random, [batch, total - vn, heads, dv]);
      const kRest = kn > 0 ? normal(random, [batch, kn, heads, d]) : undefined;
      const vRest = vn > 0 ? normal(random, [batch, vn, heads, dv]) : undefined;
      const extra = {
        ...(sinks && { sinks: normal(random, [heads * group]) }),
        ...(alibi && { alibiSlopes: floats([heads * group], () => random() / 50) }),
      };
      const options = { ...(softcap && { softcap }), ...(window && { window: window as [number, number] }) };
      met
        .add(`${kFormat.bits}${kFormat.axis}${group > 1}`)
        .add(kn > 0 && vn > 0 ? 'rests' : '')
        .add(turned ? 'turned' : '');
      const angles = turned
        ? rotaryAngles(
            Array.from({ length: total }, (_, i) => i),
            d / 2,
            10000,
          )
        : undefined;
      for (const rt of runtimes) {
        const [kRows, vRows] = [await quantised(rt, k, kFormat, 'keys'), await quantised(rt, v, vFormat, 'values')];
        const kept = {
          q,
          k: concat(await widened(rt, kRows, k, kFormat, 'keys'), kRest),
          v: concat(await widened(rt, vRows, v, vFormat, 'values'), vRest),
          ...extra,
        };
        const { want, limit } = expected((round) =>
          reference(kept, { ...options, ...(turned && { turn: 10000 }) }, round),
        );
        const got = await call(
          rt,
          quantizedAttention as unknown as AnyOp,
          {
            q,
            ...prefixed(kRows, 'k'),
            ...prefixed(vRows, 'v'),
            ...(kRest && { kRest }),
            ...(vRest && { vRest }),
            ...(angles && {
              kCos: floats([total, d / 2], (n) => angles.cos[n]!),
              kSin: floats([total, d / 2], (n) => angles.sin[n]!),
            }),
            ...extra,
          },
          { ...options, ...optionsOf(kFormat, vFormat), valueDim: dv, kTokens: total - kn, vTokens: total - vn },
        );
        const more = roundingOf(q, kept.k, kept.v, d ** -0.5);
        const what = `${rt.variant}, ${JSON.stringify(kFormat)}, ${JSON.stringify(vFormat)}`;
        assertNear(got.o, want.o, limit.o + more.o, `${what}: o`);
        assertNear(got.lse, want.lse, limit.lse + 2 * more.score, `${what}: lse`);
      }
    },
  );
  for (const wanted of ['4tokentrue', '4channelfalse', '2channelfalse', 'rests', 'turned']) {
    assertMet(met.has(wanted), `no case of ${wanted}`);
  }
});

test('what codes of 2 bits and symmetric codes of 4 bits hold exactly is attended to as floats are', async () => {
  const random = randomFrom(11);
  // multiples of one scale that reach both ends of every group
  const grid = (shape: number[], least: number, top: number): FloatSample =>
    floats(
      shape,
      (n) => (n % 16 === 0 ? least : n % 16 === 1 ? top : least + Math.floor(random() * (top - least + 1))) / 8,
    );
  for (const rt of runtimes) {
    for (const [bits, least, top, symmetric] of [
      [4, -7, 7, true],
      [4, 0, 15, false],
      [2, 0, 3, false],
    ] as const) {
      const [k, v] = [grid([1, 100, 2, 64], least, top), grid([1, 100, 2, 64], least, top)];
      const q = mapped(normal(random, [1, 1, 2, 64]), (x) => Math.round(x * 64) / 64);
      const format = { bits, axis: 'token', group: 32, ...(symmetric && { symmetric }) } as const;
      const rows = { k: await quantised(rt, k, format, 'keys'), v: await quantised(rt, v, format, 'values') };
      assert.equal(maxError(await widened(rt, rows.k, k, format, 'keys'), k).error < 1e-6, true);
      const { want } = expected((round) => reference({ q, k, v }, {}, round));
      const inputs = { q, ...prefixed(rows.k, 'k'), ...prefixed(rows.v, 'v') };
      const got = await call(rt, quantizedAttention as unknown as AnyOp, inputs, {
        ...optionsOf(format, format),
        kTokens: 100,
        vTokens: 100,
      });
      assertNear(got.o, want.o, 2e-4, `${rt.variant}, ${bits} bits`);
    }
  }
});

test('pages of codes', async () => {
  const random = randomFrom(12);
  const [hkv, d, size, lengths] = [2, 64, 64, [150, 0, 64]];
  const q = normal(random, [3, 1, 4, d]);
  const table = [5, 1, 3, 0, 0, 0, 2, 0, 0];
  for (const [kFormat, vFormat] of [
    [keyFormats[0], valueFormats[0]],
    [keyFormats[4], valueFormats[1]],
  ] as [Format, Format][]) {
    const [k, v] = [normal(random, [6, size, hkv, d]), normal(random, [6, size, hkv, d])];
    for (const rt of runtimes) {
      const [kRows, vRows] = [await quantised(rt, k, kFormat, 'keys'), await quantised(rt, v, vFormat, 'values')];
      const kept = [await widened(rt, kRows, k, kFormat, 'keys'), await widened(rt, vRows, v, vFormat, 'values')];
      const inputs = {
        q,
        ...prefixed(kRows, 'k'),
        ...prefixed(vRows, 'v'),
        blockTable: ints(table, [3, 3]),
        seqLens: ints(lengths),
      };
      const got = await call(rt, quantizedAttention as unknown as AnyOp, inputs, optionsOf(kFormat, vFormat));
      for (const [b, length] of lengths.entries()) {
        const gathered = kept.map((rows) => {
          const data = new Float32Array(length * hkv * d);
          for (let t = 0; t < length; t++) {
            const from = (table[b * 3 + Math.floor(t / size)]! * size + (t % size)) * hkv * d;
            data.set((rows.data as Float32Array).subarray(from, from + hkv * d), t * hkv * d);
          }
          return { shape: [1, length, hkv, d], data };
        }) as unknown as [FloatSample, FloatSample];
        const own = { shape: [1, 1, 4, d], data: q.data.subarray(b * 4 * d, (b + 1) * 4 * d) };
        const { want, limit } = expected((round) => reference({ q: own, k: gathered[0], v: gathered[1] }, {}, round));
        const o = { shape: [1, 1, 4, d], data: (got.o.data as Float32Array).subarray(b * 4 * d, (b + 1) * 4 * d) };
        const more = length ? roundingOf(own as FloatSample, gathered[0], gathered[1], d ** -0.5).o : 0;
        assertNear(o, want.o, limit.o + more, `${rt.variant}, sequence ${b}`);
      }
    }
  }
});

test('threads and the synchronous twin give the same bits', async () => {
  const random = randomFrom(13);
  const [k, v, q] = [
    normal(random, [1, 1500, 2, 64]),
    normal(random, [1, 1500, 2, 64]),
    normal(random, [1, 20, 4, 64]),
  ];
  const results: NdArray[] = [];
  for (const threads of [1, 3]) {
    const rt = await createRuntime({ variant: 'simd', threads });
    await rt.ready();
    for (const sync of [false, true]) {
      await rt.scope(async () => {
        const rows = async (x: FloatSample, of: 'keys' | 'values') => {
          const tensor = rt.tensor(x.data, x.shape);
          const options = { of, bits: 2, ...(of === 'keys' && { axis: 'channel' as const }) } as const;
          const made = sync ? quantizeKvSync({ x: tensor }, options) : await quantizeKv({ x: tensor }, options);
          return prefixed({ ...made }, of === 'keys' ? 'k' : 'v');
        };
        const inputs = {
          q: rt.tensor(q.data, q.shape),
          ...(await rows(k, 'keys')),
          ...(await rows(v, 'values')),
        } as never;
        const options = { kBits: 2, vBits: 2, kAxis: 'channel', kTokens: 1500, vTokens: 1500 } as const;
        const { o } = sync ? quantizedAttentionSync(inputs, options) : await quantizedAttention(inputs, options);
        results.push({ shape: o.shape, data: await o.data() });
      });
    }
    rt.dispose();
  }
  for (const each of results) assertSameBits(each, results[0]!, 'threads');
});

test('codes that do not fit are refused by name', () => {
  const [rt] = runtimes as [WasmRuntime];
  rt.scope(() => {
    const x = rt.zeros([1, 40, 2, 64]);
    const format = { of: 'keys', bits: 4 } as const;
    const rows = quantizeKvSync({ x }, format);
    const wrong = (body: () => unknown, kind: new (text: string) => Error, message: RegExp) =>
      assert.throws(body, (error: Error) => error instanceof kind && message.test(error.message));
    wrong(() => quantizeKvSync({ x }, { ...format, bits: 3 as never }), OptionError, /bits is 3, expected 4 or 2/);
    wrong(() => quantizeKvSync({ x }, { ...format, group: 20 }), OptionError, /group is 20, expected a multiple of 16/);
    wrong(() => quantizeKvSync({ x }, { bits: 4 } as never), OptionError, /of is undefined/);
    wrong(() => quantizeKvSync({ x }, { of: 'values', axis: 'channel' }), OptionError, /axis is 'channel', but values/);
    wrong(() => quantizeKvSync({ x }, { ...format, outliers: 64 }), OptionError, /outliers is 64/);
    wrong(
      () => quantizeKvSync({ x }, { ...format, bits: 2, symmetric: true }),
      OptionError,
      /symmetric is for codes of 4 bits/,
    );
    wrong(() => quantizeKvSync({ x: rt.zeros([1, 2, 2, 64], 'bf16') }, format), DTypeError, /x is bf16/);
    const q = rt.zeros([1, 1, 2, 64]);
    const v = quantizeKvSync({ x }, { of: 'values' });
    const inputs = (k: CodedTensors, of: CodedTensors) =>
      ({
        q,
        kCodes: k.codes,
        kScale: k.scale,
        kOffset: k.offset,
        vCodes: of.codes,
        vScale: of.scale,
        vOffset: of.offset,
      }) as Record<string, Tensor>;
    wrong(
      () => quantizedAttentionSync(inputs(rows, v) as never, { kTokens: 40 }),
      ShapeError,
      /40 \+ 0 keys .* 48 \+ 0 values/,
    );
    wrong(() => quantizedAttentionSync(inputs(rows, v) as never, { kAxis: 'channel' }), ShapeError, /kScale has shape/);
    wrong(() => quantizedAttentionSync(inputs(rows, v) as never, { kTokens: 49 }), OptionError, /kTokens is 49/);
    const { vScale, ...missing } = inputs(rows, v);
    wrong(() => quantizedAttentionSync(missing as never), ShapeError, /vScale is missing/);
  });
});

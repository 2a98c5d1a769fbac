import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { AttentionCall } from '../../src/engines/attention-call.ts';
import { decodeAttend } from '../../src/engines/decode.ts';
import { mergeParts } from '../../src/engines/hash-rounds.ts';
import { indexAttend } from '../../src/engines/index-attention.ts';
import { attention, type DType, mergeState, pagedAttention, type Runtime, type Tensor } from '../../src/index.ts';
import { run } from '../../src/runtime/program.ts';
import { normal, quantised, randomFrom } from '../samples.ts';
import { bothRuntimes, sameOnBoth } from './both.ts';

after(async () => (await bothRuntimes()).gpu.dispose());

const TIGHT = 1e-5;

type Numbers = (shape: readonly number[], std?: number) => Float32Array<ArrayBuffer>;

/** Normal numbers, the same for each runtime. */
function numbers(seed: number): Numbers {
  const random = randomFrom(seed);
  return (shape, std = 1) => normal(random, shape, std).data;
}

/** A tensor of normal numbers. */
function normals(rt: Runtime, next: Numbers, shape: number[], dtype: DType = 'f32', std = 1): Tensor {
  return rt.tensor(next(shape, std), shape, dtype);
}

/** Keys or values in a storage type, with their scales if they are i8. */
function stored(rt: Runtime, next: Numbers, shape: number[], dtype: DType) {
  if (dtype !== 'i8') return { x: normals(rt, next, shape, dtype), scale: undefined };
  const { codes, scale } = quantised({ shape, data: next(shape) });
  return { x: rt.tensor(codes, shape, 'i8'), scale: rt.tensor(scale.data, shape.slice(0, -1)) };
}

/** [B, T, H, D] as a view of memory with heads first. */
function headsFirst(rt: Runtime, next: Numbers, [B, T, H, D]: [number, number, number, number]): Tensor {
  return normals(rt, next, [B, H, T, D]).permute([0, 2, 1, 3]);
}

const shapes = [
  { B: 1, Tq: 1, Tk: 700, Hkv: 2, group: 1, D: 64, Dv: 64 },
  { B: 2, Tq: 5, Tk: 200, Hkv: 1, group: 2, D: 3, Dv: 1 },
  { B: 1, Tq: 1, Tk: 63, Hkv: 3, group: 1, D: 18, Dv: 80 },
  { B: 1, Tq: 16, Tk: 130, Hkv: 1, group: 3, D: 256, Dv: 256 },
  { B: 1, Tq: 1, Tk: 65, Hkv: 1, group: 1, D: 1, Dv: 1024 },
];

for (const { B, Tq, Tk, Hkv, group, D, Dv } of shapes) {
  test(`${Tq} queries, ${Tk} keys, ${Hkv} x ${group} heads of ${D} and ${Dv}`, async () => {
    await sameOnBoth(
      (rt) => {
        const next = numbers(Tk);
        return {
          q: normals(rt, next, [B, Tq, Hkv * group, D]),
          k: normals(rt, next, [B, Tk, Hkv, D]),
          v: normals(rt, next, [B, Tk, Hkv, Dv]),
        };
      },
      (x) => attention(x, { causal: true }),
      TIGHT,
    );
  });
}

const narrow = [
  { dtype: 'f16', rows: 1, D: 128 },
  { dtype: 'bf16', rows: 4, D: 128 },
  { dtype: 'bf16', rows: 1, D: 20 },
  { dtype: 'i8', rows: 1, D: 128 },
  { dtype: 'i8', rows: 4, D: 64 },
] as const;

for (const { dtype, rows, D } of narrow) {
  test(`${dtype} keys and values of ${D} elements, ${rows} query rows`, async () => {
    await sameOnBoth(
      (rt) => {
        const next = numbers(rows);
        const k = stored(rt, next, [6, 48, 2, D], dtype);
        const v = stored(rt, next, [6, 48, 2, D], dtype);
        return {
          q: normals(rt, next, [2, 1, 2 * rows, D], dtype === 'i8' ? 'f32' : dtype),
          kCache: k.x,
          vCache: v.x,
          blockTable: rt.tensor(Int32Array.of(5, 1, 3, 2, 0, 4), [2, 3]),
          seqLens: rt.tensor(Int32Array.of(144, 50), [2]),
          ...(k.scale && { kScale: k.scale, vScale: v.scale! }),
        };
      },
      (x) => pagedAttention(x),
      // WebAssembly rounds queries of i8 keys
      dtype === 'i8' ? 2e-4 : TIGHT,
    );
  });
}

/** Everything that a call may have beside q, k and v. */
function options(
  rt: Runtime,
  next: Numbers,
  H: number,
  Tq: number,
  Tk: number,
): Record<string, Partial<AttentionCall>> {
  const hidden = next([H, Tq, Tk]).map((x) => (x > 0.5 ? Number.NEGATIVE_INFINITY : x));
  const lowest = new Float32Array(Tk).fill(-3.4028234663852886e38);
  const wide = [...next([Tk * H])].flatMap((x) => [1000 + x, 1e-5 * x]);
  return {
    bias: { bias: rt.tensor(hidden, [1, H, Tq, Tk]) },
    'a bias that hides all': {
      bias: rt.tensor(lowest.fill(Number.NEGATIVE_INFINITY), [1, 1, 1, Tk]).broadcast([1, H, Tq, Tk]),
    },
    mask: {
      mask: rt
        .tensor(
          Uint8Array.from(next([Tq, Tk]), (x) => (x > 0 ? 1 : 0)),
          [1, 1, Tq, Tk],
        )
        .broadcast([1, H, Tq, Tk]),
    },
    'key bias': { keyBias: normals(rt, next, [1, Tk, H]) },
    'wide key bias': { keyBias: wideBias(rt, wide, [1, Tk, H]) },
    alibi: { alibiSlopes: normals(rt, next, [H]) },
    softcap: { softcap: 3 },
    sinks: { sinks: normals(rt, next, [H]) },
    'factors on the output': {
      outScale: rt.tensor(
        Float32Array.from({ length: H }, (_, h) => h),
        [H],
      ),
    },
    window: { window: [20, 0] },
    'a window that sees nothing': { window: [-1, -1], sequences: [span(Tq, 0)] },
    everything: {
      bias: rt.tensor(hidden, [1, H, Tq, Tk]),
      keyBias: normals(rt, next, [1, Tk, H]),
      alibiSlopes: normals(rt, next, [H]),
      sinks: normals(rt, next, [H]),
      softcap: 5,
      window: [60, 3],
    },
  };
}

/** Doubles on WebAssembly, which are pairs of floats on a GPU. */
function wideBias(rt: Runtime, pairs: readonly number[], shape: number[]): Tensor {
  const doubles = Float64Array.from({ length: pairs.length / 2 }, (_, i) => pairs[2 * i]! + pairs[2 * i + 1]!);
  const highAndLow = Float32Array.from([...doubles].flatMap((x) => [x, x - Math.fround(x)]));
  const words = rt.backend === 'webgpu' ? highAndLow : doubles;
  // as words: a float of an arbitrary pattern must come through
  return rt.tensor(new Int32Array(words.buffer), [...shape, 2], 'i32');
}

function span(qLength: number, kLength: number, qStart = 0) {
  return { batch: 0, qStart, qLength, kStart: 0, kLength, offset: kLength - qLength };
}

test('every option of a call', async () => {
  const [H, Tq, Tk, D] = [4, 2, 90, 16];
  for (const name of Object.keys(options((await bothRuntimes()).wasm, numbers(1), H, Tq, Tk))) {
    await sameOnBoth(
      (rt) => {
        const next = numbers(3);
        return {
          q: normals(rt, next, [1, Tq, H, D]),
          k: normals(rt, next, [1, Tk, 2, D]),
          v: normals(rt, next, [1, Tk, 2, D]),
          extra: options(rt, next, H, Tq, Tk)[name]!,
        };
      },
      ({ q, k, v, extra }) =>
        run(name, { q, k, v }, (b) => {
          const [o, lse] = [b.output([1, Tq, H, D]), b.output([1, Tq, H])];
          decodeAttend(b, {
            q,
            k,
            v,
            o,
            lse,
            sequences: [span(Tq, Tk)],
            scale: 0.25,
            softcap: 0,
            window: [-1, 0],
            ...extra,
          });
          return { o, lse };
        }),
      TIGHT,
    ).catch((error: Error) => assert.fail(`${name}: ${error.message}`));
  }
});

test('results are added to, or joined with, what is there', async () => {
  for (const accumulate of [true, 'join'] as const) {
    await sameOnBoth(
      (rt) => {
        const next = numbers(4);
        return {
          q: normals(rt, next, [1, 1, 2, 20]),
          k: normals(rt, next, [1, 90, 2, 20]),
          v: normals(rt, next, [1, 90, 2, 20]),
        };
      },
      ({ q, k, v }) =>
        run('joined', { q, k, v }, (b) => {
          const [o, lse] = [b.output([1, 1, 2, 20]), b.output([1, 1, 2])];
          const base = { q, k, v, o, lse, scale: 0.25, softcap: 0, window: [-1, -1] as const };
          decodeAttend(b, { ...base, sequences: [span(1, 40)] });
          decodeAttend(b, { ...base, sequences: [{ ...span(1, 50), kStart: 40 }], accumulate });
          decodeAttend(b, { ...base, sequences: [span(1, 0)], accumulate });
          return { o, lse };
        }),
      TIGHT,
    );
  }
});

test('keys in two pieces, values within keys, heads first', async () => {
  for (const dtype of ['f32', 'bf16'] as const) {
    await sameOnBoth(
      (rt) => {
        const next = numbers(6);
        return {
          q: normals(rt, next, [1, 1, 8, 80]),
          k: normals(rt, next, [1, 70, 1, 64], dtype),
          kRest: normals(rt, next, [1, 70, 16], dtype),
        };
      },
      ({ q, k, kRest }) =>
        run('rest', { q, k, kRest }, (b) => {
          const o = b.output([1, 1, 8, 64]);
          const v = k;
          decodeAttend(b, { q, k, kRest, v, o, sequences: [span(1, 70)], scale: 0.1, softcap: 0, window: [-1, -1] });
          return { o };
        }),
      TIGHT,
    );
  }
  await sameOnBoth(
    (rt) => {
      const next = numbers(7);
      return {
        q: headsFirst(rt, next, [1, 2, 4, 64]),
        k: headsFirst(rt, next, [1, 200, 4, 64]),
        v: headsFirst(rt, next, [1, 200, 4, 64]),
      };
    },
    (x) => attention(x),
    TIGHT,
  );
});

test('packed sequences of several lengths, empty ones among them', async () => {
  await sameOnBoth(
    (rt) => {
      const next = numbers(8);
      return {
        q: normals(rt, next, [1, 4, 2, 16]),
        k: normals(rt, next, [1, 100, 2, 16]),
        v: normals(rt, next, [1, 100, 2, 16]),
        cuSeqlens: rt.tensor(Int32Array.of(0, 1, 1, 3, 4), [5]),
        cuSeqlensK: rt.tensor(Int32Array.of(0, 70, 75, 75, 100), [5]),
      };
    },
    (x) => attention(x, { causal: true }),
    TIGHT,
  );
});

test('scores that are large', async () => {
  await sameOnBoth(
    (rt) => {
      const next = numbers(9);
      return {
        q: normals(rt, next, [1, 1, 2, 64], 'f32', 100),
        k: normals(rt, next, [1, 300, 2, 64], 'f32', 100),
        v: normals(rt, next, [1, 300, 2, 64]),
      };
    },
    (x) => attention(x),
    1e-4,
  );
});

test('lists of keys', async () => {
  const cases = [
    { Tq: 1, Hkv: 2, group: 2, lists: 2, dtype: 'f32', softcap: 0, sinks: false },
    { Tq: 5, Hkv: 1, group: 6, lists: 1, dtype: 'f16', softcap: 4, sinks: true },
    { Tq: 3, Hkv: 2, group: 1, lists: 1, dtype: 'i8', softcap: 0, sinks: false },
  ] as const;
  for (const { Tq, Hkv, group, lists, dtype, softcap, sinks } of cases) {
    const [B, Tk, K, D, H] = [2, 180, 150, 32, Hkv * group];
    await sameOnBoth(
      (rt) => {
        const next = numbers(10);
        const k = stored(rt, next, [B, Tk, Hkv, D], dtype);
        const v = stored(rt, next, [B, Tk, Hkv, D], dtype);
        const counts = Int32Array.from({ length: B * lists * Tq }, (_, n) => (n * 37) % (K + 1));
        const indices = Int32Array.from({ length: B * lists * Tq * K }, (_, n) => (n % K) + Math.floor((n % K) / 5));
        return {
          call: {
            q: normals(rt, next, [B, Tq, H, D]),
            k: k.x,
            v: v.x,
            ...(k.scale && { kScale: k.scale, vScale: v.scale! }),
            ...(sinks && { sinks: normals(rt, next, [H]), outScale: normals(rt, next, [H]) }),
          },
          indices: rt.tensor(indices, [B, lists, Tq, K]),
          counts: rt.tensor(counts, [B, lists, Tq]),
          bias: normals(rt, next, [B, lists, Tq, K]),
        };
      },
      ({ call, indices, counts, bias }) =>
        run('lists', { q: call.q }, (b) => {
          const [o, lse] = [b.output([B, Tq, H, D]), b.output([B, Tq, H])];
          const sequences = Array.from({ length: B }, (_, batch) => ({ ...span(Tq, Tk), batch }));
          indexAttend(
            b,
            { ...call, o, lse, sequences, scale: 0.2, softcap, window: [-1, -1] },
            { indices, counts, bias },
          );
          return { o, lse };
        }),
      dtype === 'i8' ? 2e-4 : TIGHT,
    );
  }
});

test('results over disjoint keys are merged', async () => {
  const part = (rt: Runtime, next: Numbers, empty: number) => {
    const lse = next([1, 3, 2]);
    lse[empty] = Number.NEGATIVE_INFINITY;
    lse[5] = Number.NEGATIVE_INFINITY;
    return { o: normals(rt, next, [1, 3, 2, 18]), lse: rt.tensor(lse, [1, 3, 2]) };
  };
  await sameOnBoth(
    (rt) => {
      const next = numbers(11);
      return [part(rt, next, 0), part(rt, next, 2)] as const;
    },
    ([a, b]) => mergeState({ oA: a.o, lseA: a.lse, oB: b.o, lseB: b.lse }),
    TIGHT,
  );
  await sameOnBoth(
    (rt) => {
      const next = numbers(12);
      const lse = next([1, 3, 2, 4]);
      lse.fill(Number.NEGATIVE_INFINITY, 3, 12);
      return { parts: normals(rt, next, [1, 3, 2, 4, 18]), lseParts: rt.tensor(lse, [1, 3, 2, 4]) };
    },
    ({ parts, lseParts }) =>
      run('parts', { parts }, (b) => {
        const [o, lse] = [b.output([1, 3, 2, 18]), b.output([1, 3, 2])];
        mergeParts(b, parts, lseParts, o, lse);
        return { o, lse };
      }),
    TIGHT,
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { AttentionCall } from '../src/engines/attention-call.ts';
import { indexAttend } from '../src/engines/index-attention.ts';
import { OptionError, type Runtime, type Tensor } from '../src/index.ts';
import { run } from '../src/runtime/program.ts';
import { assertAccurate, expected } from './accuracy.ts';
import { call as callOp, codesOn } from './call.ts';
import { property } from './property.ts';
import { attention } from './reference/attention.ts';
import type { NdArray } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { bits, floats, ints, mapped, normal, quantised, randomFrom, roundToBfloat, roundToHalf } from './samples.ts';

const runtimes = await variants(2);

interface Lists {
  indices: NdArray & { data: Int32Array<ArrayBuffer> };
  counts: NdArray & { data: Int32Array<ArrayBuffer> };
}

/** The lists of a mask [B, L, Tq, Tk] in rows of `capacity`; what no list counts names keys that are not there. */
function listsOf(mask: NdArray, capacity: number): Lists {
  const [B, L, Tq, Tk] = mask.shape as [number, number, number, number];
  const indices = new Int32Array(B * L * Tq * capacity).fill(2 ** 30);
  const counts = new Int32Array(B * L * Tq);
  for (let row = 0; row < counts.length; ++row) {
    for (let j = 0; j < Tk; ++j) {
      if (mask.data[row * Tk + j]) indices[row * capacity + counts[row]!++] = j;
    }
  }
  return { indices: { shape: [B, L, Tq, capacity], data: indices }, counts: { shape: [B, L, Tq], data: counts } };
}

type Extra = Partial<Pick<AttentionCall, 'scale' | 'softcap' | 'sinks' | 'kScale' | 'vScale' | 'pages' | 'sequences'>>;

/** The engine as an operation. */
function attendLists(
  inputs: { q: Tensor; k: Tensor; v: Tensor; indices: Tensor; counts: Tensor },
  extra: Extra = {},
): Promise<{ o: Tensor; lse: Tensor }> {
  const { q, k, v, indices, counts } = inputs;
  const [B, Tq, H, D] = q.shape as [number, number, number, number];
  const Tk = k.shape[1]!;
  return run('lists', inputs, (b) => {
    const whole = (batch: number) => ({ batch, qStart: 0, qLength: Tq, kStart: 0, kLength: Tk, offset: Tk - Tq });
    const sequences = Array.from({ length: B }, (_, batch) => whole(batch));
    const [o, lse] = [b.output([B, Tq, H, v.shape[3]!]), b.output([B, Tq, H])];
    const scale = D ** -0.5;
    indexAttend(b, { q, k, v, o, lse, sequences, scale, softcap: 0, window: [-1, -1], ...extra }, { indices, counts });
    return { o, lse };
  });
}

/** The mask of each query head, from those of lists. */
function maskOfHeads(mask: NdArray, heads: number): NdArray {
  const [B, L, Tq, Tk] = mask.shape as [number, number, number, number];
  const row = Tq * Tk;
  const data = Uint8Array.from({ length: B * heads * row }, (_, n) => {
    const h = Math.floor(n / row) % heads;
    const b = Math.floor(n / (row * heads));
    return mask.data[(b * L + Math.floor((h * L) / heads)) * row + (n % row)]!;
  });
  return { shape: [B, heads, Tq, Tk], data };
}

test('lists of keys equal the dense mask that they stand for', () =>
  property(
    fc.record({
      seed: fc.nat(),
      B: fc.constantFrom(1, 2),
      Tq: fc.constantFrom(1, 2, 5, 33),
      Tk: fc.constantFrom(1, 7, 64, 65, 200),
      kvHeads: fc.constantFrom(1, 2),
      group: fc.constantFrom(1, 2, 3, 4, 17),
      lists: fc.constantFrom('one', 'kv', 'heads') as fc.Arbitrary<'one' | 'kv' | 'heads'>,
      D: fc.constantFrom(1, 3, 18, 64, 80),
      Dv: fc.constantFrom(1, 5, 16, 24, 64),
      density: fc.constantFrom(0, 0.1, 0.5, 1),
      softcap: fc.constantFrom(0, 0, 5),
      sinks: fc.boolean(),
      std: fc.constantFrom(1, 1, 8),
      spare: fc.constantFrom(0, 3),
    }),
    40,
    async ({ seed, B, Tq, Tk, kvHeads, group, lists, D, Dv, density, softcap, sinks, std, spare }) => {
      const random = randomFrom(seed);
      const H = kvHeads * group;
      const L = { one: 1, kv: kvHeads, heads: H }[lists];
      const inputs = {
        q: normal(random, [B, Tq, H, D], std),
        k: normal(random, [B, Tk, kvHeads, D]),
        v: normal(random, [B, Tk, kvHeads, Dv]),
      };
      const sink = sinks ? normal(random, [H]) : undefined;
      const mask = bits(random, [B, L, Tq, Tk], density);
      const wanted = expected((round) =>
        attention(
          { ...inputs, mask: maskOfHeads(mask, H), ...(sink && { sinks: sink }) },
          { ...(softcap && { softcap }) },
          round,
        ),
      );
      for (const rt of runtimes) {
        await rt.scope(async () => {
          const extra = { softcap, ...(sink && { sinks: rt.tensor(sink.data, [H]) }) };
          const got = await callOp(rt, attendLists, { ...inputs, ...listsOf(mask, Tk + spare) }, extra);
          assertAccurate(got, wanted, rt.variant);
        });
      }
    },
  ));

/** Random 16-bit, 8-bit and paged caches. */
async function eachStorage(
  rt: Runtime,
  check: (k: Tensor, v: Tensor, values: { k: NdArray; v: NdArray }, extra: Extra, what: string) => Promise<void>,
): Promise<void> {
  const random = randomFrom(71);
  const [B, Tk, H, D, Dv] = [2, 90, 2, 24, 40] as const;
  const [k, v] = [normal(random, [B, Tk, H, D]), normal(random, [B, Tk, H, Dv])];
  for (const [type, round] of [
    ['f16', roundToHalf],
    ['bf16', roundToBfloat],
  ] as const) {
    const values = { k: mapped(k, round), v: mapped(v, round) };
    await check(rt.tensor(k.data, k.shape, type), rt.tensor(v.data, v.shape, type), values, {}, type);
  }
  const [kCodes, vCodes] = [quantised(k), quantised(v)];
  const scales = {
    kScale: rt.tensor(kCodes.scale.data, kCodes.scale.shape),
    vScale: rt.tensor(vCodes.scale.data, vCodes.scale.shape),
  };
  const codes = { k: kCodes.value, v: vCodes.value };
  await check(codesOn(rt, kCodes), codesOn(rt, vCodes), codes, scales, 'i8');
  // pages of 16 in reverse order
  const size = 16;
  const pages = Math.ceil(Tk / size);
  const table = ints(
    Array.from({ length: B * pages }, (_, n) => B * pages - 1 - n),
    [B, pages],
  );
  const paged = (x: NdArray) => {
    const d = x.shape[3]!;
    return floats([B * pages, size, H, d], (n) => {
      const [c, h, r, page] = [
        n % d,
        Math.floor(n / d) % H,
        Math.floor(n / (d * H)) % size,
        Math.floor(n / (d * H * size)),
      ];
      const entry = B * pages - 1 - page;
      const j = (entry % pages) * size + r;
      return j < Tk ? x.data[((Math.floor(entry / pages) * Tk + j) * H + h) * d + c]! : Number.NaN;
    });
  };
  const [kPages, vPages] = [paged(k), paged(v)];
  const extra: Extra = {
    pages: { table: rt.tensor(table.data, table.shape, 'i32'), size },
    sequences: Array.from({ length: B }, (_, batch) => ({
      batch,
      qStart: 0,
      qLength: 6,
      kStart: 0,
      kLength: Tk,
      offset: 0,
    })),
  };
  await check(rt.tensor(kPages.data, kPages.shape), rt.tensor(vPages.data, vPages.shape), { k, v }, extra, 'pages');
}

test('lists of 16-bit, 8-bit and paged caches', async () => {
  for (const rt of runtimes) {
    await rt.scope(async () => {
      await eachStorage(rt, async (k, v, values, extra, what) => {
        const random = randomFrom(72);
        const q = normal(random, [2, 6, 4, 24]);
        const mask = bits(random, [2, 2, 6, 90], 0.3);
        const wanted = expected((round) => attention({ q, ...values, mask: maskOfHeads(mask, 4) }, {}, round));
        const got = await callOp(rt, attendLists, { q, k, v, ...listsOf(mask, 90) }, extra);
        assertAccurate(got, wanted, `${rt.variant}, ${what}`);
      });
    });
  }
});

test('keys that are not there are read as the nearest ones, and biases are refused', async () => {
  for (const rt of runtimes) {
    await rt.scope(async () => {
      const random = randomFrom(73);
      const x = normal(random, [1, 4, 1, 8]);
      const q = rt.tensor(x.data, x.shape);
      const indices = rt.tensor(Int32Array.of(-5, 1, 1 << 30, -(2 ** 31)), [1, 1, 4, 1], 'i32');
      const counts = rt.tensor(Int32Array.of(1, 1, 1, 1), [1, 1, 4], 'i32');
      const { o } = await attendLists({ q, k: q, v: q, indices, counts });
      const row = (j: number) => [...x.data.subarray(j * 8, j * 8 + 8)];
      assert.deepEqual([...o.dataSync()], [row(0), row(1), row(3), row(0)].flat());
      const lists = { indices, counts };
      await assert.rejects(
        run('lists', { q }, (b) => {
          const call = { q, k: q, v: q, o, sequences: [], scale: 1, softcap: 0, window: [-1, -1] as const, mask: q };
          indexAttend(b, call, lists);
          return { o };
        }),
        OptionError,
      );
    });
  }
});

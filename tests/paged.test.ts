import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attentionSync, createRuntime, pagedAttentionSync } from '../src/index.ts';

test('paged attention equals attention over the gathered keys, for one query and for a whole prompt, in every storage', async () => {
  using rt = await createRuntime({ threads: 1 });
  const [B, Hq, Hkv, D, Dv, pageSize, maxPages] = [2, 4, 2, 24, 16, 7, 30];
  const lengths = [200, 61];
  const pages = B * maxPages;
  const random = (n: number, seed: number) =>
    Float32Array.from({ length: n }, (_, i) => Math.sin(i * 12.9898 + seed * 78.233));
  // pages in a scrambled order
  const table = Int32Array.from({ length: pages }, (_, i) => (i * 37) % pages);
  const floats = { k: random(pages * pageSize * Hkv * D, 1), v: random(pages * pageSize * Hkv * Dv, 2) };
  const scales = { k: random(pages * pageSize * Hkv, 3), v: random(pages * pageSize * Hkv, 4) };
  for (const dtype of ['f32', 'f16', 'bf16', 'i8'] as const) {
    const cache =
      dtype === 'i8'
        ? { k: floats.k.map((x) => Math.round(127 * x)), v: floats.v.map((x) => Math.round(127 * x)) }
        : floats;
    for (const Tq of [1, 3, 16, 17, 61]) {
      const q = random(B * Tq * Hq * D, 3 + Tq);
      const { o, lse } = pagedAttentionSync({
        q: rt.tensor(q, [B, Tq, Hq, D]),
        kCache: rt.tensor(cache.k, [pages, pageSize, Hkv, D], dtype),
        vCache: rt.tensor(cache.v, [pages, pageSize, Hkv, Dv], dtype),
        blockTable: rt.tensor(table, [B, maxPages]),
        seqLens: rt.tensor(Int32Array.from(lengths), [B]),
        ...(dtype === 'i8' && {
          kScale: rt.tensor(scales.k, [pages, pageSize, Hkv]),
          vScale: rt.tensor(scales.v, [pages, pageSize, Hkv]),
        }),
      });
      for (const [b, length] of lengths.entries()) {
        const gather = (source: Float32Array, d: number, type: 'f32' | 'i8' | 'f16' | 'bf16' = dtype) => {
          const out = new Float32Array(length * Hkv * d);
          for (let t = 0; t < length; ++t) {
            const page = table[b * maxPages + Math.floor(t / pageSize)]!;
            const from = (page * pageSize + (t % pageSize)) * Hkv * d;
            out.set(source.subarray(from, from + Hkv * d), t * Hkv * d);
          }
          return rt.tensor(out, [1, length, Hkv, d], type);
        };
        const size = Tq * Hq;
        const want = attentionSync(
          {
            q: rt.tensor(q.subarray(b * size * D, (b + 1) * size * D), [1, Tq, Hq, D]),
            k: gather(cache.k, D),
            v: gather(cache.v, Dv),
            ...(dtype === 'i8' && {
              kScale: gather(scales.k, 1, 'f32').reshape([1, length, Hkv]),
              vScale: gather(scales.v, 1, 'f32').reshape([1, length, Hkv]),
            }),
          },
          { causal: true },
        );
        const compare = (got: Float32Array, expected: Float32Array) =>
          got.forEach((x, i) => {
            // sums of int8 are as large as 127
            const limit = dtype === 'i8' ? 2e-6 * 127 : 2e-6;
            assert.ok(Math.abs(x - expected[i]!) < limit, `${dtype} Tq ${Tq}: ${x} and ${expected[i]} at ${i}`);
          });
        compare(o.slice(0, b, b + 1).dataSync() as Float32Array, want.o.dataSync() as Float32Array);
        compare(lse.slice(0, b, b + 1).dataSync() as Float32Array, want.lse.dataSync() as Float32Array);
      }
    }
  }
});

import { test } from 'node:test';
import fc from 'fast-check';
import type { Reduction, Visible } from '../src/engines/select/map.ts';
import { poolBlocks, poolLabels } from '../src/engines/select/pool.ts';
import { type MapGroup, reduceMap } from '../src/engines/select/reduce-map.ts';
import { scoreMap } from '../src/engines/select/score-map.ts';
import { softmaxMap } from '../src/engines/select/softmax-map.ts';
import type { DType, Tensor } from '../src/index.ts';
import { assertAccurate, assertSameBits, expected } from './accuracy.ts';
import { call } from './call.ts';
import { property, sometimes } from './property.ts';
import type { NdArray } from './reference/ndarray.ts';
import * as reference from './reference/select.ts';
import { variants } from './runtimes.ts';
import { bits, type FloatSample, floats, ints, normal, randomFrom, roundToBfloat, roundToHalf } from './samples.ts';
import { program } from './select-calls.ts';

const rts = await variants();

const KINDS: readonly Reduction[] = ['mean', 'sum', 'max', 'min'];

const visibles = fc.constantFrom<Visible | undefined>(
  undefined,
  { mul: 1, add: 1, div: 1 },
  { mul: 5, add: -9, div: 3 },
  { mul: -3, add: 40, div: 1 },
  { mul: 0, add: -1, div: 2 },
);

/** A map with 0 where rows do not see it: what is left unmade must not be compared. */
function masked({ shape, data }: NdArray, visible: Visible | undefined): NdArray {
  const [, , R, C] = shape as [number, number, number, number];
  const at = (n: number) => n % C < reference.seen(visible, Math.floor(n / C) % R, C);
  return { shape, data: Float64Array.from({ length: data.length }, (_, n) => (at(n) ? data[n]! : 0)) };
}

const scored = program(
  (
    b,
    { q, k, weights }: { q: Tensor; k: Tensor; weights?: Tensor },
    { scale, visible, swapped, type }: { scale: number; visible?: Visible; swapped: boolean; type: DType },
  ) => {
    // [B, H, T, D] behind [B, T, H, D]
    const view = (x: Tensor) => (swapped ? x.permute([0, 2, 1, 3]) : x);
    const stored = (x: Tensor) => view(type === 'f32' ? x : b.runtime.tensor(x.dataSync(), x.shape, type));
    return { map: scoreMap(b, { q: stored(q), k: stored(k), scale, visible, weights }) };
  },
);

test('scores are products of all rows, or the sums of an indexer', async () => {
  await property(
    fc.record({
      B: fc.constantFrom(1, 2),
      N: fc.constantFrom(0, 1, 2, 5, 6, 7, 13, 100),
      M: fc.constantFrom(0, 1, 7, 8, 9, 63, 64, 65, 150),
      Hkv: fc.constantFrom(1, 3),
      group: fc.constantFrom(1, 2, 5),
      D: fc.constantFrom(1, 3, 18, 64, 80),
      scale: fc.constantFrom(1, 0.125),
      visible: visibles,
      indexer: fc.boolean(),
      swapped: fc.boolean(),
      type: fc.constantFrom<DType>('f32', 'f32', 'f16', 'bf16'),
      seed: fc.nat(),
    }),
    40,
    async ({ B, N, M, Hkv, group, D, scale, visible, indexer, swapped, type, seed }) => {
      const random = randomFrom(seed);
      const round = type === 'f16' ? roundToHalf : type === 'bf16' ? roundToBfloat : (x: number) => x;
      const sample = (shape: number[]) => {
        const x = normal(random, shape);
        return floats(shape, (n) => round(x.data[n]!));
      };
      const [q, k] = [sample([B, N, Hkv * group, D]), sample([B, M, Hkv, D])];
      const weights = indexer ? normal(random, [B, N, Hkv * group]) : undefined;
      const want = expected((precision) => ({
        map: masked(reference.scoreMap({ q, k, scale, weights }, precision), visible),
      }));
      const lay = (x: FloatSample): FloatSample => {
        if (!swapped) return x;
        const [b, T, H, d] = x.shape as [number, number, number, number];
        return floats([b, H, T, d], (n) => {
          const [c, t, h] = [n % d, Math.floor(n / d) % T, Math.floor(n / d / T) % H];
          return x.data[((Math.floor(n / d / T / H) * T + t) * H + h) * d + c]!;
        });
      };
      for (const rt of rts) {
        const options = { scale, swapped, type, ...(visible && { visible }) };
        const { map } = await call(rt, scored, { q: lay(q), k: lay(k), weights }, options);
        assertAccurate(
          { map: masked(map, visible) },
          want,
          `${rt.variant} B${B} N${N} M${M} Hkv${Hkv} group ${group} D${D}`,
        );
      }
    },
  );
});

const maps = fc.record({
  shape: fc.tuple(
    fc.constantFrom(1, 2),
    fc.constantFrom(2, 6),
    fc.constantFrom(0, 1, 2, 9, 16),
    fc.constantFrom(1, 2, 3, 4, 31, 64, 70),
  ),
  visible: visibles,
  seed: fc.nat(),
});

const softened = program((b, { map }: { map: Tensor }, options: { visible?: Visible; scale: number }) => {
  softmaxMap(b, map, options);
  return { map };
});

test('softmax of rows is over what they see, and 0 beyond', async () => {
  await property(
    fc.record({ each: maps, scale: fc.constantFrom(1, 0.3, 20), holes: fc.boolean() }),
    60,
    async ({ each: { shape, visible, seed }, scale, holes }) => {
      const random = randomFrom(seed);
      const x = normal(random, shape);
      const hole = bits(random, shape, 0.3);
      const map = floats(shape, (n) => (holes && hole.data[n] ? Number.NEGATIVE_INFINITY : x.data[n]!));
      const want = expected((precision) => ({ map: reference.softmaxMap(map, scale, visible, precision) }));
      for (const rt of rts) {
        const got = await call(rt, softened, { map }, { scale, ...(visible && { visible }) });
        assertAccurate(got, want, `${rt.variant} [${shape}] scale ${scale}`);
      }
    },
  );
});

const reducedMap = program(
  (b, { map }: { map: Tensor }, options: { group: MapGroup; kind: Reduction; visible?: Visible }) => ({
    o: reduceMap(b, map, options.group, options.kind, options),
  }),
);

test('groups of heads, rows and columns become one', async () => {
  await property(
    fc.record({
      each: maps,
      kind: fc.constantFrom(...KINDS),
      group: fc.record({
        heads: fc.constantFrom(1, 2),
        rows: fc.constantFrom(1, 2, 5),
        columns: fc.constantFrom(1, 2, 3, 16),
      }),
    }),
    80,
    async ({ each: { shape, visible, seed }, kind, group }) => {
      const map = normal(randomFrom(seed), shape);
      const want = expected((precision) => ({ o: reference.reduceMap(map, group, kind, visible, precision) }));
      for (const rt of rts) {
        const got = await call(rt, reducedMap, { map }, { group, kind, ...(visible && { visible }) });
        assertAccurate(got, want, `${rt.variant} [${shape}] ${kind} ${JSON.stringify(group)}`);
      }
    },
  );
});

const pooled = program((b, { x }: { x: Tensor }, { block, kind }: { block: number; kind: Reduction }) => ({
  o: poolBlocks(b, x, block, kind),
}));
const pooledLabels = program(
  (b, { x, labels }: { x: Tensor; labels: Tensor }, { count, kind }: { count: number; kind: Reduction }) => ({
    ...poolLabels(b, x, labels, count, kind),
  }),
);

test('rows are pooled by blocks and by labels', async () => {
  await property(
    fc.record({
      shape: fc.tuple(
        fc.constantFrom(1, 2),
        fc.constantFrom(0, 1, 5, 64, 65),
        fc.constantFrom(2, 6),
        fc.constantFrom(1, 3, 18, 64),
      ),
      block: fc.constantFrom(1, 2, 7, 64, 100),
      kind: fc.constantFrom(...KINDS),
      lists: fc.constantFrom(1, 2),
      holes: sometimes(fc.constant(true)),
      seed: fc.nat(),
    }),
    60,
    async ({ shape, block, kind, lists, holes, seed }) => {
      const random = randomFrom(seed);
      const [B, T] = shape;
      const x = normal(random, shape);
      const want = expected((precision) => ({ o: reference.poolBlocks(x, block, kind, precision) }));
      const labels = ints(
        Array.from({ length: B * lists * T }, () =>
          holes && random() < 0.3 ? (random() < 0.5 ? -1 : 9) : Math.floor(random() * 9),
        ),
        [B, lists, T],
      );
      const { counts } = reference.poolLabels(x, labels, 9, kind);
      const wantRows = expected((precision) => ({ rows: reference.poolLabels(x, labels, 9, kind, precision).rows }));
      for (const rt of rts) {
        assertAccurate(
          await call(rt, pooled, { x }, { block, kind }),
          want,
          `${rt.variant} [${shape}] ${block} ${kind}`,
        );
        const got = await call(rt, pooledLabels, { x, labels }, { count: 9, kind });
        assertAccurate({ rows: got.rows }, wantRows, `${rt.variant} [${shape}] labels ${kind}`);
        assertSameBits(got.counts, counts, 'counts');
      }
    },
  );
});

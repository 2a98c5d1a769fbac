import { after, test } from 'node:test';
import { bitWeights } from '../../src/engines/select/bit-weights.ts';
import { combineBits, countBits, selectIndices } from '../../src/engines/select/bits.ts';
import { blockTokens } from '../../src/engines/select/block-tokens.ts';
import { selectAbove, selectTopK, selectTopP } from '../../src/engines/select/choose.ts';
import { coverCount } from '../../src/engines/select/cover-count.ts';
import { gatherHeads, scatterHeads } from '../../src/engines/select/gather.ts';
import { lshBuckets, simHash } from '../../src/engines/select/hash.ts';
import { kMeans } from '../../src/engines/select/k-means.ts';
import { pageBounds, scorePages } from '../../src/engines/select/page-bounds.ts';
import { poolBlocks, poolLabels } from '../../src/engines/select/pool.ts';
import { reduceMap } from '../../src/engines/select/reduce-map.ts';
import { scoreMap } from '../../src/engines/select/score-map.ts';
import { softmaxMap } from '../../src/engines/select/softmax-map.ts';
import { sortByLabel } from '../../src/engines/select/sort.ts';
import { weightSums } from '../../src/engines/select/weight-sums.ts';
import type { Runtime } from '../../src/index.ts';
import { bothRuntimes, sameOnBoth } from './both.ts';
import { laid, maker } from './select-programs.ts';

after(async () => (await bothRuntimes()).gpu.dispose());

const TIGHT = 1e-5;
const EXACT = 0;

/** What rows see of maps. */
const VISIBLES = [undefined, { mul: 1, add: 1, div: 1 }, { mul: 5, add: -9, div: 3 }, { mul: -3, add: 40, div: 1 }];

test('scores of maps, of all types, of tiles of both heights', async () => {
  const cases = [
    { B: 2, N: 17, M: 65, H: 4, kv: 2, D: 18, type: 'f32' },
    { B: 1, N: 130, M: 150, H: 3, kv: 1, D: 80, type: 'f16' },
    { B: 1, N: 65, M: 1, H: 2, kv: 2, D: 1, type: 'bf16' },
    { B: 1, N: 150, M: 200, H: 16, kv: 4, D: 19, type: 'f32' },
  ] as const;
  for (const [n, { B, N, M, H, kv, D, type }] of cases.entries()) {
    await sameOnBoth(
      (rt) => {
        const { floats } = maker(n);
        // rows of one head lie together
        const view = (T: number, heads: number) => floats(rt, [B, heads, T, D], type).permute([0, 2, 1, 3]);
        return { q: view(N, H), k: view(M, kv), weights: floats(rt, [B, N, H]) };
      },
      laid((b, { q, k, weights }) => ({
        map: scoreMap(b, { q: q!, k: k!, scale: 0.3 }),
        index: scoreMap(b, { q: q!, k: k!, scale: 0.3, weights }),
      })),
      TIGHT,
    );
  }
});

test('scores of few queries', async () => {
  const cases = [
    { N: 1, M: 200, H: 1, D: 64, type: 'f32' },
    { N: 1, M: 70, H: 4, D: 80, type: 'bf16' },
    { N: 3, M: 70, H: 8, D: 257, type: 'f16' },
  ] as const;
  for (const [n, { N, M, H, D, type }] of cases.entries()) {
    await sameOnBoth(
      (rt) => {
        const { floats } = maker(n);
        return { q: floats(rt, [2, N, H, D], type), k: floats(rt, [2, M, 1, D], type) };
      },
      laid((b, { q, k }) => ({ map: scoreMap(b, { q: q!, k: k!, scale: 0.1 }) })),
      TIGHT,
    );
  }
});

test('softmax of rows, and reductions, over what rows see', async () => {
  for (const [n, visible] of VISIBLES.entries()) {
    for (const columns of [7, 65, 600]) {
      await sameOnBoth(
        (rt) => ({ map: maker(n).floats(rt, [2, 4, 9, columns]) }),
        laid((b, { map }) => ({
          mean: reduceMap(b, map!, { heads: 2, rows: 4, columns: 3 }, 'mean', { visible }),
          sum: reduceMap(b, map!, { rows: 9, columns: 64 }, 'sum', { visible }),
          max: reduceMap(b, map!, { heads: 4 }, 'max', { visible }),
          min: reduceMap(b, map!, { columns: columns }, 'min', { visible }),
          map: softmaxMap(b, map!, { visible, scale: 0.7 }),
        })),
        TIGHT,
      );
    }
  }
});

test('the k highest of rows and of lists, equals from the left', async () => {
  for (const columns of [5, 33, 64, 100, 129, 1100]) {
    for (const [n, visible] of VISIBLES.entries()) {
      const make = (rt: Runtime) => {
        const { floats, steps, ints } = maker(n + columns);
        return {
          map: floats(rt, [1, 2, 9, columns]),
          equal: steps(rt, [1, 2, 9, columns], 6),
          each: ints(rt, [1, 2, 9], 0, columns + 3),
        };
      };
      await sameOnBoth(
        make,
        laid((b, { map, equal, each }) => ({
          k: selectTopK(b, map!, { k: 7, visible }),
          each: selectTopK(b, equal!, { k: each!, visible, first: 2, last: 1 }),
          added: selectTopK(b, equal!, { k: 5, visible, first: 1, last: 2, forced: 'added' }),
          union: selectTopK(b, equal!, { k: 20, visible, first: 3, last: 2, forced: 'union' }),
          head: selectTopK(b, equal!, { k: 40, visible, first: 1, last: 1, scope: 'head' }),
          above: selectAbove(b, map!, { threshold: 0.5, visible, first: 1 }),
        })),
        EXACT,
      );
    }
  }
});

test('the fewest that hold a share, of rows and of lists', async () => {
  for (const columns of [5, 33, 64, 100, 129, 1100]) {
    for (const [n, visible] of VISIBLES.entries()) {
      const make = (rt: Runtime) => {
        const { weights, steps } = maker(n + columns);
        return {
          map: weights(rt, [1, 2, 9, columns]),
          equal: steps(rt, [1, 2, 9, columns], 6),
          o: rt.empty([1, 2, 9], 'i32'),
        };
      };
      await sameOnBoth(
        make,
        laid((b, { map, equal, o }) => {
          coverCount(b, map!, { share: [0.5, 0.98], visible, least: 1, most: 700 }, o!);
          return {
            p: selectTopP(b, map!, { p: 0.9, visible }),
            small: selectTopP(b, map!, { p: 0.003, visible, minimum: 4 }),
            equal: selectTopP(b, equal!, { p: 0.5, visible, first: 2, last: 1 }),
            added: selectTopP(b, equal!, { p: 0.7, visible, first: 1, last: 2, forced: 'added' }),
            union: selectTopP(b, equal!, { p: 0.25, visible, first: 3, last: 2, forced: 'union' }),
            all: selectTopP(b, map!, { p: 1, visible }),
            head: selectTopP(b, map!, { p: 0.6, visible, first: 1, scope: 'head' }),
            o,
          };
        }),
        EXACT,
      );
    }
  }
});

test('NaN, zeros of both signs and infinities in their order', async () => {
  const odd = [Number.NaN, 0, -0, Infinity, -Infinity, 1e-40, -1e-40, 1, -1, 3e38];
  for (const columns of [40, 300]) {
    await sameOnBoth(
      (rt) => {
        const { random } = maker(columns);
        const data = Float32Array.from({ length: 8 * columns }, () => odd[Math.floor(random() * odd.length)]!);
        return {
          map: rt.tensor(data, [1, 1, 8, columns]),
          ks: rt.tensor(Int32Array.from([1, 4, 9, 15, 24, 30, 38, 39]), [1, 1, 8], 'i32'),
        };
      },
      laid((b, { map, ks }) => ({
        bits: selectTopK(b, map!, { k: ks! }),
        above: selectAbove(b, map!, { threshold: 0 }),
      })),
      EXACT,
    );
  }
});

test('bits joined, counted and listed', async () => {
  for (const words of [1, 3, 40, 300]) {
    await sameOnBoth(
      (rt) => {
        const { ints } = maker(words);
        return {
          x: ints(rt, [2, 3, 5, words], -(2 ** 31), 2 ** 31),
          y: ints(rt, [1, 3, 1, words], -(2 ** 31), 2 ** 31),
        };
      },
      laid((b, { x, y }) => {
        const some = combineBits(b, x!, y!, 'and');
        const { indices, counts } = selectIndices(b, some, 37);
        return {
          or: combineBits(b, x!, y!, 'or'),
          andNot: combineBits(b, x!, y!, 'andNot'),
          count: countBits(b, x!),
          weights: bitWeights(b, x!, words * 32 - 5, 0),
          indices,
          counts,
        };
      }),
      EXACT,
    );
    await sameOnBoth(
      (rt) => ({
        x: maker(words).ints(rt, [1, 2, 4, words], 0, 2 ** 31),
        list: rt.zeros([1, 2, 4, words * 32 * 5], 'i32'),
      }),
      laid((b, { x }) => {
        const { counts } = blockTokens(b, x!, {
          keyBlock: 5,
          length: words * 160 - 7,
          offset: words * 100,
          capacity: words * 160,
        });
        return { counts };
      }),
      EXACT,
    );
  }
});

test('rows pooled by blocks and by labels', async () => {
  for (const kind of ['mean', 'sum', 'max', 'min'] as const) {
    await sameOnBoth(
      (rt) => {
        const { floats, ints } = maker(1);
        return {
          x: floats(rt, [2, 70, 3, 18], 'f16').permute([0, 1, 2, 3]),
          long: floats(rt, [1, 1100, 1, 5]),
          labels: ints(rt, [2, 1, 70], -2, 30),
          fallback: floats(rt, [2, 300, 3, 18]),
        };
      },
      laid((b, { x, long, labels, fallback }) => {
        const { rows, counts } = poolLabels(b, x!, labels!, 28, kind);
        const more = poolLabels(b, x!, labels!, 300, kind, fallback);
        return {
          rows,
          counts,
          more: more.rows,
          few: poolBlocks(b, x!, 3, kind),
          some: poolBlocks(b, x!, 33, kind),
          all: poolBlocks(b, long!, 1100, kind),
        };
      }),
      TIGHT,
    );
  }
});

test('bounds of pages, and scores by them', async () => {
  await sameOnBoth(
    (rt) => {
      const { floats } = maker(3);
      return { q: floats(rt, [1, 2, 4, 24]), k: floats(rt, [1, 70, 2, 24], 'bf16') };
    },
    laid((b, { q, k }) => {
      const bounds = b.temporary([1, 2, 9, 2, 24]);
      pageBounds(b, k!, 8, bounds);
      return { bounds, map: scorePages(b, q!, bounds, { mul: 0, add: 9, div: 1 }) };
    }),
    TIGHT,
  );
});

test('labels sorted, rows in their order and back', async () => {
  for (const { T, count } of [
    { T: 300, count: 5 },
    { T: 77, count: 300 },
    { T: 65, count: 70000 },
    { T: 1, count: 1 },
  ]) {
    await sameOnBoth(
      (rt) => {
        const { floats, ints } = maker(T);
        return { labels: ints(rt, [2, 2, T], -1, count + 1), x: floats(rt, [2, T, 4, 9]) };
      },
      laid((b, { labels, x }) => {
        const { order, offsets } = sortByLabel(b, labels!, count);
        const rows = gatherHeads(b, x!, order);
        return {
          order,
          offsets: count < 1000 ? offsets : undefined,
          rows,
          x: scatterHeads(b, rows, order, T, 'assign'),
        };
      }),
      EXACT,
    );
  }
  await sameOnBoth(
    (rt) => {
      const { floats, ints } = maker(9);
      return { order: ints(rt, [2, 2, 80], -3, 50), rows: floats(rt, [8, 80, 1, 7]), values: floats(rt, [4, 80, 1]) };
    },
    laid((b, { order, rows, values }) => ({
      assign: scatterHeads(b, rows!, order!, 45, 'assign'),
      add: scatterHeads(b, rows!, order!, 45, 'add'),
      mean: scatterHeads(b, values!, order!, 45, 'mean'),
    })),
    EXACT,
  );
});

test('hashes by the nearest direction and by signs, and clusters', async () => {
  await sameOnBoth(
    (rt) => {
      const { floats } = maker(5);
      return {
        x: floats(rt, [1, 130, 2, 18]),
        planes: floats(rt, [2, 18, 3, 70]),
        signs: floats(rt, [1, 18, 9, 23]),
        wide: floats(rt, [1, 18, 2, 32]),
      };
    },
    laid((b, { x, planes, signs, wide }) => {
      const { labels, centroids, counts } = kMeans(b, x!, { clusters: 5, iterations: 3 });
      return {
        buckets: lshBuckets(b, x!, planes!),
        signs: simHash(b, x!, signs!),
        wide: simHash(b, x!, wide!),
        labels,
        centroids,
        counts,
        dots: kMeans(b, x!, { clusters: 70, iterations: 1, by: 'dot' }).labels,
      };
    }),
    TIGHT,
  );
});

test('sums of weights over columns and diagonals', async () => {
  const calls = [
    { interleave: 1, rowGroup: 100, columnGroup: 1, diagonals: true, visible: { mul: 1, add: 31, div: 1 } },
    { interleave: 4, rowGroup: 4, columnGroup: 3, visible: { mul: 1, add: 9, div: 1 } },
    { interleave: 1, rowGroup: 7, diagonals: true, firstColumns: [3, 0], firstDiagonals: [0, 5] },
  ];
  for (const call of calls) {
    await sameOnBoth(
      (rt) => {
        const { floats } = maker(6);
        return { q: floats(rt, [2, 70, 2, 20]), k: floats(rt, [2, 100, 1, 20]) };
      },
      laid((b, { q, k }) => {
        const { columns, diagonals } = weightSums(b, { q: q!, k: k!, scale: 0.4, ...call });
        return { columns, diagonals };
      }),
      TIGHT,
    );
  }
});

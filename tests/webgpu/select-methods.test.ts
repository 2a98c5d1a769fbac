import { after, test } from 'node:test';
import { heavyChannels, principalDirections, takeChannels } from '../../src/engines/select/channels.ts';
import { selectTopK } from '../../src/engines/select/choose.ts';
import { addLogCounts, spreadLabels } from '../../src/engines/select/cluster-maps.ts';
import { centreRows, collisionScores, samplingBias } from '../../src/engines/select/collisions.ts';
import { diagonalSums } from '../../src/engines/select/diagonal-sums.ts';
import { farTokens, representatives } from '../../src/engines/select/far-tokens.ts';
import { gatheredBits } from '../../src/engines/select/gathered-bits.ts';
import { hammingScores } from '../../src/engines/select/hamming.ts';
import { int4Keys, int4Scores, int4Width } from '../../src/engines/select/int4.ts';
import { labelTokens, listScores, pickListed } from '../../src/engines/select/listed.ts';
import { minMaxGates } from '../../src/engines/select/min-max.ts';
import { pageBounds } from '../../src/engines/select/page-bounds.ts';
import { hideDissimilar, selfSimilarity, showDissimilar } from '../../src/engines/select/self-similarity.ts';
import { slashBlocks } from '../../src/engines/select/slash-blocks.ts';
import { softmaxMap } from '../../src/engines/select/softmax-map.ts';
import { sortByLabel } from '../../src/engines/select/sort.ts';
import { sparqBlend, sparqScores } from '../../src/engines/select/sparq.ts';
import { queryAware, stripeBlocks } from '../../src/engines/select/stripe-blocks.ts';
import { tailFit } from '../../src/engines/select/tail-fit.ts';
import { tokenLists } from '../../src/engines/select/token-lists.ts';
import type { Tensor } from '../../src/index.ts';
import { bothRuntimes, sameOnBoth } from './both.ts';
import { laid, maker } from './select-programs.ts';

after(async () => (await bothRuntimes()).gpu.dispose());

const TIGHT = 1e-5;
const EXACT = 0;
/** Every bit and number of lists is compared. */
const CAUSAL = (rows: number, columns: number) => ({ mul: 1, add: columns - rows + 1, div: 1 });

test('maps of clusters, and labels spread', async () => {
  await sameOnBoth(
    (rt) => {
      const { floats, ints } = maker(1);
      return {
        map: floats(rt, [2, 4, 3, 19]),
        counts: ints(rt, [2, 2, 19], 0, 5),
        labels: ints(rt, [2, 2, 77], -1, 19),
      };
    },
    laid((b, { map, counts, labels }) => {
      addLogCounts(b, map!, counts!);
      return { map, spread: spreadLabels(b, sortByLabel(b, labels!, 19).offsets, 4, 77) };
    }),
    TIGHT,
  );
});

test('sums along diagonals, weights between least and largest', async () => {
  await sameOnBoth(
    (rt) => {
      const { floats, ints } = maker(2);
      return { map: floats(rt, [2, 2, 9, 70]), own: ints(rt, [9], 0, 70) };
    },
    laid((b, { map, own }) => ({
      sums: diagonalSums(b, map!, { offset: 61, visible: CAUSAL(9, 70) }),
      few: diagonalSums(b, map!, { offset: 30, count: 33 }),
      shares: minMaxGates(b, map!, own!, 0.8),
      map,
    })),
    TIGHT,
  );
});

test('blocks that are alike in themselves', async () => {
  await sameOnBoth(
    (rt) => {
      const { floats, ints } = maker(3);
      const q = floats(rt, [1, 70, 4, 18]);
      return {
        q,
        k: floats(rt, [1, 330, 2, 18], 'f16'),
        mean: floats(rt, [1, 1, 2, 18]),
        map: floats(rt, [1, 4, 9, 42]),
        bits: ints(rt, [1, 4, 9, 2], 0, 1000),
        wide: floats(rt, [1, 9, 1, 300]),
      };
    },
    laid((b, { q, k, mean, map, bits, wide }) => {
      const similarity = {
        q: selfSimilarity(b, q!, 8),
        k: selfSimilarity(b, k!, 8, mean),
        theta: [0.1, 0.12, 0.15, 0.2],
        visible: { mul: 4, add: 6, div: 1 },
      };
      hideDissimilar(b, map!, similarity);
      showDissimilar(b, map!, bits!, similarity, true);
      return {
        q: similarity.q,
        k: similarity.k,
        long: selfSimilarity(b, k!, 100),
        wide: selfSimilarity(b, wide!, 5),
        map,
        bits,
      };
    }),
    TIGHT,
  );
});

test('blocks of diagonals, stripes and gathered columns', async () => {
  const blocks = { Tq: 100, Tk: 130, queryBlock: 16, keyBlock: 8 };
  await sameOnBoth(
    (rt) => {
      const { ints, floats } = maker(4);
      const sparse = (shape: readonly number[]) => ints(rt, shape, 0, 70000);
      const columns = Int32Array.from({ length: 3 * 40 }, (_, n) => (n % 40) * 3 + (n >> 6));
      return {
        slashes: sparse([1, 3, 1, 5]),
        chosen: sparse([1, 3, 7, 1]),
        guess: floats(rt, [2, 3, 1, 40]).contiguous
          ? rt.tensor(
              Float32Array.from({ length: 240 }, (_, n) => (1 + (n % 7)) / 160),
              [2, 3, 1, 40],
            )
          : undefined,
        sums: rt.tensor(
          Float32Array.from({ length: 240 }, (_, n) => (n < 120 ? (1 + (n % 7)) / 20 : (n % 11) / 25)),
          [2, 3, 1, 40],
        ),
        budgets: ints(rt, [2, 2, 3], 2, 30),
        pairs: sparse([2, 3, 40, 2]),
        stripes: sparse([2, 3, 1, 2]),
        diagonals: sparse([2, 3, 1, 2]),
        indices: rt.tensor(columns, [1, 3, 1, 40], 'i32'),
        counts: rt.tensor(Int32Array.from([40, 17, 0]), [1, 3, 1], 'i32'),
      };
    },
    laid((b, { slashes, chosen, guess, sums, budgets, pairs, stripes, diagonals, indices, counts }) => {
      const aware = queryAware(b, { guess: guess!, sums: sums!, count: 8, tau: 0.2, budgets: budgets!, least: 1 });
      const gathered = { ...blocks, indices: indices!, counts: counts!, shifts: [-1, 0, 20] };
      const { bits, places } = gatheredBits(b, { ...gathered, blocks: chosen });
      return {
        slash: slashBlocks(b, 1, { ...blocks, patterns: ['slashes', 'chosen', 'none'], slashes, chosen }),
        aware,
        budgets,
        stripe: stripeBlocks(b, stripes!, diagonals!, pairs!, aware),
        bits,
        places,
        plain: gatheredBits(b, gathered).bits,
      };
    }),
    EXACT,
  );
});

test('bounds rounded outward', async () => {
  await sameOnBoth(
    (rt) => ({ k: maker(5).floats(rt, [2, 33, 2, 9]), bounds: rt.zeros([2, 2, 5, 2, 9], 'bf16') }),
    laid((b, { k, bounds }) => {
      pageBounds(b, k!, 8, bounds!);
      return { bounds };
    }),
    EXACT,
  );
});

test('channels: the largest of queries, the heaviest, some of them, and their scores', async () => {
  await sameOnBoth(
    (rt) => {
      const { floats } = maker(6);
      return {
        q: floats(rt, [2, 5, 4, 18]),
        k: floats(rt, [2, 37, 2, 18], 'bf16'),
        kT: floats(rt, [2, 2, 18, 37]),
        v: floats(rt, [2, 37, 2, 11], 'f16'),
        sums: floats(rt, [2, 2, 11]),
        o: floats(rt, [2, 5, 4, 11]),
      };
    },
    laid((b, { q, k, kT, v, sums, o }) => {
      const visible = CAUSAL(5, 37);
      const call = { q: q!, k: k!, r: 7, scale: 0.3, visible };
      const map = sparqScores(b, { ...call, kT });
      const plain = sparqScores(b, call);
      const weights = softmaxMap(b, map, { visible });
      const bits = selectTopK(b, weights, { k: 9, visible });
      sparqBlend(b, { map: weights, bits, v: v!, sums: sums!, weight: 37, o: o!, visible });
      const channels = heavyChannels(b, q!, k!, 5);
      const some = b.temporary([2, 37, 2, 5]);
      takeChannels(b, k!, channels.restride([2, 5], [5, 1]), some);
      return { plain: softmaxMap(b, plain, { visible }), weights, bits, o, channels, some };
    }),
    TIGHT,
  );
});

test('directions of most variance', async () => {
  for (const d of [1, 9, 20]) {
    await sameOnBoth(
      (rt) => {
        const { random } = maker(d);
        // variances of very different sizes, along directions that are none of the axes
        const data = new Float32Array(2 * 90 * 2 * d);
        for (let row = 0; row < 360; ++row) {
          const x = Array.from({ length: d }, (_, c) => (random() - 0.5) * 1.7 ** c);
          for (let c = 0; c < d; ++c) data[row * d + c] = x[c]! + 0.5 * x[(c + 1) % d]! + 0.1 * row;
        }
        return {
          k: rt.tensor(data, [2, 90, 2, d]),
          basis: rt.zeros([2, Math.min(d, 3), d]),
          variances: rt.zeros([2, Math.min(d, 3)]),
        };
      },
      laid((b, { k, basis, variances }) => {
        principalDirections(b, k!, basis!, variances!);
        return { basis, variances };
      }),
      1e-4,
    );
  }
});

test('signatures, tables of hashes, and what samples lack', async () => {
  await sameOnBoth(
    (rt) => {
      const { floats, ints } = maker(7);
      return {
        q: floats(rt, [2, 3, 4, 18]),
        k: floats(rt, [2, 50, 2, 18], 'f16'),
        mean: floats(rt, [2, 2, 18]),
        qHash: ints(rt, [2, 4 * 6, 3], 0, 5),
        kHash: ints(rt, [2, 2 * 6, 50], 0, 5),
        signs: ints(rt, [2, 4, 3], 0, 2 ** 20),
        others: ints(rt, [2, 2, 50], 0, 2 ** 20),
      };
    },
    laid((b, { q, k, mean, qHash, kHash, signs, others }) => {
      const visible = CAUSAL(3, 50);
      const lists = tokenLists(b, [2, 4, 3], 50, { mul: 0, add: 50, div: 1 });
      const sampling = { q: q!, k: k!, mean: mean!, bits: 4 };
      return {
        centred: centreRows(b, k!, mean!),
        collisions: softmaxMap(b, collisionScores(b, qHash!, kHash!, 6, visible), { visible }),
        hamming: softmaxMap(b, hammingScores(b, signs!, others!, 20, visible), { visible, scale: 0.1 }),
        few: samplingBias(b, { ...sampling, tables: 6 }, lists, { first: 2, last: 3 }),
        many: samplingBias(b, { ...sampling, tables: 150 }, lists, { first: 0, last: 0 }),
      };
    }),
    TIGHT,
  );
});

test('lists of keys scored, by four bits too, made shorter, and of labels', async () => {
  for (const D of [18, 64]) {
    await sameOnBoth(
      (rt) => {
        const { floats, ints } = maker(D);
        return {
          q: floats(rt, [2, 3, 4, D]),
          k: floats(rt, [2, 75, 2, D], 'bf16'),
          wide: floats(rt, [2, 75, 2, D]),
          ks: ints(rt, [2, 4, 3], 0, 76),
          chosen: ints(rt, [2, 4, 3, 2], 0, 2 ** 31),
          labels: ints(rt, [2, 2, 75], -1, 45),
        };
      },
      laid((b, { q, k, wide, ks, chosen, labels }) => {
        const visible = CAUSAL(3, 75);
        const forced = { first: 2, last: 4 };
        const codes = b.temporary([2, 75, 2, int4Width(D)], 'u8');
        const range = b.temporary([2, 75, 2, 2]);
        int4Keys(b, wide!, { codes, range });
        const lists = tokenLists(b, [2, 4, 3], 75, visible);
        const scores = listScores(b, { q: q!, k: k!, scale: 0.2 }, lists, forced);
        const bits = selectTopK(b, scores, { k: ks! });
        const shorter = pickListed(b, lists, bits, 20, 75, forced);
        return {
          range,
          codes,
          scores,
          coded: int4Scores(b, q!, { codes, range }, 0.2, lists, forced),
          indices: shorter.indices,
          counts: shorter.counts,
          tokens: labelTokens(b, chosen!, labels!, 42, visible, forced),
        };
      }),
      TIGHT,
    );
  }
});

test('blocks far away, by what stands for them', async () => {
  await sameOnBoth(
    (rt) => {
      const { floats, steps, ints } = maker(8);
      return {
        k: floats(rt, [2, 75, 2, 18], 'f16'),
        scores: steps(rt, [2, 2, 75], 5),
        bits: ints(rt, [2, 1, 70, 1], 0, 2 ** 9),
      };
    },
    laid((b, { k, scores, bits }) => {
      const shape = [2, 8, 2, 18];
      const some = b.temporary(shape);
      const all = b.temporary(shape);
      representatives(b, k!, scores, { first: 3, block: 9, count: 4 }, some);
      representatives(b, k!, undefined, { first: 3, block: 9, count: 9 }, all);
      const { counts } = farTokens(b, bits!, { first: 3, block: 9, window: 11, most: 8, columns: 75 });
      return { some, all, counts };
    }),
    TIGHT,
  );
});

test('prefixes of clusters by a fitted tail', async () => {
  for (const share of [0.7, 0.95, 1]) {
    await sameOnBoth(
      (rt) => {
        const { floats, ints } = maker(9);
        return {
          q: floats(rt, [1, 3, 4, 18]),
          k: floats(rt, [1, 700, 2, 18]),
          centroids: floats(rt, [1, 12, 2, 18]),
          labels: ints(rt, [1, 2, 700], 0, 12),
        };
      },
      laid((b, { q, k, centroids, labels }) => ({
        bits: tailFit(b, {
          q: q!,
          k: k!,
          centroids: centroids!,
          labels: labels!,
          scale: 0.3,
          share,
          exact: 64,
          samples: 40,
          first: 2,
          last: 5,
        }) as Tensor,
      })),
      EXACT,
    );
  }
});

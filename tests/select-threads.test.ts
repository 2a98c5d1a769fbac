import { after, test } from 'node:test';
import { selectIndices } from '../src/engines/select/bits.ts';
import { type Choice, selectTopK, selectTopP } from '../src/engines/select/choose.ts';
import { gatherHeads, scatterHeads } from '../src/engines/select/gather.ts';
import { lshBuckets } from '../src/engines/select/hash.ts';
import { kMeans } from '../src/engines/select/k-means.ts';
import type { Visible } from '../src/engines/select/map.ts';
import { poolBlocks } from '../src/engines/select/pool.ts';
import { reduceMap } from '../src/engines/select/reduce-map.ts';
import { scoreMap } from '../src/engines/select/score-map.ts';
import { selectScored } from '../src/engines/select/scored.ts';
import { softmaxMap } from '../src/engines/select/softmax-map.ts';
import { sortByLabel } from '../src/engines/select/sort.ts';
import type { Tensor } from '../src/index.ts';
import { assertSameBits } from './accuracy.ts';
import { call } from './call.ts';
import type { NdArray } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { floats, normal, randomFrom } from './samples.ts';
import { program } from './select-calls.ts';

// By thread count, each with its runtimes by variant.
const teams = await Promise.all([1, 3].map((threads) => variants(threads)));
after(() => {
  for (const rt of teams.flat()) rt.dispose();
});

const random = randomFrom(17);
const causal: Visible = { mul: 1, add: 1, div: 1 };

const blocks = program((b, { q, k }: { q: Tensor; k: Tensor }) => {
  const visible: Visible = { mul: 1, add: 16, div: 16 };
  const map = scoreMap(b, { q, k: poolBlocks(b, k, 16, 'mean'), scale: 0.1, visible });
  const some = selectTopK(b, map, { k: 9, visible, first: 1, last: 1 });
  const groups = reduceMap(b, softmaxMap(b, map, { visible }), { heads: 2, rows: 4 }, 'mean');
  const shares = selectTopP(b, groups, { p: 0.6, scope: 'head' });
  return { some, groups, shares };
});
const tokens = program((b, { q, k, weights }: { q: Tensor; k: Tensor; weights: Tensor }) => {
  const bits = selectScored(b, { q, k: k.slice(2, 0, 1), weights, scale: 1, visible: causal }, (map, slab) =>
    selectTopK(b, map, { k: 60, ...slab }),
  );
  return { bits, ...selectIndices(b, bits, 60) };
});
const clusters = program((b, { q, planes }: { q: Tensor; planes: Tensor }) => {
  const { labels, centroids, counts } = kMeans(b, q, { clusters: 40, iterations: 2 });
  const { order, offsets } = sortByLabel(b, labels, 40);
  const rows = gatherHeads(b, q, order);
  const back = scatterHeads(b, rows, order, q.shape[1]!, 'mean');
  return { labels, centroids, counts, order, offsets, rows, back, buckets: lshBuckets(b, q, planes) };
});

test('choices are the same with any number of threads', async () => {
  const [q, k] = [normal(random, [1, 1200, 4, 32]), normal(random, [1, 1200, 2, 32])];
  const inputs = {
    blocks: { q, k },
    tokens: { q, k, weights: normal(random, [1, 1200, 4]) },
    clusters: { q, planes: normal(random, [4, 32, 3, 16]) },
  };
  const programs = { blocks, tokens, clusters };
  for (const name of ['blocks', 'tokens', 'clusters'] as const) {
    const first: Record<string, NdArray>[] = [];
    for (const team of teams) {
      for (const [variant, rt] of team.entries()) {
        const op = programs[name] as (inputs: never) => Promise<Record<string, Tensor>>;
        const got = await call(rt, op, inputs[name]);
        first[variant] ??= got;
        for (const output in got) {
          assertSameBits(
            got[output]!,
            first[variant]![output]!,
            `${name} ${output} ${rt.variant} ${rt.threads} threads`,
          );
        }
      }
    }
  }
});

const slabs = program(
  (b, { q, k, p, weights }: { q: Tensor; k: Tensor; p?: Tensor; weights?: Tensor }, visible: Visible) => {
    const scores = { q, k, scale: 0.3, visible, weights };
    const share = (rows: (all: Tensor) => Tensor) => (p ? rows(p) : 0.4);
    const choose = (map: Tensor, choice: Choice, rows: (all: Tensor) => Tensor) => {
      softmaxMap(b, map, choice);
      return selectTopP(b, map, { p: share(rows), ...choice });
    };
    return {
      whole: choose(scoreMap(b, scores), { visible }, (all) => all),
      parts: selectScored(b, scores, (map, slab) => choose(map, slab, slab.rows)),
    };
  },
);

test('a choice made slab by slab is the choice from the whole map', async () => {
  const [N, M] = [500, 12000];
  const [q, k] = [normal(random, [1, N, 2, 2]), normal(random, [1, M, 1, 2])];
  const p = floats([1, 1, N], () => random());
  for (const rt of teams[0]!) {
    for (const inputs of [
      { q, k },
      { q, k, p, weights: normal(random, [1, N, 2]) },
    ]) {
      const { whole, parts } = await call(rt, slabs, inputs, { mul: 20, add: 30, div: 1 });
      assertSameBits(parts, whole, rt.variant);
    }
  }
});

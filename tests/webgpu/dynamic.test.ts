// Whole methods that choose what is seen.
import { after, test } from 'node:test';
import {
  dsa,
  flexPrefill,
  h2o,
  moba,
  nsa,
  quest,
  type Runtime,
  snapkv,
  spargeAttn,
  sparq,
  topKAttention,
  topPAttention,
  tova,
  xAttention,
} from '../../src/index.ts';
import { bothRuntimes, sameOnBoth } from './both.ts';
import { maker } from './select-programs.ts';

after(async () => (await bothRuntimes()).gpu.dispose());

const TIGHT = 1e-5;

/** Queries and keys of T tokens, and what some methods take beside them. */
function tokens(rt: Runtime, { Tq = 150, Tk = 150, heads = 4, kvHeads = 2, D = 18, Dv = 20 } = {}) {
  const { floats } = maker(Tq + D);
  return {
    q: floats(rt, [2, Tq, heads, D]),
    k: floats(rt, [2, Tk, kvHeads, D]),
    v: floats(rt, [2, Tk, kvHeads, Dv]),
    gates: floats(rt, [2, Tq, heads]),
    qIdx: floats(rt, [2, Tq, 3, 10]),
    kIdx: floats(rt, [2, Tk, 10]),
    wIdx: floats(rt, [2, Tq, 3]),
  };
}

test('blocks: nsa, moba, spargeAttn, xAttention, flexPrefill', async () => {
  await sameOnBoth(
    (rt) => tokens(rt),
    ({ q, k, v, gates }) =>
      nsa(
        { q, k, v, gCmp: gates, gSlc: gates, gSwa: gates },
        { blockSize: 8, blockCounts: 4, windowSize: 9, returnSelection: true },
      ),
    TIGHT,
  );
  const inputs = ({ q, k, v }: ReturnType<typeof tokens>) => ({ q, k, v });
  const make = (rt: Runtime) => inputs(tokens(rt));
  await sameOnBoth(make, (x) => moba(x, { chunkSize: 16, topk: 3, returnSelection: true }), TIGHT);
  await sameOnBoth(make, (x) => spargeAttn(x, { returnSelection: true }), TIGHT);
  await sameOnBoth(make, (x) => xAttention(x, { returnSelection: true }), TIGHT);
  await sameOnBoth(make, (x) => flexPrefill(x, { returnSelection: true }), TIGHT);
});

test('tokens: dsa, top-k, top-p, sparq, quest, of many queries and of one', async () => {
  for (const Tq of [150, 1]) {
    const make = (rt: Runtime) => tokens(rt, { Tq });
    await sameOnBoth(
      make,
      ({ q, k, v, qIdx, kIdx, wIdx }) => dsa({ q, k, v, qIdx, kIdx, wIdx }, { topk: 20, returnSelection: true }),
      TIGHT,
    );
    const plain = (rt: Runtime) => {
      const { q, k, v } = tokens(rt, { Tq });
      return { q, k, v };
    };
    await sameOnBoth(plain, (x) => topKAttention(x, { k: 17, causal: true, returnSelection: true }), TIGHT);
    await sameOnBoth(plain, (x) => topPAttention(x, { p: 0.6, causal: true, returnSelection: true }), TIGHT);
    await sameOnBoth(plain, (x) => quest(x, { pageSize: 8, topk: 4 }), TIGHT);
  }
  await sameOnBoth(
    (rt) => {
      const { q, k, v } = tokens(rt, { Tq: 1 });
      return { q, k, v };
    },
    (x) => sparq(x, { r: 6, topk: 20 }),
    TIGHT,
  );
});

test('tokens that go: h2o, tova, snapkv', async () => {
  const make = (rt: Runtime) => {
    const { q, k, v } = tokens(rt, { Tq: 60, Tk: 60 });
    return { q, k, v };
  };
  await sameOnBoth(make, (x) => h2o(x, { heavy: 12, recent: 6 }), TIGHT);
  await sameOnBoth(make, (x) => tova(x, { budget: 15 }), TIGHT);
  await sameOnBoth(make, (x) => snapkv(x, { capacity: 30, window: 8 }), TIGHT);
});

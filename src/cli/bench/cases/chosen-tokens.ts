import { questPagesSync, questSync, type Runtime, type Tensor } from '../../../index.ts';
import type { BenchCase, Entry } from '../case.ts';
import { type AttentionProblem, attentionProblem, flopsOf } from '../problem.ts';
import { attentionEntry } from './attention.ts';

const HEADS = 8;
const KEYS = 65536;
const DIM = 64;
const PAGE = 16;
/** Pages of each head: a sixteenth. */
const CHOSEN = KEYS / PAGE / 16;
/** How much faster than attention on all keys. */
const FACTOR = 6;

/** Quest on the bounds of a cache that is there, in f32 or bf16. */
function questEntry(rt: Runtime, whole: AttentionProblem, dtype: 'f32' | 'bf16'): Entry {
  const cache = [1, KEYS, HEADS, DIM];
  const q = rt.tensor(whole.q, [1, 1, HEADS, DIM]);
  const [k, v] = [rt.tensor(whole.k, cache), rt.tensor(whole.v, cache)];
  const { bounds } = questPagesSync({ k }, { pageSize: PAGE, dtype });
  const call = <T>(read: (results: { readonly o: Tensor; readonly pages: Tensor }) => T): T => {
    const results = questSync({ q, k, v, bounds }, { pageSize: PAGE, topk: CHOSEN });
    const value = read(results);
    for (const tensor of [results.o, results.lse, results.pages]) tensor.dispose();
    return value;
  };
  const pages = call((results) => results.pages.dataSync());
  const chosen = Array.from({ length: HEADS }, (_, h) => new Set(pages.subarray(h * CHOSEN, (h + 1) * CHOSEN)));
  const problem: AttentionProblem = {
    ...whole,
    sees: (h, _, j) => chosen[h]!.has(Math.floor(j / PAGE)),
    pairs: HEADS * CHOSEN * PAGE,
  };
  return {
    name: `wattn, Quest, 1/16 of pages, ${dtype} bounds`,
    problem,
    flops: flopsOf(problem),
    run: async () => call(() => {}),
    output: async () => call(({ o }) => o.dataSync() as Float32Array),
    dispose() {
      for (const tensor of [q, k, v, bounds]) tensor.dispose();
    },
  };
}

/** Decoding on chosen tokens of a full cache next to decoding on all of it. */
export const chosenTokenCases: BenchCase[] = [
  {
    op: 'quest',
    name: 'quest-64k',
    title: `decode, 1 query, ${KEYS} keys, H${HEADS} D${DIM} f32, pages of ${PAGE}`,
    async prepare({ rt }) {
      const whole = attentionProblem({ heads: HEADS, queries: 1, keys: KEYS, dim: DIM });
      const dense = attentionEntry(rt, 'wattn, all keys', whole);
      const chosen = (['bf16', 'f32'] as const).map((dtype) => questEntry(rt, whole, dtype));
      return {
        entries: [...chosen, dense],
        probes: [],
        goals: [{ of: chosen[0]!.name, against: dense.name, floor: { relaxed: FACTOR } }],
      };
    },
  },
];

import type { Runtime, Tensor } from '../../../index.ts';
import { OPS } from '../../../ops/registry.ts';
import { runPart } from '../../../runtime/program.ts';
import { type BenchCase, type Entry, fmaProbe, type Goal } from '../case.ts';
import { type AttentionProblem, attentionProblem, flopsOf, randomArray } from '../problem.ts';
import { attentionEntry } from './attention.ts';

const HEADS = 4;
const DIM = 64;
const TOKENS = 8192;
/** Time over density x dense; share of dense that a selection may take. */
const BUDGET = 1.35;
const SELECTION_SHARE = 0.15;
/** Kernels that attend, gather for it or write results; whatever else runs in a method that selects is its selection. */
const ATTENTION = /^(flash|flashPack|indexAttend|decode|decodeMerge|mergeState|mergeParts|blend|copy)$/;

type Sees = (h: number, i: number, j: number) => boolean;

/** A sparse method on a problem. */
interface Method {
  readonly op: string;
  readonly label: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** Operands beside q, k and v. */
  readonly more?: (rt: Runtime) => Readonly<Record<string, Tensor>>;
  readonly kvHeads?: number;
  /** Bidirectional methods are measured against dense attention of their kind. */
  readonly causal?: boolean;
  /** Which pairs are visible, beside causality; from what was chosen, where the method chooses. */
  readonly sees: Sees | ((chosen: Readonly<Record<string, Tensor>>) => Sees);
  readonly selects?: boolean;
  /** Pairs of a head that it attends to beside the visible ones: those with compressed keys. */
  readonly beside?: number;
}

/** Whether bit `column` of row `row` of list `h` is set, in i32 [1, L, R, W]. */
function bitsOf(selection: Tensor): (h: number, row: number, column: number) => boolean {
  const [, lists, rows, words] = selection.shape as [number, number, number, number];
  const bits = selection.dataSync() as Int32Array;
  return (h, row, column) => {
    const list = Math.floor((h * lists) / HEADS);
    return ((bits[(list * rows + row) * words + (column >> 5)]! >> (column & 31)) & 1) === 1;
  };
}

/** What is visible by blocks of queries and keys. */
const byBlocks =
  (queryBlock: number, keyBlock: number) =>
  ({ selection }: Readonly<Record<string, Tensor>>): Sees => {
    const bit = bitsOf(selection!);
    return (h, i, j) => bit(h, Math.floor(i / queryBlock), Math.floor(j / keyBlock));
  };

/** What is visible by lists of keys, the same for all heads. */
function byIndices({ indices, counts }: Readonly<Record<string, Tensor>>): Sees {
  const width = indices!.shape.at(-1)!;
  const [list, count] = [indices!.dataSync() as Int32Array, counts!.dataSync() as Int32Array];
  const sets = new Map<number, Set<number>>();
  return (_, i, j) => {
    let set = sets.get(i);
    if (!set) {
      set = new Set(list.subarray(i * width, i * width + count[i]!));
      sets.set(i, set);
    }
    return set.has(j);
  };
}

const WINDOW = 512;
const GLOBALS = 16;
const BIGBIRD_BLOCK = 64;
const BIGBIRD_RANDOM = 3;
const blocks = TOKENS / BIGBIRD_BLOCK;
const isGlobal = (t: number) => t % (TOKENS / GLOBALS) === 0;

/** Random blocks [H, blocks - 2, BIGBIRD_RANDOM] that repeat neither each other nor what a row has anyway. */
const randomBlocks = (() => {
  const draws = randomArray(HEADS * blocks * 64, 1, 11);
  let at = 0;
  const all = new Int32Array(HEADS * (blocks - 2) * BIGBIRD_RANDOM);
  for (let row = 0; row < HEADS * (blocks - 2); ++row) {
    const own = (row % (blocks - 2)) + 1;
    const taken = new Set([
      0,
      blocks - 1,
      own - 1,
      own,
      own + 1,
      own === 1 ? 2 : 0,
      own === blocks - 2 ? blocks - 3 : 0,
    ]);
    for (let n = 0; n < BIGBIRD_RANDOM; ++at) {
      const block = Math.floor(Math.abs(draws[at % draws.length]!) * 1e6) % blocks;
      if (taken.has(block)) continue;
      taken.add(block);
      all[row * BIGBIRD_RANDOM + n++] = block;
    }
  }
  return all;
})();

const seesBigbird: Sees = (h, i, j) => {
  const [row, column] = [Math.floor(i / BIGBIRD_BLOCK), Math.floor(j / BIGBIRD_BLOCK)];
  if (row === 0 || row === blocks - 1 || column === 0 || column === blocks - 1) return true;
  if (Math.abs(row - column) <= 1) return true;
  const from = (h * (blocks - 2) + row - 1) * BIGBIRD_RANDOM;
  return randomBlocks.subarray(from, from + BIGBIRD_RANDOM).includes(column);
};

/** Pairs of queries and whole blocks of keys before them. */
function pairsOfBlocks(block: number): number {
  let pairs = 0;
  for (let i = 0; i < TOKENS; ++i) pairs += Math.floor((i + 1) / block);
  return pairs;
}

/** The methods, at about 12 % of the pairs where they choose. */
const METHODS: readonly Method[] = [
  {
    op: 'attention',
    label: 'local 512',
    options: { causal: true, window: [WINDOW - 1, 0] },
    sees: (_, i, j) => i - j < WINDOW,
  },
  {
    op: 'longformer',
    label: 'Longformer, 512 + 16 global',
    options: { window: WINDOW - 1, causal: true },
    more: (rt) => ({
      globalMask: rt.tensor(
        Uint8Array.from({ length: TOKENS }, (_, t) => (isGlobal(t) ? 1 : 0)),
        [1, TOKENS],
      ),
    }),
    sees: (_, i, j) => i - j < WINDOW || isGlobal(i) || isGlobal(j),
  },
  {
    op: 'stridedAttention',
    label: 'strided 512',
    options: { stride: WINDOW, causal: true },
    sees: (_, i, j) => i - j < WINDOW || (i - j) % WINDOW === 0,
  },
  {
    op: 'bigbird',
    label: 'BigBird',
    options: { blockSize: BIGBIRD_BLOCK },
    more: (rt) => ({ randBlocks: rt.tensor(randomBlocks, [HEADS, blocks - 2, BIGBIRD_RANDOM]) }),
    causal: false,
    sees: seesBigbird,
  },
  {
    op: 'moba',
    label: 'MoBA',
    options: { chunkSize: 128, topk: 4 },
    selects: true,
    sees: byBlocks(1, 128),
  },
  {
    op: 'nsa',
    label: 'NSA',
    options: { blockSize: 64, blockCounts: 8, windowSize: 0 },
    more: (rt) => ({
      gCmp: rt.tensor(new Float32Array(TOKENS * HEADS), [1, TOKENS, HEADS]),
      gSlc: rt.tensor(new Float32Array(TOKENS * HEADS).fill(1), [1, TOKENS, HEADS]),
    }),
    kvHeads: 1,
    selects: true,
    beside: pairsOfBlocks(64),
    sees: byBlocks(1, 64),
  },
  {
    op: 'dsa',
    label: 'DSA',
    options: { topk: 512 },
    more: (rt) => ({
      // as large beside the attention as in DeepSeek-V3.2: 64 x 128 of 128 x (576 + 512)
      qIdx: rt.tensor(randomArray(TOKENS * 2 * 16, 1, 21), [1, TOKENS, 2, 16]),
      kIdx: rt.tensor(randomArray(TOKENS * 16, 1, 22), [1, TOKENS, 16]),
      wIdx: rt.tensor(randomArray(TOKENS * 2, 1, 23), [1, TOKENS, 2]),
    }),
    kvHeads: 1,
    selects: true,
    sees: byIndices,
  },
  {
    op: 'xAttention',
    label: 'XAttention',
    options: { stride: 16, threshold: 0.1, causal: true },
    selects: true,
    sees: byBlocks(128, 128),
  },
  {
    op: 'spargeAttn',
    label: 'SpargeAttn',
    // blocks of random rows are alike in nothing
    options: { theta: -1, topK: 0.065, causal: true },
    selects: true,
    sees: byBlocks(128, 64),
  },
];

/** Rows whose pairs are counted: every seventh, which meets every remainder of a block. */
const COUNTED = 7;

/** Visible pairs of all heads. */
function countPairs({ heads, queries, keys, causal }: AttentionProblem, sees: Sees): number {
  let pairs = 0;
  let counted = 0;
  let all = 0;
  for (let i = 0; i < queries; ++i) {
    const end = causal ? i + 1 : keys;
    all += end;
    if (i % COUNTED !== 0) continue;
    counted += end;
    for (let h = 0; h < heads; ++h) for (let j = 0; j < end; ++j) if (sees(h, i, j)) ++pairs;
  }
  return (pairs * all) / counted;
}

/** Dense attention, which the sparse methods are measured by. */
function denseEntry(rt: Runtime, causal: boolean): Entry {
  const problem = attentionProblem({ heads: HEADS, queries: TOKENS, dim: DIM, causal });
  return attentionEntry(rt, `wattn, dense${causal ? ', causal' : ''}`, problem);
}

/** A method, and where it selects, its selection alone. */
async function methodEntries(rt: Runtime, method: Method, dense: Entry): Promise<{ entries: Entry[]; goals: Goal[] }> {
  const { op, label, options, more, causal = true, kvHeads = HEADS, selects = false, beside = 0 } = method;
  const name = `wattn, ${label}`;
  const whole = attentionProblem({ heads: HEADS, queries: TOKENS, dim: DIM, causal });
  const cache = [1, TOKENS, kvHeads, DIM];
  const [k, v] = [whole.k, whole.v].map((x) => x.subarray(0, TOKENS * kvHeads * DIM)) as [Float32Array, Float32Array];
  const inputs = {
    q: rt.tensor(whole.q, [1, TOKENS, HEADS, DIM]),
    k: rt.tensor(k, cache),
    v: rt.tensor(v, cache),
    ...more?.(rt),
  };
  const { run, plan } = OPS.find((entry) => entry.name === op)!;
  const call = async <T>(read: (results: Readonly<Record<string, Tensor>>) => T, extra = {}): Promise<T> => {
    const results = await run(inputs, { ...options, ...extra });
    const value = read(results);
    for (const tensor of Object.values(results)) tensor.dispose();
    return value;
  };
  const sees = selects
    ? await call(method.sees as (chosen: object) => Sees, { returnSelection: true })
    : (method.sees as Sees);
  const problem: AttentionProblem = { ...whole, k, v, kvHeads, sees, pairs: countPairs(whole, sees) + HEADS * beside };
  const output = () => call(({ o }) => o!.dataSync() as Float32Array);
  const flops = flopsOf(problem);
  const entries: Entry[] = [
    {
      name,
      problem,
      flops,
      run: () => call(() => {}),
      output,
      dispose() {
        for (const tensor of Object.values(inputs)) tensor.dispose();
      },
    },
  ];
  const selection = `${name}, its selection`;
  const goals: Goal[] = [
    {
      of: name,
      dense: dense.name,
      ...(selects ? { selection } : {}),
      density: flops / flopsOf(dense.problem),
      budget: { relaxed: BUDGET },
    },
  ];
  if (selects) {
    const select = () =>
      runPart(
        op,
        inputs,
        (b) => plan(b, inputs, options),
        (kernel) => !ATTENTION.test(kernel),
      );
    // what it chooses is checked by the whole's result
    entries.push({ name: selection, problem, flops: 0, run: select, output });
    goals.push({ of: selection, against: dense.name, floor: { relaxed: 1 / SELECTION_SHARE } });
  }
  return { entries, goals };
}

/** A method next to dense attention. */
const methodCase = (method: Method): BenchCase => ({
  op: 'sparse',
  name: `sparse-${method.op === 'attention' ? 'local' : method.op.toLowerCase()}`,
  title: `${method.label}, H${HEADS} T${TOKENS} D${DIM}`,
  async prepare({ rt, probes }) {
    const dense = denseEntry(rt, method.causal ?? true);
    const { entries, goals } = await methodEntries(rt, method, dense);
    return { entries: [dense, ...entries], goals, probes: [fmaProbe(probes)] };
  },
});

/** Tokens of the long case, and how much faster a window must be there. */
const LONG = 16384;
const LONG_FACTOR = 8;

/** A window in a long sequence. */
const longWindow: BenchCase = {
  op: 'sparse',
  name: 'sparse-local-16k',
  title: `local ${WINDOW}, H${HEADS} T${LONG} D${DIM}`,
  async prepare({ rt, probes }) {
    const whole = attentionProblem({ heads: HEADS, queries: LONG, dim: DIM, causal: true });
    const dense = attentionEntry(rt, 'wattn, dense, causal', whole);
    const problem: AttentionProblem = { ...whole, sees: (_, i, j) => i - j < WINDOW };
    problem.pairs = countPairs(whole, problem.sees!);
    const window = attentionEntry(rt, `wattn, local ${WINDOW}`, problem, { window: [WINDOW - 1, 0] });
    return {
      entries: [window, dense],
      goals: [{ of: window.name, against: dense.name, floor: { relaxed: LONG_FACTOR } }],
      probes: [fmaProbe(probes)],
    };
  },
};

/** Sparse attention next to dense, with what its selection costs. */
export const sparseCases: BenchCase[] = [...METHODS.map(methodCase), longWindow];

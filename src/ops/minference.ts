/**
 * MInference: a plan for every head.
 *
 * @module
 */
import type { AttentionCall } from '../engines/attention-call.ts';
import { flashAttend } from '../engines/flash.ts';
import { attendColumns } from '../engines/gathered-columns.ts';
import { selectIndices } from '../engines/select/bits.ts';
import { causalBlocks } from '../engines/select/causal-blocks.ts';
import { selectTopK } from '../engines/select/choose.ts';
import { BEFORE, type ColumnIndices } from '../engines/select/gathered-bits.ts';
import { poolBlocks } from '../engines/select/pool.ts';
import { scoreMap } from '../engines/select/score-map.ts';
import { type BlockPattern, slashBlocks } from '../engines/select/slash-blocks.ts';
import { weightSums } from '../engines/select/weight-sums.ts';
import { expectNames, flag, whole } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attentionCall } from './attention.ts';
import { type ChosenInputs, type ChosenOptions, type ChosenResult, headTensor } from './chosen-blocks.ts';

/** Columns and diagonals that the last 64 queries weigh most: `vertical` columns, at least 30, and `slash` diagonals, at least 50. */
export interface VerticalSlashPlan {
  readonly pattern: 'verticalSlash';
  readonly vertical: number;
  readonly slash: number;
}

/** The first `sink` keys, and the last `window` up to the query's own. */
export interface AShapePlan {
  readonly pattern: 'aShape';
  readonly sink: number;
  readonly window: number;
}

/** The `topK` key blocks of 64 whose mean goes best with the mean of a block of 64 queries. */
export interface BlockSparsePlan {
  readonly pattern: 'blockSparse';
  readonly topK: number;
}

/** What a head sees. */
export type MinferencePlan = VerticalSlashPlan | AShapePlan | BlockSparsePlan;

/** Options of `minference`. */
export interface MinferenceOptions extends ChosenOptions {
  /** A plan for all query heads, or one for each. */
  readonly plan: MinferencePlan | readonly MinferencePlan[];
}

/** Results of `minference`. */
export interface MinferenceResult extends ChosenResult {
  /** i32 [B, Hq, 1, n], with `returnSelection`: single columns that a head sees, rising, -1 behind the last. */
  readonly columns?: Tensor;
}

const OP = 'minference';
const BLOCK = 64;
const FIRST_COLUMNS = 30;
const LEAST_SLASHES = 50;
const NEAR_SLASHES = 100;
const FIELDS = { verticalSlash: ['vertical', 'slash'], aShape: ['sink', 'window'], blockSparse: ['topK'] } as const;

/** One plan a head. @throws OptionError if a plan is none. */
function plansOf(plan: MinferenceOptions['plan'], heads: number): MinferencePlan[] {
  const list = (Array.isArray(plan) ? plan : new Array(heads).fill(plan)) as MinferencePlan[];
  if (list.length !== heads) {
    throw new OptionError(`${OP}: plan has ${list.length} entries, expected one for each of ${heads} query heads`);
  }
  for (const [h, each] of list.entries()) {
    const name = Array.isArray(plan) ? `plan[${h}]` : 'plan';
    const fields = FIELDS[each?.pattern];
    if (!fields) {
      throw new OptionError(`${OP}: ${name}.pattern is ${each?.pattern}, expected ${Object.keys(FIELDS).join(', ')}`);
    }
    for (const field of Object.keys(each)) {
      if (field !== 'pattern' && !(fields as readonly string[]).includes(field)) {
        throw new OptionError(`${OP}: ${name} has no '${field}'; ${each.pattern} has ${fields.join(' and ')}`);
      }
    }
    for (const field of fields) {
      const value = (each as unknown as Record<string, number>)[field];
      whole(OP, `${name}.${field}`, value ?? Number.NaN, 0, 0);
    }
  }
  return list;
}

/** Runs of heads [first, end) that one call can serve: of equal windows, and whole groups of a key head or parts of one. */
function sections(windows: readonly number[], group: number): [first: number, end: number][] {
  const found: [number, number][] = [];
  for (let first = 0; first < windows.length; ) {
    let end = first + 1;
    while (end < windows.length && windows[end] === windows[first]) ++end;
    // a run that begins or ends within a group is cut at the group's borders
    const border = Math.ceil(first / group) * group;
    if (first < border) end = Math.min(end, border);
    else if (end - first > group) end -= end % group;
    found.push([first, end]);
    first = end;
  }
  return found;
}

/** The part of a call that is of heads [first, end). */
function headsOf(call: AttentionCall & { readonly lse: Tensor }, first: number, end: number): AttentionCall {
  const group = call.q.shape[2]! / call.k.shape[2]!;
  const kv = (x: Tensor) => x.slice(2, Math.floor(first / group), Math.ceil(end / group));
  const of = (x: Tensor) => x.slice(2, first, end);
  return { ...call, q: of(call.q), k: kv(call.k), v: kv(call.v), o: of(call.o), lse: of(call.lse) };
}

/** Lays out the call. */
export function planMinference(b: Builder, inputs: ChosenInputs, options: MinferenceOptions): MinferenceResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v']);
  expectNames(OP, 'option', options, ['plan', 'scale', 'returnSelection']);
  const keep = flag(OP, 'returnSelection', options.returnSelection);
  const { scale } = options;
  const call = attentionCall(b, OP, inputs, { causal: true, ...(scale !== undefined && { scale }) });
  const { q, k } = call;
  const [batch, Tq, heads] = q.shape as [number, number, number];
  const [, Tk, kvHeads] = k.shape as [number, number, number];
  const plans = plansOf(options.plan, heads);
  const sizes = { Tq, Tk, queryBlock: BLOCK, keyBlock: BLOCK };
  const filled = q.size > 0 && k.size > 0;

  const columns = filled ? columnsOf(b, call, plans) : undefined;
  const patterns = plans.map(
    ({ pattern }): BlockPattern => (pattern === 'aShape' ? 'none' : pattern === 'blockSparse' ? 'chosen' : 'slashes'),
  );
  const chosen = filled && patterns.includes('chosen') ? bestBlocks(b, call, plans) : undefined;
  const bits = slashBlocks(b, batch, { ...sizes, patterns, slashes: columns?.slashes, chosen });
  // a window of nothing is a head that no block belongs to
  const windows = plans.map((plan) => (plan.pattern === 'aShape' ? plan.window : 0));
  for (const [first, end] of sections(windows, heads / kvHeads)) {
    const part = headsOf(call, first, end);
    if (windows[first]! > 0) {
      flashAttend(b, { ...part, window: [windows[first]! - 1, 0] });
    } else {
      const of = bits.slice(1, first, end);
      flashAttend(b, part, filled ? { selection: { bits: of, queryBlock: BLOCK, keyBlock: BLOCK } } : {});
    }
  }
  // the nearest diagonal is always chosen, and so are the blocks of a row's own places
  const shifts = plans.map((plan, h) => (plan.pattern === 'aShape' ? windows[h]! : BEFORE));
  if (columns) attendColumns(b, call, { ...columns, blocks: bits, keyBlock: BLOCK, shifts });
  const { indices } = columns ?? { indices: b.temporary([batch, heads, 1, 0], 'i32') };
  return { o: call.o, lse: call.lse, ...(keep && { selection: b.keep(bits), columns: b.keep(indices) }) };
}

/** Which columns every head sees besides blocks or a window, and the diagonals that make its blocks. */
interface Columns extends ColumnIndices {
  /** i32 [B, Hq, 1, words] */
  readonly slashes?: Tensor | undefined;
}

/** Adds the columns of all heads: those that the last queries weigh most, or the first ones. */
function columnsOf(b: Builder, { q, k, scale }: AttentionCall, plans: readonly MinferencePlan[]): Columns {
  const [batch, Tq, heads] = q.shape as [number, number, number];
  const Tk = k.shape[1]!;
  const wanted = plans.map((plan) => {
    if (plan.pattern === 'verticalSlash') return Math.min(Tk, Math.max(plan.vertical, FIRST_COLUMNS));
    return plan.pattern === 'aShape' ? Math.min(Tk, plan.sink) : 0;
  });
  const capacity = Math.max(0, ...wanted);
  if (!plans.some(({ pattern }) => pattern === 'verticalSlash')) {
    const indices = b.temporary([batch, heads, 1, capacity], 'i32');
    const counts = b.temporary([batch, heads, 1], 'i32');
    counts.write(Int32Array.from({ length: counts.size }, (_, list) => wanted[list % heads]!));
    const entry = (list: number, j: number) => (j < wanted[list % heads]! ? j : -1);
    indices.write(
      Int32Array.from({ length: indices.size }, (_, at) => entry(Math.floor(at / capacity), at % capacity)),
    );
    return { indices, counts };
  }
  const last = Math.min(BLOCK, Tq);
  const sums = weightSums(b, {
    q: q.slice(1, Tq - last, Tq),
    k,
    scale,
    visible: causalBlocks({ Tq: last, Tk, queryBlock: 1, keyBlock: 1 }),
    rowGroup: last,
    diagonals: true,
    firstColumns: plans.map((plan, h) => (plan.pattern === 'verticalSlash' ? FIRST_COLUMNS : wanted[h]!)),
    firstDiagonals: plans.map(() => NEAR_SLASHES),
  });
  const slashes = plans.map((plan) =>
    plan.pattern === 'verticalSlash' ? Math.min(Tk, Math.max(plan.slash, LEAST_SLASHES)) : 0,
  );
  const chosen = selectTopK(b, sums.columns, { k: headTensor(b, wanted, 'i32') });
  return {
    ...selectIndices(b, chosen, capacity),
    slashes: selectTopK(b, sums.diagonals!, { k: headTensor(b, slashes, 'i32') }),
  };
}

/** Adds the blocks of block-sparse heads. */
function bestBlocks(b: Builder, { q, k, scale }: AttentionCall, plans: readonly MinferencePlan[]): Tensor {
  const sizes = { Tq: q.shape[1]!, Tk: k.shape[1]!, queryBlock: BLOCK, keyBlock: BLOCK };
  const visible = causalBlocks(sizes);
  const map = scoreMap(b, {
    q: poolBlocks(b, q, BLOCK, 'mean'),
    k: poolBlocks(b, k, BLOCK, 'mean'),
    scale,
    visible,
  });
  const budgets = plans.map((plan) => (plan.pattern === 'blockSparse' ? Math.min(map.shape[3]!, plan.topK) : 0));
  return selectTopK(b, map, { k: headTensor(b, budgets, 'i32'), visible });
}

/**
 * Causal softmax attention after a plan for every head. `verticalSlash`: the columns and diagonals with the largest sums over the last 64
 * queries' weights, where the first 30 columns and the nearest 100 diagonals come before all others; a diagonal covers the key blocks of
 * 64 that it passes within each block of 64 queries, columns count one by one. `aShape`: the first keys and a window. `blockSparse`: for
 * each block of queries the key blocks whose means go best with its own.
 *
 * Source: MInference 1.0 (Jiang 2024), minference/modules/minference_forward.py.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @throws MemoryLimitError if the outputs or temporaries do not fit.
 * @example const { o } = await minference({ q, k, v }, { plan: { pattern: 'verticalSlash', vertical: 500, slash: 700 } })
 */
export function minference(inputs: ChosenInputs, options: MinferenceOptions): Promise<MinferenceResult> {
  return run(OP, inputs, (b) => planMinference(b, inputs, options));
}

/** As `minference`, to the end before it returns. */
export function minferenceSync(inputs: ChosenInputs, options: MinferenceOptions): MinferenceResult {
  return runSync(OP, inputs, (b) => planMinference(b, inputs, options));
}

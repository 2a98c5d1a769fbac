/**
 * Keys at distances that are powers of two.
 *
 * @module
 */
import { flashAttend } from '../engines/flash.ts';
import { indexAttend } from '../engines/index-attention.ts';
import { type PatternInputs, type PatternOptions, type PatternResult, patternCall } from '../engines/pattern-call.ts';
import { Recent } from '../engines/recent.ts';
import { flag, whole } from '../engines/shapes.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';

/** Options of `logsparseAttention`. */
export interface LogsparseAttentionOptions extends PatternOptions {
  /** Keys nearer than this are all seen. Default 1: only the query's own. */
  readonly window?: number;
  /** Only keys up to the query's own. Default false. */
  readonly causal?: boolean;
}

const OP = 'logsparseAttention';
/** Windows of more keys are no list. */
const MOST_LISTED = 8;

/** Distances of the keys of a list, ascending by key: farthest before the query first. */
function listed(length: number, window: number, near: number, causal: boolean): number[] {
  const distances: number[] = [];
  for (let distance = 0; distance < Math.min(near, length); ++distance) distances.push(distance);
  for (let distance = 1; distance < length; distance *= 2) if (distance >= window) distances.push(distance);
  const before = [...distances].sort((x, y) => y - x);
  const behind = distances.filter((distance) => distance > 0).map((distance) => -distance);
  return causal ? before : [...before, ...behind.sort((x, y) => y - x)];
}

/** Keys [length, most] of every query, and how many there are. */
interface KeyLists {
  readonly most: number;
  readonly keys: Int32Array;
  readonly counts: Int32Array;
}

function listKeys(length: number, distances: readonly number[]): KeyLists {
  const most = distances.length;
  const keys = new Int32Array(length * most);
  const counts = new Int32Array(length);
  for (let i = 0; i < length; ++i) {
    let at = i * most;
    for (const distance of distances) if (i >= distance && i - distance < length) keys[at++] = i - distance;
    counts[i] = at - i * most;
  }
  return { most, keys, counts };
}

const made = new Recent<KeyLists>(16);

/** Lays out the call: a list of keys for every query, which only a wide window is no part of. */
export function planLogsparse(b: Builder, inputs: PatternInputs, options: LogsparseAttentionOptions): PatternResult {
  const { call, sizes } = patternCall(b, OP, inputs, options, { options: ['window', 'causal'] });
  const { B, T } = sizes;
  const window = whole(OP, 'window', options.window, 1, 1);
  const causal = flag(OP, 'causal', options.causal);
  const wide = window > MOST_LISTED;
  if (wide) flashAttend(b, { ...call, window: [window - 1, causal ? 0 : window - 1] });
  const { most, keys, counts } = made.get(`${T} ${window} ${causal}`, () => {
    return listKeys(T, listed(T, window, wide ? 0 : window, causal));
  });
  if (most > 0) {
    const lists = {
      indices: b.constant(keys, [T, most]).restride([B, 1, T, most], [0, 0, most, 1]),
      counts: b.constant(counts, [T]).restride([B, 1, T], [0, 0, 1]),
    };
    indexAttend(b, { ...call, accumulate: wide ? 'join' : false }, lists);
  }
  return { o: call.o, lse: call.lse };
}

/**
 * Attention over keys at distances that are powers of two, and over all nearer than `window`: about log2 T keys a query.
 *
 * Shapes: q [B, T, Hq, D], k [B, T, Hkv, D], v [B, T, Hkv, Dv] -> o [B, T, Hq, Dv], lse [B, T, Hq].
 *
 * Source: LogSparse Transformer (Li 2019), with its local attention.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await logsparseAttention({ q, k, v }, { causal: true, window: 4 })
 */
export function logsparseAttention(
  inputs: PatternInputs,
  options: LogsparseAttentionOptions = {},
): Promise<PatternResult> {
  return run(OP, inputs, (b) => planLogsparse(b, inputs, options));
}

/** As `logsparseAttention`, to the end before it returns. */
export function logsparseAttentionSync(inputs: PatternInputs, options: LogsparseAttentionOptions = {}): PatternResult {
  return runSync(OP, inputs, (b) => planLogsparse(b, inputs, options));
}

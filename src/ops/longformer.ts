/**
 * Windows with global tokens that have projections of their own.
 *
 * @module
 */
import { BLOCK_K } from '../engines/block-list.ts';
import { flashAttend } from '../engines/flash.ts';
import {
  expectOperands,
  headRuns,
  headsOf,
  type PatternCall,
  type PatternInputs,
  type PatternOptions,
  type PatternResult,
  patternCall,
  required,
  residuesOf,
} from '../engines/pattern-call.ts';
import { expectTypes, flag, whole } from '../engines/shapes.ts';
import { asRows, gatherTokens, scatterTokens, tokenOrder } from '../engines/token-order.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Pattern, window } from '../pattern.ts';
import { or } from '../patterns/combine.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attend } from './attention.ts';
import { maskedAttend } from './masked.ts';

/** Operands of `longformer`. */
export interface LongformerInputs extends PatternInputs {
  /** u8 [B, T]: 1 for global tokens. Default: none. */
  readonly globalMask?: Tensor;
  /** As q, k and v: what the rows of global tokens are computed from. Default: q, k and v. */
  readonly qGlobal?: Tensor;
  readonly kGlobal?: Tensor;
  readonly vGlobal?: Tensor;
}

/** Options of `longformer`. */
export interface LongformerOptions extends PatternOptions {
  /** Keys seen before and after the query's own. */
  readonly window: number;
  /** Distance between the keys of the window: a number, or one for each query head. Default 1. */
  readonly dilation?: number | readonly number[];
  /** Only keys up to the query's own. Default false. */
  readonly causal?: boolean;
}

const OP = 'longformer';
/** Most blocks of keys with global tokens that are listed. */
const MOST_BLOCKS = 2;

/** The tokens of each batch entry that are global. */
function globalTokens(mask: Tensor | undefined, batches: number, length: number): number[][] {
  const marks = mask?.dataSync();
  return Array.from({ length: batches }, (_, batch) => {
    const tokens: number[] = [];
    for (let t = 0; t < length && marks; ++t) if (marks[batch * length + t] !== 0) tokens.push(t);
    return tokens;
  });
}

/** Whether the global tokens are in so few blocks of keys that listing those blocks is quicker than gathering the tokens. */
function fewBlocks(globals: readonly number[][]): boolean {
  return globals.every((tokens) => new Set(tokens.map((token) => Math.floor(token / BLOCK_K))).size <= MOST_BLOCKS);
}

/** The global tokens as keys. */
function globalKeys(globals: readonly number[][]): Pattern {
  return {
    name: 'global tokens',
    key: `globals ${globals.join(';')}`,
    perBatch: globals.length > 1,
    visible: (_, j, { batch }) => globals[batch]!.includes(j),
    runs: (_, { batch }, add) => {
      for (const token of globals[batch]!) add(token, token + 1);
    },
  };
}

/** Which global tokens, in the order in which they are gathered, a query sees outside its window. */
function outsideWindow(globals: readonly number[][], reach: number, dilation: number, causal: boolean): Pattern {
  const sees = (i: number, token: number | undefined) => {
    if (token === undefined || (causal && token > i)) return false;
    const distance = Math.abs(i - token);
    return distance % dilation !== 0 || distance > reach * dilation;
  };
  return {
    name: `global tokens outside a window of ${reach}`,
    key: `longformer ${reach} ${dilation} ${causal} ${globals.join(';')}`,
    perBatch: globals.length > 1,
    visible: (i, n, { Tq, Tk, batch }) => sees(i + Tq - Tk, globals[batch]![n]),
    runs: (i, { Tq, Tk, batch }, add) => {
      for (const [n, token] of globals[batch]!.entries()) if (sees(i + Tq - Tk, token)) add(n, n + 1);
    },
  };
}

/** Adds the global keys outside the window to what the rows of `call` have seen. */
function joinGlobals(b: Builder, call: PatternCall, globals: readonly number[][], pattern: Pattern): void {
  const [batches, length] = call.q.shape as [number, number];
  const most = Math.max(...globals.map((tokens) => tokens.length));
  // entries with fewer global tokens are filled up with their first token, which the pattern hides
  const order = tokenOrder(
    b,
    globals.flatMap((tokens, batch) => Array.from({ length: most }, (_, n) => batch * length + (tokens[n] ?? 0))),
  );
  const rows = (x: Tensor) => gatherTokens(b, x, order).reshape([batches, most, ...x.shape.slice(2)]);
  const sequences = call.sequences.map((s) => ({ ...s, kLength: globals[s.batch]!.length }));
  maskedAttend(b, { ...call, k: rows(call.k), v: rows(call.v), sequences, accumulate: 'join' }, pattern);
}

/** Adds the rows of global tokens, which see all keys. */
function globalRows(
  b: Builder,
  call: PatternCall,
  { q, k, v }: PatternInputs,
  globals: readonly number[][],
  causal: boolean,
): void {
  const [batches, length, heads] = q.shape as [number, number, number];
  const dv = v.shape[3]!;
  const order = tokenOrder(
    b,
    globals.flatMap((tokens, batch) => tokens.map((token) => batch * length + token)),
  );
  const { count } = order;
  const own = (x: Tensor) => x.restride([batches, count, ...x.shape.slice(2)], [0, ...x.strides.slice(1)]);
  const o = b.temporary([1, count, heads, dv]);
  const lse = b.temporary([1, count, heads]);
  let qStart = 0;
  const sequences = globals.map((tokens, batch) => {
    const span = { batch, qStart, qLength: tokens.length, kStart: 0, kLength: length, offset: 0 };
    qStart += tokens.length;
    return span;
  });
  const rows = { ...call, q: own(gatherTokens(b, q, order)), k, v, o: own(o), lse: own(lse), sequences };
  if (causal) {
    const places = (values: Int32Array) => b.constant(values, [1, values.length]);
    const every = Int32Array.from({ length }, (_, t) => t);
    const positions = { q: places(Int32Array.from(globals.flat())), k: places(every) };
    flashAttend(b, { ...rows, window: [-1, 0] }, { positions });
  } else {
    attend(b, rows);
  }
  scatterTokens(b, o, order, call.o);
  scatterTokens(b, lse.reshape([1, count, 1, heads]), order, asRows(call.lse));
}

/** The dilation of each query head. */
function dilations(dilation: LongformerOptions['dilation'], heads: number): number[] {
  const each =
    typeof dilation === 'object' ? dilation : new Array<number>(heads).fill(whole(OP, 'dilation', dilation, 1, 1));
  if (!Array.isArray(each) || each.length !== heads) {
    throw new OptionError(
      `${OP}: dilation is ${JSON.stringify(dilation)}, expected a number or one for each of ${heads} heads`,
    );
  }
  return each.map((step, h) => required(OP, `dilation[${h}]`, step, 1));
}

/** Lays out the call: windows, the global keys outside them, then the rows of global tokens. */
export function planLongformer(b: Builder, inputs: LongformerInputs, options: LongformerOptions): PatternResult {
  const { call, sizes } = patternCall(b, OP, inputs, options, {
    inputs: { globalMask: '?B T', qGlobal: '?B T Hq D', kGlobal: '?B T Hkv D', vGlobal: '?B T Hkv Dv' },
    options: ['window', 'dilation', 'causal'],
  });
  const { globalMask, qGlobal = inputs.q, kGlobal = inputs.k, vGlobal = inputs.v } = inputs;
  const global = { q: qGlobal, k: kGlobal, v: vGlobal };
  const extra = Object.entries({ qGlobal: inputs.qGlobal, kGlobal: inputs.kGlobal, vGlobal: inputs.vGlobal });
  const unused = extra.find(([, tensor]) => tensor && !globalMask);
  if (unused) throw new ShapeError(`${OP}: ${unused[0]} was given without a globalMask, which says which rows need it`);
  expectTypes(OP, { globalMask }, ['u8']);
  expectOperands(OP, global, sizes);
  const reach = required(OP, 'window', options.window, 0);
  const steps = dilations(options.dilation, sizes.Hq);
  const causal = flag(OP, 'causal', options.causal);
  const globals = globalTokens(globalMask, sizes.B, sizes.T);
  const any = globals.some((tokens) => tokens.length > 0);
  for (const { from, to, plan: step } of headRuns(steps, sizes.Hq / sizes.Hkv, (x, y) => x === y)) {
    const heads = headsOf(call, from, to);
    if (any && step === 1 && fewBlocks(globals)) {
      const visible = or(window(reach), globalKeys(globals));
      b.reusing(() => maskedAttend(b, { ...heads, window: [-1, causal ? 0 : -1] }, visible));
      continue;
    }
    for (const classes of residuesOf(heads, step)) {
      b.reusing(() => flashAttend(b, { ...classes, window: [reach, causal ? 0 : reach] }));
    }
    if (any) b.reusing(() => joinGlobals(b, heads, globals, outsideWindow(globals, reach, step, causal)));
  }
  if (any) b.reusing(() => globalRows(b, call, global, globals, causal));
  b.note(() => `${globals.flat().length} global tokens among ${sizes.B} sequences`);
  return { o: call.o, lse: call.lse };
}

/**
 * Attention over a window and over global tokens, which every row sees once, and which themselves see all keys, by queries, keys and values of
 * their own.
 *
 * Shapes: q [B, T, Hq, D], k [B, T, Hkv, D], v [B, T, Hkv, Dv], globalMask [B, T], qGlobal, kGlobal, vGlobal as q, k, v ->
 * o [B, T, Hq, Dv], lse [B, T, Hq].
 *
 * Source: Longformer (Beltagy 2020); reference implementation allenai/longformer. Where that cuts the window into chunks, any window and
 * length will do.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await longformer({ q, k, v, globalMask, qGlobal, kGlobal, vGlobal }, { window: 256 })
 */
export function longformer(inputs: LongformerInputs, options: LongformerOptions): Promise<PatternResult> {
  return run(OP, inputs, (b) => planLongformer(b, inputs, options));
}

/** As `longformer`, to the end before it returns. */
export function longformerSync(inputs: LongformerInputs, options: LongformerOptions): PatternResult {
  return runSync(OP, inputs, (b) => planLongformer(b, inputs, options));
}

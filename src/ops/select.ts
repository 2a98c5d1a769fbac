/**
 * Columns of rows chosen by their scores: the first half of a sparse method of one's own.
 *
 * @module
 */
import { selectIndices } from '../engines/select/bits.ts';
import { type Choice, type Forced, selectTopK, selectTopP } from '../engines/select/choose.ts';
import type { Visible } from '../engines/select/map.ts';
import { expectNames, expectRows, expectTypes, finite, matchShapes, whole } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `topK` and `topP`. */
export interface ScoresInputs {
  /** f32 [B, L, R, C]: scores of C columns (keys, or blocks of them) for R rows of L lists (heads, or groups of them). */
  readonly scores: Tensor;
}

/** What `topK` and `topP` share. */
export interface SelectOptions {
  /** Row i sees columns 0 to floor((i * mul + add) / div) - 1 and chooses from them alone. Default: it sees all. */
  readonly visible?: Visible;
  /** Columns 0 to first - 1 are chosen in any case where visible. Default 0. */
  readonly first?: number;
  /** The last so many visible columns are chosen in any case. Default 0. */
  readonly last?: number;
  /**
   * `counted` (default): those are among the k, and their mass in the share. `added`: k, or the share of the others' mass, come on top.
   * `union`: the choice is made as if there were none, and they are joined to it.
   */
  readonly forced?: Forced;
  /** `row` (default): every row chooses for itself. `head`: all that the rows of a list see is chosen from as one. */
  readonly scope?: 'row' | 'head';
}

/** Options of `topK`. */
export interface TopKOptions extends SelectOptions {
  /** Columns of a row (with scope `head` of a list); all where there are fewer. */
  readonly k: number;
}

/** Options of `topP`. */
export interface TopPOptions extends SelectOptions {
  /** From 0 to 1; with 1 all that is visible is chosen. */
  readonly p: number;
  /** At least so many columns are chosen where there are so many. Default 1. */
  readonly minimum?: number;
}

/** Result of `topK` and `topP`. */
export interface SelectResult {
  /** i32 [B, L, R, ceil(C / 32)]: bit j & 31 of word j >> 5 is set where column j is chosen; bits past the last column are 0. */
  readonly bits: Tensor;
}

/** Operands of `bitIndices`. */
export interface BitIndicesInputs {
  /** i32 [B, L, R, W] */
  readonly bits: Tensor;
}

/** Options of `bitIndices`. */
export interface BitIndicesOptions {
  /** Places of a row. */
  readonly capacity: number;
}

/** Result of `bitIndices`. */
export interface BitIndicesResult {
  /** i32 [B, L, R, capacity]: numbers of the set bits in ascending order, -1 behind the last; those that do not fit are left out. */
  readonly indices: Tensor;
  /** i32 [B, L, R]: how many of them each row has. */
  readonly counts: Tensor;
}

const COMMON = ['visible', 'first', 'last', 'forced', 'scope'];

/** @throws OptionError if it is none of the values. */
function oneOf<T extends string>(op: string, name: string, value: T | undefined, values: readonly T[]): T {
  if (value !== undefined && !values.includes(value)) {
    throw new OptionError(`${op}: ${name} is ${value}, expected ${values.join(' or ')}`);
  }
  return value ?? values[0]!;
}

/** @throws OptionError, ShapeError, DTypeError for scores or options that do not fit. */
function choiceOf(op: string, { scores }: ScoresInputs, options: SelectOptions): Choice {
  matchShapes(op, { scores }, { scores: 'B L R C' });
  expectTypes(op, { scores }, ['f32']);
  expectRows(op, { scores });
  const { visible } = options;
  if (visible !== undefined) {
    expectNames(op, 'option', visible, ['mul', 'add', 'div']);
    for (const name of ['mul', 'add', 'div'] as const) {
      if (visible[name] === undefined)
        throw new OptionError(`${op}: visible has no ${name}, expected { mul, add, div }`);
      whole(op, `visible.${name}`, visible[name], 1, name === 'div' ? 1 : -(2 ** 31));
    }
  }
  return {
    visible,
    first: whole(op, 'first', options.first, 0, 0),
    last: whole(op, 'last', options.last, 0, 0),
    forced: oneOf<Forced>(op, 'forced', options.forced, ['counted', 'added', 'union']),
    scope: oneOf<'row' | 'head'>(op, 'scope', options.scope, ['row', 'head']),
  };
}

/** Lays out the call. */
export function planTopK(b: Builder, inputs: ScoresInputs, options: TopKOptions): SelectResult {
  expectNames('topK', 'input', inputs, ['scores']);
  expectNames('topK', 'option', options, ['k', ...COMMON]);
  const choice = choiceOf('topK', inputs, options);
  if (options.k === undefined) throw new OptionError('topK: k is missing, expected how many columns to choose');
  const k = whole('topK', 'k', options.k, 0, 0);
  return { bits: b.keep(selectTopK(b, inputs.scores, { k, ...choice })) };
}

/** Lays out the call. */
export function planTopP(b: Builder, inputs: ScoresInputs, options: TopPOptions): SelectResult {
  expectNames('topP', 'input', inputs, ['scores']);
  expectNames('topP', 'option', options, ['p', 'minimum', ...COMMON]);
  const choice = choiceOf('topP', inputs, options);
  if (options.p === undefined) throw new OptionError('topP: p is missing, expected a share from 0 to 1');
  const p = finite('topP', 'p', options.p, 1, 0, 1);
  const minimum = whole('topP', 'minimum', options.minimum, 1, 0);
  return { bits: b.keep(selectTopP(b, inputs.scores, { p, minimum, ...choice })) };
}

/** Lays out the call. */
export function planBitIndices(b: Builder, inputs: BitIndicesInputs, options: BitIndicesOptions): BitIndicesResult {
  expectNames('bitIndices', 'input', inputs, ['bits']);
  expectNames('bitIndices', 'option', options, ['capacity']);
  const { bits } = inputs;
  matchShapes('bitIndices', { bits }, { bits: 'B L R W' });
  expectTypes('bitIndices', { bits }, ['i32']);
  expectRows('bitIndices', { bits });
  if (options.capacity === undefined) {
    throw new OptionError('bitIndices: capacity is missing, expected how many indices of a row there is room for');
  }
  const lists = selectIndices(b, bits, whole('bitIndices', 'capacity', options.capacity, 0, 0));
  return { indices: b.keep(lists.indices), counts: b.keep(lists.counts) };
}

/**
 * The k columns of the highest scores of each row as bits. Equal scores are taken from the left, NaN after all others; what a row does
 * not see is neither chosen nor read.
 *
 * Shapes: scores f32 [B, L, R, C]; bits i32 [B, L, R, ceil(C / 32)]. Source: two levels of a sample about the place of the k-th, Floyd and
 * Rivest 1975.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { bits } = await topK({ scores }, { k: 16, first: 1, last: 2, visible: { mul: 1, add: 64, div: 64 } })
 */
export function topK(inputs: ScoresInputs, options: TopKOptions): Promise<SelectResult> {
  return run('topK', inputs, (b) => planTopK(b, inputs, options));
}

/** As `topK`, to the end before it returns. */
export function topKSync(inputs: ScoresInputs, options: TopKOptions): SelectResult {
  return runSync('topK', inputs, (b) => planTopK(b, inputs, options));
}

/**
 * The fewest columns of the highest scores of each row that hold a share p of the sum of those that it sees, as bits. Scores are weights:
 * those below 0 and NaN count as 0. Sums are f64; equal scores are taken from the left.
 *
 * Shapes: scores f32 [B, L, R, C]; bits i32 [B, L, R, ceil(C / 32)]. Source: nucleus sampling, Holtzman 2020, without its sort.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { bits } = await topP({ scores: weights }, { p: 0.9, scope: 'head' })
 */
export function topP(inputs: ScoresInputs, options: TopPOptions): Promise<SelectResult> {
  return run('topP', inputs, (b) => planTopP(b, inputs, options));
}

/** As `topP`, to the end before it returns. */
export function topPSync(inputs: ScoresInputs, options: TopPOptions): SelectResult {
  return runSync('topP', inputs, (b) => planTopP(b, inputs, options));
}

/**
 * The numbers of the bits of each row that are set, as `topK` and `topP` give them, in ascending order.
 *
 * Shapes: bits i32 [B, L, R, W]; indices i32 [B, L, R, capacity], counts i32 [B, L, R].
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { indices, counts } = await bitIndices({ bits }, { capacity: 16 })
 */
export function bitIndices(inputs: BitIndicesInputs, options: BitIndicesOptions): Promise<BitIndicesResult> {
  return run('bitIndices', inputs, (b) => planBitIndices(b, inputs, options));
}

/** As `bitIndices`, to the end before it returns. */
export function bitIndicesSync(inputs: BitIndicesInputs, options: BitIndicesOptions): BitIndicesResult {
  return runSync('bitIndices', inputs, (b) => planBitIndices(b, inputs, options));
}

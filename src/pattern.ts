/**
 * Patterns: which pairs of queries and keys a sparse attention leaves, as rules from which block masks are made.
 *
 * @module
 */
import { OptionError } from './errors.ts';

/** Where a pattern is asked about. */
export interface PatternPlace {
  readonly Tq: number;
  readonly Tk: number;
  readonly batch: number;
  readonly head: number;
}

/**
 * A rule. Queries are named by their place among the keys: query row r of Tq is at i = r + Tk - Tq, so that the same rule
 * serves a prompt and its continuation.
 */
export interface Pattern {
  /** What pictures and errors call it. */
  readonly name: string;
  /** Equal keys mean equal rules: masks made from them may be shared. */
  readonly key?: string | undefined;
  /** Whether heads, or entries of the batch, differ. */
  readonly perHead?: boolean | undefined;
  readonly perBatch?: boolean | undefined;
  /** Whether the query at place i sees key j. */
  visible(i: number, j: number, at: PatternPlace): boolean;
  /**
   * Adds runs [first, end) that together are the keys that the query at place i sees, in any order; what passes the keys
   * is cut off. A rule without it is asked about pairs, as predicates are.
   */
  runs?(i: number, at: PatternPlace, add: (first: number, end: number) => void): void;
}

function expectWhole(name: string, what: string, value: number, least: number): void {
  if (!Number.isInteger(value) || value < least) {
    throw new OptionError(`${name}: ${what} is ${value}, expected a whole number >= ${least}`);
  }
}

/** Every key up to the query's own place. */
export function causal(): Pattern {
  return {
    name: 'causal',
    key: 'causal',
    visible: (i, j) => j <= i,
    runs: (i, _, add) => add(0, i + 1),
  };
}

/** Keys from i - left to i + right; -1: no limit. @throws OptionError if a limit is no whole number >= -1. */
export function window(left: number, right = left): Pattern {
  expectWhole('window', 'left', left, -1);
  expectWhole('window', 'right', right, -1);
  return {
    name: `window ${left}, ${right}`,
    key: `window ${left} ${right}`,
    visible: (i, j) => (left < 0 || j >= i - left) && (right < 0 || j <= i + right),
    runs: (i, { Tk }, add) => add(left < 0 ? 0 : i - left, right < 0 ? Tk : i + right + 1),
  };
}

/**
 * Keys of the query's own document.
 *
 * @param lengths tokens of one document after another; tokens past the last belong to none and see nothing.
 * @throws OptionError if a length is no whole number >= 0.
 */
export function documents(lengths: readonly number[]): Pattern {
  for (const length of lengths) expectWhole('documents', 'a length', length, 0);
  const starts = [0];
  for (const length of lengths) starts.push(starts.at(-1)! + length);
  /** Number of starts at or before i. */
  const documentOf = (i: number) => {
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (starts[middle]! <= i) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const inside = (i: number) => i >= 0 && i < starts.at(-1)!;
  return {
    name: `${lengths.length} documents`,
    key: `documents ${lengths.join()}`,
    visible: (i, j) => inside(i) && documentOf(i) === documentOf(j),
    runs: (i, _, add) => {
      if (!inside(i)) return;
      const document = documentOf(i);
      add(starts[document - 1]!, starts[document]!);
    },
  };
}

/**
 * Patterns made of patterns.
 *
 * @module
 */
import { OptionError } from '../errors.ts';
import type { Pattern, PatternPlace } from '../pattern.ts';

/** Ends of runs in order, none of them touching: first, end, first, end, ... */
type Runs = number[];

function runsOf(pattern: Pattern, i: number, at: PatternPlace): Runs {
  const found: [number, number][] = [];
  pattern.runs!(i, at, (first, end) => {
    const [low, high] = [Math.max(0, first), Math.min(at.Tk, end)];
    if (low < high) found.push([low, high]);
  });
  found.sort((a, b) => a[0] - b[0]);
  const runs: Runs = [];
  for (const [first, end] of found) {
    if (runs.length > 0 && first <= runs.at(-1)!) runs[runs.length - 1] = Math.max(runs.at(-1)!, end);
    else runs.push(first, end);
  }
  return runs;
}

/** What all patterns have in common. */
function together(name: string, patterns: readonly Pattern[]): Omit<Pattern, 'visible'> {
  if (patterns.length === 0) throw new OptionError(`${name}: no pattern was given`);
  for (const pattern of patterns) {
    if (typeof pattern?.visible !== 'function') throw new OptionError(`${name}: ${pattern} is not a pattern`);
  }
  const keys = patterns.map(({ key }) => key);
  return {
    name: patterns.map((pattern) => pattern.name).join(` ${name} `),
    key: keys.includes(undefined) ? undefined : `${name}(${keys.join(', ')})`,
    perHead: patterns.some(({ perHead }) => perHead),
    perBatch: patterns.some(({ perBatch }) => perBatch),
  };
}

/** Pairs that any of the patterns shows. @throws OptionError if one is no pattern. */
export function or(...patterns: readonly Pattern[]): Pattern {
  return {
    ...together('or', patterns),
    visible: (i, j, at) => patterns.some((pattern) => pattern.visible(i, j, at)),
    ...(patterns.every(({ runs }) => runs) && {
      runs: (i, at, add) => {
        for (const pattern of patterns) pattern.runs!(i, at, add);
      },
    }),
  };
}

/** Pairs that all of the patterns show. @throws OptionError if one is no pattern. */
export function and(...patterns: readonly Pattern[]): Pattern {
  return {
    ...together('and', patterns),
    visible: (i, j, at) => patterns.every((pattern) => pattern.visible(i, j, at)),
    ...(patterns.every(({ runs }) => runs) && {
      runs: (i, at, add) => {
        const common = patterns.map((pattern) => runsOf(pattern, i, at)).reduce(intersection);
        for (let n = 0; n < common.length; n += 2) add(common[n]!, common[n + 1]!);
      },
    }),
  };
}

function intersection(a: Runs, b: Runs): Runs {
  const common: Runs = [];
  for (let n = 0, m = 0; n < a.length && m < b.length; ) {
    const first = Math.max(a[n]!, b[m]!);
    const end = Math.min(a[n + 1]!, b[m + 1]!);
    if (first < end) common.push(first, end);
    if (a[n + 1]! < b[m + 1]!) n += 2;
    else m += 2;
  }
  return common;
}

/** Pairs that a pattern hides. @throws OptionError if it is no pattern. */
export function not(pattern: Pattern): Pattern {
  const { key, ...common } = together('not', [pattern]);
  return {
    ...common,
    name: `not ${pattern.name}`,
    key,
    visible: (i, j, at) => !pattern.visible(i, j, at),
    ...(pattern.runs && {
      runs: (i, at, add) => {
        let from = 0;
        const runs = runsOf(pattern, i, at);
        for (let n = 0; n < runs.length; n += 2) {
          add(from, runs[n]!);
          from = runs[n + 1]!;
        }
        add(from, at.Tk);
      },
    }),
  };
}

/** A pattern for each head of a mask; fewer patterns than heads are used in turn. @throws OptionError if one is no pattern. */
export function perHead(patterns: readonly Pattern[]): Pattern {
  const of = (at: PatternPlace) => patterns[at.head % patterns.length]!;
  return {
    ...together('per head', patterns),
    perHead: true,
    visible: (i, j, at) => of(at).visible(i, j, at),
    ...(patterns.every(({ runs }) => runs) && { runs: (i, at, add) => of(at).runs!(i, at, add) }),
  };
}

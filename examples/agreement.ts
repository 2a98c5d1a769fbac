import { performance } from 'node:perf_hooks';
import { newTable, type Pace, paceCells, paceHead } from './pace.ts';
import { greedy } from './sample.ts';

/** The ways to feed a network: everything in one call, or token by token. */
export const forms = ['prefill', 'step'] as const;
export type Form = (typeof forms)[number];

/** How the logits of one way to feed a network agree with another implementation's. */
export interface Agreement {
  readonly form: Form;
  /** Largest difference of a logit, relative to the largest logit of its row. */
  readonly error: number;
  /** Rows of logits that were compared. */
  readonly rows: number;
  /** Rows whose largest logit is at the same place. */
  readonly sameTop: number;
  readonly pace: Pace;
}

/**
 * Compares logits, fed both ways.
 *
 * @param count tokens that `feed` feeds.
 * @param expected rows of `width` logits.
 * @param feed gives as many rows, in as many parts as it likes.
 */
export async function checkForms(
  count: number,
  expected: Float32Array,
  width: number,
  feed: (form: Form) => Promise<readonly Float32Array[]>,
): Promise<Agreement[]> {
  const found: Agreement[] = [];
  for (const form of forms) {
    const start = performance.now();
    const parts = await feed(form);
    const pace = { tokens: count, ms: performance.now() - start };
    found.push({ form, pace, ...compareRows(parts, expected, width) });
  }
  return found;
}

/** Formats what `checkForms` found. */
export function agreementTable(found: readonly Agreement[], bound: number, unit = 'tokens'): string {
  const table = newTable(['', ...paceHead(unit), 'logit error', 'at most', 'same top', '']);
  for (const { form, error, rows, sameTop, pace } of found) {
    table.push([
      form,
      ...paceCells(pace),
      error.toExponential(2),
      bound.toExponential(0),
      `${sameTop}/${rows}`,
      error <= bound ? 'ok' : 'WRONG',
    ]);
  }
  return table.toString();
}

function compareRows(
  parts: readonly Float32Array[],
  expected: Float32Array,
  width: number,
): Pick<Agreement, 'error' | 'rows' | 'sameTop'> {
  const rows = parts.flatMap((part) => splitRows(part, width));
  const wanted = splitRows(expected, width);
  let error = 0;
  let sameTop = 0;
  for (const [t, want] of wanted.entries()) {
    const got = rows[t]!;
    const largest = want.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    const difference = want.reduce((most, x, id) => Math.max(most, Math.abs(x - got[id]!)), 0);
    // NaN must not pass as a small error
    error = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(error, difference / largest);
    if (greedy(got) === greedy(want)) sameTop++;
  }
  return { error, rows: wanted.length, sameTop };
}

/** How logits differ from those that are taken to be right. */
export interface Divergence {
  readonly rows: number;
  /** Rows whose largest logit is at the same place. */
  readonly sameTop: number;
  /** Mean over the rows of the Kullback-Leibler divergence, in nats, of the softmax from the right one. */
  readonly kl: number;
}

/** Compares rows of logits with `expected`, as many rows one behind the other. */
export function divergenceOf(rows: readonly Float32Array[], expected: Float32Array): Divergence {
  const wanted = splitRows(expected, expected.length / rows.length);
  let sameTop = 0;
  let sum = 0;
  for (const [t, want] of wanted.entries()) {
    const got = rows[t]!;
    if (greedy(got) === greedy(want)) sameTop++;
    const [p, q] = [logSoftmax(want), logSoftmax(got)];
    sum += p.reduce((total, x, id) => total + Math.exp(x) * (x - q[id]!), 0);
  }
  return { rows: rows.length, sameTop, kl: sum / rows.length };
}

function logSoftmax(logits: Float32Array): Float64Array {
  const most = logits.reduce((a, b) => Math.max(a, b));
  const total = logits.reduce((a, b) => a + Math.exp(b - most), 0);
  return Float64Array.from(logits, (x) => x - most - Math.log(total));
}

function splitRows(numbers: Float32Array, width: number): Float32Array[] {
  return Array.from({ length: numbers.length / width }, (_, t) => numbers.subarray(t * width, (t + 1) * width));
}

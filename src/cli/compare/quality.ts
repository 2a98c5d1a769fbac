/**
 * What a model's predictions are worth: bits per byte of a text, distance from another model's predictions, answers to questions.
 *
 * @module
 */
import type { LanguageModel, SequenceOptions } from '../../lm/index.ts';
import { LETTERS, type RecallText } from './recall.ts';

/** What is measured of predictions of a text. */
export interface TextQuality {
  /** Mean of -log2 of what the next byte was given. */
  readonly bits: number;
  /** Mean distance KL(reference || this) in bits, and share of places where both have the same best byte; with a reference. */
  readonly kl?: number;
  readonly agreement?: number;
}

/** How a sequence is fed. */
export interface Feeding {
  /** What attends in layers that attend. */
  readonly attention?: SequenceOptions['attention'];
  /** Tokens that are fed at once; those behind them come one by one. Default all. */
  readonly prompt?: number;
}

/** log2 of the probabilities, in place: rows of logits [rows, vocabulary]. */
function toLogProbabilities(logits: Float32Array, vocabulary: number): Float32Array {
  for (let at = 0; at < logits.length; at += vocabulary) {
    const row = logits.subarray(at, at + vocabulary);
    let most = Number.NEGATIVE_INFINITY;
    for (const x of row) most = Math.max(most, x);
    let sum = 0;
    for (const x of row) sum += Math.exp(x - most);
    const total = most + Math.log(sum);
    for (let i = 0; i < vocabulary; ++i) row[i] = (row[i]! - total) * Math.LOG2E;
  }
  return logits;
}

/** log2 of the probability of each byte after each of the tokens: [tokens, vocabulary]. */
export async function predictions(
  model: LanguageModel,
  tokens: Uint8Array,
  { attention, prompt = tokens.length }: Feeding = {},
): Promise<Float32Array> {
  const { vocabulary } = model.config;
  using sequence = model.open({ capacity: tokens.length, ...(attention && { attention }) });
  const all = new Float32Array(tokens.length * vocabulary);
  const first = Math.min(prompt, tokens.length);
  all.set(await model.forward(tokens.subarray(0, first), sequence, 'all'));
  for (let t = first; t < tokens.length; ++t) {
    all.set(await model.forward(tokens.subarray(t, t + 1), sequence), t * vocabulary);
  }
  return toLogProbabilities(all, vocabulary);
}

/** Index of the largest element, the first of equals. */
function best(row: Float32Array): number {
  let at = 0;
  for (let i = 1; i < row.length; ++i) if (row[i]! > row[at]!) at = i;
  return at;
}

/**
 * What predictions of a window of text are worth.
 *
 * @param window bytes, one more than predictions have rows: each is what comes after the row before it.
 * @param from first row that counts.
 * @param reference predictions of the same window.
 */
export function judged(
  window: Uint8Array,
  logs: Float32Array,
  from: number,
  reference?: Float32Array,
): Required<TextQuality> {
  const rows = window.length - 1;
  const vocabulary = logs.length / rows;
  let [bits, kl, same] = [0, 0, 0];
  for (let t = from; t < rows; ++t) {
    const row = logs.subarray(t * vocabulary, (t + 1) * vocabulary);
    bits -= row[window[t + 1]!]!;
    if (!reference) continue;
    const other = reference.subarray(t * vocabulary, (t + 1) * vocabulary);
    for (let i = 0; i < vocabulary; ++i) kl += 2 ** other[i]! * (other[i]! - row[i]!);
    if (best(row) === best(other)) ++same;
  }
  const count = rows - from;
  return { bits: bits / count, kl: kl / count, agreement: same / count };
}

/** For each question of a text, whether every byte of the answer is what a model finds most likely, given the right ones before it. */
export async function answers(
  model: LanguageModel,
  { text, questions }: RecallText,
  feeding: Feeding = {},
): Promise<boolean[]> {
  const { vocabulary } = model.config;
  const logs = await predictions(model, text.subarray(0, -1), feeding);
  const found = (at: number) => best(logs.subarray((at - 1) * vocabulary, at * vocabulary)) === text[at];
  return questions.map(({ answer }) => Array.from({ length: LETTERS }, (_, i) => answer + i).every(found));
}

/**
 * How fast a prompt and the tokens behind it go through a model, in rounds of all contenders in turn.
 *
 * @module
 */
import type { LanguageModel, SequenceOptions } from '../../lm/index.ts';

/** A model, with what attends in it. */
export interface Contender {
  readonly model: LanguageModel;
  readonly attention?: SequenceOptions['attention'];
  /** Tokens of the prompt. */
  readonly context: number;
}

/** Medians of the rounds, and the memory of the sequence behind the last token. */
export interface Speed {
  /** Tokens a second. */
  readonly prefill: number;
  readonly decode: number;
  readonly bytes: number;
}

/** Tokens behind the prompt. */
const STEPS = 16;

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

/** One round of a contender: seconds of the prompt and of a token behind it, bytes. */
async function round({ model, attention, context }: Contender, text: Uint8Array): Promise<[number, number, number]> {
  using sequence = model.open({ capacity: context + STEPS, ...(attention && { attention }) });
  const start = performance.now();
  await model.forward(text.subarray(0, context), sequence);
  const prompted = performance.now();
  for (let t = context; t < context + STEPS; ++t) await model.forward(text.subarray(t, t + 1), sequence);
  const ended = performance.now();
  return [(prompted - start) / 1000, (ended - prompted) / 1000 / STEPS, sequence.bytes];
}

/**
 * Speeds of contenders: rounds go through all of them in turn, so that what else the machine does meets all alike.
 *
 * @param text at least as long as the longest context and the tokens behind it.
 * @param rounds how many; the contenders have computed before, so that none has to warm up.
 * @param turn is told after each round of one contender.
 */
export async function speeds(
  contenders: readonly Contender[],
  text: Uint8Array,
  rounds: number,
  turn: () => void = () => {},
): Promise<Speed[]> {
  const times = contenders.map(() => [[], [], []] as [number[], number[], number[]]);
  for (let r = 0; r < rounds; ++r) {
    for (const [i, contender] of contenders.entries()) {
      const figures = await round(contender, text);
      for (const [k, x] of figures.entries()) times[i]![k]!.push(x);
      turn();
    }
  }
  return contenders.map(({ context }, i) => {
    const [prompt, token, bytes] = times[i]!;
    return { prefill: context / median(prompt), decode: 1 / median(token), bytes: bytes.at(-1)! };
  });
}

/** Tokens that a text must have for a context. */
export const textLength = (context: number) => context + STEPS;

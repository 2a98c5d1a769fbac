import type { AttentionInputs } from './attention.ts';
import { alignment, attendChosen, countsOf } from './chosen.ts';
import { float64, type NdArray, type Result, type Round } from './ndarray.ts';
import { scoreMap, selectTopK, selectTopP, softmaxMap, type Visible } from './select.ts';

type Inputs = Pick<AttentionInputs, 'q' | 'k' | 'v'>;

/** Options of both. */
export interface TopOptions {
  causal?: boolean;
  scale?: number;
}

function scores({ q, k }: Inputs, { scale = q.shape[3]! ** -0.5 }: TopOptions, round: Round): Result {
  return scoreMap({ q, k, scale }, round);
}

/** Keys that query i may see. */
function seenBy({ q, k }: Inputs, { causal = false }: TopOptions): Visible | undefined {
  return causal ? { mul: 1, add: alignment(q, k) + 1, div: 1 } : undefined;
}

/** The k keys with the highest scores of each query and head. */
export function chooseTopK(inputs: Inputs, options: TopOptions & { k: number }, round: Round = float64): Result {
  return selectTopK(scores(inputs, options, round), options.k, { visible: seenBy(inputs, options) });
}

/** The fewest keys that hold a share p of each query's softmax. */
export function chooseTopP(inputs: Inputs, options: TopOptions & { p: number }, round: Round = float64): Result {
  const visible = seenBy(inputs, options);
  return selectTopP(softmaxMap(scores(inputs, options, round), 1, visible, round), options.p, { visible });
}

/** Softmax over each query's k highest scores. */
export function topKAttention(
  inputs: Inputs,
  options: TopOptions & { k: number },
  round: Round = float64,
  chosen: NdArray = chooseTopK(inputs, options, round),
): { o: Result; lse: Result } {
  return attendChosen(inputs, chosen, options, round);
}

/** Softmax over the fewest keys that hold a share p; counts [B, H], with more queries than one [B, H, Tq]. */
export function topPAttention(
  inputs: Inputs,
  options: TopOptions & { p: number },
  round: Round = float64,
  chosen: NdArray = chooseTopP(inputs, options, round),
): { o: Result; lse: Result; counts: Result } {
  const counts = countsOf(chosen);
  const [B, H, Tq] = counts.shape as [number, number, number];
  return {
    ...attendChosen(inputs, chosen, options, round),
    counts: { ...counts, shape: Tq === 1 ? [B, H] : [B, H, Tq] },
  };
}

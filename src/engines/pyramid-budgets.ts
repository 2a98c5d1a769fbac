/**
 * Budgets of layers that fall from the first to the last.
 *
 * @module
 */

/** What is shared out. */
export interface PyramidShare {
  readonly layers: number;
  /** Tokens of a layer on average, the window's among them. */
  readonly capacity: number;
  /** Last tokens, which every layer keeps. */
  readonly window: number;
  /** The last layer has 1 / beta of the average, beside the window. */
  readonly beta: number;
  /** Tokens of the prompt: no layer can keep more. */
  readonly length: number;
}

/**
 * Tokens of each layer: an arithmetic sequence whose sum is layers * capacity exactly. Beside the window the last layer has
 * floor((capacity - window) / beta), the first twice the average less that; where that is more than the prompt has, the first has all of it,
 * and the last what then is left of twice the average.
 */
export function pyramidShares({ layers, capacity, window, beta, length }: PyramidShare): number[] {
  const average = capacity - window;
  const prefix = Math.max(0, length - window);
  const least = Math.max(Math.floor(average / beta), 2 * average - prefix);
  const most = 2 * average - least;
  const above = (layer: number) => Math.round(most - ((most - least) * layer) / Math.max(1, layers - 1));
  return Array.from({ length: layers }, (_, layer) => {
    if (average >= prefix || 2 * layer + 1 === layers) return capacity;
    // the second half mirrors the first, so that rounding loses none
    return window + (2 * layer < layers ? above(layer) : 2 * average - above(layers - 1 - layer));
  });
}

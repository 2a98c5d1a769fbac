import type { Weights } from '../weights.ts';

/** Sizes that the weights' shapes tell. */
export interface Sizes {
  /** Numbers of a frame. */
  readonly features: number;
  readonly width: number;
  readonly channels: number;
  /** Length of the convolution's filter. */
  readonly filter: number;
  readonly states: number;
  /** Rank of the step sizes' projection. */
  readonly rank: number;
  readonly words: number;
}

export type Layers = ReturnType<typeof layersOf>;

/** Reads the sizes. @throws Error if the weights are of another network. */
export function sizesOf(weights: Weights): Sizes {
  const [width, features] = weights.shape('linear_in_weight') as [number, number];
  const [channels, states] = weights.shape('mamba_A_log') as [number, number];
  const [, filter] = weights.shape('mamba_conv1d_weight') as [number, number];
  const [, rank] = weights.shape('mamba_dt_proj_weight') as [number, number];
  const [words] = weights.shape('classifier_bias') as [number];
  return { features, width, channels, filter, states, rank, words };
}

/** Copies the weights into the runtime, those cut apart that lie one below the other. */
export function layersOf(weights: Weights, { features, width, channels, filter, states, rank, words }: Sizes) {
  const inProj = weights.matrix.bind(weights, 'mamba_in_proj_weight', [2 * channels, width]);
  const xProj = weights.matrix.bind(weights, 'mamba_x_proj_weight', [rank + 2 * states, channels]);
  return {
    linearIn: {
      b: weights.matrix('linear_in_weight', [width, features]),
      bias: weights.tensor('linear_in_bias', [width]),
    },
    inProjX: inProj(0, channels),
    inProjZ: inProj(channels),
    filter: {
      weight: weights.tensor('mamba_conv1d_weight', [channels, filter]),
      bias: weights.tensor('mamba_conv1d_bias', [channels]),
    },
    projDelta: xProj(0, rank),
    projB: xProj(rank, rank + states),
    projC: xProj(rank + states),
    deltaProj: weights.matrix('mamba_dt_proj_weight', [channels, rank]),
    scan: {
      A: weights.tensor('mamba_A_log', [channels, states], (log) => -Math.exp(log)),
      D: weights.tensor('mamba_D', [channels]),
      deltaBias: weights.tensor('mamba_dt_proj_bias', [channels]),
    },
    outProj: weights.matrix('mamba_out_proj_weight', [width, channels]),
    classifier: {
      b: weights.matrix('classifier_weight', [words, width]),
      bias: weights.tensor('classifier_bias', [words]),
    },
  };
}

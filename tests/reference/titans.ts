import {
  type Activation,
  combined,
  type FastInputs,
  type FastOptions,
  forEachHead,
  forward,
  gateAt,
  gradients,
  type Network,
  normOf,
  outer,
  output,
  readNetwork,
  repacked,
  targetOf,
  unpacked,
  writeNetwork,
} from './fast-weight.ts';
import { carried, row, sequences, setRow, times } from './linear.ts';
import { at, float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

/** Operands of both methods; states [N,H,D,D] or [N,H,P]. */
export interface TitansInputs extends FastInputs {
  /** [B,T,H] or [B,T,H,1] */
  theta: NdArray;
  alpha: NdArray;
  initialState?: NdArray;
  initialMomentum?: NdArray;
  initialAnchor?: NdArray;
}

export interface TitansOptions extends FastOptions {
  chunkSize?: number;
  target?: 'v' | 'v-k';
}

type TitansResult = {
  o: Result;
  finalState: Result;
  finalMomentum: Result;
  anchor: Result;
  position: Result;
};

/**
 * S_t = eta_t S_{t-1} - 2 theta_t x_t^T g_t, M_t = (1 - alpha_t) M_{t-1} + S_t in every layer, the gradients taken at the memory of the
 * chunk's start; o_t = residual + LN(f_t(q_t)), token by token with all matrices formed (Titans, arXiv 2501.00663).
 */
function memory(
  inputs: TitansInputs,
  options: TitansOptions,
  round: Round,
  widths: readonly number[],
  activation: Activation,
  residualWithNorm: 'output' | 'query',
): TitansResult {
  const { q, k, v, eta, theta, alpha, lnWeight, initialState, initialMomentum, initialAnchor } = inputs;
  const { initialPosition, cuSeqlens } = inputs;
  const { chunkSize = 16, scale = 1, target = lnWeight ? 'v-k' : 'v' } = options;
  const { residual = lnWeight ? residualWithNorm : 'none' } = options;
  const N = sequences(v, cuSeqlens).length;
  const H = v.shape[2]!;
  const P = widths.slice(1).reduce((sum, dout, i) => sum + dout * widths[i]!, 0);
  const parts = (state: NdArray | undefined) => unpacked(carried(state, [N, H, P]), widths, false);
  const [states, momenta, anchors] = [parts(initialState), parts(initialMomentum), parts(initialAnchor)];
  const o = zeros(v.shape);
  const position = zeros([N]);
  forEachHead(inputs, ({ n, b, h, from, to }) => {
    let state: Network = readNetwork(states, n, h);
    let momentum: Network = readNetwork(momenta, n, h);
    let place = initialPosition ? at(initialPosition, n) : 0;
    let anchor: Network = place > 0 ? readNetwork(anchors, n, h) : state;
    const norm = normOf(inputs, h, options);
    for (let t = from; t < to; t++) {
      const key = row(k, b, t, h);
      const found = gradients(anchor, key, targetOf(row(v, b, t, h), key, target, round), norm, activation, round);
      const step = outer(anchor, found, round(2 * gateAt(theta, b, t, h)), round);
      const [stay, rest] = [gateAt(eta, b, t, h), round(1 - gateAt(alpha, b, t, h))];
      momentum = combined(momentum, step, (s, g) => round(round(stay * s) - g));
      state = combined(state, momentum, (m, s) => round(round(rest * m) + s));
      const query = times(row(q, b, t, h), round(scale), round);
      setRow(
        o,
        output(forward(state, query, activation, round).outputs.at(-1)!, query, norm, residual, round),
        b,
        t,
        h,
      );
      place++;
      if (place === chunkSize) {
        place = 0;
        anchor = state;
      }
    }
    writeNetwork(state, states, n, h);
    writeNetwork(momentum, momenta, n, h);
    writeNetwork(anchor, anchors, n, h);
    position.data[n] = place;
  });
  const shape = initialState?.shape ?? [N, H, widths[0]!, widths[0]!];
  const whole = (tensors: typeof states): Result => ({ ...repacked(tensors), shape });
  return { o, finalState: whole(states), finalMomentum: whole(momenta), anchor: whole(anchors), position };
}

/** Titans with a linear memory (fla, titans_linear, with the gradient of the norm mended). */
export function titansLinear(inputs: TitansInputs, options: TitansOptions = {}, round: Round = float64): TitansResult {
  const D = inputs.v.shape[3]!;
  return memory(inputs, options, round, [D, D], 'gelu', 'output');
}

/** Titans with a memory of several layers (titans-pytorch, NeuralMemory). */
export function titans(
  inputs: TitansInputs,
  options: TitansOptions & { depth?: number; expansion?: number; activation?: Activation } = {},
  round: Round = float64,
): TitansResult {
  const { depth = 2, expansion = 4, activation = 'gelu' } = options;
  const D = inputs.v.shape[3]!;
  const widths = [D, ...new Array<number>(depth - 1).fill(D * expansion), D];
  return memory(inputs, options, round, widths, activation, 'query');
}

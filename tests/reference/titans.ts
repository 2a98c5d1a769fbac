import {
  type Activation,
  activate,
  combined,
  type FastInputs,
  type FastOptions,
  forEachHead,
  forward,
  gateAt,
  gradients,
  type Network,
  type Norm,
  normOf,
  outer,
  output,
  readNetwork,
  repacked,
  targetOf,
  unpacked,
  writeNetwork,
} from './fast-weight.ts';
import { carried, inner, row, sequences, setRow, times } from './linear.ts';
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

/** A memory of a head: its weights now, their momentum, and what gradients are taken at. */
interface Memory {
  state: Network;
  momentum: Network;
  anchor: Network;
}

/** Where the tokens of a part of a chunk are: `count` from `t` on. */
interface Part {
  b: number;
  h: number;
  t: number;
  count: number;
}

interface Setting {
  inputs: TitansInputs;
  norm: Norm;
  scale: number;
  target: 'v' | 'v-k';
  residual: 'none' | 'output' | 'query';
  activation: Activation;
  round: Round;
}

/** Gradients of a token at the anchor. */
function gradientsAt(
  { inputs: { k, v }, norm, target, activation, round }: Setting,
  anchor: Network,
  part: Part,
  t: number,
) {
  const key = row(k, part.b, t, part.h);
  return gradients(anchor, key, targetOf(row(v, part.b, t, part.h), key, target, round), norm, activation, round);
}

/** Token by token, with all matrices formed. */
function primal(setting: Setting, { state, momentum, anchor }: Memory, part: Part): { rows: number[][] } & Memory {
  const { inputs, norm, scale, residual, activation, round } = setting;
  const { q, eta, theta, alpha } = inputs;
  const { b, h } = part;
  const rows: number[][] = [];
  for (let t = part.t; t < part.t + part.count; t++) {
    const found = gradientsAt(setting, anchor, part, t);
    const step = outer(anchor, found, round(2 * gateAt(theta, b, t, h)), round);
    const [stay, rest] = [gateAt(eta, b, t, h), round(1 - gateAt(alpha, b, t, h))];
    momentum = combined(momentum, step, (s, g) => round(round(stay * s) - g));
    state = combined(state, momentum, (m, s) => round(round(rest * m) + s));
    const query = times(row(q, b, t, h), scale, round);
    rows.push(output(forward(state, query, activation, round).outputs.at(-1)!, query, norm, residual, round));
  }
  return { rows, state, momentum, anchor };
}

/**
 * The same without the weights of any token: M_i = a_i M + m_i S + sum_{j <= i} c_ij x_j^T g_j, where a, m and c follow the recurrences of M
 * and S.
 */
function dual(setting: Setting, { state, momentum, anchor }: Memory, part: Part): { rows: number[][] } & Memory {
  const { inputs, norm, scale, residual, activation, round } = setting;
  const { q, eta, theta, alpha } = inputs;
  const { b, h } = part;
  const found = Array.from({ length: part.count }, (_, i) => gradientsAt(setting, anchor, part, part.t + i));
  const rows: number[][] = [];
  let [keep, add, stays] = [1, 0, 1];
  let inState: number[] = [];
  let inMomentum: number[] = [];
  for (let i = 0; i < part.count; i++) {
    const t = part.t + i;
    const [stay, rest] = [gateAt(eta, b, t, h), round(1 - gateAt(alpha, b, t, h))];
    inMomentum = [...inMomentum.map((c) => round(stay * c)), round(-2 * gateAt(theta, b, t, h))];
    inState = inMomentum.map((c, j) => round(round(rest * (inState[j] ?? 0)) + c));
    stays = round(stay * stays);
    keep = round(rest * keep);
    add = round(round(rest * add) + stays);
    const query = times(row(q, b, t, h), scale, round);
    let y = query;
    let z: number[] = [];
    for (const [l, { w }] of anchor.entries()) {
      const column = (net: Network, c: number) =>
        inner(
          y,
          net[l]!.w.map((r) => r[c]!),
          round,
        );
      const scores = inState.map((c, j) => round(c * inner(y, found[j]![l]!.x, round)));
      z = w[0]!.map((_, c) => {
        const learnt = inner(
          scores,
          scores.map((_, j) => found[j]![l]!.g[c]!),
          round,
        );
        return round(round(round(keep * column(state, c)) + round(add * column(momentum, c))) + learnt);
      });
      y = z.map((e) => activate(e, activation, round).y);
    }
    rows.push(output(z, query, norm, residual, round));
  }
  const learnt = (factors: readonly number[]) =>
    found
      .map((each, j) => outer(anchor, each, factors[j]!, round))
      .reduce((sum, each) => combined(sum, each, (x, y) => round(x + y)));
  const turned = combined(state, momentum, (m, s) => round(round(keep * m) + round(add * s)));
  return {
    rows,
    state: combined(turned, learnt(inState), (x, y) => round(x + y)),
    momentum: combined(momentum, learnt(inMomentum), (s, g) => round(round(stays * s) + g)),
    anchor,
  };
}

/**
 * S_t = eta_t S_{t-1} - 2 theta_t x_t^T g_t, M_t = (1 - alpha_t) M_{t-1} + S_t in every layer, the gradients taken at the memory of the
 * chunk's start; o_t = residual + LN(f_t(q_t)) (Titans, arXiv 2501.00663).
 */
function memory(
  take: typeof primal,
  inputs: TitansInputs,
  options: TitansOptions,
  round: Round,
  widths: readonly number[],
  activation: Activation,
  residualWithNorm: 'output' | 'query',
): TitansResult {
  const { v, lnWeight, initialState, initialMomentum, initialAnchor, initialPosition, cuSeqlens } = inputs;
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
    const norm = normOf(inputs, h, options);
    const setting = { inputs, norm, scale: round(scale), target, residual, activation, round };
    let place = initialPosition ? at(initialPosition, n) : 0;
    const state = readNetwork(states, n, h);
    const anchor = place > 0 ? readNetwork(anchors, n, h) : state;
    let now: Memory = { state, momentum: readNetwork(momenta, n, h), anchor };
    for (let t = from; t < to; ) {
      const count = Math.min(chunkSize - place, to - t);
      const { rows, ...after } = take(setting, now, { b, h, t, count });
      for (const [i, values] of rows.entries()) setRow(o, values, b, t + i, h);
      t += count;
      place = (place + count) % chunkSize;
      now = place === 0 ? { ...after, anchor: after.state } : after;
    }
    writeNetwork(now.state, states, n, h);
    writeNetwork(now.momentum, momenta, n, h);
    writeNetwork(now.anchor, anchors, n, h);
    position.data[n] = place;
  });
  const shape = initialState?.shape ?? [N, H, widths[0]!, widths[0]!];
  const whole = (tensors: typeof states): Result => ({ ...repacked(tensors), shape });
  return { o, finalState: whole(states), finalMomentum: whole(momenta), anchor: whole(anchors), position };
}

function linearForm(take: typeof primal) {
  return (inputs: TitansInputs, options: TitansOptions = {}, round: Round = float64): TitansResult => {
    const D = inputs.v.shape[3]!;
    return memory(take, inputs, options, round, [D, D], 'gelu', 'output');
  };
}

function layeredForm(take: typeof primal) {
  return (
    inputs: TitansInputs,
    options: TitansOptions & { depth?: number; expansion?: number; activation?: Activation } = {},
    round: Round = float64,
  ): TitansResult => {
    const { depth = 2, expansion = 4, activation = 'gelu' } = options;
    const D = inputs.v.shape[3]!;
    const widths = [D, ...new Array<number>(depth - 1).fill(D * expansion), D];
    return memory(take, inputs, options, round, widths, activation, 'query');
  };
}

/** Titans with a linear memory (fla, titans_linear, with the gradient of the norm mended). */
export const titansLinear = linearForm(primal);
/** The same in the dual form. */
export const titansLinearDual = linearForm(dual);
/** Titans with a memory of several layers (titans-pytorch, NeuralMemory). */
export const titans = layeredForm(primal);
/** The same in the dual form. */
export const titansDual = layeredForm(dual);

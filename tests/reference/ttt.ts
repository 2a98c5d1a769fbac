import {
  activate,
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
  type Tensors,
  targetOf,
  unpacked,
  writeNetwork,
  zeroed,
} from './fast-weight.ts';
import { carried, inner, row, sequences, setRow, times } from './linear.ts';
import { at, float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

/** Operands of both methods. */
export interface TttInputs extends FastInputs {
  /** [miniBatch] */
  tokenIdx?: NdArray;
  /** [N,H,P] */
  initialGradient?: NdArray;
}

export interface TttOptions extends FastOptions {
  miniBatchSize?: number;
  flush?: boolean;
}

type Ttt = {
  o: Result;
  gradient: Result;
  position: Result;
};

/** How the outputs of the tokens of a mini-batch come about. */
type Form = 'primal' | 'dual';

interface Head {
  inputs: TttInputs;
  options: TttOptions;
  round: Round;
}

/**
 * The queries of tokens [t, t + count) of a mini-batch, whose weights are `frozen` and whose earlier gradients sum to `before`. Primal: each
 * token's weights W - rate_i (G + sum_{j <= i} x_j^T g_j) are formed. Returns the outputs and the last token's weights and sum.
 */
function primal(
  { inputs, options, round }: Head,
  { b, h, position }: { b: number; h: number; position: number },
  t: number,
  count: number,
  frozen: Network,
  before: Network,
) {
  const { q, k, v, eta, lnWeight, tokenIdx } = inputs;
  const norm = normOf(inputs, h, options);
  const { residual = lnWeight ? 'output' : 'none', scale = q.shape[3]! ** -0.5 } = options;
  const rows: number[][] = [];
  let sum: Network = before;
  let weights: Network = frozen;
  for (let i = 0; i < count; i++) {
    const key = row(k, b, t + i, h);
    const found = gradients(frozen, key, targetOf(row(v, b, t + i, h), key, 'v-k', round), norm, 'gelu', round);
    const rate = gateAt(eta, b, t + i, h);
    sum = combined(sum, outer(frozen, found, tokenIdx ? rate : 1, round), (x, y) => round(x + y));
    const factor = tokenIdx ? at(tokenIdx, position + i) : rate;
    weights = combined(frozen, sum, (x, y) => round(x - round(factor * y)));
    const query = times(row(q, b, t + i, h), round(scale), round);
    rows.push(output(forward(weights, query, 'gelu', round).outputs.at(-1)!, query, norm, residual, round));
  }
  return { rows, sum, weights };
}

/**
 * The same without the weights of any token: in each layer z_i = y_i W - rate_i (y_i G + sum_{j <= i} (y_i x_j) g_j), and b likewise.
 */
function dual(
  { inputs, options, round }: Head,
  { b, h, position }: { b: number; h: number; position: number },
  t: number,
  count: number,
  frozen: Network,
  before: Network,
) {
  const { q, k, v, eta, lnWeight, tokenIdx } = inputs;
  const norm = normOf(inputs, h, options);
  const { residual = lnWeight ? 'output' : 'none', scale = q.shape[3]! ** -0.5 } = options;
  const tokens = Array.from({ length: count }, (_, i) => t + i);
  const found = tokens.map((token) => {
    const key = row(k, b, token, h);
    return gradients(frozen, key, targetOf(row(v, b, token, h), key, 'v-k', round), norm, 'gelu', round);
  });
  const rates = tokens.map((token) => gateAt(eta, b, token, h));
  const place = (i: number) => (tokenIdx ? at(tokenIdx, position + i) : rates[i]!);
  const own = (j: number) => (tokenIdx ? rates[j]! : 1);
  const rows = tokens.map((token, i) => {
    const query = times(row(q, b, token, h), round(scale), round);
    let y = query;
    let z: number[] = [];
    for (const [l, { w, b: bias }] of frozen.entries()) {
      const column = (net: Network, c: number) => {
        const part = inner(
          y,
          net[l]!.w.map((r) => r[c]!),
          round,
        );
        return bias ? round(part + net[l]!.b![c]!) : part;
      };
      z = w[0]!.map((_, c) => {
        let learnt = column(before, c);
        for (let j = 0; j <= i; j++) {
          const score = round(inner(y, found[j]![l]!.x, round) + (bias ? 1 : 0));
          learnt = round(learnt + round(round(own(j) * score) * found[j]![l]!.g[c]!));
        }
        return round(column(frozen, c) - round(place(i) * learnt));
      });
      y = z.map((e) => activate(e, 'gelu', round).y);
    }
    return output(z, query, norm, residual, round);
  });
  const sum = found.reduce<Network>(
    (total, each, j) => combined(total, outer(frozen, each, own(j), round), (x, y) => round(x + y)),
    before,
  );
  const weights = combined(frozen, sum, (x, y) => round(x - round(place(count - 1) * y)));
  return { rows, sum, weights };
}

function run(
  form: Form,
  inputs: TttInputs,
  options: TttOptions,
  round: Round,
  initial: Tensors,
): Ttt & { final: { w: Result; b?: Result }[] } {
  const { v, initialGradient, initialPosition, cuSeqlens } = inputs;
  const { miniBatchSize = 16, flush = false } = options;
  const widths = [initial[0]!.w.shape[2]!, ...initial.map(({ w }) => w.shape[3]!)];
  const bias = initial[0]!.b !== undefined;
  const final = initial.map(({ w, b }) => ({ w: carried(w, w.shape), ...(b && { b: carried(b, b.shape) }) }));
  const summed = initialGradient
    ? unpacked(initialGradient, widths, bias)
    : initial.map(({ w, b }) => ({ w: zeros(w.shape), ...(b && { b: zeros(b.shape) }) }));
  const o = zeros(v.shape);
  const position = zeros([sequences(v, cuSeqlens).length]);
  forEachHead(inputs, ({ n, b, h, from, to }) => {
    let weights: Network = readNetwork(initial, n, h);
    let sum: Network = readNetwork(summed, n, h);
    let place = initialPosition ? at(initialPosition, n) : 0;
    for (let t = from; t < to; ) {
      const count = Math.min(miniBatchSize - place, to - t);
      const take = form === 'primal' ? primal : dual;
      const part = take({ inputs, options, round }, { b, h, position: place }, t, count, weights, sum);
      for (const [i, values] of part.rows.entries()) setRow(o, values, b, t + i, h);
      t += count;
      place += count;
      sum = part.sum;
      if (place === miniBatchSize || (flush && t === to)) {
        weights = part.weights;
        sum = zeroed(sum);
        place = 0;
      }
    }
    writeNetwork(weights, final, n, h);
    writeNetwork(sum, summed, n, h);
    position.data[n] = place;
  });
  return { o, final, gradient: repacked(summed), position };
}

export interface TttLinearInputs extends TttInputs {
  /** [N,H,D,D] */
  initialState?: NdArray;
  /** [N,H,1,D] */
  initialStateBias?: NdArray;
}

function linearForm(form: Form) {
  return (
    inputs: TttLinearInputs,
    options: TttOptions & { bias?: boolean } = {},
    round: Round = float64,
  ): Ttt & Record<string, Result> => {
    const { v, initialState, initialStateBias, cuSeqlens } = inputs;
    const [, , H = 0, D = 0] = v.shape;
    const N = sequences(v, cuSeqlens).length;
    const w = carried(initialState, [N, H, D, D]);
    const b = (options.bias ?? true) ? carried(initialStateBias, [N, H, 1, D]) : undefined;
    const { final, ...rest } = run(form, inputs, options, round, [{ w, b }]);
    return { ...rest, finalState: final[0]!.w, ...(b && { finalStateBias: final[0]!.b! }) };
  };
}

export interface TttMlpInputs extends TttInputs {
  /** [N,H,D,M], [N,H,1,M], [N,H,M,D], [N,H,1,D] */
  w1: NdArray;
  b1: NdArray;
  w2: NdArray;
  b2: NdArray;
}

function mlpForm(form: Form) {
  return (
    inputs: TttMlpInputs,
    options: TttOptions = {},
    round: Round = float64,
  ): Ttt & { w1: Result; b1: Result; w2: Result; b2: Result } => {
    const { w1, b1, w2, b2 } = inputs;
    const { final, ...rest } = run(form, inputs, options, round, [
      { w: w1, b: b1 },
      { w: w2, b: b2 },
    ]);
    return { ...rest, w1: final[0]!.w, b1: final[0]!.b!, w2: final[1]!.w, b2: final[1]!.b! };
  };
}

/** TTT-Linear with each token's weights formed (TTT, arXiv 2407.04620; fla, chunk_ttt_linear_ref; ttt-lm-pytorch). */
export const tttLinear = linearForm('primal');
/** The same in the dual form. */
export const tttLinearDual = linearForm('dual');
/** TTT-MLP with each token's weights formed. */
export const tttMlp = mlpForm('primal');
/** The same in the dual form. */
export const tttMlpDual = mlpForm('dual');

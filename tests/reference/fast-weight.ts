import { expNatural, inner, row, sequences, setRow } from './linear.ts';
import { at, float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

/** One layer: weights [din][dout], and a bias [dout] if it has one. */
export interface Layer {
  w: number[][];
  b?: number[];
}

export type Network = readonly Layer[];
export type Activation = 'relu' | 'silu' | 'gelu';

/** The norm behind a network. */
export interface Norm {
  weight?: number[] | undefined;
  bias?: number[] | undefined;
  eps: number;
}

/** Its value and slope. gelu by its tanh form, x/2 (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3). */
export function activate(x: number, kind: Activation, round: Round): { y: number; slope: number } {
  if (kind === 'relu') return { y: x > 0 ? x : 0, slope: x > 0 ? 1 : 0 };
  const c = 2 * Math.sqrt(2 / Math.PI);
  const squared = round(x * x);
  const u = kind === 'silu' ? x : round(x * round(round(c) + round(round(0.044715 * c) * squared)));
  const du = kind === 'silu' ? 1 : round(round(c) + round(round(3 * 0.044715 * c) * squared));
  const s = round(1 / round(1 + expNatural(-u, round)));
  const y = round(x * s);
  return { y, slope: round(s + round(round(y * round(1 - s)) * du)) };
}

/** x W + b. */
function affine(x: readonly number[], { w, b }: Layer, round: Round): number[] {
  const columns = w[0]!.length;
  return Array.from({ length: columns }, (_, c) => {
    let sum = inner(
      x,
      w.map((r) => r[c]!),
      round,
    );
    if (b) sum = round(sum + b[c]!);
    return sum;
  });
}

/** What each layer is given and gives before its activation. */
export function forward(net: Network, x: readonly number[], act: Activation, round: Round = float64) {
  const inputs: number[][] = [[...x]];
  const outputs: number[][] = [];
  for (const [i, layer] of net.entries()) {
    const z = affine(inputs[i]!, layer, round);
    outputs.push(z);
    if (i + 1 < net.length) inputs.push(z.map((e) => activate(e, act, round).y));
  }
  return { inputs, outputs };
}

/** Mean, and 1 / sqrt(variance + eps). */
function moments(z: readonly number[], eps: number, round: Round): { mean: number; std: number } {
  const n = z.length;
  const sum = (x: readonly number[]) => x.reduce((total, e) => round(total + e), 0);
  const mean = round(sum(z) / n);
  const variance = round(sum(z.map((e) => round(round(e - mean) ** 2))) / n);
  return { mean, std: round(Math.sqrt(round(variance + eps))) };
}

/** LN(z), or z without a norm. */
export function normed(z: readonly number[], { weight, bias, eps }: Norm, round: Round = float64): number[] {
  if (!weight) return [...z];
  const { mean, std } = moments(z, eps, round);
  return z.map((e, c) => round(round(round(round(e - mean) / std) * weight[c]!) + bias![c]!));
}

/** |LN(z) - target|^2 / 2. */
export function loss(z: readonly number[], target: readonly number[], norm: Norm): number {
  return normed(z, norm).reduce((sum, y, c) => sum + (y - target[c]!) ** 2, 0) / 2;
}

/** Its gradient with respect to z: (D g - sum g - x sum(g x)) / (D std), x = (z - mean) / std, g = (LN(z) - target) weight. */
export function lossGradient(
  z: readonly number[],
  target: readonly number[],
  norm: Norm,
  round: Round = float64,
): number[] {
  const y = normed(z, norm, round);
  const difference = y.map((e, c) => round(e - target[c]!));
  const { weight } = norm;
  if (!weight) return difference;
  const { mean, std } = moments(z, norm.eps, round);
  const n = z.length;
  const x = z.map((e) => round(round(e - mean) / std));
  const g = difference.map((e, c) => round(e * weight[c]!));
  const sum = g.reduce((total, e) => round(total + e), 0);
  const product = inner(g, x, round);
  return g.map((e, c) => round(round(round(round(n * e) - sum) - round(x[c]! * product)) / round(n * std)));
}

/** For each layer its input and the gradient of the loss with respect to its output; their outer product is that of the weights. */
export function gradients(
  net: Network,
  k: readonly number[],
  target: readonly number[],
  norm: Norm,
  act: Activation,
  round: Round = float64,
): { x: number[]; g: number[] }[] {
  const { inputs, outputs } = forward(net, k, act, round);
  const found: { x: number[]; g: number[] }[] = [];
  let g = lossGradient(outputs.at(-1)!, target, norm, round);
  for (let i = net.length - 1; i >= 0; i--) {
    found[i] = { x: inputs[i]!, g };
    if (i > 0) {
      const before = outputs[i - 1]!;
      g = net[i]!.w.map((weights, c) => round(inner(weights, g, round) * activate(before[c]!, act, round).slope));
    }
  }
  return found;
}

function mapNetwork(net: Network, f: (value: number, layer: number, c: number | 'b', d: number) => number): Layer[] {
  return net.map(({ w, b }, i) => ({
    w: w.map((r, c) => r.map((value, d) => f(value, i, c, d))),
    ...(b && { b: b.map((value, d) => f(value, i, 'b', d)) }),
  }));
}

/** a and b, element by element. */
export function combined(a: Network, b: Network, f: (x: number, y: number) => number): Layer[] {
  return mapNetwork(a, (value, i, c, d) => f(value, c === 'b' ? b[i]!.b![d]! : b[i]!.w[c]![d]!));
}

/** The outer products of a token's gradients, times `factor`. */
export function outer(net: Network, found: { x: number[]; g: number[] }[], factor: number, round: Round): Layer[] {
  return mapNetwork(net, (_, i, c, d) =>
    round(factor * (c === 'b' ? found[i]!.g[d]! : round(found[i]!.x[c]! * found[i]!.g[d]!))),
  );
}

/** As many zeros. */
export const zeroed = (net: Network): Layer[] => mapNetwork(net, () => 0);

/** Where the weights of a head lie: tensors [N,H,...] in the order of the network's elements. */
export type Tensors = readonly { w: NdArray; b?: NdArray | undefined }[];

export function readNetwork(tensors: Tensors, n: number, h: number): Layer[] {
  return tensors.map(({ w, b }) => ({
    w: Array.from({ length: w.shape[2]! }, (_, c) => row(w, n, h, c)),
    ...(b && { b: row(b, n, h, 0) }),
  }));
}

export function writeNetwork(
  net: Network,
  tensors: readonly { w: Result; b?: Result | undefined }[],
  n: number,
  h: number,
) {
  for (const [i, { w, b }] of net.entries()) {
    for (const [c, values] of w.entries()) setRow(tensors[i]!.w, values, n, h, c);
    if (b) setRow(tensors[i]!.b!, b, n, h, 0);
  }
}

/** Weights [N,H,P] one after another as tensors of their own; they share the data only if `data` is one. */
export function unpacked(state: NdArray, widths: readonly number[], bias: boolean): { w: Result; b?: Result }[] {
  const [N = 0, H = 0, P = 0] = state.shape;
  let from = 0;
  return widths.slice(1).map((dout, i) => {
    const din = widths[i]!;
    const take = (size: number, shape: number[]): Result => {
      const part = zeros([N, H, ...shape]);
      for (let head = 0; head < N * H; head++)
        for (let e = 0; e < size; e++) part.data[head * size + e] = state.data[head * P + from + e]!;
      from += size;
      return part;
    };
    const w = take(din * dout, [din, dout]);
    return bias ? { w, b: take(dout, [1, dout]) } : { w };
  });
}

/** The reverse of `unpacked`. */
export function repacked(tensors: Tensors): Result {
  const parts = tensors.flatMap(({ w, b }) => (b ? [w, b] : [w]));
  const [N = 0, H = 0] = parts[0]!.shape;
  const sizes = parts.map(({ shape }) => shape.slice(2).reduce((product, s) => product * s, 1));
  const P = sizes.reduce((sum, s) => sum + s, 0);
  const state = zeros([N, H, P]);
  for (let head = 0; head < N * H; head++) {
    let to = head * P;
    for (const [i, { data }] of parts.entries())
      for (let e = 0; e < sizes[i]!; e++) state.data[to++] = data[head * sizes[i]! + e]!;
  }
  return state;
}

/** Operands that all methods have. */
export interface FastInputs {
  /** [B,T,H,D] */
  q: NdArray;
  k: NdArray;
  v: NdArray;
  /** [B,T,H] or [B,T,H,1] */
  eta: NdArray;
  /** [H,D] */
  lnWeight?: NdArray;
  lnBias?: NdArray;
  /** [N] */
  initialPosition?: NdArray;
  cuSeqlens?: NdArray;
}

export interface FastOptions {
  eps?: number;
  scale?: number;
  residual?: 'none' | 'output' | 'query';
}

/** x [B,T,H] or [B,T,H,1] at a token. */
export function gateAt(x: NdArray, b: number, t: number, h: number): number {
  return x.shape.length === 4 ? at(x, b, t, h, 0) : at(x, b, t, h);
}

export function normOf({ lnWeight, lnBias }: FastInputs, h: number, { eps = 1e-6 }: FastOptions): Norm {
  return { weight: lnWeight && row(lnWeight, h), bias: lnBias && row(lnBias, h), eps };
}

/** residual + LN(z). */
export function output(
  z: readonly number[],
  q: readonly number[],
  norm: Norm,
  residual: 'none' | 'output' | 'query',
  round: Round,
): number[] {
  const y = normed(z, norm, round);
  if (residual === 'none') return y;
  const before = residual === 'query' ? q : z;
  return y.map((e, c) => round(before[c]! + e));
}

/** The target of a key. */
export function targetOf(v: readonly number[], k: readonly number[], kind: 'v' | 'v-k', round: Round): number[] {
  return kind === 'v' ? [...v] : v.map((e, c) => round(e - k[c]!));
}

/** Calls `visit` for every sequence and head with its tokens. */
export function forEachHead(
  { v, cuSeqlens }: FastInputs,
  visit: (head: { n: number; b: number; h: number; from: number; to: number }) => void,
): void {
  for (const { n, b, from, to } of sequences(v, cuSeqlens))
    for (let h = 0; h < v.shape[2]!; h++) visit({ n, b, h, from, to });
}

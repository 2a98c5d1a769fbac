import { forEachHead, gateAt } from './fast-weight.ts';
import { carried, inner, row, sequences, setRow, sigmoid } from './linear.ts';
import { at, float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

type Matrix = number[][];

/** Operands of lact. */
export interface LactInputs {
  /** [B,T,H,K] */
  q: NdArray;
  k: NdArray;
  /** [B,T,H,V] */
  v: NdArray;
  /** [B,T,H] or [B,T,H,1] */
  lr0: NdArray;
  lr1: NdArray;
  lr2: NdArray;
  momentum?: NdArray;
  /** [N,H,M,K], [N,H,V,M], [N,H,M,K] */
  w0: NdArray;
  w1: NdArray;
  w2: NdArray;
  initialNorms?: NdArray;
  initialGradient?: NdArray;
  initialMomentum?: NdArray;
  initialFactor?: NdArray;
  initialPosition?: NdArray;
  cuSeqlens?: NdArray;
}

const read = (x: NdArray, n: number, h: number): Matrix =>
  Array.from({ length: x.shape[2]! }, (_, i) => row(x, n, h, i));
const column = (x: Matrix, c: number) => x.map((r) => r[c]!);
const transposed = (x: Matrix): Matrix => (x[0] ?? []).map((_, c) => column(x, c));
const times = (x: Matrix, y: readonly number[], round: Round) => x.map((r) => inner(r, y, round));
const map2 = (x: Matrix, y: Matrix, f: (a: number, b: number) => number): Matrix =>
  x.map((r, i) => r.map((a, j) => f(a, y[i]![j]!)));
const product = (x: Matrix, y: Matrix, round: Round): Matrix => {
  const columns = transposed(y);
  return x.map((r) => columns.map((c) => inner(r, c, round)));
};
const length = (x: readonly number[], round: Round) => round(Math.sqrt(inner(x, x, round)));

/** silu(w0 x) and w2 x. */
function layers(w0: Matrix, w2: Matrix, x: readonly number[], round: Round) {
  const gate = times(w0, x, round);
  return { gate, up: times(w2, x, round), silu: gate.map((g) => round(g * sigmoid(g, round))) };
}

/** f(x) = w1 (silu(w0 x) * (w2 x)). */
export function apply(w0: Matrix, w1: Matrix, w2: Matrix, x: readonly number[], round: Round = float64): number[] {
  const { up, silu } = layers(w0, w2, x, round);
  return times(
    w1,
    silu.map((s, i) => round(s * up[i]!)),
    round,
  );
}

/** Gradients of f(k) v with respect to w0, w1, w2, each as columns and rows of an outer product. */
export function gradients(
  w0: Matrix,
  w1: Matrix,
  w2: Matrix,
  k: readonly number[],
  v: readonly number[],
  round: Round = float64,
) {
  const { gate, up, silu } = layers(w0, w2, k, round);
  const hidden = silu.map((s, i) => round(s * up[i]!));
  const back = times(transposed(w1), v, round);
  const slope = gate.map((g) => {
    const s = sigmoid(g, round);
    return round(s * round(1 + round(g * round(1 - s))));
  });
  return [
    { left: back.map((d, i) => round(round(d * up[i]!) * slope[i]!)), right: [...k] },
    { left: [...v], right: hidden },
    { left: back.map((d, i) => round(d * silu[i]!)), right: [...k] },
  ] as const;
}

/** Five Newton-Schulz steps towards the orthogonal factor (Jordan 2024; the factors are those of LaCT). */
export function newtonSchulz(g: Matrix, round: Round = float64): Matrix {
  const tall = g.length > g[0]!.length;
  let x = tall ? transposed(g) : g;
  const norm = round(length(x.flat(), round) + 1e-7);
  x = x.map((r) => r.map((e) => round(e / norm)));
  for (const [a, b, c] of [
    [4.0848, -6.8946, 2.927],
    [3.9505, -6.3029, 2.6377],
    [3.7418, -5.5913, 2.3037],
    [2.8769, -3.1427, 1.2046],
    [2.8366, -3.0525, 1.2012],
  ] as const) {
    const gram = product(x, transposed(x), round);
    const polynomial = map2(gram, product(gram, gram, round), (e, s) =>
      round(round(round(b) * e) + round(round(c) * s)),
    );
    x = map2(x, product(polynomial, x, round), (e, p) => round(round(round(a) * e) + p));
  }
  return tall ? transposed(x) : x;
}

function chunks(
  backward: boolean,
  inputs: LactInputs,
  { chunkSize = 2048, useMuon = false }: Options,
  round: Round,
): { o: Result } & Record<string, Result> {
  const { q, k, v, momentum, cuSeqlens } = inputs;
  const N = sequences(v, cuSeqlens).length;
  const H = v.shape[2]!;
  const given = [inputs.w0, inputs.w1, inputs.w2];
  const sizes = given.map(({ shape }) => shape[2]! * shape[3]!);
  const rows = given.map(({ shape }) => shape[2]!);
  const P = sizes.reduce((sum, size) => sum + size, 0);
  const weights = given.map((w) => carried(w, w.shape));
  const norms = carried(inputs.initialNorms, [N, H, rows.reduce((sum, n) => sum + n, 0)]);
  const gradient = carried(inputs.initialGradient, [N, H, P]);
  const finalMomentum = carried(inputs.initialMomentum, [N, H, P]);
  const factor = carried(inputs.initialFactor, [N, H]);
  const position = zeros([N]);
  const o = zeros(v.shape);
  const unpack = (x: NdArray, n: number, h: number): Matrix[] => {
    const values = row(x, n, h);
    let from = 0;
    return given.map(({ shape }) =>
      Array.from({ length: shape[2]! }, () => {
        from += shape[3]!;
        return values.slice(from - shape[3]!, from);
      }),
    );
  };
  forEachHead(inputs as never, ({ n, b, h, from, to }) => {
    let [w0, w1, w2] = weights.map((w) => read(w, n, h)) as [Matrix, Matrix, Matrix];
    let place = inputs.initialPosition ? at(inputs.initialPosition, n) : 0;
    const kept = inputs.initialNorms ? row(norms, n, h) : [w0, w1, w2].flatMap((w) => w.map((r) => length(r, round)));
    const none = unpack(zeros([N, H, P]), n, h);
    let sums = place > 0 ? unpack(gradient, n, h) : none;
    // gradients of the chunk's tokens that are not in the sums yet
    let waiting: Matrix[][] = [];
    const settle = () => {
      const add = (x: Matrix[], y: Matrix[]) => x.map((m, i) => map2(m, y[i]!, (a, c) => round(a + c)));
      if (backward) sums = add(waiting.reduceRight(add, none), sums);
      else sums = waiting.reduce(add, sums);
      waiting = [];
    };
    let before = unpack(finalMomentum, n, h);
    let stay = place > 0 ? at(factor, n, h) : 0;
    for (let t = from; t < to; t++) {
      setRow(o, apply(w0, w1, w2, row(q, b, t, h), round), b, t, h);
      const rates = [inputs.lr0, inputs.lr1, inputs.lr2].map((lr) => gateAt(lr, b, t, h));
      const found = gradients(w0, w1, w2, row(k, b, t, h), row(v, b, t, h), round);
      waiting.push(
        found.map(({ left, right }, i) => left.map((x) => right.map((y) => round(round(x * y) * rates[i]!)))),
      );
      if (momentum) stay = round(stay + gateAt(momentum, b, t, h));
      place++;
      if (place < chunkSize) continue;
      place = 0;
      settle();
      if (momentum) {
        const mean = round(stay / chunkSize);
        sums = sums.map((sum, i) => map2(sum, before[i]!, (g, m) => round(g + round(m * mean))));
        before = sums;
        stay = 0;
      }
      let first = 0;
      [w0, w1, w2] = [w0, w1, w2].map((w, i) => {
        const moved = map2(w, useMuon ? newtonSchulz(sums[i]!, round) : sums[i]!, (x, g) => round(x + g));
        return moved.map((r) => {
          const norm = round(length(r, round) + 1e-5);
          const goal = kept[first++]!;
          return r.map((e) => round(round(e / norm) * goal));
        });
      }) as [Matrix, Matrix, Matrix];
      sums = none;
    }
    settle();
    for (const [i, w] of [w0, w1, w2].entries()) for (const [x, r] of w.entries()) setRow(weights[i]!, r, n, h, x);
    setRow(norms, kept, n, h);
    setRow(gradient, sums.flat(2), n, h);
    setRow(finalMomentum, before.flat(2), n, h);
    factor.data[n * H + h] = stay;
    position.data[n] = place;
  });
  const [w0, w1, w2] = weights as [Result, Result, Result];
  return { o, w0, w1, w2, norms, gradient, position, ...(momentum && { finalMomentum, factor }) };
}

type Options = { chunkSize?: number; useMuon?: boolean };

/**
 * Chunks of fast weights, applied to the queries, then updated by the keys (LaCT, arXiv 2505.23884; block_causal_lact_swiglu).
 */
export const lact = (inputs: LactInputs, options: Options = {}, round: Round = float64) =>
  chunks(false, inputs, options, round);

/** The same, each chunk's gradients summed from its last token to its first. */
export const lactBackward = (inputs: LactInputs, options: Options = {}, round: Round = float64) =>
  chunks(true, inputs, options, round);

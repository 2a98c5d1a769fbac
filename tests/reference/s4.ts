import { add, apply, type Complex, conj, type Matrix, mul, scale, solve, sub } from './complex.ts';
import { at, exp, float64, logitFactor, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

/** o_t = sum_{l <= t} kernel_l u_{t-l} + D u_t: u [B,T,H], kernel [H,L]. */
export function fftConv(
  { u, kernel, D }: { u: NdArray; kernel: NdArray; D?: NdArray },
  _options: object = {},
  round: Round = float64,
): { o: Result } {
  const [batches = 0, t = 0, channels = 0] = u.shape;
  const taps = kernel.shape[1]!;
  const o = zeros(u.shape);
  for (let b = 0; b < batches; b++)
    for (let h = 0; h < channels; h++)
      for (let i = 0; i < t; i++) {
        let sum = D ? round(at(D, h) * at(u, b, i, h)) : 0;
        for (let l = 0; l < taps && l <= i; l++) sum = round(sum + round(at(kernel, h, l) * at(u, b, i - l, h)));
        o.data[(b * t + i) * channels + h] = sum;
      }
  return { o };
}

export interface S4Operands {
  u: NdArray;
  AReal: NdArray;
  AImag: NdArray;
  P: NdArray;
  B: NdArray;
  C: NdArray;
  logDt: NdArray;
  D?: NdArray;
}

/** The bilinear step of one channel over states and their conjugates, as dense matrices. */
function denseStep({ AReal, AImag, P, B, logDt }: S4Operands, h: number, round: Round): { a: Matrix; b: Complex[] } {
  const states = AReal.shape[1]!;
  const vector = (x: NdArray) => {
    const half = Array.from({ length: states }, (_, n): Complex => [at(x, h, n, 0), at(x, h, n, 1)]);
    return [...half, ...half.map(conj)];
  };
  const diagonal = Array.from({ length: states }, (_, n): Complex => [at(AReal, h, n), at(AImag, h, n)]);
  const lambda = [...diagonal, ...diagonal.map(conj)];
  const p = vector(P);
  const dt = exp(round(at(logDt, h) * logitFactor(round)), round);
  const halfA = lambda.map((value, i) =>
    p.map((q, j): Complex => {
      const lowRank = mul(p[i]!, conj(q), round);
      return scale(sub(i === j ? value : [0, 0], lowRank, round), round(0.5 * dt), round);
    }),
  );
  const plus = (sign: 1 | -1) =>
    halfA.map((row, i) => row.map((x, j) => add([i === j ? 1 : 0, 0], scale(x, sign, round), round)));
  const right = vector(B).map((x) => [scale(x, dt, round)]);
  return { a: solve(plus(-1), plus(1), round), b: solve(plus(-1), right, round).map(([x]) => x!) };
}

/**
 * S4 by dense matrices (arXiv 2111.00396): K_l = Re(C a^l b) over states and their conjugates, for l < length, then the
 * convolution. Here C is the output weight itself; `storedC` makes what the S4 code keeps.
 */
export function s4(
  inputs: S4Operands,
  { length = inputs.u.shape[1]! }: { length?: number } = {},
  round: Round = float64,
): { o: Result } {
  const { u, C, D } = inputs;
  const [channels = 0, states = 0] = inputs.AReal.shape;
  const kernel = zeros([channels, length]);
  for (let h = 0; h < channels; h++) {
    const { a, b } = denseStep(inputs, h, round);
    let x = b;
    for (let l = 0; l < length; l++) {
      let sum = 0;
      for (let n = 0; n < states; n++) sum = round(sum + mul([at(C, h, n, 0), at(C, h, n, 1)], x[n]!, round)[0]);
      kernel.data[h * length + l] = round(2 * sum);
      x = apply(a, x, round);
    }
  }
  return fftConv({ u, kernel, ...(D && { D }) }, {}, round);
}

/** C (I - a^length), which makes the generating function of an endless kernel that of its first `length` steps. */
export function storedC(inputs: S4Operands, length: number): NdArray {
  const { C } = inputs;
  const [channels = 0, states = 0] = inputs.AReal.shape;
  const out = zeros(C.shape);
  for (let h = 0; h < channels; h++) {
    const { a } = denseStep(inputs, h, float64);
    const transposed = a.map((_, i) => a.map((row) => row[i]!));
    const half = Array.from({ length: states }, (_, n): Complex => [at(C, h, n, 0), at(C, h, n, 1)]);
    let x: Complex[] = [...half, ...half.map(conj)];
    for (let l = 0; l < length; l++) x = apply(transposed, x, float64);
    for (let n = 0; n < states; n++) out.data.set(sub(half[n]!, x[n]!, float64), (h * states + n) * 2);
  }
  return out;
}

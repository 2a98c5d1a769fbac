import { sequenceRows } from './causal-conv.ts';
import { add, type Complex, div, expComplex, mul, scale, sub } from './complex.ts';
import { at, exp, float64, logitFactor, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

export interface DiagonalOperands {
  u: NdArray;
  AReal: NdArray;
  AImag: NdArray;
  C: NdArray;
  logDt: NdArray;
  D?: NdArray;
  initialState?: NdArray;
  cuSeqlens?: NdArray;
}

/** Coefficients of x_t = a x_{t-1} + b u_t. */
interface Step {
  a: Complex;
  b: Complex;
}

/** o_t = factor Re(C x_t) + D u_t over the states of each channel; finalState [S,H,N,2]. */
function recurrence(
  { u, AReal, AImag, C, logDt, D, initialState, cuSeqlens }: DiagonalOperands,
  factor: number,
  stepOf: (lambda: Complex, dt: number) => Step,
  round: Round,
): { o: Result; finalState: Result } {
  const [, total = 0, channels = 0] = u.shape;
  const states = AReal.shape[1]!;
  const rows = sequenceRows(u.shape, cuSeqlens);
  const o = zeros(u.shape);
  const finalState = zeros([rows.length, channels, states, 2]);
  rows.forEach(({ batch, from, to }, s) => {
    for (let h = 0; h < channels; h++) {
      const dt = exp(round(at(logDt, h) * logitFactor(round)), round);
      const sums = new Float64Array(to - from);
      for (let n = 0; n < states; n++) {
        const { a, b } = stepOf([at(AReal, h, n), at(AImag, h, n)], dt);
        const c: Complex = [at(C, h, n, 0), at(C, h, n, 1)];
        let x: Complex = initialState ? [at(initialState, s, h, n, 0), at(initialState, s, h, n, 1)] : [0, 0];
        for (let t = 0; t < to - from; t++) {
          x = add(mul(a, x, round), scale(b, at(u, batch, from + t, h), round), round);
          sums[t] = round(sums[t]! + mul(c, x, round)[0]);
        }
        finalState.data.set(x, ((s * channels + h) * states + n) * 2);
      }
      for (let t = 0; t < to - from; t++) {
        const input = D ? round(at(D, h) * at(u, batch, from + t, h)) : 0;
        o.data[(batch * total + from + t) * channels + h] = round(round(factor * sums[t]!) + input);
      }
    }
  });
  return { o, finalState };
}

function zoh(lambda: Complex, dt: number, round: Round): Step {
  const a = expComplex(scale(lambda, dt, round), round);
  const still = lambda[0] === 0 && lambda[1] === 0;
  return { a, b: still ? [dt, 0] : div(sub(a, [1, 0], round), lambda, round) };
}

/** Diagonal state-space model by its recurrence (S4D, arXiv 2206.11893): states stand for themselves and their conjugates. */
export function s4d(
  inputs: DiagonalOperands,
  { discretization = 'zoh' }: { discretization?: 'zoh' | 'bilinear'; mode?: string } = {},
  round: Round = float64,
): { o: Result; finalState: Result } {
  const bilinear = (lambda: Complex, dt: number): Step => {
    const half = scale(lambda, round(0.5 * dt), round);
    const denominator = sub([1, 0], half, round);
    return { a: div(add([1, 0], half, round), denominator, round), b: div([dt, 0], denominator, round) };
  };
  return recurrence(
    inputs,
    2,
    (lambda, dt) => (discretization === 'zoh' ? zoh(lambda, dt, round) : bilinear(lambda, dt)),
    round,
  );
}

/** Diagonal state space by its recurrence (DSS, arXiv 2203.14343); for 'softmax' b is divided by the sum of e^(dt A l), l < length. */
export function dss(
  inputs: DiagonalOperands,
  {
    variant = 'exp',
    length = inputs.u.shape[1]!,
    eps = 1e-7,
  }: { variant?: 'exp' | 'softmax'; length?: number; eps?: number; mode?: string } = {},
  round: Round = float64,
): { o: Result; finalState: Result } {
  const softmax = (lambda: Complex, dt: number): Step => {
    const { a } = zoh(lambda, dt, round);
    const sign = lambda[0] > 0 ? -dt : dt;
    const numerator = sub(expComplex(scale(lambda, sign, round), round), [1, 0], round);
    const all = sub(expComplex(scale(lambda, round(sign * length), round), round), [1, 0], round);
    const b = div(numerator, mul(all, lambda, round), round, eps);
    const back = expComplex(scale(lambda, round(-dt * (length - 1)), round), round);
    return { a, b: lambda[0] > 0 ? mul(b, back, round) : b };
  };
  return recurrence(
    inputs,
    1,
    (lambda, dt) => (variant === 'exp' ? zoh(lambda, dt, round) : softmax(lambda, dt)),
    round,
  );
}

import { at, dot, exp, log, logitFactor, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/** Rows [from, to) of batch row b; n is the number of its state. */
export interface Sequence {
  n: number;
  b: number;
  from: number;
  to: number;
}

/** The sequences of x [B,T,...]: its batch rows, or what cuSeqlens cuts out of its only one. */
export function sequences({ shape: [batches = 0, t = 0] }: NdArray, cuSeqlens?: NdArray): Sequence[] {
  if (!cuSeqlens) return Array.from({ length: batches }, (_, n) => ({ n, b: n, from: 0, to: t }));
  return Array.from({ length: cuSeqlens.data.length - 1 }, (_, n) => ({
    n,
    b: 0,
    from: at(cuSeqlens, n),
    to: at(cuSeqlens, n + 1),
  }));
}

/** Calls `visit` for each token and head of v [B,T,HV,...]: n numbers the states, kh is the key head of h out of `keyHeads`. */
export function forEachToken(
  v: NdArray,
  keyHeads: number,
  cuSeqlens: NdArray | undefined,
  visit: (token: { n: number; b: number; t: number; h: number; kh: number }) => void,
): void {
  const heads = v.shape[2]!;
  for (const { n, b, from, to } of sequences(v, cuSeqlens))
    for (let t = from; t < to; t++)
      for (let h = 0; h < heads; h++) visit({ n, b, t, h, kh: Math.floor(h / (heads / keyHeads)) });
}

/** A copy of the initial state to go on with, or one filled with `fill`. */
export function carried(initial: NdArray | undefined, shape: readonly number[], fill = 0): Result {
  const state = zeros(shape);
  if (initial) state.data.set(Array.from(initial.data));
  else state.data.fill(fill);
  return state;
}

/** The last axis at `index`. */
export function row(x: NdArray, ...index: number[]): number[] {
  const length = x.shape[x.shape.length - 1]!;
  const from = length === 0 ? 0 : offset(x.shape, ...index, 0);
  return Array.from({ length }, (_, c) => x.data[from + c]!);
}

/** Writes the last axis at `index`. */
export function setRow(x: Result, values: readonly number[], ...index: number[]): void {
  if (values.length > 0) x.data.set(values, offset(x.shape, ...index, 0));
}

/** Where matrix (n, h) of states [N,H,K,V] begins, and its sizes. */
function matrix(states: Result, n: number, h: number): { from: number; rows: number; columns: number } {
  const [, heads = 0, rows = 0, columns = 0] = states.shape;
  return { from: (n * heads + h) * rows * columns, rows, columns };
}

/** S[c,d] *= factors[c] in matrix (n, h). */
export function scaleRows(states: Result, n: number, h: number, factors: readonly number[], round: Round): void {
  const { from, rows, columns } = matrix(states, n, h);
  for (let c = 0; c < rows; c++)
    for (let i = from + c * columns; i < from + (c + 1) * columns; i++)
      states.data[i] = round(states.data[i]! * factors[c]!);
}

/** S[c,d] *= factors[d] in matrix (n, h). */
export function scaleColumns(states: Result, n: number, h: number, factors: readonly number[], round: Round): void {
  const { from, rows, columns } = matrix(states, n, h);
  for (let c = 0; c < rows; c++)
    for (let d = 0; d < columns; d++) {
      const i = from + c * columns + d;
      states.data[i] = round(states.data[i]! * factors[d]!);
    }
}

/** S[c,d] += k[c] v[d] in matrix (n, h). */
export function addOuter(
  states: Result,
  n: number,
  h: number,
  k: readonly number[],
  v: readonly number[],
  round: Round,
): void {
  const { from, rows, columns } = matrix(states, n, h);
  for (let c = 0; c < rows; c++)
    for (let d = 0; d < columns; d++) {
      const i = from + c * columns + d;
      states.data[i] = round(states.data[i]! + round(k[c]! * v[d]!));
    }
}

/** sum_c q[c] S[c,:] of matrix (n, h). */
export function readOut(q: readonly number[], states: Result, n: number, h: number, round: Round): number[] {
  const { from, rows, columns } = matrix(states, n, h);
  return Array.from({ length: columns }, (_, d) => dot(q, 0, 1, states.data, from + d, columns, rows, round));
}

/** x times a number. */
export function times(x: readonly number[], factor: number, round: Round): number[] {
  return x.map((value) => round(value * factor));
}

/** sum_c a[c] b[c]. */
export function inner(a: readonly number[], b: readonly number[], round: Round): number {
  return dot(a, 0, 1, b, 0, 1, a.length, round);
}

/** e^x for x in natural units, in the base of `round`. */
export function expNatural(x: number, round: Round): number {
  return exp(round(x * logitFactor(round)), round);
}

/** ln x in natural units, in the base of `round`. */
export function logNatural(x: number, round: Round): number {
  return round(log(x, round) / logitFactor(round));
}

/** ln(e^a + e^b), -Infinity for two of them. */
export function logAddExp(a: number, b: number, round: Round): number {
  const max = Math.max(a, b);
  if (max === Number.NEGATIVE_INFINITY) return max;
  return round(max + logNatural(round(expNatural(round(a - max), round) + expNatural(round(b - max), round)), round));
}

/** ln(1 + e^x). */
export function softplus(x: number, round: Round): number {
  // log1p where 1 + e would lose e
  return round(Math.max(x, 0) + round(Math.log1p(expNatural(-Math.abs(x), round))));
}

/** 1 / (1 + e^-x). */
export function sigmoid(x: number, round: Round): number {
  return round(1 / round(1 + expNatural(-x, round)));
}

/** x sigmoid(x). */
export function silu(x: number, round: Round): number {
  return round(x * sigmoid(x, round));
}

/** Operands of the master recurrence. */
export interface Recurrence {
  /** [B,T,H,K] */
  q: NdArray;
  /** [B,T,H,K] */
  k: NdArray;
  /** [B,T,HV,V]; value head h reads key head floor(h / (HV/H)). */
  v: NdArray;
  /** [N,HV,K,V]; zeros where left out. */
  initialState?: NdArray | undefined;
  cuSeqlens?: NdArray | undefined;
}

/** What a method makes of the master recurrence. */
export interface Gates {
  /** Default K^-1/2. */
  scale?: number | undefined;
  /** Factors of the K rows of the state before a token is written. */
  rows?: (b: number, t: number, h: number, kh: number) => number[];
  /** Factors of its V columns. */
  columns?: (b: number, t: number, h: number, kh: number) => number[];
}

/** S_t = diag(rows_t) S_{t-1} diag(columns_t) + k_t^T v_t, o_t = scale q_t S_t (Gated Linear Attention, arXiv 2312.06635). */
export function recurrence(
  { q, k, v, initialState, cuSeqlens }: Recurrence,
  { scale, rows, columns }: Gates,
  round: Round,
): { o: Result; finalState: Result } {
  const [, , keyHeads = 0, dk = 0] = q.shape;
  const [, , heads = 0, dv = 0] = v.shape;
  const o = zeros(v.shape);
  const finalState = carried(initialState, [sequences(v, cuSeqlens).length, heads, dk, dv]);
  const factor = round(scale ?? dk ** -0.5);
  forEachToken(v, keyHeads, cuSeqlens, ({ n, b, t, h, kh }) => {
    if (rows) scaleRows(finalState, n, h, rows(b, t, h, kh), round);
    if (columns) scaleColumns(finalState, n, h, columns(b, t, h, kh), round);
    addOuter(finalState, n, h, row(k, b, t, kh), row(v, b, t, h), round);
    setRow(o, readOut(times(row(q, b, t, kh), factor, round), finalState, n, h, round), b, t, h);
  });
  return { o, finalState };
}

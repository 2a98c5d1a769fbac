import {
  addOuter,
  carried,
  expNatural,
  forEachToken,
  inner,
  readOut,
  row,
  scaleRows,
  setRow,
  times,
} from './linear.ts';
import { at, float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';
import { spansOf } from './sequences.ts';

/** Operands of MesaNet. */
export interface MesaOperands {
  q: NdArray;
  k: NdArray;
  v: NdArray;
  g?: NdArray | undefined;
  beta: NdArray;
  lamb: NdArray;
  initialHKk?: NdArray | undefined;
  initialHKv?: NdArray | undefined;
  cuSeqlens?: NdArray | undefined;
}

/** Solves the symmetric positive system a x = b. */
export type Solver = (a: readonly (readonly number[])[], b: readonly number[], round: Round) => number[];

/** By Cholesky's factors. */
export const cholesky: Solver = (a, b, round) => {
  const n = b.length;
  const l = a.map((x) => [...x]);
  for (let j = 0; j < n; j++) {
    for (let i = j; i < n; i++) {
      let sum = l[i]![j]!;
      for (let c = 0; c < j; c++) sum = round(sum - round(l[i]![c]! * l[j]![c]!));
      l[i]![j] = i === j ? round(Math.sqrt(sum)) : round(sum / l[j]![j]!);
    }
  }
  const x = [...b];
  for (let i = 0; i < n; i++) {
    for (let c = 0; c < i; c++) x[i] = round(x[i]! - round(l[i]![c]! * x[c]!));
    x[i] = round(x[i]! / l[i]![i]!);
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let c = i + 1; c < n; c++) x[i] = round(x[i]! - round(l[c]![i]! * x[c]!));
    x[i] = round(x[i]! / l[i]![i]!);
  }
  return x;
};

/** By conjugate gradients from 0, or from b over the diagonal: `steps` of them, or until r r is below tolerance^2 b b. */
export function conjugateGradients(steps: number, tolerance = 0, jacobi = false): Solver {
  return (a, b, round) => {
    const times = (x: readonly number[]) => a.map((line) => inner(line, x, round));
    let x = b.map((value, i) => (jacobi ? round(value / a[i]![i]!) : 0));
    const product = times(x);
    let r = b.map((value, i) => round(value - product[i]!));
    let p = r;
    let square = inner(r, r, round);
    const limit = tolerance ** 2 * inner(b, b, round);
    for (let n = 0; n < steps && square > limit; n++) {
      const hp = times(p);
      const alpha = round(square / inner(p, hp, round));
      x = x.map((value, i) => round(value + round(alpha * p[i]!)));
      r = r.map((value, i) => round(value - round(alpha * hp[i]!)));
      const next = inner(r, r, round);
      const beta = round(next / square);
      p = r.map((value, i) => round(value + round(beta * p[i]!)));
      square = next;
    }
    return x;
  };
}

/**
 * H_kk,t = e^g_t H_kk,t-1 + beta_t k_t k_t, H_kv likewise with v_t; x_t solves (H_kk,t + diag lamb) x_t = q_t,
 * o_t = x_t H_kv,t: o [B,T,H,V], hKk [N,H,K,K], hKv [N,H,K,V] (MesaNet, arXiv 2506.05233).
 */
export function mesaNet(
  { q, k, v, g, beta, lamb, initialHKk, initialHKv, cuSeqlens }: MesaOperands,
  { solver = cholesky }: { solver?: Solver } = {},
  round: Round = float64,
): { o: Result; hKk: Result; hKv: Result } {
  const [, , heads = 0, dk = 0] = k.shape;
  const dv = v.shape[3]!;
  const count = spansOf(v, cuSeqlens).length;
  const hKk = carried(initialHKk, [count, heads, dk, dk]);
  const hKv = carried(initialHKv, [count, heads, dk, dv]);
  const o = zeros(v.shape);
  forEachToken(v, heads, cuSeqlens, ({ n, b, t, h }) => {
    const decay = new Array<number>(dk).fill(g ? expNatural(at(g, b, t, h), round) : 1);
    const key = row(k, b, t, h);
    const written = times(key, at(beta, b, t, h), round);
    scaleRows(hKk, n, h, decay, round);
    scaleRows(hKv, n, h, decay, round);
    addOuter(hKk, n, h, key, written, round);
    addOuter(hKv, n, h, written, row(v, b, t, h), round);
    const matrix = Array.from({ length: dk }, (_, c) =>
      row(hKk, n, h, c).map((value, d) => (c === d ? round(value + at(lamb, h, c)) : value)),
    );
    setRow(o, readOut(solver(matrix, row(q, b, t, h), round), hKv, n, h, round), b, t, h);
  });
  return { o, hKk, hKv };
}

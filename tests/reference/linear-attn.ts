import {
  addOuter,
  carried,
  forEachToken,
  inner,
  type Recurrence,
  readOut,
  row,
  sequences,
  setRow,
  times,
} from './linear.ts';
import { float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/** Operands of linear attention with a sum of keys. */
export interface Normalized extends Recurrence {
  /** [N,HV,K]; zeros where left out. */
  initialNormalizer?: NdArray | undefined;
}

/**
 * o_t = scale q_t S_t / denominator(scale q_t, z_t) with S_t = S_{t-1} + k_t^T v_t and z_t = z_{t-1} + k_t [N,HV,K]; not causal: S and z of
 * the whole sequence.
 */
export function normalized(
  { q, k, v, initialState, initialNormalizer, cuSeqlens }: Normalized,
  { scale, causal = true }: { scale?: number | undefined; causal?: boolean | undefined },
  denominator: ((query: number[], z: number[]) => number) | undefined,
  round: Round,
): { o: Result; finalState: Result; finalNormalizer: Result } {
  const [, , keyHeads = 0, dk = 0] = q.shape;
  const [, , heads = 0, dv = 0] = v.shape;
  const count = sequences(v, cuSeqlens).length;
  const o = zeros(v.shape);
  const finalState = carried(initialState, [count, heads, dk, dv]);
  const finalNormalizer = carried(initialNormalizer, [count, heads, dk]);
  const factor = round(scale ?? dk ** -0.5);
  const write = ({ n, b, t, h, kh }: { n: number; b: number; t: number; h: number; kh: number }) => {
    const key = row(k, b, t, kh);
    addOuter(finalState, n, h, key, row(v, b, t, h), round);
    const z = row(finalNormalizer, n, h);
    setRow(
      finalNormalizer,
      z.map((sum, c) => round(sum + key[c]!)),
      n,
      h,
    );
  };
  const read = ({ n, b, t, h, kh }: { n: number; b: number; t: number; h: number; kh: number }) => {
    const query = times(row(q, b, t, kh), factor, round);
    const numerator = readOut(query, finalState, n, h, round);
    const divisor = denominator?.(query, row(finalNormalizer, n, h)) ?? 1;
    setRow(
      o,
      numerator.map((x) => round(x / divisor)),
      b,
      t,
      h,
    );
  };
  if (causal) {
    forEachToken(v, keyHeads, cuSeqlens, (token) => {
      write(token);
      read(token);
    });
  } else {
    forEachToken(v, keyHeads, cuSeqlens, write);
    forEachToken(v, keyHeads, cuSeqlens, read);
  }
  return { o, finalState, finalNormalizer };
}

/** `normalized`, over the sum of the weights + eps with `normalize`, else over 1 (Linear Transformer, arXiv 2006.16236). */
export function linearAttn(
  inputs: Normalized,
  {
    normalize = false,
    eps = 1e-10,
    ...options
  }: { scale?: number; normalize?: boolean; eps?: number; causal?: boolean } = {},
  round: Round = float64,
): { o: Result; finalState: Result; finalNormalizer?: Result } {
  const sum = (query: number[], z: number[]) => round(inner(query, z, round) + round(eps));
  const { finalNormalizer, ...result } = normalized(inputs, options, normalize ? sum : undefined, round);
  return normalize ? { ...result, finalNormalizer } : result;
}

/** Where the weights of linear attention are a function of one number: o_t = sum_{j <= t} w(scale q_t k_j) v_j / (sum w + eps). */
export function kernelAttention(
  { q, k, v, cuSeqlens }: Recurrence,
  { scale, eps = 1e-6 }: { scale?: number | undefined; eps?: number | undefined },
  weight: (x: number) => number,
  round: Round,
): { o: Result } {
  const [, , keyHeads = 0, dk = 0] = q.shape;
  const [, , heads = 0, dv = 0] = v.shape;
  const o = zeros(v.shape);
  const factor = round(scale ?? dk ** -0.5);
  for (const { b, from, to } of sequences(v, cuSeqlens))
    for (let t = from; t < to; t++)
      for (let h = 0; h < heads; h++) {
        const kh = Math.floor(h / (heads / keyHeads));
        const query = times(row(q, b, t, kh), factor, round);
        let denominator = 0;
        const sum = new Array<number>(dv).fill(0);
        for (let j = from; j <= t; j++) {
          const w = weight(inner(query, row(k, b, j, kh), round));
          denominator = round(denominator + w);
          const value = dv === 0 ? 0 : offset(v.shape, b, j, h, 0);
          for (let d = 0; d < dv; d++) sum[d] = round(sum[d]! + round(w * v.data[value + d]!));
        }
        const divisor = round(denominator + round(eps));
        setRow(
          o,
          sum.map((x) => round(x / divisor)),
          b,
          t,
          h,
        );
      }
  return { o };
}

import { type AttentionOptions, attention } from './attention.ts';
import { at, dot, float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';
import { rope as rotate } from './rope.ts';

export interface MfaInputs {
  cQ: NdArray;
  wUq: NdArray;
  k: NdArray;
  v?: NdArray;
  wV?: NdArray;
  kvLens?: NdArray;
}

/** Rows [B,T,H,n] of x [B,T,H,m] times w [m,n]. */
function times(x: NdArray, w: NdArray, round: Round): Result {
  const [m = 0, n = 0] = w.shape;
  const out = zeros([...x.shape.slice(0, -1), n]);
  for (let row = 0; row < out.data.length / Math.max(1, n); row++) {
    for (let c = 0; c < n; c++) out.data[row * n + c] = dot(x.data, row * m, 1, w.data, c, n, m, round);
  }
  return out;
}

/** Queries of all heads from the latent, keys and values of one head (arXiv 2412.19255); values k wV where wV is given, made before or after. */
export function mfa(
  { cQ, wUq, k, v, wV, kvLens }: MfaInputs,
  { rope, ...options }: AttentionOptions & { rope?: Parameters<typeof rotate>[1] } = {},
  round: Round = float64,
  after = false,
): { o: Result; lse: Result } {
  const [batches = 0, tq = 0, c = 0] = cQ.shape;
  const [heads = 0, , d = 0] = wUq.shape;
  const q = zeros([batches, tq, heads, d]);
  for (let b = 0; b < batches; b++)
    for (let i = 0; i < tq; i++)
      for (let h = 0; h < heads; h++)
        for (let x = 0; x < d; x++) {
          const column = offset(wUq.shape, h, 0, x);
          q.data[offset(q.shape, b, i, h, x)] = dot(
            cQ.data,
            offset(cQ.shape, b, i, 0),
            1,
            wUq.data,
            column,
            d,
            c,
            round,
          );
        }
  const oneHead = (x: NdArray): NdArray => ({ shape: [x.shape[0]!, x.shape[1]!, 1, x.shape[2]!], data: x.data });
  const keys = oneHead(k);
  const values = wV && !after ? times(keys, wV, round) : oneHead(v ?? k);
  const queries = rope ? rotate({ x: q }, rope, round).o : q;
  const { o, lse } = attention({ q: queries, k: keys, v: values, ...(kvLens && { kvLens }) }, options, round);
  return { o: wV && after ? times(o, wV, round) : o, lse };
}

/** The query of one head of mfa with wUq folded into its keys: scores are those of the latents on keys k wUq^T. */
export function foldedKeys(k: NdArray, wUq: NdArray, h: number): Result {
  const [batches = 0, tk = 0, d = 0] = k.shape;
  const c = wUq.shape[1]!;
  const out = zeros([batches, tk, 1, c]);
  for (let b = 0; b < batches; b++)
    for (let j = 0; j < tk; j++)
      for (let x = 0; x < c; x++) {
        let sum = 0;
        for (let y = 0; y < d; y++) sum += at(k, b, j, y) * at(wUq, h, x, y);
        out.data[offset(out.shape, b, j, 0, x)] = sum;
      }
  return out;
}

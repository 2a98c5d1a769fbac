import { type AttentionOptions, attention } from './attention.ts';
import { at, dot, float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/** qNope [B,Tq,H,d], qRope [B,Tq,H,dr], cKv [B,Tk,r], kRope [B,Tk,dr], wUk [H,r,d], wUv [H,r,dv]. */
export interface MlaInputs {
  qNope: NdArray;
  qRope: NdArray;
  cKv: NdArray;
  kRope: NdArray;
  wUk: NdArray;
  wUv: NdArray;
  kvLens?: NdArray;
}

/** x [B,T,H,m] beside y [B,T,H,n]: [B,T,H,m+n]. */
function beside(x: NdArray, y: NdArray): Result {
  const [batches = 0, t = 0, heads = 0, m = 0] = x.shape;
  const n = y.shape[3]!;
  const out = zeros([batches, t, heads, m + n]);
  for (let row = 0; row < batches * t * heads; row++) {
    for (let c = 0; c < m + n; c++) {
      out.data[row * (m + n) + c] = (c < m ? x.data[row * m + c] : y.data[row * n + c - m]) as number;
    }
  }
  return out;
}

/** c [B,T,r] times each head's w [H,r,n]: [B,T,H,n]. */
function expand(c: NdArray, w: NdArray, round: Round): Result {
  const [batches = 0, t = 0, r = 0] = c.shape;
  const [heads = 0, , n = 0] = w.shape;
  const out = zeros([batches, t, heads, n]);
  for (let b = 0; b < batches; b++)
    for (let i = 0; i < t; i++)
      for (let h = 0; h < heads; h++)
        for (let x = 0; x < n; x++) {
          out.data[offset(out.shape, b, i, h, x)] = dot(
            c.data,
            offset(c.shape, b, i, 0),
            1,
            w.data,
            offset(w.shape, h, 0, x),
            n,
            r,
            round,
          );
        }
  return out;
}

/** y [B,T,1,n] repeated over the heads. */
function perHead(y: NdArray, heads: number): Result {
  const [batches = 0, t = 0, n = 0] = y.shape;
  const out = zeros([batches, t, heads, n]);
  for (let b = 0; b < batches; b++)
    for (let i = 0; i < t; i++)
      for (let h = 0; h < heads; h++)
        for (let x = 0; x < n; x++) out.data[offset(out.shape, b, i, h, x)] = at(y, b, i, x);
  return out;
}

/** Multi-head latent attention, keys and values expanded from the latent: o [B,Tq,H,dv] (DeepSeek-V2, arXiv 2405.04434). */
export function mla(
  inputs: MlaInputs,
  options: Pick<AttentionOptions, 'causal' | 'scale'> = {},
  round: Round = float64,
): { o: Result } {
  const { qNope, qRope, cKv, kRope, wUk, wUv, kvLens } = inputs;
  const heads = qNope.shape[2]!;
  const q = beside(qNope, qRope);
  const k = beside(expand(cKv, wUk, round), perHead(kRope, heads));
  return { o: attention({ q, k, v: expand(cKv, wUv, round), ...(kvLens && { kvLens }) }, options, round).o };
}

/** The absorbed form: every head attends over the latent itself, [q W_uk^T | q_rope] against [c | k_rope], and W_uv comes last. */
export function mlaAbsorbed(
  inputs: MlaInputs,
  options: Pick<AttentionOptions, 'causal' | 'scale'> = {},
  round: Round = float64,
): { o: Result } {
  const { qNope, qRope, cKv, kRope, wUk, wUv, kvLens } = inputs;
  const [batches = 0, t = 0, heads = 0, d = 0] = qNope.shape;
  const [, r = 0, dv = 0] = wUv.shape;
  const tk = cKv.shape[1]!;
  const absorbed = zeros([batches, t, heads, r]);
  const o = zeros([batches, t, heads, dv]);
  const rows = (x: NdArray, last: number): NdArray => ({ shape: [batches, tk, 1, last], data: x.data });
  for (let b = 0; b < batches; b++)
    for (let i = 0; i < t; i++)
      for (let h = 0; h < heads; h++)
        for (let c = 0; c < r; c++) {
          absorbed.data[offset(absorbed.shape, b, i, h, c)] = dot(
            qNope.data,
            offset(qNope.shape, b, i, h, 0),
            1,
            wUk.data,
            offset(wUk.shape, h, c, 0),
            1,
            d,
            round,
          );
        }
  const scale = options.scale ?? (d + qRope.shape[3]!) ** -0.5;
  const k = beside(rows(cKv, r), rows(kRope, kRope.shape[2]!));
  const latent = attention(
    { q: beside(absorbed, qRope), k, v: rows(cKv, r), ...(kvLens && { kvLens }) },
    { ...options, scale },
    round,
  ).o;
  for (let b = 0; b < batches; b++)
    for (let i = 0; i < t; i++)
      for (let h = 0; h < heads; h++)
        for (let x = 0; x < dv; x++) {
          o.data[offset(o.shape, b, i, h, x)] = dot(
            latent.data,
            offset(latent.shape, b, i, h, 0),
            1,
            wUv.data,
            offset(wUv.shape, h, 0, x),
            dv,
            r,
            round,
          );
        }
  return { o };
}

import type { AttentionOptions } from './attention.ts';
import { type MlaInputs, mla } from './mla.ts';
import { at, float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/** Indices [from, to) of an axis. */
export function part(x: NdArray, axis: number, from: number, to: number): Result {
  const shape = x.shape.map((n, i) => (i === axis ? to - from : n));
  const out = zeros(shape);
  for (let n = 0; n < out.data.length; n++) {
    let rest = n;
    const index = shape.map(() => 0);
    for (let i = shape.length - 1; i >= 0; i--) {
      index[i] = (rest % shape[i]!) + (i === axis ? from : 0);
      rest = Math.floor(rest / shape[i]!);
    }
    out.data[n] = at(x, ...index);
  }
  return out;
}

/** mla for each group of query heads with the latents of its own head, cKv [B,Tk,L,r] (arXiv 2505.21487). */
export function groupedLatentAttention(
  inputs: MlaInputs,
  options: Pick<AttentionOptions, 'causal' | 'scale'> = {},
  round: Round = float64,
  method: typeof mla = mla,
): { o: Result } {
  const { qNope, qRope, cKv, wUk, wUv } = inputs;
  const [batches = 0, tq = 0, heads = 0] = qNope.shape;
  const [, tk = 0, latents = 0, r = 0] = cKv.shape;
  const dv = wUv.shape[2]!;
  const o = zeros([batches, tq, heads, dv]);
  const group = heads / latents;
  for (let l = 0; l < latents; l++) {
    const [from, to] = [l * group, (l + 1) * group];
    const own = part(cKv, 2, l, l + 1);
    const result = method(
      {
        ...inputs,
        qNope: part(qNope, 2, from, to),
        qRope: part(qRope, 2, from, to),
        cKv: { shape: [batches, tk, r], data: own.data },
        wUk: part(wUk, 0, from, to),
        wUv: part(wUv, 0, from, to),
      },
      options,
      round,
    ).o;
    for (let b = 0; b < batches; b++)
      for (let i = 0; i < tq; i++)
        for (let h = 0; h < group; h++)
          for (let c = 0; c < dv; c++) o.data[offset(o.shape, b, i, from + h, c)] = at(result, b, i, h, c);
  }
  return { o };
}

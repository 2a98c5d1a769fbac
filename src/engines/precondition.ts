/**
 * Keys preconditioned by their curvature: A_t = e^g_t A_{t-1} + beta_t k_t^2, and k_t e^(-ln x r / (1 + |r|)), r = ln(A_t + eps) - c.
 *
 * @module
 */
import { PrecondParams } from '../generated/params.ts';
import { encode, encodePlaces } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import { storageOf, type Tensor } from '../tensor.ts';
import { elementScan } from './scan.ts';
import type { SequenceSpan } from './sequences.ts';

/** Keys and how their curvature is summed. */
export interface PrecondCall {
  /** [B, T, H, K], any storage, rows contiguous. */
  readonly k: Tensor;
  /** f32 [B, T, H] each. */
  readonly g: Tensor;
  readonly beta: Tensor;
  /** f32 [H] contiguous, or one number for all heads. */
  readonly center: Tensor | number;
  readonly x: number;
  readonly eps: number;
  /** f32 [N, H, K] contiguous; `final` may be `initial`. */
  readonly initial?: Tensor | undefined;
  readonly final: Tensor;
  readonly sequences: readonly SequenceSpan[];
}

/** Elements worth a turn at the work counter. */
const GRAIN = 2048;

/** Adds the preconditioned keys, a temporary f32 [B, T, H, K]. */
export function precondition(b: Builder, call: PrecondCall): Tensor {
  const { k, g, beta, center, x, eps, initial, final, sequences } = call;
  const [batch, length, heads, d] = k.shape as [number, number, number, number];
  const flat = [batch, length, heads * d];
  const [terms, gates, a] = [b.temporary(flat), b.temporary(flat), b.temporary(flat)];
  const o = b.temporary(k.shape);
  const params = encode(PrecondParams, {
    kType: storageOf(k),
    terms: terms.address,
    gates: gates.address,
    a: a.address,
    c: typeof center === 'number' ? 0 : center.address,
    center: typeof center === 'number' ? center : 0,
    o: o.address,
    length,
    heads,
    d,
    logX: Math.log(x),
    epsilon: eps,
  });
  encodePlaces(PrecondParams, params, { k, g, beta });
  const items = o.size === 0 ? 0 : batch * length;
  const grain = Math.max(1, Math.ceil(GRAIN / Math.max(1, heads * d)));
  b.dispatch({ kernel: 'precondTerms', params, items, grain, flops: 2 * o.size });
  const rows = (state: Tensor) => state.reshape([sequences.length, heads * d]);
  const states = { initial: initial && rows(initial), final: rows(final) };
  elementScan(b, { spans: sequences, like: terms, x: terms, g: gates, ...states, o: a });
  b.dispatch({ kernel: 'precondKeys', params, items, grain, flops: 40 * o.size });
  return o;
}

/**
 * Tokens routed to heads of their own: which head each slot of a token is, and rows by head.
 *
 * @module
 */
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { gemm, gemmPack, packedSize } from './gemm.ts';

/** Slots of every token: as many as the token with the most heads has. */
export interface Slots {
  readonly count: number;
  /** Head and weight of slot s of token t at t * count + s; head -1 where a token has fewer heads. */
  readonly heads: Int32Array;
  readonly weights: Float32Array;
}

/** Slots of tokens whose `chosen` weights are those of heads 0, 1, ... or of the heads that `indices` names; weights of 0 take none. */
export function slotsOf(weights: Float32Array, indices: Int32Array | undefined, tokens: number): Slots {
  const chosen = tokens === 0 ? 0 : weights.length / tokens;
  let count = 0;
  for (let t = 0; t < tokens; ++t) {
    let own = 0;
    for (let n = t * chosen; n < (t + 1) * chosen; ++n) own += weights[n] === 0 ? 0 : 1;
    count = Math.max(count, own);
  }
  const heads = new Int32Array(tokens * count).fill(-1);
  const shares = new Float32Array(tokens * count);
  for (let t = 0; t < tokens; ++t) {
    let slot = t * count;
    for (let n = 0; n < chosen; ++n) {
      const weight = weights[t * chosen + n]!;
      if (weight === 0) continue;
      heads[slot] = indices ? indices[t * chosen + n]! : n;
      shares[slot++] = weight;
    }
  }
  return { count, heads, weights: shares };
}

/** Filled slots sorted by head: slots in that order, and where each head's begin. */
export function byHead({ heads }: Slots, experts: number): { order: Int32Array; offsets: Int32Array } {
  const offsets = new Int32Array(experts + 1);
  for (const head of heads) if (head >= 0) offsets[head + 1]! += 1;
  for (let e = 0; e < experts; ++e) offsets[e + 1]! += offsets[e]!;
  const next = offsets.slice();
  const order = new Int32Array(offsets[experts]!);
  for (const [slot, head] of heads.entries()) if (head >= 0) order[next[head]!++] = slot;
  return { order, offsets };
}

/** Rows f32 [1, n, 1, N] = rows [1, n, 1, K] times the matrix of their head, w [E, K, N]; rows of one head lie together. */
export function projectByHead(b: Builder, rows: Tensor, offsets: Int32Array, w: Tensor): Tensor {
  const [experts, k, n] = w.shape as [number, number, number];
  const o = b.temporary([1, rows.shape[1]!, 1, n]);
  const size = packedSize(k, n);
  const packed = b.temporary([experts, size]);
  gemmPack(b, w, false, packed.address);
  for (let e = 0; e < experts; ++e) {
    const [first, end] = [offsets[e]!, offsets[e + 1]!];
    if (first === end) continue;
    gemm(b, {
      a: rows.address + first * k * 4,
      aStride: k,
      bPack: packed.address + e * size * 4,
      o: o.address + first * n * 4,
      oStride: n,
      bias: 0,
      m: end - first,
      k,
      n,
      activation: 'none',
    });
  }
  return o;
}

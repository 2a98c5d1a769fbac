/**
 * Host side of SwiGLU fast weights: large chunks, weights applied before they are updated.
 *
 * @module
 */
import { SwigluParams } from '../generated/params.ts';
import { encode, encodePlaces } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import { storageOf, type Tensor } from '../tensor.ts';
import { type SequenceSpan, sequenceTable } from './sequences.ts';

/** States of a call, f32 contiguous. */
export interface SwigluState {
  /** [N, H, M, K] */
  readonly w0: Tensor;
  /** [N, H, V, M] */
  readonly w1: Tensor;
  /** [N, H, M, K] */
  readonly w2: Tensor;
  /** `[N, H, 2 M + V]`: norms that the rows of w0, w1 and w2 keep. */
  readonly norms: Tensor;
  /** `[N, H, P]`: gradients of the chunk so far. */
  readonly gradient: Tensor;
  /** `[N, H, P]`: those of the chunk before with their momentum. */
  readonly momentum?: Tensor | undefined;
  /** `[N, H]`: sum of the chunk's momentum factors so far. */
  readonly factor?: Tensor | undefined;
}

/** One call of the engine; operands have been checked. */
export interface SwigluCall {
  /** [B, T, H, K] */
  readonly q: Tensor;
  readonly k: Tensor;
  /** [B, T, H, V] */
  readonly v: Tensor;
  readonly o: Tensor;
  /** f32 [B, T, H] */
  readonly lr0: Tensor;
  readonly lr1: Tensor;
  readonly lr2: Tensor;
  readonly momentum?: Tensor | undefined;
  readonly chunk: number;
  readonly muon: boolean;
  /** The sequences; `offset` counts the tokens of the chunk before the call. */
  readonly sequences: readonly SequenceSpan[];
  readonly initial: Pick<SwigluState, 'w0' | 'w1' | 'w2'> & {
    readonly [name in keyof SwigluState]?: Tensor | undefined;
  };
  readonly final: SwigluState;
  /** i32 [N] */
  readonly position: Tensor;
}

/** Adds a call. */
export function swiglu(b: Builder, call: SwigluCall): void {
  const { q, k, v, o, lr0, lr1, lr2, momentum, chunk, muon, sequences, initial, final, position } = call;
  const [, , heads, dv] = v.shape as [number, number, number, number];
  const dk = q.shape[3]!;
  const dh = initial.w0.shape[2]!;
  const table = sequenceTable(sequences, () => heads, 1);
  const params = encode(SwigluParams, {
    qType: storageOf(q),
    kType: storageOf(k),
    vType: storageOf(v),
    sequences: b.table(table.words),
    sequenceCount: sequences.length,
    heads,
    dk,
    dh,
    dv,
    chunk,
    muon: muon ? 1 : 0,
    w0In: initial.w0.address,
    w1In: initial.w1.address,
    w2In: initial.w2.address,
    w0Out: final.w0.address,
    w1Out: final.w1.address,
    w2Out: final.w2.address,
    normsIn: initial.norms?.address ?? 0,
    normsOut: final.norms.address,
    gradientIn: initial.gradient?.address ?? 0,
    gradientOut: final.gradient.address,
    momentumIn: initial.momentum?.address ?? 0,
    momentumOut: final.momentum?.address ?? 0,
    factorIn: initial.factor?.address ?? 0,
    factorOut: final.factor?.address ?? 0,
    positionOut: position.address,
  });
  encodePlaces(SwigluParams, params, { q, k, v, o, lr0, lr1, lr2, momentum });
  const tokens = sequences.reduce((n, { qLength }) => n + qLength, 0);
  // three products for a query, six for a key, and what a chunk's end costs
  const perToken = 2 * dh * (2 * dk + dv) * 3;
  const steps = muon ? (tokens / chunk) * 5 * 4 * (2 * dk + dv) * dh * Math.min(dh, Math.max(dk, dv)) : 0;
  b.dispatch({
    kernel: 'swiglu',
    params,
    items: table.items,
    scratchBytes: b.runtime.scratchBytes('swigluScratchBytes', params),
    flops: heads * (tokens * perToken + steps),
  });
  b.note(() => `SwiGLU engine: ${table.items} items, chunks of ${chunk} tokens${muon ? ', orthogonal updates' : ''}`);
}

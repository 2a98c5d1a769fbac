/**
 * Host side of what makes Mamba-3's recurrence one of the gated-linear engine.
 *
 * @module
 */
import { TrapezoidParams } from '../generated/params.ts';
import { encode, encodePlaces } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import { storageOf, type Tensor } from '../tensor.ts';
import { type SequenceSpan, sequenceTable } from './sequences.ts';

/** What a sequence goes on from besides the state. */
export interface TrapezoidState {
  /** f32 [N, HV, R], radians. */
  readonly angle: Tensor;
  /** f32 [N, HV, K], turned. */
  readonly k: Tensor;
  /** f32 [N, HV, V] */
  readonly v: Tensor;
}

/** One call. */
export interface TrapezoidCall {
  /** [B, T, H, K] */
  readonly q: Tensor;
  readonly k: Tensor;
  /** [B, T, HV, V] */
  readonly v: Tensor;
  /** f32 [B, T, HV] */
  readonly dt: Tensor;
  readonly lambda: Tensor;
  /** f32 [HV] or [B, T, HV] */
  readonly a: Tensor;
  /** f32 [B, T, HV, R] */
  readonly angles: Tensor;
  readonly initial: Partial<TrapezoidState>;
  readonly final: TrapezoidState;
  readonly sequences: readonly SequenceSpan[];
}

/** Operands of the engine, temporaries all. */
export interface TrapezoidOperands {
  /** f32 [B, T, HV, K] */
  readonly q: Tensor;
  readonly k: Tensor;
  /** f32 [B, T, HV] */
  readonly g: Tensor;
  readonly weight: Tensor;
  readonly own: Tensor;
  /** What the token before each sequence still writes: [N, 1, HV, K], [N, 1, HV, V] and its weight [N, 1, HV]. */
  readonly before?: { readonly k: Tensor; readonly v: Tensor; readonly weight: Tensor };
}

/** Adds the call and makes its results. */
export function trapezoid(b: Builder, call: TrapezoidCall): TrapezoidOperands {
  const { q, k, v, dt, lambda, a, angles, initial, final, sequences } = call;
  const [batch, length, heads, dv] = v.shape as [number, number, number, number];
  const [, , keyHeads, dk] = q.shape as [number, number, number, number];
  const count = sequences.length;
  const scalars = () => b.temporary([batch, length, heads]);
  const keys = () => b.temporary([batch, length, heads, dk]);
  const operands = { q: keys(), k: keys(), g: scalars(), weight: scalars(), own: scalars() };
  const before = initial.k &&
    initial.v && {
      k: b.temporary([count, 1, heads, dk]),
      v: b.temporary([count, 1, heads, dv]),
      weight: b.temporary([count, 1, heads]),
    };
  const table = sequenceTable(sequences, () => heads, 1);
  const params = encode(TrapezoidParams, {
    qType: storageOf(q),
    kType: storageOf(k),
    vType: storageOf(v),
    sequences: b.table(table.words),
    sequenceCount: count,
    length,
    heads,
    group: Math.max(1, heads / keyHeads),
    dk,
    dv,
    angleCount: angles.shape[3]!,
    angleIn: initial.angle?.address ?? 0,
    kIn: initial.k?.address ?? 0,
    vIn: initial.v?.address ?? 0,
    angleOut: final.angle.address,
    kOut: final.k.address,
    vOut: final.v.address,
    qTurned: operands.q.address,
    kTurned: operands.k.address,
    g: operands.g.address,
    weight: operands.weight.address,
    own: operands.own.address,
    kBefore: before?.k.address ?? 0,
    vBefore: before?.v.address ?? 0,
    weightBefore: before?.weight.address ?? 0,
  });
  encodePlaces(TrapezoidParams, params, { q, k, v, dt, lambda, a: a.broadcast([batch, length, heads]), angles });
  b.dispatch({
    kernel: 'trapezoid',
    params,
    items: table.items,
    scratchBytes: b.runtime.scratchBytes('trapezoidScratchBytes', params),
    flops: batch * length * heads * (60 * angles.shape[3]! + 6 * dk),
  });
  return { ...operands, ...(before && { before }) };
}

/**
 * Host side of log-linear attention: the gated-linear recurrence with a state for each bit of the position.
 *
 * @module
 */
import { LogLinearParams } from '../generated/params.ts';
import { encode, encodePlaces } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import { storageOf, type Tensor } from '../tensor.ts';
import { columnsOf } from './linear.ts';
import { type SequenceSpan, sequenceTable } from './sequences.ts';

/** States by the bits of a position. */
export interface FenwickState {
  /** f32 [N, HV, slots, K, V] contiguous: slot s holds the 2^s tokens of bit s of the position. */
  readonly state: Tensor;
  /** i32 [N] contiguous: tokens so far. */
  readonly position: Tensor;
}

/** One call of the engine. */
export interface LogLinearCall {
  /** [B, T, H, K] */
  readonly q: Tensor;
  readonly k: Tensor;
  /** [B, T, HV, V] */
  readonly v: Tensor;
  /** f32 [B, T, HV]: log decay. */
  readonly g: Tensor;
  /** f32 [B, T, HV, L] */
  readonly levelScales: Tensor;
  /** The state before; absent where all sequences begin. */
  readonly initial?: Tensor | undefined;
  /** Where the state goes; may be that of `initial`. */
  readonly final: FenwickState;
  readonly o: Tensor;
  /** The sequences; `offset` counts the tokens before the call. */
  readonly sequences: readonly SequenceSpan[];
}

/** Bits of a position: slots that it uses at most. */
export function bitLength(position: number): number {
  return 32 - Math.clz32(position);
}

/** Adds a call. */
export function logLinear(b: Builder, call: LogLinearCall): void {
  const { q, k, v, g, levelScales, initial, final, o, sequences } = call;
  const [, , heads, dv] = v.shape as [number, number, number, number];
  const [, , keyHeads, dk] = q.shape as [number, number, number, number];
  const blockV = columnsOf(sequences.length * heads, dv);
  const table = sequenceTable(sequences, () => heads * Math.ceil(dv / blockV), 1);
  const slots = bitLength(Math.max(0, ...sequences.map((span) => span.offset + span.qLength)));
  const params = encode(LogLinearParams, {
    qType: storageOf(q),
    kType: storageOf(k),
    vType: storageOf(v),
    sequences: b.table(table.words),
    sequenceCount: sequences.length,
    heads,
    group: Math.max(1, heads / keyHeads),
    dk,
    dv,
    blockV,
    slots,
    stateIn: initial?.address ?? 0,
    slotsIn: initial?.shape[2] ?? 0,
    stateOut: final.state.address,
    slotsOut: final.state.shape[2]!,
    positionOut: final.position.address,
  });
  encodePlaces(LogLinearParams, params, { q, k, v, o, g, levelScales });
  const tokens = sequences.reduce((n, span) => n + span.qLength, 0);
  b.dispatch({
    kernel: 'logLinear',
    params,
    items: table.items,
    scratchBytes: b.runtime.scratchBytes('logLinearScratchBytes', params),
    flops: tokens * heads * dk * dv * (4 + slots),
  });
  b.note(() => `log-linear engine: ${table.items} items of ${blockV} of ${dv} columns, ${slots} levels of states`);
}

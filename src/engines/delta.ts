/**
 * Host side of the delta engine: S_t = diag(e^g_t) S_{t-1} + k_t (beta_t (v_t - a_t S)), o_t = scale q_t S_t, S the decayed state or the one
 * before; or S_t = diag(e^g_t) S_{t-1} + b_t (a_t S_{t-1}) + k_t v_t.
 *
 * @module
 */
import { DeltaParams } from '../generated/params.ts';
import { encode, encodePlaces } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import { storageOf, type Tensor } from '../tensor.ts';
import { columnsOf, headsOf } from './linear.ts';
import { type SequenceSpan, sequenceTable } from './sequences.ts';

/** One call of the engine. A tensor with fewer heads than v is shared by groups of value heads. Tensors may have strides of 0. */
export interface DeltaCall {
  /** [B, T, H, K]; absent where no output is wanted. With `substeps` n: [B, T / n, H, K], read by the last of n tokens. */
  readonly q?: Tensor | undefined;
  /** `[B, T, H, K]`: what is written. */
  readonly k: Tensor;
  /** [B, T, HV, V] */
  readonly v: Tensor;
  /** `[B, T, H, K]`: what reads the state to erase; k if absent. */
  readonly a?: Tensor | undefined;
  /** `[B, T, H, K]`: what a's reading is added along; the erase is then apart from the write, and beta is not known. */
  readonly b?: Tensor | undefined;
  /** f32 [B, T, H or HV] or [B, T, H or HV, K]: log decay of the rows. With `substeps` n: T / n of them, before the first of n tokens. */
  readonly g?: Tensor | undefined;
  /** f32 [B, T, HV] contiguous: strength of the write; ones if absent. */
  readonly beta?: Tensor | undefined;
  /** a reads the state before this token's decay; always so with b. */
  readonly readsOld?: boolean;
  /** q and k (and a, where it is absent) are divided by sqrt(sum x^2 + this). */
  readonly l2norm?: number | undefined;
  readonly substeps?: number | undefined;
  readonly scale: number;
  /** f32 [N, HV, K, V], any strides; zeros if absent. */
  readonly initial?: Tensor | undefined;
  /** f32 [N, HV, K, V], any strides; may be `initial`. */
  readonly final: Tensor;
  /** f32 [B, T, HV, V], rows contiguous. With `substeps` n: T / n. */
  readonly o?: Tensor | undefined;
  /** f32 [B, T, HV, V], rows contiguous: what each token writes along k, beta (v - a S). Not with b. */
  readonly written?: Tensor | undefined;
  /** f32 [N, C, HV, K, V] contiguous: the state after every `every` tokens of a sequence (C = floor(longest / every)). */
  readonly snapshots?: { readonly every: number; readonly into: Tensor } | undefined;
  readonly sequences: readonly SequenceSpan[];
}

/** Value heads to a head of x. */
const groupOf = (heads: number, x: Tensor | undefined) => (x ? Math.max(1, heads / x.shape[2]!) : 1);

/** Adds a call. */
export function delta(b: Builder, call: DeltaCall): void {
  const { q, k, v, a, g, initial, final, o, written, snapshots } = call;
  const [, length, heads, dv] = v.shape as [number, number, number, number];
  const dk = k.shape[3]!;
  const states = call.sequences.length * heads;
  const blockV = columnsOf(states, dv);
  const columnGroups = Math.ceil(dv / blockV);
  const blockH = headsOf(b, states, heads, dk * blockV);
  const itemsOf = Math.ceil(heads / blockH) * columnGroups;
  // sequences that are the batch's entries need no table
  const whole = call.sequences.every((span, i) => span.batch === i && span.qLength === length);
  const [stateStrideN, stateStrideH, stateStrideK, stateStrideV] = final.strides as [number, number, number, number];
  const params = encode(DeltaParams, {
    qType: q ? storageOf(q) : 0,
    kType: storageOf(k),
    vType: storageOf(v),
    aType: a ? storageOf(a) : 0,
    bType: call.b ? storageOf(call.b) : 0,
    sequences: whole ? 0 : b.table(sequenceTable(call.sequences, () => itemsOf, 1).words),
    sequenceCount: call.sequences.length,
    length,
    heads,
    group: groupOf(heads, q),
    keyGroup: groupOf(heads, k),
    aGroup: groupOf(heads, a),
    bGroup: groupOf(heads, call.b),
    gateGroup: groupOf(heads, g),
    gateKind: g ? g.shape.length - 2 : 0,
    gateEvery: call.substeps ?? 1,
    substeps: call.substeps ?? 1,
    dk,
    dv,
    blockH,
    blockV,
    scale: call.scale,
    weight: call.beta?.address ?? 0,
    readsOld: call.readsOld || call.b ? 1 : 0,
    normalized: call.l2norm === undefined ? 0 : 1,
    normEpsilon: call.l2norm ?? 0,
    stateIn: initial?.address ?? 0,
    inStrideN: initial?.strides[0] ?? 0,
    inStrideH: initial?.strides[1] ?? 0,
    inStrideK: initial?.strides[2] ?? 0,
    inStrideV: initial?.strides[3] ?? 0,
    stateOut: final.address,
    stateStrideN,
    stateStrideH,
    stateStrideK,
    stateStrideV,
    snapshots: snapshots?.into.address ?? 0,
    snapshotEvery: snapshots?.every ?? 0,
    snapshotCount: snapshots?.into.shape[1] ?? 0,
  });
  encodePlaces(DeltaParams, params, { q, k, v, a, b: call.b, g, o, written });
  const tokens = call.sequences.reduce((n, span) => n + span.qLength, 0);
  const single = length === 1 && call.sequences.every((span) => span.qLength === 1);
  const inPlace = initial === final && stateStrideV === 1 && dv % 8 === 0 && o && !written && !snapshots;
  b.dispatch({
    kernel: single && inPlace ? 'deltaStep' : 'delta',
    params,
    items: itemsOf * call.sequences.length,
    scratchBytes: b.runtime.scratchBytes('deltaScratchBytes', params),
    flops: tokens * heads * dk * dv * (call.b ? 8 : 6),
  });
  b.note(() => `delta engine: items of ${blockH} of ${heads} heads and ${blockV} of ${dv} columns`);
}

/**
 * Host side of the gated-linear engine: S_t = diag(e^g_t) S_{t-1} + k_t v_t, o_t = scale q_t S_t.
 *
 * @module
 */
import { LinearParams } from '../generated/params.ts';
import { encode, encodePlaces } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import { storageOf, type Tensor } from '../tensor.ts';
import { type SequenceSpan, sequenceTable } from './sequences.ts';

/** What an output row is divided by, q z being the row's query times the sum of keys. */
export type Normalizer =
  /** q z + epsilon */
  | { readonly kind: 'add'; readonly epsilon: number }
  /** max(q z, epsilon) */
  | { readonly kind: 'clamp'; readonly epsilon: number }
  /** max(|q z|, e^-m) + epsilon, m f32 [B, T, HV] contiguous */
  | { readonly kind: 'stabilized'; readonly epsilon: number; readonly m: Tensor }
  /** q (z + epsilon) */
  | { readonly kind: 'perFeature'; readonly epsilon: number };

const NORMALIZERS = ['add', 'clamp', 'stabilized', 'perFeature'] as const;

/** What a token's own value adds to its output. */
export interface OwnValue {
  /** f32 [H, K] u: v times sum q u k; ones if absent while `scalar` is there. */
  readonly bonus?: Tensor | undefined;
  /** f32 [B, T, HV] contiguous: factor on the bonus of each token. */
  readonly scalar?: Tensor | undefined;
  /** The sigmoid of the bonus, unscaled. */
  readonly sigmoid?: boolean;
  /** f32 [HV] contiguous: v times this. */
  readonly skip?: Tensor | undefined;
}

/** State and sum of keys, as a call finds and leaves them. */
export interface LinearState {
  /** f32 [N, HV, K, V], any strides. */
  readonly state: Tensor;
  /** f32 [N, HV, K] contiguous. */
  readonly z?: Tensor | undefined;
  /** f32 [N, HV, K] contiguous: decay of the rows over all tokens; only written. */
  readonly decay?: Tensor | undefined;
}

/** One call of the engine. Tensors of gates may have strides of 0, where tokens or heads share them. */
export interface LinearCall {
  /** [B, T, H, K]; absent where only the state is wanted. */
  readonly q?: Tensor | undefined;
  /** [B, T, H, K]; absent with `tied`. */
  readonly k?: Tensor | undefined;
  /** [B, T, HV, V] */
  readonly v: Tensor;
  /** f32 [B, T, H or HV] or [B, T, H or HV, K]: decay of the rows. */
  readonly g?: Tensor | undefined;
  /** f32 [B, T, HV, V]: decay of the columns. */
  readonly gv?: Tensor | undefined;
  /** Gates are decays and not their natural logs. */
  readonly linearGates?: boolean;
  /** k is 1 - decay; g is [B, T, H, K]. */
  readonly tied?: boolean;
  /** A token reads the state before it writes. */
  readonly exclusive?: boolean;
  /** f32 [B, T, HV] contiguous: factor on k. */
  readonly weight?: Tensor | undefined;
  readonly own?: OwnValue;
  readonly normalizer?: Normalizer | undefined;
  readonly scale: number;
  /** The state before the first token; zeros if absent. */
  readonly initial?: Partial<LinearState> | undefined;
  /** Where the state goes; may be the tensors of `initial`. */
  readonly final: LinearState;
  /** f32 [B, T, HV, V], rows contiguous; absent where only the state is wanted. */
  readonly o?: Tensor | undefined;
  readonly sequences: readonly SequenceSpan[];
}

/** Columns of an item where there are fewer items than this: a head's columns are then shared out. */
const FEW_ITEMS = 4;
const FEW_COLUMNS = 32;
/** Elements of the states of an item that stay in the second-level cache. */
const CACHED_STATES = 2 ** 16;
const READ = 1;
const WRITE = 2;

/** Columns of a work item, where there are `states` of dv columns. */
export function columnsOf(states: number, dv: number): number {
  return states < FEW_ITEMS && dv > FEW_COLUMNS ? FEW_COLUMNS : Math.max(8, Math.ceil(dv / 8) * 8);
}

/**
 * Heads of a work item. They take turns within it, so that the rows of a token are read together; it changes no result, and so may
 * depend on the number of threads.
 */
export function headsOf(b: Builder, states: number, heads: number, stateSize: number): number {
  const cached = Math.floor(CACHED_STATES / Math.max(1, stateSize));
  return Math.max(1, Math.min(heads, cached, Math.floor(states / b.runtime.threads)));
}

/** Adds a call that reads a state while it writes it; without o and q it only writes. */
export function linear(b: Builder, call: LinearCall): void {
  dispatchLinear(b, call, (call.o ? READ : 0) | WRITE);
}

/** Adds o = scale q S for a state that stays: `final` is not touched. */
export function readState(b: Builder, call: LinearCall): void {
  dispatchLinear(b, call, READ);
}

function dispatchLinear(b: Builder, call: LinearCall, mode: number): void {
  const { q, k, v, g, gv, own, normalizer, initial, final, o } = call;
  const [, length, heads, dv] = v.shape as [number, number, number, number];
  const keyHeads = (q ?? k)!.shape[2]!;
  const dk = (q ?? k)!.shape[3]!;
  // the columns of a head share its sum of keys, which only one item may update in place
  const shared = final.z !== undefined && initial?.z === final.z;
  const blockV = shared ? Math.max(8, Math.ceil(dv / 8) * 8) : columnsOf(call.sequences.length * heads, dv);
  const columnGroups = Math.ceil(dv / blockV);
  const blockH = headsOf(b, call.sequences.length * heads, heads, dk * blockV);
  const itemsOf = Math.ceil(heads / blockH) * columnGroups;
  const items = itemsOf * call.sequences.length;
  // sequences that are the batch's entries need no table
  const whole = call.sequences.every((span, i) => span.batch === i && span.qLength === length);
  const { state } = final;
  const [strideN, strideH, strideK, strideV] = state.strides as [number, number, number, number];
  const params = encode(LinearParams, {
    qType: q ? storageOf(q) : 0,
    kType: k ? storageOf(k) : 0,
    vType: storageOf(v),
    sequences: whole ? 0 : b.table(sequenceTable(call.sequences, () => itemsOf, 1).words),
    sequenceCount: call.sequences.length,
    length,
    heads,
    group: Math.max(1, heads / keyHeads),
    dk,
    dv,
    blockH,
    blockV,
    scale: call.scale,
    mode,
    gateKind: g ? g.shape.length - 2 : 0,
    gateGroup: g ? Math.max(1, heads / g.shape[2]!) : 1,
    gateLinear: call.linearGates ? 1 : 0,
    tied: call.tied ? 1 : 0,
    exclusive: call.exclusive ? 1 : 0,
    weight: call.weight?.address ?? 0,
    bonus: own?.bonus?.address ?? 0,
    bonusStrideH: own?.bonus?.strides[0] ?? 0,
    bonusScalar: own?.scalar?.address ?? 0,
    bonusSigmoid: own?.sigmoid ? 1 : 0,
    skip: own?.skip?.address ?? 0,
    normalizer: normalizer ? 1 + NORMALIZERS.indexOf(normalizer.kind) : 0,
    epsilon: normalizer?.epsilon ?? 0,
    m: normalizer?.kind === 'stabilized' ? normalizer.m.address : 0,
    stateIn: initial?.state?.address ?? 0,
    inStrideN: initial?.state?.strides[0] ?? 0,
    inStrideH: initial?.state?.strides[1] ?? 0,
    inStrideK: initial?.state?.strides[2] ?? 0,
    inStrideV: initial?.state?.strides[3] ?? 0,
    stateOut: state.address,
    stateStrideN: strideN,
    stateStrideH: strideH,
    stateStrideK: strideK,
    stateStrideV: strideV,
    zIn: initial?.z?.address ?? 0,
    zOut: final.z?.address ?? 0,
    decayOut: final.decay?.address ?? 0,
  });
  encodePlaces(LinearParams, params, { q, k, v, o, g, gv });
  const single = length === 1 && call.sequences.every((span) => span.qLength === 1);
  const inPlace = initial?.state === state && strideV === 1 && dv % 8 === 0 && !gv && mode === (READ | WRITE);
  b.dispatch({
    kernel: single && inPlace ? 'linearStep' : 'linear',
    params,
    items,
    scratchBytes: b.runtime.scratchBytes('linearScratchBytes', params),
    flops: call.sequences.reduce((n, span) => n + span.qLength, 0) * heads * dk * dv * 4,
  });
  b.note(() => `gated-linear engine: ${items} items of ${blockH} of ${heads} heads and ${blockV} of ${dv} columns`);
}

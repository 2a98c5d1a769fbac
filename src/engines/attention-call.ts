/**
 * What the flash and decode engines are asked: one softmax attention with all of its options.
 *
 * @module
 */
import { storageOf, type Tensor } from '../tensor.ts';
import type { BlockList } from './block-list.ts';
import type { Quantization } from './flash-quantised.ts';
import type { SequenceSpan } from './sequences.ts';

/** Most elements of a head: int8 sums of products stay below 2^31, and tiles in the cache. */
export const MOST_DIM = 1024;

/** Where the keys of a paged cache lie. */
export interface Pages {
  /** i32 [B, pagesPerSequence] */
  readonly table: Tensor;
  readonly size: number;
}

/** Operands are checked by the op; any strides, last axes contiguous. */
export interface AttentionCall {
  /** [B, Tq, Hq, dk] */
  readonly q: Tensor;
  /** [B, Tk, Hkv, dk]; of a paged cache [pages, pageSize, Hkv, dk], and so are the other operands of its shape. */
  readonly k: Tensor;
  /** [B, Tk, dr], stored as k: the last elements of the keys of all heads; k has dk - dr then. Not with pages. */
  readonly kRest?: Tensor | undefined;
  /** [B, Tk, Hkv, dv]; may be a view of k. */
  readonly v: Tensor;
  /** [B, Tk, Hkv], for i8 keys and values. */
  readonly kScale?: Tensor | undefined;
  readonly vScale?: Tensor | undefined;
  readonly pages?: Pages | undefined;
  /** f32 [B, Tq, Hq, dv] */
  readonly o: Tensor;
  /** f32 [B, Tq, Hq] */
  readonly lse?: Tensor | undefined;
  readonly sequences: readonly SequenceSpan[];
  readonly scale: number;
  readonly softcap: number;
  /** Keys visible before and after the aligned one; -1: no limit. */
  readonly window: readonly [left: number, right: number];
  /** f32, broadcast to [B, Hq, Tq, Tk]. */
  readonly bias?: Tensor | undefined;
  /** u8, broadcast to [B, Hq, Tq, Tk]. */
  readonly mask?: Tensor | undefined;
  /** Which pairs a static list shows, beside what window, bias and mask leave. */
  readonly blocks?: BlockList | undefined;
  /** f32 [B, Tk, Hq], or f64 as [B, Tk, Hq, 2] words. */
  readonly keyBias?: Tensor | undefined;
  /** f32 [Hq] */
  readonly alibiSlopes?: Tensor | undefined;
  readonly sinks?: Tensor | undefined;
  /** f32 [Hq] or [B, Hq]: factor on o. Of a head whose factor is 0 flash computes nothing, unless lse is asked for. */
  readonly outScale?: Tensor | undefined;
  /** Add to o instead of overwriting it; or join o and lse, which hold the result over other keys. */
  readonly accumulate?: boolean | 'join';
  /** How queries, keys, weights and values are rounded; flash only, without softcap. */
  readonly quantization?: Quantization | undefined;
  /** f32 [B, Hq, Tq, Tk] scores to write out, after the named stage. */
  readonly scores?: { readonly to: Tensor; readonly stage: 'scaled' | 'capped' | 'masked' } | undefined;
}

const STAGES = { scaled: 0, capped: 1, masked: 2 };

function stride(tensor: Tensor | undefined, axis: number): number {
  return tensor?.strides[axis] ?? 0;
}

/** Params that say where keys and values lie. */
export function cacheParams({ k, kRest, v, kScale, vScale, pages }: AttentionCall) {
  const scale = kScale ?? vScale;
  return {
    k: k.address,
    kStrideB: stride(k, 0),
    kStrideT: stride(k, 1),
    kStrideH: stride(k, 2),
    kType: storageOf(k),
    kScale: kScale?.address ?? 0,
    v: v.address,
    vStrideB: stride(v, 0),
    vStrideT: stride(v, 1),
    vStrideH: stride(v, 2),
    vType: storageOf(v),
    vScale: vScale?.address ?? 0,
    scaleStrideB: stride(scale, 0),
    scaleStrideT: stride(scale, 1),
    scaleStrideH: stride(scale, 2),
    pageTable: pages?.table.address ?? 0,
    pageSize: pages?.size ?? 0,
    pagesPerSequence: stride(pages?.table, 0),
    kRest: kRest?.address ?? 0,
    kRestStrideB: stride(kRest, 0),
    kRestStrideT: stride(kRest, 1),
    kRestDim: kRest?.shape[2] ?? 0,
  };
}

/** Params that flash and decode share, but for cacheParams. */
export function attentionParams(call: AttentionCall, sequences: number) {
  const { q, k, v, o, lse, bias, mask, keyBias, scores } = call;
  const wide = keyBias?.shape.length === 4 ? 2 : 1;
  return {
    q: q.address,
    qType: storageOf(q),
    qStrideB: stride(q, 0),
    qStrideT: stride(q, 1),
    qStrideH: stride(q, 2),
    o: o.address,
    oStrideB: stride(o, 0),
    oStrideT: stride(o, 1),
    oStrideH: stride(o, 2),
    lse: lse?.address ?? 0,
    lseStrideB: stride(lse, 0),
    lseStrideT: stride(lse, 1),
    lseStrideH: stride(lse, 2),
    sequences,
    sequenceCount: call.sequences.length,
    heads: q.shape[2]!,
    group: q.shape[2]! / k.shape[2]!,
    dk: q.shape[3]!,
    dv: v.shape[3]!,
    scale: call.scale,
    softcap: call.softcap,
    windowLeft: call.window[0],
    windowRight: call.window[1],
    bias: bias?.address ?? 0,
    biasStrideB: stride(bias, 0),
    biasStrideH: stride(bias, 1),
    biasStrideT: stride(bias, 2),
    mask: mask?.address ?? 0,
    maskStrideB: stride(mask, 0),
    maskStrideH: stride(mask, 1),
    maskStrideT: stride(mask, 2),
    keyBias: keyBias?.address ?? 0,
    keyBiasStrideB: stride(keyBias, 0) / wide,
    keyBiasStrideT: stride(keyBias, 1) / wide,
    keyBiasStrideH: stride(keyBias, 2) / wide,
    keyBiasWide: wide - 1,
    alibiSlopes: call.alibiSlopes?.address ?? 0,
    sinks: call.sinks?.address ?? 0,
    scores: scores?.to.address ?? 0,
    scoresStrideB: stride(scores?.to, 0),
    scoresStrideH: stride(scores?.to, 1),
    scoresStrideT: stride(scores?.to, 2),
    scoresStage: scores ? STAGES[scores.stage] : 0,
    outScale: call.outScale?.address ?? 0,
    accumulate: call.accumulate === 'join' ? 2 : call.accumulate ? 1 : 0,
    outScaleStrideB: call.outScale?.shape.length === 2 ? call.outScale.strides[0]! : 0,
  };
}

/** Keys of a batch entry: what masks, biases and labels of keys are as long as. */
export function keysOf({ k, pages, sequences }: AttentionCall): number {
  return pages ? Math.max(0, ...sequences.map((s) => s.kLength)) : k.shape[1]!;
}

/** Query-key pairs that the window leaves visible, all sequences and one head together. */
export function visiblePairs(call: AttentionCall): number {
  const [left, right] = call.window;
  let pairs = 0;
  for (const { qLength, kLength, offset } of call.sequences) {
    for (let i = 0; i < qLength; ++i) {
      const low = left < 0 ? 0 : Math.max(0, i + offset - left);
      const high = right < 0 ? kLength : Math.min(kLength, i + offset + right + 1);
      pairs += Math.max(0, high - low);
    }
  }
  return pairs;
}

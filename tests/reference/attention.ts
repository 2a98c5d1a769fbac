import {
  at,
  atBroadcast,
  dot,
  exp,
  float64,
  log,
  logitFactor,
  type NdArray,
  offset,
  type Result,
  type Round,
  zeros,
} from './ndarray.ts';

/** Inputs of attention; the shapes are those of the op. */
export interface AttentionInputs {
  q: NdArray;
  k: NdArray;
  v: NdArray;
  bias?: NdArray;
  mask?: NdArray;
  kvLens?: NdArray;
  cuSeqlens?: NdArray;
  cuSeqlensK?: NdArray;
  sinks?: NdArray;
  alibiSlopes?: NdArray;
  colBias?: NdArray;
}

/** Attributes of attention; defaults are the op's. */
export interface AttentionOptions {
  causal?: boolean;
  /** Keys seen before and after the aligned one; -1: no limit. */
  window?: readonly [left: number, right: number];
  scale?: number;
  softcap?: number;
}

/** The queries [qFrom, qTo) and keys [kFrom, kTo) of one sequence. */
interface Segment {
  qFrom: number;
  qTo: number;
  kFrom: number;
  kTo: number;
}

function segments({ q, k, kvLens, cuSeqlens, cuSeqlensK = cuSeqlens }: AttentionInputs, b: number): Segment[] {
  const [, tq = 0] = q.shape;
  const [, tk = 0] = k.shape;
  if (!cuSeqlens || !cuSeqlensK) return [{ qFrom: 0, qTo: tq, kFrom: 0, kTo: kvLens ? at(kvLens, b) : tk }];
  return Array.from({ length: cuSeqlens.data.length - 1 }, (_, n) => ({
    qFrom: at(cuSeqlens, n),
    qTo: at(cuSeqlens, n + 1),
    kFrom: at(cuSeqlensK, n),
    kTo: at(cuSeqlensK, n + 1),
  }));
}

/** softmax of one row of logits; an empty row, or one of -Infinity only, gives zeros and lse -Infinity. A sink only adds to the denominator. */
export function softmax(
  logits: readonly number[],
  round: Round = float64,
  sink = Number.NEGATIVE_INFINITY,
): { p: number[]; lse: number } {
  const factor = logitFactor(round);
  const scaled = logits.map((s) => round(s * factor));
  const scaledSink = round(sink * factor);
  const max = scaled.reduce((a, b) => Math.max(a, b), scaledSink);
  if (max === Number.NEGATIVE_INFINITY) return { p: logits.map(() => 0), lse: max };
  const weights = scaled.map((s) => exp(round(s - max), round));
  const sum = weights.reduce((a, b) => round(a + b), exp(round(scaledSink - max), round));
  return { p: weights.map((w) => round(w / sum)), lse: round(round(max + log(sum, round)) / factor) };
}

/**
 * Logits and indices of the keys that one query sees: (b, i, h) are its batch, row and head.
 * Order: scale, softcap, then bias, colBias and ALiBi, then the masks. Positions are aligned bottom-right in each sequence.
 */
function visible(
  inputs: AttentionInputs,
  options: AttentionOptions,
  segment: Segment,
  b: number,
  i: number,
  h: number,
  round: Round,
): { keys: number[]; logits: number[] } {
  const { q, k, bias, mask, alibiSlopes, colBias } = inputs;
  const [, , hq = 0, d = 0] = q.shape;
  const [, , hkv = 0] = k.shape;
  const { causal = false, window, scale = d ** -0.5, softcap } = options;
  const kvHead = Math.floor(h / (hq / hkv));
  const position = i - segment.qFrom + (segment.kTo - segment.kFrom) - (segment.qTo - segment.qFrom);
  const qAt = offset(q.shape, b, i, h, 0);
  const keys: number[] = [];
  const logits: number[] = [];
  for (let j = segment.kFrom; j < segment.kTo; j++) {
    const distance = position - (j - segment.kFrom);
    if (causal && distance < 0) continue;
    if (window && ((window[0] >= 0 && distance > window[0]) || (window[1] >= 0 && -distance > window[1]))) continue;
    if (mask && atBroadcast(mask, b, h, i, j) === 0) continue;
    let s = round(round(scale) * dot(q.data, qAt, 1, k.data, offset(k.shape, b, j, kvHead, 0), 1, d, round));
    if (softcap) s = round(softcap * round(Math.tanh(round(s / softcap))));
    if (bias) s = round(s + atBroadcast(bias, b, h, i, j));
    if (colBias) s = round(s + at(colBias, b, j, h));
    if (alibiSlopes) s = round(s - round(at(alibiSlopes, h) * Math.abs(distance)));
    keys.push(j);
    logits.push(s);
  }
  return { keys, logits };
}

/**
 * Calls `row` for each (b, i, h) with the keys that it sees, their softmax weights and its lse; rows of no sequence are left out.
 * Everything that is a softmax over visible keys is built on this.
 */
export function forEachRow(
  inputs: AttentionInputs,
  options: AttentionOptions,
  round: Round,
  row: (where: { b: number; i: number; h: number; kvHead: number }, keys: number[], p: number[], lse: number) => void,
): void {
  const { q, k, sinks } = inputs;
  const [batches = 0, , hq = 0] = q.shape;
  const [, , hkv = 0] = k.shape;
  for (let b = 0; b < batches; b++) {
    for (const segment of segments(inputs, b)) {
      for (let i = segment.qFrom; i < segment.qTo; i++) {
        for (let h = 0; h < hq; h++) {
          const { keys, logits } = visible(inputs, options, segment, b, i, h, round);
          const { p, lse } = softmax(logits, round, sinks && at(sinks, h));
          row({ b, i, h, kvHead: Math.floor(h / (hq / hkv)) }, keys, p, lse);
        }
      }
    }
  }
}

/** Softmax attention with every option of the op; o [B,Tq,Hq,Dv], lse [B,Tq,Hq] (FlashAttention, arXiv 2307.08691). */
export function attention(
  inputs: AttentionInputs,
  options: AttentionOptions = {},
  round: Round = float64,
): { o: Result; lse: Result } {
  const { q, v } = inputs;
  const [batches = 0, tq = 0, hq = 0] = q.shape;
  const dv = v.shape[3]!;
  const o = zeros([batches, tq, hq, dv]);
  const lse = zeros([batches, tq, hq]);
  lse.data.fill(Number.NEGATIVE_INFINITY);
  forEachRow(inputs, options, round, ({ b, i, h, kvHead }, keys, p, rowLse) => {
    const to = offset(o.shape, b, i, h, 0);
    lse.data[offset(lse.shape, b, i, h)] = rowLse;
    keys.forEach((j, n) => {
      const from = offset(v.shape, b, j, kvHead, 0);
      for (let c = 0; c < dv; c++) {
        o.data[to + c] = round(o.data[to + c]! + round(p[n]! * v.data[from + c]!));
      }
    });
  });
  return { o, lse };
}

/**
 * ONNX Attention, opsets 23 and 24.
 *
 * @module
 */
import { type AttentionCall, MOST_DIM } from '../engines/attention-call.ts';
import { softmax } from '../engines/features.ts';
import { flashAttend } from '../engines/flash.ts';
import type { SequenceSpan } from '../engines/sequences.ts';
import { expectNames, expectRows, expectTypes, finite, integers, matchShapes, whole } from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { attend } from '../ops/attention.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { expectFloatType, expectTensors, flag } from './attributes.ts';
import { joinedShape, splitHeads } from './heads.ts';
import { moveRows, round, unrounded, widened } from './rows.ts';

/** Operands of `Attention`: Q, K and V all [B, H, T, D], or all [B, T, H * D]. */
export interface AttentionInputs {
  /** Hq heads, Tq rows; f32, f16 or bf16. */
  readonly Q: Tensor;
  /** Hkv heads, Tk rows, Hq a multiple of Hkv; f32, f16 or bf16. */
  readonly K: Tensor;
  /** As K; D may differ. */
  readonly V: Tensor;
  /**
   * u8 (1 = visible), or f32, f16, bf16 (added to the scores): [Tq, total], [Hq, Tq, total] or [B, Hq, Tq, total], 1 for
   * an axis that is broadcast. The last axis may be shorter than total = past + Tk: the keys past it are hidden.
   */
  readonly attn_mask?: Tensor;
  /** [B, Hkv, past, D] of K's type: keys before K. `past` may be 0. */
  readonly past_key?: Tensor;
  /** [B, Hkv, past, Dv] of V's type; goes with past_key. */
  readonly past_value?: Tensor;
  /** i32 [B]: keys of each batch entry; those past it are hidden. Not with past_key. */
  readonly nonpad_kv_seqlen?: Tensor;
}

/** Attributes of `Attention`. */
export interface AttentionAttributes {
  /** 1: row i sees key j only if j <= i + past, or j <= i + nonpad_kv_seqlen - Tq. Default 0. */
  readonly is_causal?: number | boolean;
  /** Heads of Q; needed for 3 axes. */
  readonly q_num_heads?: number;
  /** Heads of K and V; needed for 3 axes. */
  readonly kv_num_heads?: number;
  /**
   * What qk_matmul_output holds, which is returned only if this is set: 0 the scaled scores, 1 after softcap, 2 after
   * mask and causality, 3 after softmax.
   */
  readonly qk_matmul_output_mode?: number;
  /** Factor on Q K. Default D^-1/2. */
  readonly scale?: number;
  /** Scores become softcap * tanh(score / softcap). Default 0: none. */
  readonly softcap?: number;
  /** A TensorProto.DataType; the softmax is computed in float32 in any case. */
  readonly softmax_precision?: number;
}

/** Results of `Attention`. */
export interface AttentionOutputs {
  /** In the layout and type of Q. */
  readonly Y: Tensor;
  /** `[B, Hkv, past + Tk, D]`: past_key and K; only with past_key. */
  readonly present_key?: Tensor;
  /** `[B, Hkv, past + Tk, Dv]`: past_value and V; only with past_value. */
  readonly present_value?: Tensor;
  /** [B, Hq, Tq, past + Tk] of Q's type; only with qk_matmul_output_mode. */
  readonly qk_matmul_output?: Tensor;
}

const OP = 'Attention';
const INPUTS = ['Q', 'K', 'V', 'attn_mask', 'past_key', 'past_value', 'nonpad_kv_seqlen'];
const ATTRIBUTES = [
  'is_causal',
  'q_num_heads',
  'kv_num_heads',
  'qk_matmul_output_mode',
  'scale',
  'softcap',
  'softmax_precision',
];
const STAGES = ['scaled', 'capped', 'masked', 'masked'] as const;
const MASKED_MODE = 2;
const WEIGHTS_MODE = 3;

/** Q, K and V as [B, T, H, D]. */
function operands(inputs: AttentionInputs, attributes: AttentionAttributes): { q: Tensor; k: Tensor; v: Tensor } {
  const { Q, K, V } = inputs;
  const ranks = [Q, K, V].map(({ shape }) => shape.length);
  if (ranks.some((rank) => rank !== ranks[0])) {
    throw new ShapeError(
      `${OP}: Q, K and V have shapes [${Q.shape}], [${K.shape}] and [${V.shape}]; all must have 3 axes, or all 4`,
    );
  }
  expectTypes(OP, { Q, K, V }, ['f32', 'f16', 'bf16']);
  const q = splitHeads(OP, 'Q', Q, 'q_num_heads', attributes.q_num_heads);
  const k = splitHeads(OP, 'K', K, 'kv_num_heads', attributes.kv_num_heads);
  const v = splitHeads(OP, 'V', V, 'kv_num_heads', attributes.kv_num_heads);
  // shapes are matched, and named in errors, in ONNX's order
  const name = (input: string) => (Q.shape.length === 4 ? input : `${input} as [B, H, T, D]`);
  const ordered = (x: Tensor) => x.permute([0, 2, 1, 3]);
  const { Hq, Hkv, D, Dv } = matchShapes<string>(
    OP,
    { [name('Q')]: ordered(q), [name('K')]: ordered(k), [name('V')]: ordered(v) },
    { [name('Q')]: 'B Hq Tq D', [name('K')]: 'B Hkv Tk D', [name('V')]: 'B Hkv Tk Dv' },
  );
  expectRows(OP, { Q, K, V });
  if (Hkv === 0 || Hq! % Hkv! !== 0) {
    throw new ShapeError(`${OP}: ${Hq} query heads cannot share ${Hkv} key/value heads: Hq must be a multiple of Hkv`);
  }
  if (D! < 1 || D! > MOST_DIM || Dv! < 1 || Dv! > MOST_DIM) {
    throw new ShapeError(`${OP}: head dimensions are ${D} and ${Dv}, expected 1 to ${MOST_DIM}`);
  }
  return { q, k, v };
}

/** past and what follows it [B, T, H, D] as one output [B, H, past + T, D]. */
function present(b: Builder, name: string, past: Tensor, next: Tensor): Tensor {
  const [B, T, H, D] = next.shape as [number, number, number, number];
  matchShapes(OP, { [name]: past }, { [name]: `${B} ${H} past ${D}` });
  expectTypes(OP, { [name]: past }, [next.dtype]);
  expectRows(OP, { [name]: past });
  const length = past.shape[2]!;
  const o = b.output([B, H, length + T, D], next.dtype);
  const rows = o.permute([0, 2, 1, 3]);
  moveRows(b, past.permute([0, 2, 1, 3]), rows.slice(1, 0, length));
  moveRows(b, next, rows.slice(1, length, length + T));
  return o;
}

/** attn_mask as the mask or the bias of a call, broadcast to [B, Hq, Tq, n]. */
function maskOf(
  b: Builder,
  mask: Tensor | undefined,
  sizes: Record<'B' | 'Tq' | 'Hq' | 'total', number>,
): Pick<AttentionCall, 'mask' | 'bias'> {
  if (!mask) return {};
  expectTypes(OP, { attn_mask: mask }, ['u8', 'f32', 'f16', 'bf16']);
  const { B, Hq, Tq, total } = sizes;
  const want = [B, Hq, Tq];
  const rank = mask.shape.length;
  const fits = mask.shape.every((n, axis) => n === want[axis + 4 - rank] || (axis < rank - 1 ? n === 1 : n <= total));
  if (rank < 2 || rank > 4 || !fits) {
    throw new ShapeError(
      `${OP}: attn_mask has shape [${mask.shape}], expected [Tq, n], [Hq, Tq, n] or [B, Hq, Tq, n], or 1 for an axis ` +
        `before the last, with B = ${B}, Hq = ${Hq}, Tq = ${Tq} and n at most past + Tk = ${total}`,
    );
  }
  expectRows(OP, { attn_mask: mask });
  const shape = [B, Hq, Tq, mask.shape.at(-1)!];
  return mask.dtype === 'u8' ? { mask: mask.broadcast(shape) } : { bias: widened(b, mask).broadcast(shape) };
}

/** Keys of each batch entry, less those that a short mask hides, and the key that row 0 is aligned with. */
function spans(
  nonpad: Tensor | undefined,
  sizes: Record<'B' | 'Tq' | 'total' | 'past', number>,
  reach: number,
): SequenceSpan[] {
  const { B, Tq, total, past } = sizes;
  if (nonpad) matchShapes(OP, { nonpad_kv_seqlen: nonpad }, { nonpad_kv_seqlen: `${B}` });
  const lengths = nonpad ? integers(OP, 'nonpad_kv_seqlen', nonpad) : undefined;
  return Array.from({ length: B }, (_, batch) => {
    const length = lengths?.[batch] ?? total;
    if (length < 0 || length > total) {
      throw new ShapeError(`${OP}: nonpad_kv_seqlen[${batch}] is ${length}, expected 0 to Tk = ${total}`);
    }
    const offset = nonpad ? length - Tq : past;
    return { batch, qStart: 0, qLength: Tq, kStart: 0, kLength: Math.min(length, reach), offset };
  });
}

/** Adds the call, and writes what `mode` asks for to `scores`, f32 [B, Hq, Tq, total]. */
function attendWithScores(b: Builder, call: AttentionCall, mode: number, scores: Tensor): void {
  const total = scores.shape[3]!;
  const stage = STAGES[mode]!;
  const complete = call.sequences.every(({ kLength }) => kLength === total);
  if (complete || mode >= MASKED_MODE) {
    if (!complete) scores.write(new Float32Array(scores.size).fill(Number.NEGATIVE_INFINITY));
    flashAttend(b, { ...call, scores: { to: scores, stage } });
  } else {
    // keys behind a sequence's end have scores, but must not reach Y, and a short mask has no element for them
    attend(b, call);
    flashAttend(b, {
      ...call,
      mask: undefined,
      bias: undefined,
      o: b.temporary(call.o.shape),
      sequences: call.sequences.map((span) => ({ ...span, kLength: total })),
      scores: { to: scores, stage },
    });
  }
  if (mode === WEIGHTS_MODE) softmax(b, scores, {}, scores);
}

function plan(b: Builder, inputs: AttentionInputs, attributes: AttentionAttributes): AttentionOutputs {
  expectNames(OP, 'input', inputs, INPUTS);
  expectNames(OP, 'option', attributes, ATTRIBUTES);
  expectTensors(OP, inputs, ['Q', 'K', 'V']);
  const { Q, attn_mask, past_key, past_value, nonpad_kv_seqlen } = inputs;
  const { q, ...next } = operands(inputs, attributes);
  if (!past_key !== !past_value) {
    throw new OptionError(
      `${OP}: ${past_key ? 'past_key' : 'past_value'} was given alone; past_key and past_value go together`,
    );
  }
  if (past_key && nonpad_kv_seqlen) {
    throw new OptionError(`${OP}: nonpad_kv_seqlen is for a cache that K and V hold, and cannot be used with past_key`);
  }
  const mode = whole(OP, 'qk_matmul_output_mode', attributes.qk_matmul_output_mode, 0, 0, 3);
  const causal = flag(OP, 'is_causal', attributes.is_causal);
  expectFloatType(OP, 'softmax_precision', attributes.softmax_precision);
  const presentKey = past_key && present(b, 'past_key', past_key, next.k);
  const presentValue = past_value && present(b, 'past_value', past_value, next.v);
  const past = past_key?.shape[2] ?? 0;
  if (past !== (past_value?.shape[2] ?? 0)) {
    throw new ShapeError(
      `${OP}: past_key has shape [${past_key?.shape}] and past_value [${past_value?.shape}]; both must hold as many rows`,
    );
  }
  const k = presentKey?.permute([0, 2, 1, 3]) ?? next.k;
  const v = presentValue?.permute([0, 2, 1, 3]) ?? next.v;
  const [B, Tq, Hq, D] = q.shape as [number, number, number, number];
  const [total, Dv] = [k.shape[1]!, v.shape[3]!];
  const sizes = { B, Tq, Hq, total, past };
  const Y = b.output(joinedShape(Q.shape.length, [B, Tq, Hq, Dv]), Q.dtype);
  const to = unrounded(b, Y);
  const call: AttentionCall = {
    q,
    k,
    v,
    o: splitHeads(OP, 'Y', to, 'q_num_heads', attributes.q_num_heads),
    ...maskOf(b, attn_mask, sizes),
    sequences: spans(nonpad_kv_seqlen, sizes, attn_mask?.shape.at(-1) ?? total),
    scale: finite(OP, 'scale', attributes.scale, D ** -0.5),
    softcap: finite(OP, 'softcap', attributes.softcap, 0, 0),
    window: [-1, causal ? 0 : -1],
  };
  let scores: Tensor | undefined;
  if (attributes.qk_matmul_output_mode === undefined) attend(b, call);
  else {
    scores = b.output([B, Hq, Tq, total], Q.dtype);
    const exact = unrounded(b, scores);
    attendWithScores(b, call, mode, exact);
    round(b, exact, scores);
  }
  round(b, to, Y);
  return {
    Y,
    ...(presentKey && { present_key: presentKey, present_value: presentValue }),
    ...(scores && { qk_matmul_output: scores }),
  };
}

/**
 * Scaled dot-product attention as ONNX defines it, with a growing cache, masks and grouped heads.
 *
 * A row that sees no key gives zeros. present_key and present_value are returned if past_key and past_value are given,
 * qk_matmul_output if qk_matmul_output_mode is set.
 *
 * Source: ONNX Attention-23 and Attention-24.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or attributes that do not fit.
 * @throws RuntimeMismatchError, DisposedError for tensors that cannot be used together.
 * @throws MemoryLimitError if the outputs or the packed keys and values do not fit.
 * @example const { Y, present_key, present_value } = await Attention({ Q, K, V, past_key, past_value }, { is_causal: 1 })
 */
export function Attention(inputs: AttentionInputs, attributes: AttentionAttributes = {}): Promise<AttentionOutputs> {
  return run(OP, inputs, (b) => plan(b, inputs, attributes));
}

/** As `Attention`, to the end before it returns. */
export function AttentionSync(inputs: AttentionInputs, attributes: AttentionAttributes = {}): AttentionOutputs {
  return runSync(OP, inputs, (b) => plan(b, inputs, attributes));
}

/**
 * Softmax attention, exact, with every option of the FlashAttention family.
 *
 * @module
 */
import { BlockMask } from '../block-mask.ts';
import { type AttentionCall, MOST_DIM } from '../engines/attention-call.ts';
import type { BlockList } from '../engines/block-list.ts';
import { decodeAttend, suitsDecode } from '../engines/decode.ts';
import { flashAttend } from '../engines/flash.ts';
import type { Quantization } from '../engines/flash-quantised.ts';
import { sequencesOf } from '../engines/sequences.ts';
import {
  expectContiguous,
  expectNames,
  expectRows,
  expectTypes,
  finite,
  flag,
  matchShapes,
  whole,
} from '../engines/shapes.ts';
import { DTypeError, OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `attention`. */
export interface AttentionInputs {
  /** [B, Tq, Hq, D]; f32, f16 or bf16. */
  readonly q: Tensor;
  /** [B, Tk, Hkv, D], Hq a multiple of Hkv; f32, f16, bf16, or i8 with kScale. */
  readonly k: Tensor;
  /** [B, Tk, Hkv, Dv]; f32, f16, bf16, or i8 with vScale. May be a view of k. */
  readonly v: Tensor;
  /** f32 [B, Tk, Hkv]: an i8 key is code * kScale. */
  readonly kScale?: Tensor;
  /** f32 [B, Tk, Hkv]: an i8 value is code * vScale. */
  readonly vScale?: Tensor;
  /** f32 [B|1, Hq|1, Tq|1, Tk], added to the scores. */
  readonly bias?: Tensor;
  /** u8 [B|1, Hq|1, Tq|1, Tk]: 1 = visible, 0 = hidden. */
  readonly mask?: Tensor;
  /** f32 [B, Tk, Hq], added to the scores of a key in every row. */
  readonly colBias?: Tensor;
  /** f32 [Hq]: adds -slope * |i + Tk - Tq - j| (Press 2022). */
  readonly alibiSlopes?: Tensor;
  /** f32 [Hq]: a logit that takes part in the denominator only. */
  readonly sinks?: Tensor;
  /** i32 [B]: keys of each batch entry; those past it are hidden. */
  readonly kvLens?: Tensor;
  /** i32 [n + 1]: boundaries of n sequences packed along T, with B = 1. */
  readonly cuSeqlens?: Tensor;
  /** i32 [n + 1]: boundaries of the keys, where they differ from cuSeqlens. */
  readonly cuSeqlensK?: Tensor;
}

/** Options of `attention`. */
export interface AttentionOptions {
  /** Row i sees key j only if j <= i + Tk - Tq. Default false. */
  readonly causal?: boolean;
  /** Row i sees i + Tk - Tq - left <= j <= i + Tk - Tq + right; -1: no limit. Default [-1, -1]. */
  readonly window?: readonly [left: number, right: number];
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
  /** Which pairs are left, of those that causal and window show. Not with cuSeqlens. Default: all. */
  readonly blockMask?: BlockMask;
  /** Scores become softcap * tanh(score / softcap). Default: none. */
  readonly softcap?: number;
  /**
   * Arithmetic on rounded numbers, by its name or with options of its own. Not with softcap or blockMask. Default: none.
   *
   * - `int8`: the fast one. Both products on 8-bit integers; codes of 7 bits for queries, keys (less their mean), weights and values.
   * - `sage`: SageAttention (Zhang 2024). int8 queries by 128 rows and keys by 64, less their mean; weights and values stay f32.
   * - `sage2`: SageAttention2 (Zhang 2024), emulated. Queries less the mean of 128 rows, too; e4m3 weights and values.
   * - `sage3`: SageAttention3 (Zhang 2025), emulated. NVFP4, groups of 16 numbers; weights in two levels.
   * - `fp8`: FlashAttention-3 (Shah 2024), emulated. e4m3 by blocks of 128 queries and 64 keys.
   *
   * What is emulated is f32 arithmetic on rounded numbers: it shows the error and saves no time.
   */
  readonly quantization?: QuantizationKind | QuantizationOptions;
}

/** Names of what attention may be rounded to. */
export type QuantizationKind = 'int8' | 'sage' | 'sage2' | 'sage3' | 'fp8';

/** A kind with options of its own. */
export type QuantizationOptions =
  | { readonly kind: 'int8' | 'sage' | 'sage3' }
  | {
      readonly kind: 'sage2';
      /** Values less their mean by column are rounded, and the mean is added to o. Default false. */
      readonly smoothV?: boolean;
    }
  | {
      readonly kind: 'fp8';
      /** Queries and keys are turned by a Hadamard matrix with signs first, which spreads outliers. Default false. */
      readonly hadamard?: boolean;
    };

/** Results of `attention`. */
export interface AttentionResult {
  /** f32 [B, Tq, Hq, Dv] */
  readonly o: Tensor;
  /** f32 [B, Tq, Hq]: natural log of the row's denominator, the sink counted. */
  readonly lse: Tensor;
}

const OP = 'attention';
const INPUTS = [
  'q',
  'k',
  'v',
  'kScale',
  'vScale',
  'bias',
  'mask',
  'colBias',
  'alibiSlopes',
  'sinks',
  'kvLens',
  'cuSeqlens',
  'cuSeqlensK',
];
const OPTIONS = ['causal', 'window', 'blockMask', 'scale', 'softcap', 'quantization'];
/** Kinds of rounding, with the options that each has. */
const KINDS: Record<QuantizationKind, readonly string[]> = {
  int8: [],
  sage: [],
  sage2: ['smoothV'],
  sage3: [],
  fp8: ['hadamard'],
};

/** Checks a call and states it for the engines; `o` and `lse` are made by the builder. */
export function attentionCall(
  b: Builder,
  op: string,
  inputs: AttentionInputs,
  options: AttentionOptions,
): AttentionCall & { readonly lse: Tensor } {
  expectNames(op, 'input', inputs, INPUTS);
  expectNames(op, 'option', options, OPTIONS);
  const sizes = matchShapes<keyof AttentionInputs>(op, inputs, {
    q: 'B Tq Hq D',
    k: 'B Tk Hkv D',
    v: 'B Tk Hkv Dv',
    kScale: '?B Tk Hkv',
    vScale: '?B Tk Hkv',
    bias: '?B|1 Hq|1 Tq|1 Tk',
    mask: '?B|1 Hq|1 Tq|1 Tk',
    colBias: '?B Tk Hq',
    alibiSlopes: '?Hq',
    sinks: '?Hq',
    kvLens: '?B',
    cuSeqlens: '?n',
    cuSeqlensK: '?n',
  }) as Record<'B' | 'Tq' | 'Tk' | 'Hq' | 'Hkv' | 'D' | 'Dv', number>;
  const { B, Tq, Tk, Hq, Hkv, D, Dv } = sizes;
  const { q, k, v, kScale, vScale, bias, mask, colBias, alibiSlopes, sinks } = inputs;
  if (Hkv === 0 || Hq % Hkv !== 0) {
    throw new ShapeError(`${op}: ${Hq} query heads cannot share ${Hkv} key/value heads: Hq must be a multiple of Hkv`);
  }
  if (D < 1 || D > MOST_DIM || Dv < 1 || Dv > MOST_DIM) {
    throw new ShapeError(`${op}: head dimensions are ${D} and ${Dv}, expected 1 to ${MOST_DIM}`);
  }
  expectTypes(op, { q }, ['f32', 'f16', 'bf16']);
  expectTypes(op, { k, v }, ['f32', 'f16', 'bf16', 'i8']);
  expectTypes(op, { kScale, vScale, bias, colBias, alibiSlopes, sinks }, ['f32']);
  expectTypes(op, { mask }, ['u8']);
  expectRows(op, { q, k, v, bias, mask });
  expectContiguous(op, { alibiSlopes, sinks });
  for (const [name, tensor, scale] of [
    ['k', k, kScale],
    ['v', v, vScale],
  ] as const) {
    if ((tensor.dtype === 'i8') !== (scale !== undefined)) {
      throw new DTypeError(
        `${op}: ${name} is ${tensor.dtype} ${scale ? 'with' : 'without'} ${name}Scale; i8 needs it, others have none`,
      );
    }
  }
  if (kScale && vScale && kScale.strides.some((step, axis) => step !== vScale.strides[axis])) {
    throw new ShapeError(
      `${op}: kScale and vScale must be laid out alike; their strides are [${kScale.strides}] and [${vScale.strides}]`,
    );
  }
  const [left, right] = windowOf(op, options);
  const softcap = finite(op, 'softcap', options.softcap, 0, 0);
  return {
    q,
    k,
    v,
    kScale,
    vScale,
    bias: bias?.broadcast([B, Hq, Tq, Tk]),
    mask: mask?.broadcast([B, Hq, Tq, Tk]),
    keyBias: colBias,
    blocks: options.blockMask && listOf(op, options.blockMask),
    alibiSlopes,
    sinks,
    o: b.output([B, Tq, Hq, Dv]),
    lse: b.output([B, Tq, Hq]),
    sequences: sequencesOf(op, { B, Tq, Tk }, inputs),
    scale: finite(op, 'scale', options.scale, D ** -0.5),
    softcap,
    window: [left, right],
    quantization: quantizationOf(op, options),
  };
}

/** @throws OptionError if the quantization is none, or does not go with another option. */
function quantizationOf(op: string, { quantization, softcap, blockMask }: AttentionOptions): Quantization | undefined {
  if (quantization === undefined) return undefined;
  const options: Quantization = typeof quantization === 'string' ? { kind: quantization } : quantization;
  if (!options || !Object.hasOwn(KINDS, options.kind)) {
    throw new OptionError(
      `${op}: quantization is ${JSON.stringify(quantization)}, expected one of ${Object.keys(KINDS).join(', ')}, or an ` +
        'object with one of them as its kind',
    );
  }
  expectNames(`${op}: quantization ${options.kind}`, 'option', options, ['kind', ...KINDS[options.kind]]);
  if (softcap !== undefined) {
    throw new OptionError(
      `${op}: softcap was given with quantization, which changes scores by a number for each row. Leave one of them out.`,
    );
  }
  if (blockMask !== undefined) {
    throw new OptionError(
      `${op}: blockMask was given with quantization, whose products are of whole rows. Give a mask, a window or causal instead.`,
    );
  }
  return {
    kind: options.kind,
    smoothV: flag(op, 'quantization.smoothV', options.smoothV),
    hadamard: flag(op, 'quantization.hadamard', options.hadamard),
  };
}

/** @throws OptionError if `mask` is no block mask. */
function listOf(op: string, mask: BlockMask): BlockList {
  if (mask instanceof BlockMask) return mask.list;
  throw new OptionError(`${op}: blockMask is ${mask}, expected a mask made by blockMask()`);
}

/** The window that causal and window together leave. @throws OptionError if it is not a pair of whole numbers >= -1. */
export function windowOf(
  op: string,
  options: Pick<AttentionOptions, 'causal' | 'window'>,
): [left: number, right: number] {
  const { window = [-1, -1] } = options;
  const causal = flag(op, 'causal', options.causal);
  if (!Array.isArray(window) || window.length !== 2) {
    throw new OptionError(`${op}: window is ${JSON.stringify(window)}, expected [left, right], -1 for no limit`);
  }
  const left = whole(op, 'window[0]', window[0], -1, -1);
  const right = whole(op, 'window[1]', window[1], -1, -1);
  return [left, causal ? 0 : right];
}

/** Lays out a call on the engine that suits it. */
export function attend(b: Builder, call: AttentionCall): void {
  if (suitsDecode(call)) decodeAttend(b, call);
  else flashAttend(b, call);
}

/** Lays out an attention call. */
export function planAttention(
  b: Builder,
  inputs: AttentionInputs,
  options: AttentionOptions,
  op = OP,
): AttentionResult {
  const call = attentionCall(b, op, inputs, options);
  attend(b, call);
  return { o: call.o, lse: call.lse };
}

/**
 * Exact softmax attention: o_i = sum_j softmax_j(softcap(scale q_i k_j) + biases) v_j over the keys that row i sees.
 *
 * A row that sees no key gives zeros and lse = -Infinity. Blocks of keys that a block mask hides cost nothing. Query heads share keys and
 * values by the number of heads of k and v: Hq of them is multi-head attention, fewer grouped-query (Ainslie 2023), one multi-query
 * attention (Shazeer 2019); what is shared is read once.
 *
 * Source: FlashAttention-2 (Dao 2023); reference implementation flash-attention.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @throws RuntimeMismatchError, DisposedError for tensors that cannot be used together.
 * @throws UnsupportedError for a block mask with cuSeqlens.
 * @throws MemoryLimitError if the outputs or the packed keys and values do not fit.
 * @example const { o } = await attention({ q, k, v }, { causal: true, window: [256, 0] })
 */
export function attention(inputs: AttentionInputs, options: AttentionOptions = {}): Promise<AttentionResult> {
  return run(OP, inputs, (b) => planAttention(b, inputs, options));
}

/** As `attention`, to the end before it returns. */
export function attentionSync(inputs: AttentionInputs, options: AttentionOptions = {}): AttentionResult {
  return runSync(OP, inputs, (b) => planAttention(b, inputs, options));
}

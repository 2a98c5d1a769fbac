/**
 * Attention on keys and values that are codes.
 *
 * @module
 */
import type { AttentionCall } from '../engines/attention-call.ts';
import { codedOf, formatOf } from '../engines/coded-inputs.ts';
import { codeAttend, tokensOf } from '../engines/codes.ts';
import {
  expectContiguous,
  expectNames,
  expectRows,
  expectTypes,
  finite,
  flag,
  integers,
  matchShapes,
  whole,
} from '../engines/shapes.ts';
import { ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type AttentionResult, windowOf } from './attention.ts';
import { expectPages } from './paged.ts';

/** Operands of `quantizedAttention`: those of keys and values are results and codebooks of `quantizeKv`. */
export interface QuantizedAttentionInputs {
  /** [B, Tq, Hq, D]; f32, f16 or bf16. */
  readonly q: Tensor;
  /** u8 [B, blocks, Hkv, bytes]; with blockTable [pages, blocks of a page, Hkv, bytes], and so are all of the keys' and values' own. */
  readonly kCodes: Tensor;
  readonly kScale: Tensor;
  readonly kOffset?: Tensor;
  readonly kCodebook?: Tensor;
  readonly kOutlierIndex?: Tensor;
  readonly kOutlierValue?: Tensor;
  readonly vCodes: Tensor;
  readonly vScale: Tensor;
  readonly vOffset?: Tensor;
  readonly vCodebook?: Tensor;
  readonly vOutlierIndex?: Tensor;
  readonly vOutlierValue?: Tensor;
  /** f32 [B, n, Hkv, D]: keys of the newest tokens, behind the coded ones. */
  readonly kRest?: Tensor;
  /** f32 [B, m, Hkv, Dv]: values of the newest tokens, which may be others than those of kRest. */
  readonly vRest?: Tensor;
  /** f32 [positions, R / 2]: coded keys are turned by these angles, of their places, when they are read; the first R elements. */
  readonly kCos?: Tensor;
  readonly kSin?: Tensor;
  /** i32 [B, maxPages]: page of each span of tokens. Not with kRest, vRest. */
  readonly blockTable?: Tensor;
  /** i32 [B]: tokens of each sequence; with blockTable. */
  readonly seqLens?: Tensor;
  /** f32 [Hq], as in `attention`. */
  readonly alibiSlopes?: Tensor;
  readonly sinks?: Tensor;
}

/** Options of `quantizedAttention`. */
export interface QuantizedAttentionOptions {
  /** How keys were quantised, as in `quantizeKv`: defaults 4, 'token', 32. */
  readonly kBits?: 4 | 2;
  readonly kAxis?: 'token' | 'channel';
  readonly kGroup?: number;
  /** How values were: defaults 4 and 32. */
  readonly vBits?: 4 | 2;
  readonly vGroup?: number;
  /** Dv. Default D. */
  readonly valueDim?: number;
  /** Keys that are coded. Default: as many as the blocks hold. */
  readonly kTokens?: number;
  /** Values that are coded. Default: as many as the blocks hold. */
  readonly vTokens?: number;
  /** kCos and kSin turn pairs (x[2i], x[2i + 1]) instead of (x[i], x[i + R / 2]). Default false. */
  readonly interleaved?: boolean;
  /** Row i sees key j only if j <= i + Tk - Tq. Default: for more than one query. */
  readonly causal?: boolean;
  readonly window?: readonly [left: number, right: number];
  readonly scale?: number;
  readonly softcap?: number;
}

const OP = 'quantizedAttention';
const CODED = ['codes', 'scale', 'offset', 'codebook', 'outlierIndex', 'outlierValue'] as const;
const nameOf = (side: 'k' | 'v') => (tensor: string) => side + tensor[0]!.toUpperCase() + tensor.slice(1);
/** Names of all inputs. */
export const QUANTIZED_INPUTS = [
  'q',
  ...CODED.map(nameOf('k')),
  ...CODED.map(nameOf('v')),
  'kRest',
  'vRest',
  'kCos',
  'kSin',
  'blockTable',
  'seqLens',
  'alibiSlopes',
  'sinks',
];
/** Names of all options. */
export const QUANTIZED_OPTIONS = [
  'kBits',
  'kAxis',
  'kGroup',
  'vBits',
  'vGroup',
  'valueDim',
  'kTokens',
  'vTokens',
  'interleaved',
  'causal',
  'window',
  'scale',
  'softcap',
];

/** Lays out the call. */
export function planQuantizedAttention(
  b: Builder,
  inputs: QuantizedAttentionInputs,
  options: QuantizedAttentionOptions,
): AttentionResult {
  expectNames(OP, 'input', inputs, QUANTIZED_INPUTS);
  expectNames(OP, 'option', options, QUANTIZED_OPTIONS);
  const { q, kRest, vRest, kCos, kSin, blockTable, seqLens, alibiSlopes, sinks } = inputs;
  const sizes = matchShapes(
    OP,
    { q, blockTable, seqLens, alibiSlopes, sinks, kCos, kSin },
    {
      q: 'B Tq Hq D',
      blockTable: '?B maxPages',
      seqLens: '?B',
      alibiSlopes: '?Hq',
      sinks: '?Hq',
      kCos: '?positions half',
      kSin: '?positions half',
    },
  ) as Record<'B' | 'Tq' | 'Hq' | 'D' | 'maxPages' | 'positions' | 'half', number>;
  const { B, Tq, Hq, D } = sizes;
  const Dv = whole(OP, 'valueDim', options.valueDim, D, 1);
  if (!blockTable !== !seqLens) throw new ShapeError(`${OP}: blockTable and seqLens go together; one is missing`);
  if (blockTable && (kRest || vRest)) throw new ShapeError(`${OP}: kRest and vRest do not go with blockTable`);
  if (!kCos !== !kSin) throw new ShapeError(`${OP}: kCos and kSin go together; one is missing`);
  if (kCos && 2 * sizes.half > D) throw new ShapeError(`${OP}: kCos turns ${2 * sizes.half} elements of keys of ${D}`);
  expectTypes(OP, { q }, ['f32', 'f16', 'bf16']);
  expectTypes(OP, { kRest, vRest, kCos, kSin, alibiSlopes, sinks }, ['f32']);
  expectTypes(OP, { blockTable, seqLens }, ['i32']);
  expectRows(OP, { q, kRest, vRest, blockTable });
  expectContiguous(OP, { kCos, kSin, alibiSlopes, sinks });

  const [kFormat, vFormat] = [
    formatOf(OP, 'keys', { bits: options.kBits, axis: options.kAxis, group: options.kGroup } as object, D, nameOf('k')),
    formatOf(OP, 'values', { bits: options.vBits, group: options.vGroup } as object, Dv, nameOf('v')),
  ];
  const own = (side: 'k' | 'v') =>
    Object.fromEntries(CODED.map((tensor) => [tensor, inputs[nameOf(side)(tensor) as 'kCodes']])) as never;
  const pageTokens = (codes: Tensor, bits: number) => codes.shape[1]! * tokensOf(bits);
  const pages = blockTable && { table: blockTable, size: 0 };
  const kRows = codedOf(OP, kFormat, own('k'), { B: pages ? undefined : B, D }, nameOf('k'), pages);
  const [held, , Hkv] = kRows.codes.shape as [number, number, number];
  const vRows = codedOf(OP, vFormat, own('v'), { B: held, H: Hkv, D: Dv }, nameOf('v'), pages);
  if (Hkv === 0 || Hq % Hkv !== 0) {
    throw new ShapeError(`${OP}: ${Hq} query heads cannot share ${Hkv} key/value heads: Hq must be a multiple of Hkv`);
  }
  matchShapes(OP, { kRest, vRest }, { kRest: `?${B} n ${Hkv} ${D}`, vRest: `?${B} m ${Hkv} ${Dv}` });
  const [kRoom, vRoom] = [pageTokens(kRows.codes, kFormat.bits), pageTokens(vRows.codes, vFormat.bits)];

  let lengths: ArrayLike<number>;
  let coded: [number, number][];
  if (pages) {
    if (kRoom !== vRoom) {
      throw new ShapeError(`${OP}: a page holds ${kRoom} tokens of kCodes and ${vRoom} of vCodes; expected the same`);
    }
    const given = integers(OP, 'seqLens', seqLens!);
    expectPages(OP, pages.table, given, sizes.maxPages, kRoom, held);
    lengths = given;
    coded = Array.from(lengths, (n) => [n, n]);
  } else {
    const kTokens = whole(OP, 'kTokens', options.kTokens, kRoom, 0, kRoom);
    const vTokens = whole(OP, 'vTokens', options.vTokens, vRoom, 0, vRoom);
    const total = kTokens + (kRest?.shape[1] ?? 0);
    if (total !== vTokens + (vRest?.shape[1] ?? 0)) {
      throw new ShapeError(
        `${OP}: there are ${kTokens} + ${total - kTokens} keys (coded and kRest) and ` +
          `${vTokens} + ${vRest?.shape[1] ?? 0} values; expected as many. Give kTokens and vTokens.`,
      );
    }
    lengths = new Array<number>(B).fill(total);
    coded = Array.from({ length: B }, () => [kTokens, vTokens]);
  }
  const longest = Math.max(0, ...coded.map(([k]) => k));
  if (kCos && sizes.positions < longest) {
    throw new ShapeError(`${OP}: kCos has angles of ${sizes.positions} places, and there are ${longest} coded keys`);
  }
  const lse = b.output([B, Tq, Hq]);
  const call: AttentionCall = {
    q,
    // without rows behind the codes nothing is read there
    k: kRest ?? q,
    v: vRest ?? q,
    alibiSlopes,
    sinks,
    o: b.output([B, Tq, Hq, Dv]),
    lse,
    sequences: Array.from(lengths, (kLength, batch) => ({
      batch,
      qStart: 0,
      qLength: Tq,
      kStart: 0,
      kLength,
      offset: kLength - Tq,
    })),
    scale: finite(OP, 'scale', options.scale, D ** -0.5),
    softcap: finite(OP, 'softcap', options.softcap, 0, 0),
    window: windowOf(OP, { causal: options.causal ?? Tq > 1, ...(options.window && { window: options.window }) }),
  };
  const interleaved = flag(OP, 'interleaved', options.interleaved);
  const turning = kCos && kSin && { cos: kCos, sin: kSin, interleaved };
  codeAttend(b, { call, kRows, vRows, coded, turning });
  return { o: call.o, lse };
}

/**
 * Softmax attention on coded keys and values and on f32 rows behind them: that of `attention` on the rows which the codes stand for, but
 * that query and weights are rounded to 15 bits where they meet codes of whole numbers.
 *
 * q [B, Tq, Hq, D]; keys and values as `quantizeKv` gives them, B sequences or pages. Results: o f32 [B, Tq, Hq, Dv], lse f32 [B, Tq, Hq].
 *
 * Source: KIVI (Liu 2024), whose residual kRest and vRest are; KVQuant (Hooper 2024), whose keys are stored before they are turned (kCos, kSin).
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example
 * const k4 = await quantizeKv({ x: k }, { of: 'keys' })
 * const v4 = await quantizeKv({ x: v }, { of: 'values' })
 * const keys = { kCodes: k4.codes, kScale: k4.scale, kOffset: k4.offset }
 * const values = { vCodes: v4.codes, vScale: v4.scale, vOffset: v4.offset }
 * const { o } = await quantizedAttention({ q, ...keys, ...values })
 */
export function quantizedAttention(
  inputs: QuantizedAttentionInputs,
  options: QuantizedAttentionOptions = {},
): Promise<AttentionResult> {
  return run(OP, inputs, (b) => planQuantizedAttention(b, inputs, options));
}

/** As `quantizedAttention`, to the end before it returns. */
export function quantizedAttentionSync(
  inputs: QuantizedAttentionInputs,
  options: QuantizedAttentionOptions = {},
): AttentionResult {
  return runSync(OP, inputs, (b) => planQuantizedAttention(b, inputs, options));
}

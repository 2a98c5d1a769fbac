/**
 * Keys and values to codes of 4 or 2 bits, and back.
 *
 * @module
 */
import { type CodedTensors, type CodeOptions, codedOf, formatOf } from '../engines/coded-inputs.ts';
import { codeShape, dequantizeRows, quantizeRows, scaleShape, tokensOf } from '../engines/codes.ts';
import { expectNames, expectRows, expectTypes, flag, matchShapes, whole } from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `quantizeKv`. */
export interface QuantizeKvInputs {
  /** f32 [B, T, H, D] */
  readonly x: Tensor;
  /** f32 [2^bits], numbers from -1 to 1: codes are the nearest of them, between the middle of a group and its ends. */
  readonly codebook?: Tensor;
  /** f32 [H, D]: with axis 'channel', scales of all tokens in place of those of each group. */
  readonly scale?: Tensor;
  /** f32 [H, D], with scale. */
  readonly offset?: Tensor;
}

/** Options of `quantizeKv`. */
export interface QuantizeKvOptions extends CodeOptions {
  /** Keys and values are laid out for different products. */
  readonly of: 'keys' | 'values';
  /** Codes stand for multiples of the scale, without offset. Default false; with 4 bits only, without a codebook. */
  readonly symmetric?: boolean;
  /** Numbers of each row that keep their precision, apart from the codes. Default 0. */
  readonly outliers?: number;
}

/** Operands of `dequantizeKv`: the results of `quantizeKv`, its codebook, and scale and offset if they were given. */
export type DequantizeKvInputs = CodedTensors;

/** Options of `dequantizeKv`. */
export interface DequantizeKvOptions extends CodeOptions {
  readonly of: 'keys' | 'values';
  /** D of the rows. */
  readonly dim: number;
  /** Tokens to read. Default: all of the blocks. */
  readonly tokens?: number;
}

const OP = 'quantizeKv';
const BACK = 'dequantizeKv';

function side(op: string, of: unknown): 'keys' | 'values' {
  if (of === 'keys' || of === 'values') return of;
  throw new OptionError(`${op}: of is ${of}, expected 'keys' or 'values'`);
}

/** Lays out the call. */
export function planQuantizeKv(b: Builder, inputs: QuantizeKvInputs, options: QuantizeKvOptions): CodedTensors {
  expectNames(OP, 'input', inputs, ['x', 'codebook', 'scale', 'offset']);
  expectNames(OP, 'option', options, ['of', 'bits', 'axis', 'group', 'symmetric', 'outliers']);
  const { x, codebook, scale, offset } = inputs;
  const { B, T, H, D } = matchShapes(OP, { x }, { x: 'B T H D' }) as Record<'B' | 'T' | 'H' | 'D', number>;
  expectTypes(OP, { x }, ['f32']);
  expectRows(OP, { x });
  const format = formatOf(OP, side(OP, options.of), options, D);
  const symmetric = flag(OP, 'symmetric', options.symmetric);
  const slots = whole(OP, 'outliers', options.outliers, 0, 0, D - 1);
  if (symmetric && (format.bits === 2 || codebook)) {
    throw new OptionError(`${OP}: symmetric is for codes of 4 bits without a codebook; leave it out`);
  }
  if (scale && format.axis !== 'channel') {
    throw new OptionError(
      `${OP}: scale was given, but axis is 'token', whose scales are each token's own; use 'channel'`,
    );
  }
  if (slots > 0 && format.axis === 'channel' && !scale) {
    throw new OptionError(`${OP}: outliers with axis 'channel' need scale and offset, by which they are found`);
  }
  if (offset && !scale) throw new ShapeError(`${OP}: offset was given without scale`);
  if (scale && symmetric === (offset !== undefined)) {
    throw new ShapeError(
      `${OP}: offset is ${offset ? 'given' : 'missing'} with symmetric ${symmetric}; expected the other`,
    );
  }
  const codes = b.output(codeShape(format, B, T, H, D), 'u8');
  const numbers = scaleShape(format, B, T, H, D);
  const outliers = [...codes.shape.slice(0, 3), tokensOf(format.bits), slots];
  const own = {
    codes,
    ...(scale ? {} : { scale: b.output(numbers) }),
    ...(scale || symmetric ? {} : { offset: b.output(numbers) }),
    ...(slots ? { outlierIndex: b.output(outliers, 'i32'), outlierValue: b.output(outliers) } : {}),
  };
  const given = { ...(scale && { scale }), ...(offset && { offset }), ...(codebook && { codebook }) };
  const coded = codedOf(OP, format, { ...own, ...given } as CodedTensors, { B, H, D });
  quantizeRows(b, coded, x, 0);
  return { scale: coded.scale, ...own, ...(scale && { scale }), ...(offset && { offset }) } as CodedTensors;
}

/** Lays out the call. */
export function planDequantizeKv(b: Builder, inputs: DequantizeKvInputs, options: DequantizeKvOptions): { o: Tensor } {
  expectNames(BACK, 'input', inputs, ['codes', 'scale', 'offset', 'codebook', 'outlierIndex', 'outlierValue']);
  expectNames(BACK, 'option', options, ['of', 'bits', 'axis', 'group', 'dim', 'tokens']);
  const dim = whole(BACK, 'dim', options.dim, 0, 1);
  const format = formatOf(BACK, side(BACK, options.of), options, dim);
  const coded = codedOf(BACK, format, inputs, { D: dim });
  const room = coded.codes.shape[1]! * tokensOf(format.bits);
  const tokens = whole(BACK, 'tokens', options.tokens, room, 0, room);
  const o = b.output([coded.codes.shape[0]!, tokens, coded.codes.shape[2]!, dim]);
  dequantizeRows(b, coded, o, 0);
  return { o };
}

/**
 * Codes of 4 or 2 bits for rows of keys or values, with the scales that `quantizedAttention` needs.
 *
 * A group of numbers has scale = (max - min) / (2^bits - 1) and offset = min, and x is taken for offset + scale * code, which is off by
 * at most scale / 2; symmetric, scale = max |x| / 7 and x is taken for scale * (code - 8). With a codebook, offset and scale are the middle
 * of the group and half of its width, and x is taken for offset + scale * codebook[code]. Groups are `group` channels of a token, or `group`
 * tokens of a channel; a last group may be short. With `outliers`, the numbers of a row that are farthest from its mean (with given scales:
 * from their codes) are left out of the ranges, and what their codes miss is kept as f32.
 *
 * x f32 [B, T, H, D]. Results: codes u8 [B, ceil(T bits / 64), H, bytes], scale and offset f32, outlierIndex i32 and outlierValue f32, see
 * `CodedTensors`; what was given as scale and offset comes back.
 *
 * Source: KIVI (Liu 2024), keys by channel and values by token; KVQuant (Hooper 2024), codebooks and outliers.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const k4 = await quantizeKv({ x: k }, { of: 'keys', bits: 4, axis: 'channel', group: 32 })
 */
export function quantizeKv(inputs: QuantizeKvInputs, options: QuantizeKvOptions): Promise<CodedTensors> {
  return run(OP, inputs, (b) => planQuantizeKv(b, inputs, options));
}

/** As `quantizeKv`, to the end before it returns. */
export function quantizeKvSync(inputs: QuantizeKvInputs, options: QuantizeKvOptions): CodedTensors {
  return runSync(OP, inputs, (b) => planQuantizeKv(b, inputs, options));
}

/**
 * The rows that codes stand for, o f32 [B, tokens, H, dim].
 *
 * Source: as `quantizeKv`.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await dequantizeKv(k4, { of: 'keys', bits: 4, axis: 'channel', group: 32, dim: 64 })
 */
export function dequantizeKv(inputs: DequantizeKvInputs, options: DequantizeKvOptions): Promise<{ o: Tensor }> {
  return run(BACK, inputs, (b) => planDequantizeKv(b, inputs, options));
}

/** As `dequantizeKv`, to the end before it returns. */
export function dequantizeKvSync(inputs: DequantizeKvInputs, options: DequantizeKvOptions): { o: Tensor } {
  return runSync(BACK, inputs, (b) => planDequantizeKv(b, inputs, options));
}

/**
 * How a layer's keys and values are coded: int4 in groups, KIVI, KVQuant.
 *
 * @module
 */
import { type CodeFormat, tokensOf } from '../engines/codes.ts';
import { OptionError } from '../errors.ts';
import type { LayerSize } from './layer-cache.ts';

/** How one side is coded; as in `quantizeKv`. */
export interface SidePlan {
  readonly bits: 4 | 2;
  readonly axis: 'token' | 'channel';
  readonly group: number;
  readonly symmetric?: boolean;
  /** Numbers of a row that keep their precision. Default 0. */
  readonly outliers?: number;
  /** [2^bits] */
  readonly codebook?: Float32Array;
  /** `[Hkv, D]`: with axis 'channel', scales and offsets of all tokens. */
  readonly scale?: Float32Array;
  readonly offset?: Float32Array;
}

/** How a layer is coded. */
export interface CodePlan {
  readonly keys: SidePlan;
  readonly values: SidePlan;
  /** Newest tokens that stay floats: keys until so many are full, which are then coded whole; values always so many. */
  readonly residual: number;
  /** Keys and queries come unrotated; keys are turned when they are read, by place * theta^(-2i / D). */
  readonly rope?: { readonly theta: number; readonly interleaved: boolean };
}

/** Symmetric codes of 4 bits, a scale for each token of a group of channels. */
export function int4Plan({ group = 32 }: { group?: number } = {}): CodePlan {
  const side = { bits: 4, axis: 'token', group, symmetric: true } as const;
  return { keys: side, values: side, residual: 0 };
}

/**
 * Keys by channel in groups of tokens, values by token in groups of channels, the newest tokens as floats.
 *
 * Source: KIVI (Liu 2024); keys are coded `residual` at a time, values one by one.
 */
export function kiviPlan({
  bits = 2,
  group = 32,
  residual = 128,
}: {
  bits?: 4 | 2;
  group?: number;
  residual?: number;
} = {}): CodePlan {
  return { keys: { bits, axis: 'channel', group }, values: { bits, axis: 'token', group }, residual };
}

/** What calibration gives for keys, as `calibrateKeys` makes it. */
export interface KeyCalibration {
  readonly scale: Float32Array;
  readonly offset: Float32Array;
  readonly codebook: Float32Array;
}

/**
 * Keys before their rotation, by calibrated scales of channels and a codebook; values by token with a codebook; outliers apart.
 *
 * Source: KVQuant (Hooper 2024). Default: one number in a hundred is an outlier, at least one a row.
 */
export function kvquantPlan(
  headDim: number,
  keys: KeyCalibration,
  {
    valueCodebook = keys.codebook,
    outliers = Math.max(1, Math.round(headDim / 100)),
    rope,
  }: {
    valueCodebook?: Float32Array;
    outliers?: number;
    rope?: { theta?: number; interleaved?: boolean };
  } = {},
): CodePlan {
  const bitsOf = (codebook: Float32Array) => (codebook.length === 4 ? 2 : 4);
  return {
    keys: { bits: bitsOf(keys.codebook), axis: 'channel', group: 64, outliers, ...keys },
    values: { bits: bitsOf(valueCodebook), axis: 'token', group: headDim, outliers, codebook: valueCodebook },
    residual: 0,
    ...(rope && { rope: { theta: rope.theta ?? 10000, interleaved: rope.interleaved ?? false } }),
  };
}

/** The format of a side. */
export function formatOfSide(of: 'keys' | 'values', { bits, axis, group }: SidePlan): CodeFormat {
  return { of, bits, axis, group };
}

/** @throws OptionError if a plan makes no sense for a layer. */
export function checkPlan(op: string, { kvHeads, headDim }: LayerSize, plan: CodePlan): void {
  const { keys, values, residual, rope } = plan;
  const wrong = (what: string) => {
    throw new OptionError(`${op}: ${what}`);
  };
  for (const [name, side] of [
    ['keys', keys],
    ['values', values],
  ] as const) {
    const block = tokensOf(side.bits);
    if (side.bits !== 4 && side.bits !== 2) wrong(`${name} have ${side.bits} bits, expected 4 or 2`);
    if (side.group % block !== 0 && !(side.axis === 'token' && side.group >= headDim)) {
      wrong(`${name} have groups of ${side.group}, expected a multiple of ${block}`);
    }
    if (side.symmetric && (side.bits === 2 || side.codebook)) wrong(`symmetric ${name} need 4 bits and no codebook`);
    if (side.codebook && side.codebook.length !== 2 ** side.bits) {
      wrong(`the codebook of ${name} has ${side.codebook.length} numbers, expected ${2 ** side.bits}`);
    }
    for (const numbers of [side.scale, side.offset]) {
      if (numbers && numbers.length !== kvHeads * headDim) {
        wrong(`scales of ${name} are ${numbers.length} numbers, expected Hkv D = ${kvHeads * headDim}`);
      }
    }
    if (!Number.isInteger(side.outliers ?? 0) || (side.outliers ?? 0) < 0 || (side.outliers ?? 0) >= headDim) {
      wrong(`${name} have ${side.outliers} outliers a row, expected 0 to ${headDim - 1}`);
    }
  }
  if (values.axis !== 'token') wrong(`values are coded by ${values.axis}, expected 'token'`);
  if (!keys.scale !== !keys.offset) wrong('scale and offset of keys go together; one is missing');
  if (keys.scale && keys.axis !== 'channel') wrong("scales of all tokens need keys by 'channel'");
  if (!Number.isInteger(residual) || residual < 0) wrong(`residual is ${residual}, expected a whole number >= 0`);
  const grouped = keys.axis === 'channel' && !keys.scale;
  if (grouped && (residual < keys.group || residual % keys.group !== 0)) {
    wrong(`residual is ${residual}, expected a multiple of the group of keys, ${keys.group}`);
  }
  if (grouped && keys.outliers) wrong("keys by 'channel' have outliers only with scales of all tokens");
  if (rope && residual > 0) wrong('rope turns coded keys: residual must be 0');
  if (rope && headDim % 2 !== 0) wrong(`rope needs an even head dimension, D is ${headDim}`);
}

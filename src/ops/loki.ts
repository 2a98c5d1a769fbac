/**
 * Loki: tokens chosen by the directions in which keys vary most.
 *
 * @module
 */
import { principalDirections } from '../engines/select/channels.ts';
import { scoreMap } from '../engines/select/score-map.ts';
import { expectContiguous, expectNames, expectRows, expectTypes, matchShapes, whole } from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import {
  attendHighest,
  type ChosenTokenInputs,
  type ChosenTokenResult,
  type OpenChoice,
  openChoice,
  SINKS,
  type SinkOptions,
} from './chosen-tokens.ts';

/** Operands of `loki`. */
export interface LokiInputs extends ChosenTokenInputs {
  /** f32 [Hkv, r, D], contiguous: the directions that are scored by, as `lokiBasis` finds them. */
  readonly basis: Tensor;
  /** `[B, Tk, Hkv, r]`: products of k with them, as `lokiKeys` makes them; f32, f16 or bf16. Made of k if absent. */
  readonly kBasis?: Tensor;
}

/** Operands of `lokiBasis`. */
export interface LokiBasisInputs {
  /** `[B, Tk, Hkv, D]`: a sample of keys behind their rotary embedding; f32, f16 or bf16. */
  readonly k: Tensor;
}

/** Options of `lokiBasis`. */
export interface LokiBasisOptions {
  /** Directions of a key head, from 1 to D. */
  readonly r: number;
}

/** Results of `lokiBasis`. */
export interface LokiBasisResult {
  /** f32 [Hkv, r, D]: orthonormal rows, the largest variance first; the largest element of each is positive. */
  readonly basis: Tensor;
  /** f32 [Hkv, r]: the variances of the keys along them. */
  readonly variances: Tensor;
}

/** Operands of `lokiKeys`. */
export interface LokiKeysInputs {
  /** [B, Tk, Hkv, D]; f32, f16 or bf16. */
  readonly k: Tensor;
  /** f32 [Hkv, r, D], contiguous. */
  readonly basis: Tensor;
}

/** Results of `lokiKeys`. */
export interface LokiKeysResult {
  /** f32 [B, Tk, Hkv, r]; heads lie one after another. */
  readonly kBasis: Tensor;
}

const OP = 'loki';
const BASIS = 'lokiBasis';
const KEYS = 'lokiKeys';

/** Adds x [B, T, H, D] along the directions [Hkv, r, D] of its key heads: [B, H, T, r]. */
export function alongBasis(b: Builder, x: Tensor, basis: Tensor): Tensor {
  const [heads, r, d] = basis.shape as [number, number, number];
  const rows = basis.restride([x.shape[0]!, r, heads, d], [0, d, r * d, 1]);
  return scoreMap(b, { q: x, k: rows, scale: 1 });
}

/** [B, H, T, r] with tokens before heads. */
function tokensFirst(x: Tensor): Tensor {
  return x.permute([0, 2, 1, 3]);
}

/** Lays out the directions. */
export function planLokiBasis(b: Builder, inputs: LokiBasisInputs, options: LokiBasisOptions): LokiBasisResult {
  expectNames(BASIS, 'input', inputs, ['k']);
  expectNames(BASIS, 'option', options, ['r']);
  const { k } = inputs;
  const sizes = matchShapes(BASIS, { k }, { k: 'B Tk Hkv D' }) as Record<'B' | 'Tk' | 'Hkv' | 'D', number>;
  const { B, Tk, Hkv, D } = sizes;
  expectTypes(BASIS, { k }, ['f32', 'f16', 'bf16']);
  expectRows(BASIS, { k });
  if (B * Tk === 0) throw new ShapeError(`${BASIS}: k has shape [${k.shape}], expected at least one key`);
  if (options.r === undefined) throw new OptionError(`${BASIS}: r is missing, expected how many directions a head has`);
  const r = whole(BASIS, 'r', options.r, 1, 1, D);
  const [basis, variances] = [b.output([Hkv, r, D]), b.output([Hkv, r])];
  principalDirections(b, k, basis, variances);
  return { basis, variances };
}

/** Lays out the keys along the directions. */
export function planLokiKeys(b: Builder, inputs: LokiKeysInputs, options: object = {}): LokiKeysResult {
  expectNames(KEYS, 'input', inputs, ['k', 'basis']);
  expectNames(KEYS, 'option', options, []);
  const { k, basis } = inputs;
  const { Hkv, D } = matchShapes(KEYS, { k }, { k: 'B Tk Hkv D' }) as Record<'Hkv' | 'D', number>;
  expectTypes(KEYS, { k }, ['f32', 'f16', 'bf16']);
  expectRows(KEYS, { k });
  expectBasis(KEYS, basis, Hkv, D);
  return { kBasis: tokensFirst(b.keep(alongBasis(b, k, basis))) };
}

/** @throws ShapeError, DTypeError if it is no basis of so many heads. */
export function expectBasis(op: string, basis: Tensor, heads: number, d: number): number {
  const { r } = matchShapes(op, { basis }, { basis: `${heads} r ${d}` }) as { r: number };
  expectTypes(op, { basis }, ['f32']);
  expectContiguous(op, { basis });
  if (r < 1) throw new ShapeError(`${op}: basis has shape [${basis.shape}], expected at least one direction`);
  return r;
}

/** Adds attention on the tokens that directions choose, by the products [B, Tk, Hkv, r] of all keys with them. */
export function attendAlong(b: Builder, open: OpenChoice, basis: Tensor, kBasis: Tensor): ChosenTokenResult {
  const { q, scale } = open.call;
  return attendHighest(b, open, { q: tokensFirst(alongBasis(b, q, basis)), k: kBasis, scale });
}

/** Lays out the call. */
export function planLoki(b: Builder, inputs: LokiInputs, options: SinkOptions): ChosenTokenResult {
  const open = openChoice(b, OP, inputs, options, { inputs: ['basis', 'kBasis'], options: SINKS });
  const { k, v } = open.call;
  expectTypes(OP, { k, v }, ['f32', 'f16', 'bf16']);
  const [B, Tk, Hkv, D] = k.shape as [number, number, number, number];
  const { basis, kBasis } = inputs;
  const r = expectBasis(OP, basis, Hkv, D);
  matchShapes(OP, { kBasis }, { kBasis: `?${B} ${Tk} ${Hkv} ${r}` });
  expectTypes(OP, { kBasis }, ['f32', 'f16', 'bf16']);
  expectRows(OP, { kBasis });
  return attendAlong(b, open, basis, kBasis ?? tokensFirst(alongBasis(b, k, basis)));
}

/**
 * Causal attention in which every query and head scores all tokens along a few directions of its key head and takes the topk, with the
 * first `sinks` and the last `recent`; attention on what was chosen is of the whole keys. Queries are aligned with the last keys. With
 * kBasis given a step reads r of D numbers of each token, and the chosen tokens.
 *
 * Source: Loki (Singhania 2024); reference implementation hpcgroup/loki.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example
 * const { basis } = await lokiBasis({ k: sample }, { r: 16 })
 * const { kBasis } = await lokiKeys({ k, basis })
 * const { o } = await loki({ q, k, v, basis, kBasis }, { topk: 256 })
 */
export function loki(inputs: LokiInputs, options: SinkOptions): Promise<ChosenTokenResult> {
  return run(OP, inputs, (b) => planLoki(b, inputs, options));
}

/** As `loki`, to the end before it returns. */
export function lokiSync(inputs: LokiInputs, options: SinkOptions): ChosenTokenResult {
  return runSync(OP, inputs, (b) => planLoki(b, inputs, options));
}

/**
 * The r directions in which the keys of each head vary most: principal components of a sample, by Jacobi rotations in f64.
 *
 * Source: Loki (Singhania 2024), whose components are those of scikit-learn's PCA.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { basis, variances } = await lokiBasis({ k: sample }, { r: 16 })
 */
export function lokiBasis(inputs: LokiBasisInputs, options: LokiBasisOptions): Promise<LokiBasisResult> {
  return run(BASIS, inputs, (b) => planLokiBasis(b, inputs, options));
}

/** As `lokiBasis`, to the end before it returns. */
export function lokiBasisSync(inputs: LokiBasisInputs, options: LokiBasisOptions): LokiBasisResult {
  return runSync(BASIS, inputs, (b) => planLokiBasis(b, inputs, options));
}

/**
 * Products of keys with the directions that `loki` scores by: what is kept beside the keys.
 *
 * Source: Loki (Singhania 2024).
 *
 * @throws ShapeError, DTypeError for operands that do not fit.
 * @example const { kBasis } = await lokiKeys({ k, basis })
 */
export function lokiKeys(inputs: LokiKeysInputs): Promise<LokiKeysResult> {
  return run(KEYS, inputs, (b) => planLokiKeys(b, inputs));
}

/** As `lokiKeys`, to the end before it returns. */
export function lokiKeysSync(inputs: LokiKeysInputs): LokiKeysResult {
  return runSync(KEYS, inputs, (b) => planLokiKeys(b, inputs));
}

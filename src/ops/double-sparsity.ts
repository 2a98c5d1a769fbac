/**
 * Double sparsity: tokens chosen by a few heavy channels.
 *
 * @module
 */
import { heavyChannels, takeChannels } from '../engines/select/channels.ts';
import {
  expectContiguous,
  expectNames,
  expectRows,
  expectTypes,
  integers,
  matchShapes,
  whole,
} from '../engines/shapes.ts';
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

/** Operands of `doubleSparsity`. */
export interface DoubleSparsityInputs extends ChosenTokenInputs {
  /** i32 [Hkv, r]: the channels of each key head that are scored by, as `doubleSparsityChannels` finds them. */
  readonly channels: Tensor;
  /**
   * `[B, Tk, Hkv, r]`: those channels of k, as `doubleSparsityLabels` makes them; f32, f16 or bf16. Made of k if absent.
   */
  readonly labels?: Tensor;
}

/** Operands of `doubleSparsityChannels`: a sample of queries and keys. */
export interface DoubleSparsityChannelsInputs {
  /** [B, Tq, Hq, D]; f32, f16 or bf16. */
  readonly q: Tensor;
  /** [B, Tk, Hkv, D], Hq a multiple of Hkv; likewise. */
  readonly k: Tensor;
}

/** Options of `doubleSparsityChannels`. */
export interface DoubleSparsityChannelsOptions {
  /** Channels of a key head, from 1 to D. */
  readonly r: number;
}

/** Results of `doubleSparsityChannels`. */
export interface DoubleSparsityChannelsResult {
  /** i32 [Hkv, r], ascending. */
  readonly channels: Tensor;
}

/** Operands of `doubleSparsityLabels`. */
export interface DoubleSparsityLabelsInputs {
  /** [B, Tk, Hkv, D]; f32, f16 or bf16. */
  readonly k: Tensor;
  /** i32 [Hkv, r] */
  readonly channels: Tensor;
}

/** Results of `doubleSparsityLabels`. */
export interface DoubleSparsityLabelsResult {
  /** f32 [B, Tk, Hkv, r]; heads lie one after another. */
  readonly labels: Tensor;
}

const OP = 'doubleSparsity';
const CHANNELS = 'doubleSparsityChannels';
const LABELS = 'doubleSparsityLabels';

/** @throws OptionError if a channel is none of the D. */
export function expectChannels(op: string, channels: Tensor, heads: number, d: number): number {
  const { r } = matchShapes(op, { channels }, { channels: `${heads} r` }) as { r: number };
  expectContiguous(op, { channels });
  if (r < 1) throw new ShapeError(`${op}: channels has shape [${channels.shape}], expected at least one of each head`);
  for (const channel of integers(op, 'channels', channels)) {
    if (channel < 0 || channel >= d) throw new OptionError(`${op}: channels has ${channel}, expected 0 to ${d - 1}`);
  }
  return r;
}

/** Lays out the calibration. */
export function planDoubleSparsityChannels(
  b: Builder,
  inputs: DoubleSparsityChannelsInputs,
  options: DoubleSparsityChannelsOptions,
): DoubleSparsityChannelsResult {
  expectNames(CHANNELS, 'input', inputs, ['q', 'k']);
  expectNames(CHANNELS, 'option', options, ['r']);
  const { q, k } = inputs;
  const sizes = matchShapes(CHANNELS, { q, k }, { q: 'B Tq Hq D', k: 'B Tk Hkv D' });
  const { Hq, Hkv, D } = sizes as Record<'Hq' | 'Hkv' | 'D', number>;
  if (Hkv === 0 || Hq % Hkv !== 0) {
    throw new ShapeError(`${CHANNELS}: ${Hq} query heads cannot share ${Hkv} key heads: Hq must be a multiple of Hkv`);
  }
  expectTypes(CHANNELS, { q, k }, ['f32', 'f16', 'bf16']);
  expectRows(CHANNELS, { q, k });
  if (options.r === undefined)
    throw new OptionError(`${CHANNELS}: r is missing, expected how many channels a head has`);
  const r = whole(CHANNELS, 'r', options.r, 1, 1, D);
  return { channels: b.keep(heavyChannels(b, q, k, r)).reshape([Hkv, r]) };
}

/** Lays out the labels of a cache. */
export function planDoubleSparsityLabels(
  b: Builder,
  inputs: DoubleSparsityLabelsInputs,
  options: object = {},
): DoubleSparsityLabelsResult {
  expectNames(LABELS, 'input', inputs, ['k', 'channels']);
  expectNames(LABELS, 'option', options, []);
  const { k, channels } = inputs;
  const { B, Tk, Hkv, D } = matchShapes(LABELS, { k }, { k: 'B Tk Hkv D' }) as Record<'B' | 'Tk' | 'Hkv' | 'D', number>;
  expectTypes(LABELS, { k }, ['f32', 'f16', 'bf16']);
  expectRows(LABELS, { k });
  const r = expectChannels(LABELS, channels, Hkv, D);
  const labels = b.output([B, Hkv, Tk, r]).permute([0, 2, 1, 3]);
  return { labels: takeChannels(b, k, channels, labels) };
}

/** Adds attention on the tokens that some channels choose, by the labels [B, Tk, Hkv, r] of all tokens. */
export function attendLabels(b: Builder, open: OpenChoice, channels: Tensor, labels: Tensor): ChosenTokenResult {
  const { q, scale } = open.call;
  const heavy = takeChannels(b, q, channels, b.temporary([...q.shape.slice(0, 3), channels.shape[1]!]));
  return attendHighest(b, open, { q: heavy, k: labels, scale });
}

/** Lays out the call. */
export function planDoubleSparsity(b: Builder, inputs: DoubleSparsityInputs, options: SinkOptions): ChosenTokenResult {
  const open = openChoice(b, OP, inputs, options, { inputs: ['channels', 'labels'], options: SINKS });
  const { k, v } = open.call;
  expectTypes(OP, { k, v }, ['f32', 'f16', 'bf16']);
  const [B, Tk, Hkv, D] = k.shape as [number, number, number, number];
  const { channels, labels: given } = inputs;
  const r = expectChannels(OP, channels, Hkv, D);
  matchShapes(OP, { labels: given }, { labels: `?${B} ${Tk} ${Hkv} ${r}` });
  expectTypes(OP, { labels: given }, ['f32', 'f16', 'bf16']);
  expectRows(OP, { labels: given });
  const labels = given ?? takeChannels(b, k, channels, b.temporary([B, Hkv, Tk, r]).permute([0, 2, 1, 3]));
  return attendLabels(b, open, channels, labels);
}

/**
 * Causal attention in which every query and head scores all tokens by a few channels of its key head, the same for all queries, and takes
 * the topk, with the first `sinks` and the last `recent`. Queries are aligned with the last keys. With the labels given a step reads r of
 * D channels, which lie together, and the chosen tokens.
 *
 * Source: Double Sparsity (Yang 2024); reference implementation andy-yang-1/DoubleSparse.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example
 * const { channels } = await doubleSparsityChannels({ q, k }, { r: 16 })
 * const { labels } = await doubleSparsityLabels({ k, channels })
 * const { o } = await doubleSparsity({ q, k, v, channels, labels }, { topk: 256 })
 */
export function doubleSparsity(inputs: DoubleSparsityInputs, options: SinkOptions): Promise<ChosenTokenResult> {
  return run(OP, inputs, (b) => planDoubleSparsity(b, inputs, options));
}

/** As `doubleSparsity`, to the end before it returns. */
export function doubleSparsitySync(inputs: DoubleSparsityInputs, options: SinkOptions): ChosenTokenResult {
  return runSync(OP, inputs, (b) => planDoubleSparsity(b, inputs, options));
}

/**
 * The r channels of each key head that have most to say in its scores: those with the largest sum of |q_c k_c| over all pairs of the
 * queries and keys of a sample.
 *
 * Source: Double Sparsity (Yang 2024), offline calibration.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { channels } = await doubleSparsityChannels({ q, k }, { r: 16 })
 */
export function doubleSparsityChannels(
  inputs: DoubleSparsityChannelsInputs,
  options: DoubleSparsityChannelsOptions,
): Promise<DoubleSparsityChannelsResult> {
  return run(CHANNELS, inputs, (b) => planDoubleSparsityChannels(b, inputs, options));
}

/** As `doubleSparsityChannels`, to the end before it returns. */
export function doubleSparsityChannelsSync(
  inputs: DoubleSparsityChannelsInputs,
  options: DoubleSparsityChannelsOptions,
): DoubleSparsityChannelsResult {
  return runSync(CHANNELS, inputs, (b) => planDoubleSparsityChannels(b, inputs, options));
}

/**
 * The channels of a cache that `doubleSparsity` scores by, token by token: what is kept beside the keys.
 *
 * Source: Double Sparsity (Yang 2024), the label cache.
 *
 * @throws ShapeError, DTypeError, OptionError for operands that do not fit.
 * @example const { labels } = await doubleSparsityLabels({ k, channels })
 */
export function doubleSparsityLabels(inputs: DoubleSparsityLabelsInputs): Promise<DoubleSparsityLabelsResult> {
  return run(LABELS, inputs, (b) => planDoubleSparsityLabels(b, inputs));
}

/** As `doubleSparsityLabels`, to the end before it returns. */
export function doubleSparsityLabelsSync(inputs: DoubleSparsityLabelsInputs): DoubleSparsityLabelsResult {
  return runSync(LABELS, inputs, (b) => planDoubleSparsityLabels(b, inputs));
}

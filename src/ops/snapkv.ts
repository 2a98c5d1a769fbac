/**
 * Prompts of which a bounded number of keys stays: those that the last queries vote for.
 *
 * @module
 */
import { expectAttention } from '../engines/cache-operands.ts';
import { indexAttend } from '../engines/index-attention.ts';
import { pyramidShares } from '../engines/pyramid-budgets.ts';
import { expectNames, finite, whole } from '../engines/shapes.ts';
import { VOTE_POOLING, type VotePooling, votedKeys } from '../engines/window-votes.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `snapkv` and `pyramidkv`: a prompt. */
export interface SnapkvInputs {
  /** [B, T, Hq, D]; f32, f16 or bf16. */
  readonly q: Tensor;
  /** [B, T, Hkv, D], Hq a multiple of Hkv; f32, f16 or bf16. */
  readonly k: Tensor;
  /** [B, T, Hkv, Dv] */
  readonly v: Tensor;
}

/** Options of `snapkv`. */
export interface SnapkvOptions {
  /** Last tokens, whose queries vote, and which stay. Default 32. */
  readonly window?: number;
  /** Tokens that stay, the window's among them; at least window. */
  readonly capacity: number;
  /** Neighbours whose votes are pooled, an odd number. Default 5. */
  readonly kernelSize?: number;
  /** Their mean, with zeros beyond the prefix's ends, or their largest. Default `avg`. */
  readonly pooling?: VotePooling;
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
}

/** Options of `pyramidkv`. */
export interface PyramidkvOptions extends SnapkvOptions {
  /** Which layer it is, of how many. */
  readonly layer: number;
  readonly layers: number;
  /** The last layer keeps 1 / beta of the average, beside the window. Default 20. */
  readonly beta?: number;
}

/** Results of `snapkv` and `pyramidkv`. */
export interface SnapkvResult {
  /** f32 [B, 1, Hq, Dv]: the last query over the keys that stay; without tokens [B, 0, Hq, Dv]. */
  readonly o: Tensor;
  /** i32 [B, Hkv, min(T, capacity)]: tokens that stay, in ascending order. */
  readonly kept: Tensor;
}

/** Options of `pyramidBudgets`. */
export interface PyramidBudgetsOptions {
  readonly layers: number;
  /** Tokens of a layer on average, the window's among them. */
  readonly capacity: number;
  /** Last tokens, which every layer keeps. Default 32. */
  readonly window?: number;
  /** The last layer keeps 1 / beta of the average, beside the window. Default 20. */
  readonly beta?: number;
  /** Tokens of the prompt, if known: no layer is given more. Default: no limit. */
  readonly length?: number;
}

const NAMES = ['window', 'capacity', 'kernelSize', 'pooling', 'scale'];
const WINDOW = 32;
/** Part of the average that the last layer keeps, where nothing else is asked. */
export const PYRAMID_BETA = 20;
/** Longer prompts have no places in i32. */
const MOST = 2 ** 31 - 1;

/** How keys are voted on, checked. */
export function votingOf(op: string, options: Omit<SnapkvOptions, 'scale'>) {
  const window = whole(op, 'window', options.window, WINDOW, 1);
  const capacity = whole(op, 'capacity', options.capacity ?? Number.NaN, 1, 1);
  const kernelSize = whole(op, 'kernelSize', options.kernelSize, 5, 1);
  const { pooling = 'avg' } = options;
  if (capacity < window) {
    throw new OptionError(
      `${op}: capacity is ${capacity}, expected at least the window's ${window} tokens, which stay`,
    );
  }
  if (kernelSize % 2 === 0) {
    throw new OptionError(
      `${op}: kernelSize is ${kernelSize}, expected an odd number: as many neighbours on both sides`,
    );
  }
  if (!VOTE_POOLING.includes(pooling)) {
    throw new OptionError(`${op}: pooling is ${pooling}, expected ${VOTE_POOLING.join(' or ')}`);
  }
  return { window, capacity, kernelSize, pooling };
}

/** Lays out the call. */
export function planSnapkv(
  b: Builder,
  inputs: SnapkvInputs,
  options: SnapkvOptions,
  op = 'snapkv',
  capacityOf: (capacity: number, window: number, length: number) => number = (capacity) => capacity,
): SnapkvResult {
  expectNames(op, 'input', inputs, ['q', 'k', 'v']);
  if (op === 'snapkv') expectNames(op, 'option', options, NAMES);
  const { B, T, Hq, Hkv, D, Dv } = expectAttention(op, inputs);
  const voting = votingOf(op, options);
  const scale = finite(op, 'scale', options.scale, D ** -0.5);
  const { q, k, v } = inputs;
  if (T === 0) return { o: b.output([B, 0, Hq, Dv]), kept: b.output([B, Hkv, 0], 'i32') };
  const capacity = capacityOf(voting.capacity, voting.window, T);
  const lists = votedKeys(b, { ...voting, capacity, q, k, scale });
  const o = b.output([B, 1, Hq, Dv]);
  const span = { qStart: 0, qLength: 1, kStart: 0, kLength: T, offset: T - 1 };
  const sequences = Array.from({ length: B }, (_, batch) => ({ ...span, batch }));
  const last = q.slice(1, T - 1, T);
  indexAttend(b, { q: last, k, v, o, sequences, scale, softcap: 0, window: [-1, -1] }, lists);
  const kept = b.keep(lists.indices);
  return { o, kept: kept.reshape([B, Hkv, kept.shape[3]!]) };
}

/** Lays out the call. */
export function planPyramidkv(b: Builder, inputs: SnapkvInputs, options: PyramidkvOptions): SnapkvResult {
  const op = 'pyramidkv';
  expectNames(op, 'option', options, [...NAMES, 'layer', 'layers', 'beta']);
  const layers = whole(op, 'layers', options.layers ?? Number.NaN, 1, 1);
  const layer = whole(op, 'layer', options.layer ?? Number.NaN, 0, 0, layers - 1);
  const beta = finite(op, 'beta', options.beta, PYRAMID_BETA, 1);
  return planSnapkv(
    b,
    inputs,
    options,
    op,
    (capacity, window, length) => pyramidShares({ layers, capacity, window, beta, length })[layer]!,
  );
}

/**
 * Tokens that each layer keeps: as PyramidKV shares them out, many in the first layers and few in the last, in an arithmetic sequence
 * whose sum is layers * capacity exactly. Beside the window the last layer has floor((capacity - window) / beta), the first twice the
 * average less that, or the whole prompt if that is shorter.
 *
 * Source: PyramidKV, Cai 2024; reference implementation Zefan-Cai/KVCache-Factory.
 *
 * @throws OptionError for options that do not fit.
 * @example pyramidBudgets({ layers: 4, capacity: 128, window: 8 }) // [242, 166, 90, 14]
 */
export function pyramidBudgets(options: PyramidBudgetsOptions): number[] {
  const op = 'pyramidBudgets';
  expectNames(op, 'option', options, ['layers', 'capacity', 'window', 'beta', 'length']);
  const window = whole(op, 'window', options.window, WINDOW, 1);
  return pyramidShares({
    layers: whole(op, 'layers', options.layers ?? Number.NaN, 1, 1),
    capacity: whole(op, 'capacity', options.capacity ?? Number.NaN, window, window),
    window,
    beta: finite(op, 'beta', options.beta, PYRAMID_BETA, 1),
    length: whole(op, 'length', options.length, MOST, 0),
  });
}

/**
 * The last query of a prompt over the keys that stay of it: the last `window`, and of those before them the ones that the window's queries
 * give most weight to. A key's vote is the sum of its weights in the causal softmax of the window's queries, and of all heads that share
 * it, pooled with its neighbours'; votes are for the prefix alone. Of equal votes the earlier key stays. A capacity from T on keeps all.
 *
 * Shapes: q [B, T, Hq, D], k [B, T, Hkv, D], v [B, T, Hkv, Dv]; o f32 [B, 1, Hq, Dv], kept i32 [B, Hkv, min(T, capacity)].
 * Source: SnapKV, Li 2024; reference implementation FasterDecoding/SnapKV.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, kept } = await snapkv({ q, k, v }, { window: 32, capacity: 1024 })
 */
export function snapkv(inputs: SnapkvInputs, options: SnapkvOptions): Promise<SnapkvResult> {
  return run('snapkv', inputs, (b) => planSnapkv(b, inputs, options));
}

/** As `snapkv`, to the end before it returns. */
export function snapkvSync(inputs: SnapkvInputs, options: SnapkvOptions): SnapkvResult {
  return runSync('snapkv', inputs, (b) => planSnapkv(b, inputs, options));
}

/**
 * As `snapkv`, with the capacity that `pyramidBudgets` gives this layer for a prompt of T tokens.
 *
 * Shapes: as `snapkv`; kept i32 [B, Hkv, min(T, the layer's capacity)]. Source: PyramidKV, Cai 2024; reference implementation
 * Zefan-Cai/KVCache-Factory, which rounds the steps down, so that its layers keep fewer in all.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, kept } = await pyramidkv({ q, k, v }, { layer: 3, layers: 32, capacity: 1024 })
 */
export function pyramidkv(inputs: SnapkvInputs, options: PyramidkvOptions): Promise<SnapkvResult> {
  return run('pyramidkv', inputs, (b) => planPyramidkv(b, inputs, options));
}

/** As `pyramidkv`, to the end before it returns. */
export function pyramidkvSync(inputs: SnapkvInputs, options: PyramidkvOptions): SnapkvResult {
  return runSync('pyramidkv', inputs, (b) => planPyramidkv(b, inputs, options));
}

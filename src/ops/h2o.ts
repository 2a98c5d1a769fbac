/**
 * Attention over a bounded cache that lets tokens go by the weights they get.
 *
 * @module
 */
import { expectAttention } from '../engines/cache-operands.ts';
import { expectNames, finite, flag, whole } from '../engines/shapes.ts';
import { heldPositions, makeSlots, slotAttend } from '../engines/slot-attention.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `h2o` and `tova`. */
export interface EvictionInputs {
  /** [B, T, Hq, D]; f32, f16 or bf16. */
  readonly q: Tensor;
  /** [B, T, Hkv, D], Hq a multiple of Hkv; f32, f16 or bf16. */
  readonly k: Tensor;
  /** [B, T, Hkv, Dv] */
  readonly v: Tensor;
}

/** Options of `h2o`. */
export interface H2oOptions {
  /** Tokens that stay because of the weights they got. */
  readonly heavy: number;
  /** Newest tokens, which stay in any case. */
  readonly recent: number;
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
}

/** Options of `tova`. */
export interface TovaOptions {
  /** Tokens that stay. */
  readonly budget: number;
  /** Whether each key/value head lets go of a token of its own, instead of the layer of one. Default false. */
  readonly perHead?: boolean;
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
}

/** Results of `h2o` and `tova`. */
export interface EvictionResult {
  /** f32 [B, T, Hq, Dv] */
  readonly o: Tensor;
  /** i32 [B, Hkv, min(T, budget)], of a layer that lets go as one [B, 1, min(T, budget)]: tokens that are left, in ascending order. */
  readonly kept: Tensor;
}

/** How tokens are let go. */
interface Eviction {
  readonly budget: number;
  readonly recent: number;
  readonly addSums: boolean;
  readonly perHead: boolean;
  readonly scale: number | undefined;
}

function planEviction(b: Builder, op: string, inputs: EvictionInputs, eviction: Eviction): EvictionResult {
  const { B, T, Hq, Hkv, D, Dv } = expectAttention(op, inputs);
  const { q, k, v } = inputs;
  const { budget, perHead } = eviction;
  const held = Math.min(T, budget);
  const shape = { batch: B, slots: held + 1, kvHeads: Hkv, unitHeads: perHead ? 1 : Hkv, dk: D, dv: Dv };
  const slots = makeSlots((axes, dtype) => b.temporary(axes, dtype), shape, 'f32');
  const o = b.output([B, T, Hq, Dv]);
  const scale = finite(op, 'scale', eviction.scale, D ** -0.5);
  slotAttend(b, slots, { k, v, held: 0, start: 0 }, { ...eviction, q, o, scale });
  const kept = b.keep(heldPositions(b, slots, held, T));
  return { o, kept: kept.reshape([B, perHead ? Hkv : 1, held]) };
}

/** Tokens that stay, and how many of them are the newest. @throws OptionError unless they are whole numbers, not both 0. */
export function h2oBudget(op: string, options: Pick<H2oOptions, 'heavy' | 'recent'>) {
  const heavy = whole(op, 'heavy', options.heavy ?? Number.NaN, 0, 0);
  const recent = whole(op, 'recent', options.recent ?? Number.NaN, 0, 0, 2 ** 31 - 1 - heavy);
  if (heavy + recent === 0) {
    throw new OptionError(`${op}: heavy and recent are both 0, expected at least one token to stay`);
  }
  return { budget: heavy + recent, recent };
}

/** Lays out the call. */
export function planH2o(b: Builder, inputs: EvictionInputs, options: H2oOptions): EvictionResult {
  const op = 'h2o';
  expectNames(op, 'input', inputs, ['q', 'k', 'v']);
  expectNames(op, 'option', options, ['heavy', 'recent', 'scale']);
  return planEviction(b, op, inputs, {
    ...h2oBudget(op, options),
    addSums: true,
    perHead: true,
    scale: options.scale,
  });
}

/** Lays out the call. */
export function planTova(b: Builder, inputs: EvictionInputs, options: TovaOptions): EvictionResult {
  const op = 'tova';
  expectNames(op, 'input', inputs, ['q', 'k', 'v']);
  expectNames(op, 'option', options, ['budget', 'perHead', 'scale']);
  return planEviction(b, op, inputs, {
    budget: whole(op, 'budget', options.budget ?? Number.NaN, 1, 1),
    recent: 0,
    addSums: false,
    perHead: flag(op, 'perHead', options.perHead),
    scale: options.scale,
  });
}

/**
 * Causal attention over a cache of heavy + recent tokens of each head: every token is put in, attends, and adds its weights to those that
 * the tokens held have got; where they are then too many, the one with the least sum goes, of equal sums the earliest, but none of the last
 * `recent`. `heavy` 0 is a sliding window; both 0 is an error. Heads that share a key and value add their weights.
 *
 * Shapes: q [B, T, Hq, D], k [B, T, Hkv, D], v [B, T, Hkv, Dv]; o f32 [B, T, Hq, Dv], kept i32 [B, Hkv, min(T, heavy + recent)].
 * Source: H2O, Zhang 2023; reference implementation FMInference/H2O, whose prompts are let go of at their end, not token by token.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, kept } = await h2o({ q, k, v }, { heavy: 128, recent: 128 })
 */
export function h2o(inputs: EvictionInputs, options: H2oOptions): Promise<EvictionResult> {
  return run('h2o', inputs, (b) => planH2o(b, inputs, options));
}

/** As `h2o`, to the end before it returns. */
export function h2oSync(inputs: EvictionInputs, options: H2oOptions): EvictionResult {
  return runSync('h2o', inputs, (b) => planH2o(b, inputs, options));
}

/**
 * Causal attention over a cache of `budget` tokens: where a token makes it one too many, that with the least weight of its query goes, the
 * newest not excepted, of equals the earliest. All heads of the layer together let one go, by the mean of their weights, or with `perHead`
 * each key/value head its own.
 *
 * Shapes: q [B, T, Hq, D], k [B, T, Hkv, D], v [B, T, Hkv, Dv]; o f32 [B, T, Hq, Dv], kept i32 [B, 1 or Hkv, min(T, budget)].
 * Source: TOVA, Oren 2024; reference implementation schwartz-lab-NLP/TOVA, whose prompts are let go of at their end, not token by token.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, kept } = await tova({ q, k, v }, { budget: 256 })
 */
export function tova(inputs: EvictionInputs, options: TovaOptions): Promise<EvictionResult> {
  return run('tova', inputs, (b) => planTova(b, inputs, options));
}

/** As `tova`, to the end before it returns. */
export function tovaSync(inputs: EvictionInputs, options: TovaOptions): EvictionResult {
  return runSync('tova', inputs, (b) => planTova(b, inputs, options));
}

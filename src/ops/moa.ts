/**
 * Windows that grow with the sequence, one for every head.
 *
 * @module
 */
import { type PatternInputs, type PatternOptions, type PatternResult, patternCall } from '../engines/pattern-call.ts';
import { finite, whole } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { moaWindow } from '../patterns/heads.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import { streamHeads } from './streaming.ts';

/** Options of `moaAttention`. */
export interface MoaAttentionOptions extends PatternOptions {
  /** Keys of each query head's window at length 0, and how many more for every token: numbers for all heads, or one each. */
  readonly alpha: number | readonly number[];
  readonly beta: number | readonly number[];
  /** The length N of alpha + beta N. Default T. */
  readonly length?: number;
  /** Keys at the beginning that every query sees. Default 64. */
  readonly sinks?: number;
  /** Windows are rounded to multiples of this. Default 64. */
  readonly blockSize?: number;
}

const OP = 'moaAttention';

/** One number for each head. */
function perHead(name: string, value: number | readonly number[] | undefined, heads: number): number[] {
  const each = typeof value === 'number' ? new Array<number>(heads).fill(value) : value;
  if (!Array.isArray(each) || each.length !== heads) {
    throw new OptionError(
      `${OP}: ${name} is ${JSON.stringify(value)}, expected a number or one for each of ${heads} heads`,
    );
  }
  return each.map((x, h) => finite(OP, `${name}[${h}]`, x as number, 0, 0));
}

/** Lays out the call: heads of one window that lie together are one attention. */
export function planMoaAttention(b: Builder, inputs: PatternInputs, options: MoaAttentionOptions): PatternResult {
  const { call, sizes } = patternCall(b, OP, inputs, options, {
    options: ['alpha', 'beta', 'length', 'sinks', 'blockSize'],
  });
  const { T, Hq } = sizes;
  const alpha = perHead('alpha', options.alpha, Hq);
  const beta = perHead('beta', options.beta, Hq);
  const length = whole(OP, 'length', options.length, T, 0);
  const sinks = whole(OP, 'sinks', options.sinks, 64, 0);
  const block = whole(OP, 'blockSize', options.blockSize, 64, 1);
  const plans = alpha.map((least, h) => {
    return { sinks, recent: moaWindow(least, beta[h]!, length, block) };
  });
  streamHeads(b, call, plans);
  b.note(() => `windows of ${plans.map(({ recent }) => recent).join(', ')} keys beside ${sinks} sinks`);
  return { o: call.o, lse: call.lse };
}

/**
 * Causal attention over the first `sinks` keys and the last alpha + beta N of each head, in whole blocks and at least one.
 *
 * Shapes: q [B, T, Hq, D], k [B, T, Hkv, D], v [B, T, Hkv, Dv] -> o [B, T, Hq, Dv], lse [B, T, Hq].
 *
 * Source: MoA, mixture of sparse attention (Fu 2024); reference implementation thu-nics/MoA, whose search finds alpha and beta.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await moaAttention({ q, k, v }, { alpha: [256, 0, 128, 64], beta: [0, 0.25, 0.1, 0] })
 */
export function moaAttention(inputs: PatternInputs, options: MoaAttentionOptions): Promise<PatternResult> {
  return run(OP, inputs, (b) => planMoaAttention(b, inputs, options));
}

/** As `moaAttention`, to the end before it returns. */
export function moaAttentionSync(inputs: PatternInputs, options: MoaAttentionOptions): PatternResult {
  return runSync(OP, inputs, (b) => planMoaAttention(b, inputs, options));
}

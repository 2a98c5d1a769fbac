/**
 * Patterns that give heads windows of their own.
 *
 * @module
 */
import { finite } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { causal, type Pattern } from '../pattern.ts';
import { needed } from './checks.ts';
import { perHead } from './combine.ts';
import { streamingLlm } from './tokens.ts';

/** Heads that see all keys beside heads that see sinks and recent keys (DuoAttention, Xiao 2024). */
export function duoAttention(options: {
  /** For each head of the mask whether it sees all keys. */
  readonly full: readonly boolean[];
  readonly sinks?: number;
  readonly recent?: number;
}): Pattern {
  const { full, sinks = 64, recent = 256 } = options;
  if (!Array.isArray(full) || full.length === 0) {
    throw new OptionError(`duoAttention: full is ${JSON.stringify(full)}, expected true or false for each head`);
  }
  const part = streamingLlm({ sinks, window: recent });
  return perHead(full.map((whole) => (whole ? causal() : part)));
}

/** Keys of a window of alpha + beta N, in whole blocks and at least one. */
export function moaWindow(alpha: number, beta: number, length: number, blockSize: number): number {
  return blockSize * Math.max(1, Math.round((alpha + beta * length) / blockSize));
}

/** Sinks and a window of alpha + beta N for each head (MoA, mixture of sparse attention, Fu 2024). */
export function moaAttention(options: {
  readonly alpha: readonly number[];
  readonly beta: readonly number[];
  /** N. */
  readonly length: number;
  readonly sinks?: number;
  readonly blockSize?: number;
}): Pattern {
  const { alpha, beta, length, sinks = 64, blockSize = 64 } = options;
  needed('moaAttention', 'length', length, 0);
  needed('moaAttention', 'blockSize', blockSize, 1);
  if (!Array.isArray(alpha) || !Array.isArray(beta) || alpha.length !== beta.length || alpha.length === 0) {
    throw new OptionError('moaAttention: alpha and beta must have one number for each head, both as many');
  }
  return perHead(
    alpha.map((least, h) => {
      finite('moaAttention', `alpha[${h}]`, least, 0, 0);
      finite('moaAttention', `beta[${h}]`, beta[h], 0, 0);
      return streamingLlm({ sinks, window: moaWindow(least, beta[h]!, length, blockSize) });
    }),
  );
}

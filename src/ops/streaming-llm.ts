/**
 * Attention sinks with a window.
 *
 * @module
 */
import {
  type PatternInputs,
  type PatternOptions,
  type PatternResult,
  patternCall,
  required,
} from '../engines/pattern-call.ts';
import { whole } from '../engines/shapes.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import { streamingAttend } from './streaming.ts';

/** Options of `streamingLlm`. */
export interface StreamingLlmOptions extends PatternOptions {
  /** Keys at the beginning that every query sees. Default 4. */
  readonly sinks?: number;
  /** Last keys that a query sees, its own counted. */
  readonly window: number;
}

const OP = 'streamingLlm';

/** Lays out the call. */
export function planStreamingLlm(b: Builder, inputs: PatternInputs, options: StreamingLlmOptions): PatternResult {
  const { call } = patternCall(b, OP, inputs, options, { options: ['sinks', 'window'] });
  const recent = required(OP, 'window', options.window, 1);
  streamingAttend(b, call, { sinks: whole(OP, 'sinks', options.sinks, 4, 0), recent });
  return { o: call.o, lse: call.lse };
}

/**
 * Causal attention over the first `sinks` keys and the last `window`: what a cache of that size would have given at every token. Positions are
 * the caller's: rotate q and k for the places in the cache that are wanted before the call.
 *
 * Shapes: q [B, T, Hq, D], k [B, T, Hkv, D], v [B, T, Hkv, Dv] -> o [B, T, Hq, Dv], lse [B, T, Hq].
 *
 * Source: StreamingLLM (Xiao 2023); reference implementation mit-han-lab/streaming-llm.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await streamingLlm({ q, k, v }, { sinks: 4, window: 1024 })
 */
export function streamingLlm(inputs: PatternInputs, options: StreamingLlmOptions): Promise<PatternResult> {
  return run(OP, inputs, (b) => planStreamingLlm(b, inputs, options));
}

/** As `streamingLlm`, to the end before it returns. */
export function streamingLlmSync(inputs: PatternInputs, options: StreamingLlmOptions): PatternResult {
  return runSync(OP, inputs, (b) => planStreamingLlm(b, inputs, options));
}

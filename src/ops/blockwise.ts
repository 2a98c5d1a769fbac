/**
 * Attention between blocks of tokens.
 *
 * @module
 */
import { flashAttend } from '../engines/flash.ts';
import {
  blocksOf,
  headRuns,
  headsOf,
  type PatternInputs,
  type PatternOptions,
  type PatternResult,
  patternCall,
  required,
} from '../engines/pattern-call.ts';
import { flag, integers } from '../engines/shapes.ts';
import { ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `blockwiseAttention`. */
export interface BlockwiseAttentionInputs extends PatternInputs {
  /** i32 [Hq|1, ceil(T / blockSize)]: the block of keys that each block of queries sees. Default: its own. */
  readonly permutation?: Tensor;
}

/** Options of `blockwiseAttention`. */
export interface BlockwiseAttentionOptions extends PatternOptions {
  /** Tokens of a block. */
  readonly blockSize: number;
  /** Only keys up to the query's own. Default false. */
  readonly causal?: boolean;
}

const OP = 'blockwiseAttention';

/** Lays out the call: each block of queries is a sequence of its own. */
export function planBlockwise(
  b: Builder,
  inputs: BlockwiseAttentionInputs,
  options: BlockwiseAttentionOptions,
): PatternResult {
  const { call, sizes } = patternCall(b, OP, inputs, options, {
    inputs: { permutation: '?Hq|1 N' },
    options: ['blockSize', 'causal'],
  });
  const blockSize = required(OP, 'blockSize', options.blockSize, 1);
  const window = [-1, flag(OP, 'causal', options.causal) ? 0 : -1] as const;
  const { T, Hq, Hkv } = sizes;
  const blocks = Math.ceil(T / blockSize);
  const { permutation } = inputs;
  if (!permutation) {
    flashAttend(b, { ...blocksOf(call, blockSize), window });
    return { o: call.o, lse: call.lse };
  }
  const seen = integers(OP, 'permutation', permutation);
  const wrong = seen.find((block) => block < 0 || block >= blocks);
  if (permutation.shape[1] !== blocks || wrong !== undefined) {
    throw new ShapeError(
      wrong === undefined
        ? `${OP}: permutation has shape [${permutation.shape}], expected [${Hq}|1, ${blocks}]: there are ${blocks} blocks of ${blockSize} in T = ${T}`
        : `${OP}: permutation holds ${wrong}, expected 0 to ${blocks - 1}: there are ${blocks} blocks of ${blockSize} in T = ${T}`,
    );
  }
  const rows = permutation.shape[0]!;
  const plans = Array.from({ length: Hq }, (_, h) => seen.subarray((h % rows) * blocks, ((h % rows) + 1) * blocks));
  const same = (x: Int32Array, y: Int32Array) => x.every((block, i) => block === y[i]);
  for (const { from, to, plan } of headRuns(plans, Hq / Hkv, same)) {
    const blocks = blocksOf(headsOf(call, from, to), blockSize, (block) => plan[block]!);
    b.reusing(() => flashAttend(b, { ...blocks, window }));
  }
  return { o: call.o, lse: call.lse };
}

/**
 * Attention of each block of queries over one block of keys: its own, or the one that a permutation of its head names.
 *
 * Shapes: q [B, T, Hq, D], k [B, T, Hkv, D], v [B, T, Hkv, Dv] -> o [B, T, Hq, Dv], lse [B, T, Hq]. The last block may be shorter.
 *
 * Source: BlockBERT (Qiu 2019).
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await blockwiseAttention({ q, k, v }, { blockSize: 256 })
 */
export function blockwiseAttention(
  inputs: BlockwiseAttentionInputs,
  options: BlockwiseAttentionOptions,
): Promise<PatternResult> {
  return run(OP, inputs, (b) => planBlockwise(b, inputs, options));
}

/** As `blockwiseAttention`, to the end before it returns. */
export function blockwiseAttentionSync(
  inputs: BlockwiseAttentionInputs,
  options: BlockwiseAttentionOptions,
): PatternResult {
  return runSync(OP, inputs, (b) => planBlockwise(b, inputs, options));
}

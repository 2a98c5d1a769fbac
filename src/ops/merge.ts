/**
 * Merging of attention results over disjoint sets of keys.
 *
 * @module
 */
import { mergeStates } from '../engines/decode.ts';
import { expectContiguous, expectNames, expectTypes, matchShapes } from '../engines/shapes.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import type { AttentionResult } from './attention.ts';

/** Operands of `mergeState`: two results of `attention` for the same queries. */
export interface MergeStateInputs {
  /** f32 [B, T, H, D] */
  readonly oA: Tensor;
  /** f32 [B, T, H] */
  readonly lseA: Tensor;
  readonly oB: Tensor;
  readonly lseB: Tensor;
}

const OP = 'mergeState';

/** Lays out the call. */
export function planMerge(b: Builder, inputs: MergeStateInputs): AttentionResult {
  expectNames(OP, 'input', inputs, ['oA', 'lseA', 'oB', 'lseB']);
  matchShapes<keyof MergeStateInputs>(
    OP,
    { ...inputs },
    { oA: 'B T H D', lseA: 'B T H', oB: 'B T H D', lseB: 'B T H' },
  );
  expectTypes(OP, { ...inputs }, ['f32']);
  expectContiguous(OP, { ...inputs });
  const { oA, lseA, oB, lseB } = inputs;
  const o = b.output(oA.shape);
  const lse = b.output(lseA.shape);
  mergeStates(b, oA, lseA, oB, lseB, o, lse);
  return { o, lse };
}

/**
 * The result that attention over both key sets together would have given. Associative, so that shards, splits and
 * shared prefixes can be joined in any order; a side that saw no key (lse = -Infinity) leaves the other as it is.
 *
 * Source: FlashInfer (Ye 2025), merge_state; Blockwise and Ring Attention (Liu 2023).
 *
 * @throws ShapeError, DTypeError for operands that do not fit.
 * @example const { o, lse } = await mergeState({ oA: prefix.o, lseA: prefix.lse, oB: suffix.o, lseB: suffix.lse })
 */
export function mergeState(inputs: MergeStateInputs): Promise<AttentionResult> {
  return run(OP, inputs, (b) => planMerge(b, inputs));
}

/** As `mergeState`, to the end before it returns. */
export function mergeStateSync(inputs: MergeStateInputs): AttentionResult {
  return runSync(OP, inputs, (b) => planMerge(b, inputs));
}

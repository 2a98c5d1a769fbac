/**
 * Attention over the block mask of a pattern.
 *
 * @module
 */
import { sharedMask } from '../block-mask.ts';
import type { AttentionCall } from '../engines/attention-call.ts';
import { flashAttend } from '../engines/flash.ts';
import type { Pattern } from '../pattern.ts';
import type { Builder } from '../runtime/program.ts';

/** Adds attention over the pairs that a pattern shows; calls of equal patterns and lengths share its mask. */
export function maskedAttend(b: Builder, call: AttentionCall, pattern: Pattern, blockQ?: number): void {
  const [batch, Tq, heads] = call.q.shape as [number, number, number];
  const sizes = { Tq, Tk: call.k.shape[1]!, ...(blockQ !== undefined && { blockQ }) };
  const own = { ...(pattern.perBatch && { batch }), ...(pattern.perHead && { heads }) };
  flashAttend(b, { ...call, blocks: sharedMask(pattern, { ...sizes, ...own }).list });
}

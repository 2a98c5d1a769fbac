/**
 * Sinks and recent keys: the causal window of streaming attention, and heads that have one each.
 *
 * @module
 */
import { flashAttend } from '../engines/flash.ts';
import { headRuns, headsOf, type PatternCall } from '../engines/pattern-call.ts';
import { streamingLlm } from '../patterns/tokens.ts';
import type { Builder } from '../runtime/program.ts';
import { maskedAttend } from './masked.ts';

/** Keys that a query sees: the first `sinks` and the last `recent`, its own counted; Infinity: all up to its own. */
export interface Streaming {
  readonly sinks: number;
  readonly recent: number;
}

/** Adds causal attention over sinks and recent keys. */
export function streamingAttend(b: Builder, call: PatternCall, { sinks, recent }: Streaming): void {
  const length = call.q.shape[1]!;
  const all = sinks + recent >= length;
  if (all || sinks === 0) flashAttend(b, { ...call, window: [all ? -1 : recent - 1, 0] });
  else maskedAttend(b, call, streamingLlm({ sinks, window: recent }));
}

/** Adds `streamingAttend` with a plan for each query head. */
export function streamHeads(b: Builder, call: PatternCall, plans: readonly Streaming[]): void {
  const group = call.q.shape[2]! / call.k.shape[2]!;
  const same = (x: Streaming, y: Streaming) => x.sinks === y.sinks && x.recent === y.recent;
  for (const { from, to, plan } of headRuns(plans, group, same)) {
    b.reusing(() => streamingAttend(b, headsOf(call, from, to), plan));
  }
}

/**
 * Sinks and recent keys: the causal window of streaming attention, and heads that have one each.
 *
 * @module
 */
import type { Builder } from '../runtime/program.ts';
import { flashAttend } from './flash.ts';
import { headRuns, headsOf, type PatternCall } from './pattern-call.ts';

/** Keys that a query sees: the first `sinks` and the last `recent`, its own counted; Infinity: all up to its own. */
export interface Streaming {
  readonly sinks: number;
  readonly recent: number;
}

/** Adds causal attention over sinks and recent keys: a window, joined with the sinks before it. */
export function streamingAttend(b: Builder, call: PatternCall, { sinks, recent }: Streaming): void {
  const length = call.q.shape[1]!;
  if (sinks + recent >= length) {
    flashAttend(b, { ...call, window: [-1, 0] });
    return;
  }
  flashAttend(b, { ...call, window: [recent - 1, 0] });
  if (sinks === 0) return;
  // the first query whose window leaves a sink out is aligned with that sink
  const sequences = call.sequences.map((s) => ({ ...s, qStart: recent, qLength: length - recent, kLength: sinks }));
  flashAttend(b, { ...call, sequences, window: [-1, 0], accumulate: 'join' });
}

/** Adds `streamingAttend` with a plan for each query head. */
export function streamHeads(b: Builder, call: PatternCall, plans: readonly Streaming[]): void {
  const group = call.q.shape[2]! / call.k.shape[2]!;
  const same = (x: Streaming, y: Streaming) => x.sinks === y.sinks && x.recent === y.recent;
  for (const { from, to, plan } of headRuns(plans, group, same)) streamingAttend(b, headsOf(call, from, to), plan);
}

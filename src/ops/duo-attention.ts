/**
 * Heads with all keys beside heads with sinks and recent keys.
 *
 * @module
 */
import { flashAttend } from '../engines/flash.ts';
import { type PatternInputs, type PatternOptions, type PatternResult, patternCall } from '../engines/pattern-call.ts';
import { expectTypes, finite, flag, whole } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { streamHeads, streamingAttend } from './streaming.ts';

/** Operands of `duoAttention`. */
export interface DuoAttentionInputs extends PatternInputs {
  /** f32 [Hkv]: how much each key/value head needs all keys, as trained. */
  readonly gate?: Tensor;
}

/** Options of `duoAttention`: which heads see all keys, by `full`, by the gate, or both ways in part. */
export interface DuoAttentionOptions extends PatternOptions {
  /** Keys at the beginning that the other heads see. Default 64. */
  readonly sinks?: number;
  /** Last keys that the other heads see, the query's own counted. Default 256. */
  readonly recent?: number;
  /** For each key/value head whether it sees all keys. */
  readonly full?: readonly boolean[];
  /** Heads whose gate is at least this see all keys. Default 0.5. */
  readonly threshold?: number;
  /** Share of the heads that do not see all keys: the threshold is this quantile of the gates. */
  readonly sparsity?: number;
  /** Every head does both, and o is gate * full + (1 - gate) * streaming, as in training. Default false. */
  readonly blend?: boolean;
}

const OP = 'duoAttention';

/** Which key/value heads see all keys. */
function fullHeads(heads: number, gate: Tensor | undefined, options: DuoAttentionOptions): boolean[] {
  const { full, threshold, sparsity } = options;
  const ways = [full, threshold, sparsity].filter((way) => way !== undefined).length;
  if (ways > 1) throw new OptionError(`${OP}: full, threshold and sparsity are three ways to choose heads; give one`);
  if (full) {
    if (gate) throw new OptionError(`${OP}: full was given with a gate; leave one of them out`);
    if (!Array.isArray(full) || full.length !== heads || full.some((yes) => typeof yes !== 'boolean')) {
      throw new OptionError(`${OP}: full is ${JSON.stringify(full)}, expected true or false for ${heads} heads`);
    }
    return [...full];
  }
  if (!gate) throw new OptionError(`${OP}: neither a gate nor full says which heads see all keys; give one of them`);
  const gates = gate.dataSync() as Float32Array;
  if (sparsity === undefined) {
    const least = finite(OP, 'threshold', threshold, 0.5);
    return Array.from(gates, (g) => g >= least);
  }
  const share = finite(OP, 'sparsity', sparsity, 0, 0, 1);
  const streaming = share === 1 ? heads : Math.ceil(share * (heads - 1));
  // gates that are equal go by the head's number: later heads stay full
  const order = Array.from(gates, (g, h) => ({ g, h })).sort((x, y) => x.g - y.g || x.h - y.h);
  const chosen = new Array<boolean>(heads).fill(true);
  for (const { h } of order.slice(0, streaming)) chosen[h] = false;
  return chosen;
}

/** A factor for every query head, from the gate of its key/value head. */
function factors(b: Builder, gate: Tensor, heads: number, of: (gate: number) => number): Tensor {
  const gates = gate.dataSync() as Float32Array;
  const tensor = b.temporary([heads]);
  const each = Float32Array.from({ length: heads }, (_, h) => of(gates[Math.floor((h * gates.length) / heads)]!));
  tensor.write(each);
  return tensor;
}

/** Lays out the call: heads of one kind that lie together are one attention. */
export function planDuoAttention(b: Builder, inputs: DuoAttentionInputs, options: DuoAttentionOptions): PatternResult {
  const { call, sizes } = patternCall(b, OP, inputs, options, {
    inputs: { gate: '?Hkv' },
    options: ['sinks', 'recent', 'full', 'threshold', 'sparsity', 'blend'],
  });
  const { gate } = inputs;
  expectTypes(OP, { gate }, ['f32']);
  const { Hq, Hkv } = sizes;
  const streaming = {
    sinks: whole(OP, 'sinks', options.sinks, 64, 0),
    recent: whole(OP, 'recent', options.recent, 256, 1),
  };
  if (flag(OP, 'blend', options.blend)) {
    if (!gate) throw new OptionError(`${OP}: blend needs a gate, f32 [Hkv] = [${Hkv}]`);
    const given = ['full', 'threshold', 'sparsity'].find((name) => name in options);
    if (given) throw new OptionError(`${OP}: ${given} was given with blend, for which every head does both`);
    streamingAttend(b, { ...call, outScale: factors(b, gate, Hq, (g) => 1 - g) }, streaming);
    flashAttend(b, { ...call, window: [-1, 0], outScale: factors(b, gate, Hq, (g) => g), accumulate: true });
    return { o: call.o, lse: call.lse };
  }
  const full = fullHeads(Hkv, gate, options);
  const all = { sinks: 0, recent: Number.POSITIVE_INFINITY };
  streamHeads(
    b,
    call,
    Array.from({ length: Hq }, (_, h) => (full[Math.floor((h * Hkv) / Hq)] ? all : streaming)),
  );
  b.note(() => `${full.filter(Boolean).length} of ${Hkv} key/value heads see all keys`);
  return { o: call.o, lse: call.lse };
}

/**
 * Causal attention in which only some key/value heads see all keys, and the others the first `sinks` and the last `recent`.
 *
 * Shapes: q [B, T, Hq, D], k [B, T, Hkv, D], v [B, T, Hkv, Dv], gate [Hkv] -> o [B, T, Hq, Dv], lse [B, T, Hq]. With `blend` the lse is that
 * of full attention.
 *
 * Source: DuoAttention (Xiao 2024); reference implementation mit-han-lab/duo-attention.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit, or where nothing says which heads see all keys.
 * @example const { o } = await duoAttention({ q, k, v, gate }, { sparsity: 0.5 })
 */
export function duoAttention(inputs: DuoAttentionInputs, options: DuoAttentionOptions = {}): Promise<PatternResult> {
  return run(OP, inputs, (b) => planDuoAttention(b, inputs, options));
}

/** As `duoAttention`, to the end before it returns. */
export function duoAttentionSync(inputs: DuoAttentionInputs, options: DuoAttentionOptions = {}): PatternResult {
  return runSync(OP, inputs, (b) => planDuoAttention(b, inputs, options));
}

/**
 * What the methods of the delta engine share: their operands checked, their results made.
 *
 * @module
 */
import { OptionError } from '../errors.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { packed } from './copy.ts';
import type { DeltaCall } from './delta.ts';
import {
  type LinearInputs,
  type LinearNames,
  type LinearOptions,
  type LinearResult,
  type LinearSizes,
  openLinear,
} from './linear-operands.ts';
import type { SequenceSpan } from './sequences.ts';
import { whole } from './shapes.ts';

/** Operands of delta rules with one strength a token. */
export interface DeltaInputs extends LinearInputs {
  /** f32 [B, T, HV]: strength of the write, from 0 (no change) to 1 (the key's value is replaced), or to 2. */
  readonly beta: Tensor;
}

/** Options of delta rules that may normalise. */
export interface NormalizingOptions extends LinearOptions {
  /** Whether queries and keys are divided by sqrt(sum x^2 + 1e-6). Default false. */
  readonly useQkL2norm?: boolean;
}

/** Options of delta rules that may keep states on the way. */
export interface DeltaOptions extends NormalizingOptions {
  /** Keeps the state after every so many tokens of a sequence, to go back to. Default: keeps none. */
  readonly snapshotEvery?: number;
}

/** Outputs of delta rules. */
export interface DeltaResult extends LinearResult {
  /** f32 [N, C, HV, K, V], C the longest sequence's tokens by `snapshotEvery`, rounded down: with that option alone; zeros past a sequence's end. */
  readonly snapshots?: Tensor;
}

/** A call without what is the method's own. */
export type OpenDeltaCall = DeltaCall & { readonly q: Tensor; readonly o: Tensor };

/** What a method goes on from. */
export interface OpenDelta {
  readonly sizes: LinearSizes;
  readonly call: OpenDeltaCall;
}

/** What is added to the sum of squares that a normalised row is divided by the root of. */
export const NORM_EPSILON = 1e-6;

/**
 * As `openLinear`, for the delta engine.
 *
 * @throws ShapeError, DTypeError, OptionError
 */
export function openDelta(
  b: Builder,
  op: string,
  inputs: LinearInputs,
  options: LinearOptions & { readonly fallbackScale?: number },
  names: LinearNames,
): OpenDelta {
  const { sizes, call } = openLinear(b, op, inputs, options, names);
  const { k, v, scale, sequences, o, initial, final } = call;
  return {
    sizes,
    call: { q: call.q!, k: k!, v, scale, sequences, o, initial: initial?.state, final: final.state },
  };
}

/** Whether rows are normalised, as the engine takes it. @throws OptionError if the option is no boolean. */
export function normalization(op: string, { useQkL2norm = false }: NormalizingOptions): number | undefined {
  if (typeof useQkL2norm !== 'boolean') {
    throw new OptionError(`${op}: useQkL2norm is ${useQkL2norm}, expected true or false`);
  }
  return useQkL2norm ? NORM_EPSILON : undefined;
}

/**
 * The states to keep of a call, and the tensor that is returned.
 *
 * @throws OptionError if the option is no whole number above 0.
 */
export function snapshotsOf(
  b: Builder,
  op: string,
  { snapshotEvery }: DeltaOptions,
  { N, HV, K, V }: LinearSizes,
  sequences: readonly SequenceSpan[],
): Pick<DeltaCall, 'snapshots'> & { readonly kept: Pick<DeltaResult, 'snapshots'> } {
  if (snapshotEvery === undefined) return { kept: {} };
  const every = whole(op, 'snapshotEvery', snapshotEvery, 1, 1);
  const lengths = sequences.map(({ qLength }) => qLength);
  const count = Math.floor(Math.max(0, ...lengths) / every);
  const into = b.output([N, count, HV, K, V]);
  if (lengths.some((length) => Math.floor(length / every) < count)) into.write(new Float32Array(into.size));
  return { kept: { snapshots: into }, ...(count > 0 && { snapshots: { every, into } }) };
}

/** beta [B, T, HV] of any strides, or a copy of it without gaps. */
export function strengths(b: Builder, beta: Tensor): Tensor {
  if (beta.contiguous) return beta;
  const [B, T, HV] = beta.shape as [number, number, number];
  const [strideB, strideT, strideH] = beta.strides as [number, number, number];
  const rows =
    strideH === 1
      ? beta.restride([B, T, 1, HV], [strideB, strideT, HV, 1])
      : beta.restride([B, T, HV, 1], [strideB, strideT, strideH, 1]);
  return packed(b, rows).reshape([B, T, HV]);
}

/** Axes of a row gate that has either the keys' heads or the values'. */
export function rowGateAxes(g: Tensor | undefined, v: Tensor | undefined): string {
  return g?.shape?.[2] !== undefined && g.shape[2] === v?.shape?.[2] ? 'B T HV K' : 'B T H K';
}

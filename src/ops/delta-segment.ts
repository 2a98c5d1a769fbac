/**
 * Segments of the delta rules: what a span of tokens does to any state.
 *
 * @module
 */
import { sum } from '../engines/binary.ts';
import { delta } from '../engines/delta.ts';
import {
  type DeltaInputs,
  type NormalizingOptions,
  normalization,
  rowGateAxes,
  strengths,
} from '../engines/delta-operands.ts';
import { gemm, gemmPack, packedSize } from '../engines/gemm.ts';
import { linearSizes } from '../engines/linear-operands.ts';
import { expectContiguous, expectNames, expectTypes, matchShapes } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `deltaSegment`. */
export interface DeltaSegmentInputs extends Omit<DeltaInputs, 'q' | 'initialState'> {
  /** f32 [B, T, HV]: log decay of each value head's state. Default 0. */
  readonly g?: Tensor;
  /** f32 [B, T, HV, K] or [B, T, H, K]: log decay of the state's rows, in place of g. */
  readonly gk?: Tensor;
}

/** Options of `deltaSegment`. */
export type DeltaSegmentOptions = Pick<NormalizingOptions, 'useQkL2norm'>;

/** What a segment does to a state: S becomes transition S + update. */
export interface DeltaSegment {
  /** f32 [N, HV, K, V]: the state after the segment if it was zero before. */
  readonly update: Tensor;
  /** f32 [N, HV, K, K]: what becomes of the state before. */
  readonly transition: Tensor;
}

/** Operands of `joinDeltaSegment`. */
export interface JoinDeltaSegmentInputs extends DeltaSegment {
  /** f32 [N, HV, K, V], updated in place. */
  readonly state: Tensor;
}

const OP = 'deltaSegment';
const JOIN = 'joinDeltaSegment';

/** A tensor of zeros, repeated without memory for them. */
function zeros(b: Builder, shape: readonly number[]): Tensor {
  const one = b.temporary([shape.at(-1)!]);
  one.write(new Float32Array(one.size));
  return one.broadcast(shape);
}

/** The identity [K, K], repeated. */
function identity(b: Builder, shape: readonly number[]): Tensor {
  const size = shape.at(-1)!;
  const one = b.temporary([size, size]);
  one.write(Float32Array.from({ length: size * size }, (_, at) => (at % (size + 1) === 0 ? 1 : 0)));
  return one.broadcast(shape);
}

/** Lays out a segment. */
export function planDeltaSegment(
  b: Builder,
  inputs: DeltaSegmentInputs,
  options: DeltaSegmentOptions = {},
): DeltaSegment {
  expectNames(OP, 'input', inputs, ['k', 'v', 'beta', 'g', 'gk', 'cuSeqlens']);
  expectNames(OP, 'option', options, ['useQkL2norm']);
  const { k, v, beta, g, gk, cuSeqlens } = inputs;
  if (g && gk) {
    throw new OptionError(`${OP}: g and gk were both given; they are two forms of the same gate. Leave one out.`);
  }
  const gates = { g: [g, '?B T HV'], gk: [gk, `?${rowGateAxes(gk, v)}`], beta: [beta, 'B T HV'] } as const;
  const names = { names: { q: 'k' }, gates, tiedKeys: true };
  const { sizes, sequences } = linearSizes(OP, { q: k, v, ...(cuSeqlens && { cuSeqlens }) }, names);
  const { B, T, HV, K, V, N } = sizes;
  const l2norm = normalization(OP, options);
  const update = b.output([N, HV, K, V]);
  const transition = b.output([N, HV, K, K]);
  const shared = { k, beta: strengths(b, beta), g: g ?? gk, l2norm, scale: 1, sequences };
  delta(b, { ...shared, v, final: update });
  // the same tokens with nothing to write, on the identity: a column for each row of the state
  const initial = identity(b, transition.shape);
  delta(b, { ...shared, v: zeros(b, [B, T, HV, K]), initial, final: transition });
  return { update, transition };
}

/** Lays out the state after a segment. */
export function planJoinDeltaSegment(
  b: Builder,
  inputs: JoinDeltaSegmentInputs,
  options: object = {},
): { state: Tensor } {
  expectNames(JOIN, 'input', inputs, ['state', 'update', 'transition']);
  expectNames(JOIN, 'option', options, []);
  const { state, update, transition } = inputs;
  const patterns = { state: 'N HV K V', update: 'N HV K V', transition: 'N HV K K' };
  matchShapes(JOIN, { state, update, transition }, patterns);
  expectTypes(JOIN, { state, update, transition }, ['f32']);
  expectContiguous(JOIN, { state, update, transition });
  const [N, HV, K, V] = state.shape as [number, number, number, number];
  if (state.size > 0) {
    const panel = packedSize(K, V);
    const panels = b.temporary([N * HV * panel]);
    gemmPack(b, state.reshape([N * HV, K, V]), false, panels.address);
    // the state lies in the panels, so that the product may be written over it
    gemm(b, {
      a: transition.address,
      aStride: K,
      bPack: panels.address,
      o: state.address,
      oStride: V,
      bias: 0,
      m: K,
      k: K,
      n: V,
      activation: 'none',
      batch: [N * HV, K * K, panel, K * V],
    });
    sum(b, state, update, state);
  }
  return { state };
}

/**
 * What a segment of tokens does to the state of `deltaRule`, `gatedDeltaRule` or `kda`: S becomes transition S + update, whatever S was.
 * Segments of one sequence can be computed at the same time, joined one after another with `joinDeltaSegment`, and their outputs computed
 * from the states that come in (`initialState`).
 *
 * k [B, T, H, K], v [B, T, HV, V], beta [B, T, HV], g [B, T, HV] or gk [B, T, HV or H, K]; update [N, HV, K, V], transition [N, HV, K, K].
 * The transition takes as long as K more columns of values would. Source: the chunk form, Parallelizing Linear Transformers with the Delta
 * Rule (Yang 2024).
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { update, transition } = await deltaSegment({ k, v, beta, g }, { useQkL2norm: true })
 */
export function deltaSegment(inputs: DeltaSegmentInputs, options: DeltaSegmentOptions = {}): Promise<DeltaSegment> {
  return run(OP, inputs, (b) => planDeltaSegment(b, inputs, options));
}

/** As `deltaSegment`, to the end before it returns. */
export function deltaSegmentSync(inputs: DeltaSegmentInputs, options: DeltaSegmentOptions = {}): DeltaSegment {
  return runSync(OP, inputs, (b) => planDeltaSegment(b, inputs, options));
}

/**
 * The state after a segment, in place: S = transition S + update.
 *
 * @throws ShapeError, DTypeError for operands that do not fit.
 * @example await joinDeltaSegment({ state, ...(await deltaSegment({ k, v, beta, g })) })
 */
export function joinDeltaSegment(inputs: JoinDeltaSegmentInputs): Promise<{ state: Tensor }> {
  return run(JOIN, inputs, (b) => planJoinDeltaSegment(b, inputs));
}

/** As `joinDeltaSegment`, to the end before it returns. */
export function joinDeltaSegmentSync(inputs: JoinDeltaSegmentInputs): { state: Tensor } {
  return runSync(JOIN, inputs, (b) => planJoinDeltaSegment(b, inputs));
}

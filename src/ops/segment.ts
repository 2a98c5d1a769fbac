/**
 * Segments of the gated-linear recurrence: what a span of tokens does to any state.
 *
 * @module
 */
import { linear } from '../engines/linear.ts';
import { type LinearInputs, linearSizes } from '../engines/linear-operands.ts';
import { expectContiguous, expectNames, expectTypes, matchShapes } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { JoinSegmentParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `linearSegment`. */
export interface LinearSegmentInputs extends Omit<LinearInputs, 'q' | 'initialState'> {
  /** f32 [B, T, HV]: log decay of each value head's state. Default 0. */
  readonly g?: Tensor;
  /** f32 [B, T, H, K]: log decay of the state's rows, in place of g. */
  readonly gk?: Tensor;
}

/** What a segment does to a state: S becomes diag(decay) S + update. */
export interface LinearSegment {
  /** f32 [N, HV, K, V]: the state after the segment if it was zero before. */
  readonly update: Tensor;
  /** f32 [N, HV, K]: what remains of each row of the state. */
  readonly decay: Tensor;
}

/** Operands of `joinSegment`. */
export interface JoinSegmentInputs extends LinearSegment {
  /** f32 [N, HV, K, V], updated in place. */
  readonly state: Tensor;
}

const OP = 'linearSegment';

/** Lays out a segment. */
export function planSegment(b: Builder, inputs: LinearSegmentInputs, options: object = {}): LinearSegment {
  expectNames(OP, 'input', inputs, ['k', 'v', 'g', 'gk', 'cuSeqlens']);
  expectNames(OP, 'option', options, []);
  const { k, v, g, gk, cuSeqlens } = inputs;
  if (g && gk)
    throw new OptionError(`${OP}: g and gk were both given; they are two forms of the same gate. Leave one out.`);
  const gates = { g: [g, '?B T HV'], gk: [gk, '?B T H K'] } as const;
  const names = { names: { q: 'k' }, gates, tiedKeys: true };
  const { sizes, sequences } = linearSizes(OP, { q: k, v, ...(cuSeqlens && { cuSeqlens }) }, names);
  const { HV, K, V, N } = sizes;
  const update = b.output([N, HV, K, V]);
  const decay = b.output([N, HV, K]);
  linear(b, { k, v, g: g ?? gk, scale: 1, sequences, final: { state: update, decay } });
  return { update, decay };
}

/** Lays out the state after a segment. */
export function planJoinSegment(b: Builder, inputs: JoinSegmentInputs, options: object = {}): { state: Tensor } {
  const op = 'joinSegment';
  expectNames(op, 'input', inputs, ['state', 'update', 'decay']);
  expectNames(op, 'option', options, []);
  const { state, update, decay } = inputs;
  const sizes = matchShapes(op, { state, update, decay }, { state: 'N HV K V', update: 'N HV K V', decay: 'N HV K' });
  expectTypes(op, { state, update, decay }, ['f32']);
  expectContiguous(op, { state, update, decay });
  const dv = sizes.V!;
  b.dispatch({
    kernel: 'joinSegment',
    params: encode(JoinSegmentParams, { state: state.address, decay: decay.address, update: update.address, dv }),
    items: decay.size,
    grain: Math.max(1, Math.ceil(4096 / Math.max(1, dv))),
    flops: 2 * state.size,
  });
  return { state };
}

/**
 * What a segment of tokens does to the state of `linearAttn`, `simpleGla` or `gla`: S becomes diag(decay) S + update, whatever S was.
 * Segments of one sequence can be computed at the same time, joined one after another with `joinSegment`, and their outputs computed
 * from the states that come in (`initialState`).
 *
 * Source: stages of the chunk form, Gated Linear Attention (Yang 2023).
 *
 * @throws ShapeError, DTypeError, OptionError for operands that do not fit.
 * @example const { update, decay } = await linearSegment({ k, v, g })
 */
export function linearSegment(inputs: LinearSegmentInputs): Promise<LinearSegment> {
  return run(OP, inputs, (b) => planSegment(b, inputs));
}

/** As `linearSegment`, to the end before it returns. */
export function linearSegmentSync(inputs: LinearSegmentInputs): LinearSegment {
  return runSync(OP, inputs, (b) => planSegment(b, inputs));
}

/**
 * The state after a segment, in place: S = diag(decay) S + update.
 *
 * @throws ShapeError, DTypeError for operands that do not fit.
 * @example await joinSegment({ state, ...(await linearSegment({ k, v, g })) })
 */
export function joinSegment(inputs: JoinSegmentInputs): Promise<{ state: Tensor }> {
  return run('joinSegment', inputs, (b) => planJoinSegment(b, inputs));
}

/** As `joinSegment`, to the end before it returns. */
export function joinSegmentSync(inputs: JoinSegmentInputs): { state: Tensor } {
  return runSync('joinSegment', inputs, (b) => planJoinSegment(b, inputs));
}

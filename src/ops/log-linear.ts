/**
 * Log-linear attention.
 *
 * @module
 */
import { type LinearInputs, linearSizes } from '../engines/linear-operands.ts';
import { bitLength, type FenwickState, logLinear } from '../engines/log-linear.ts';
import { expectContiguous, expectNames, expectTypes, integers, matchShapes } from '../engines/shapes.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `logLinearAttn`. */
export interface LogLinearAttnInputs extends Omit<LinearInputs, 'initialState'> {
  /** f32 [B, T, HV]: log decay of each value head's states. */
  readonly g: Tensor;
  /** f32 [B, T, HV, L]: weight of each level; L is at least 1 plus the bits of the last position: 1 + ceil(log2 T). */
  readonly levelScales: Tensor;
  /** f32 [N, HV, S, K, V], S at least the bits of every position: the `finalState` of the tokens before. Default: none. */
  readonly initialState?: Tensor;
  /** i32 [N]: the `position` of the tokens before; goes with `initialState`. */
  readonly initialPosition?: Tensor;
}

/** Outputs of `logLinearAttn`. */
export interface LogLinearAttnResult {
  /** f32 [B, T, HV, V] */
  readonly o: Tensor;
  /** f32 [N, HV, L, K, V]: slot s holds the 2^s tokens of bit s of the position, zeros where that is not set. */
  readonly finalState: Tensor;
  /** i32 [N]: tokens so far. */
  readonly position: Tensor;
}

/** Operands of `logLinearAttnStep`. */
export interface LogLinearAttnStepInputs
  extends Omit<LogLinearAttnInputs, 'initialState' | 'initialPosition' | 'cuSeqlens'> {
  /** f32 [B, HV, S, K, V], updated in place. S slots hold up to 2^S - 1 tokens. */
  readonly state: Tensor;
  /** i32 [B], updated in place. */
  readonly position: Tensor;
  /** f32 [B, HV, V] to write into. Default: a new tensor. */
  readonly o?: Tensor;
}

const OP = 'logLinearAttn';

/** Positions of N sequences before the call. */
function positionsOf({ initialState, initialPosition }: LogLinearAttnInputs, N: number): readonly number[] {
  if (!initialState !== !initialPosition) {
    const [given, missing] = initialState ? ['initialState', 'initialPosition'] : ['initialPosition', 'initialState'];
    throw new ShapeError(
      `${OP}: ${given} was given without ${missing}; pass both outputs of the tokens before, or none`,
    );
  }
  if (!initialPosition) return new Array<number>(N).fill(0);
  expectContiguous(OP, { initialPosition });
  return [...integers(OP, 'initialPosition', initialPosition)];
}

/** Lays out the call. */
export function planLogLinear(
  b: Builder,
  inputs: LogLinearAttnInputs,
  options: object,
  into?: StepTarget,
): LogLinearAttnResult {
  const { q, k, v, g, levelScales, cuSeqlens, initialState, initialPosition } = inputs;
  const known = ['q', 'k', 'v', 'g', 'levelScales', 'initialState', 'initialPosition', 'cuSeqlens'];
  expectNames(OP, 'input', inputs, known);
  expectNames(OP, 'option', options, []);
  const gates = { g: [g, 'B T HV'], levelScales: [levelScales, 'B T HV L'] } as const;
  const { sizes, sequences } = linearSizes(OP, { q, k, v, ...(cuSeqlens && { cuSeqlens }) }, { gates });
  const { B, T, HV, K, V, N } = sizes;
  const levels = sizes.L!;
  const patterns = { initialState: `?${N} ${HV} S ${K} ${V}`, initialPosition: `?${N}` };
  const { S = levels } = matchShapes(OP, { initialState, initialPosition }, patterns);
  expectTypes(OP, { initialState }, ['f32']);
  expectContiguous(OP, { initialState });
  const positions = positionsOf(inputs, N);
  const slots = into ? S : levels;
  const spans = sequences.map((span, n) => ({ ...span, offset: positions[n]! }));
  for (const [n, { offset, qLength }] of spans.entries()) {
    const end = offset + qLength;
    if (offset < 0 || bitLength(offset) > (initialState ? S : 0) || end >= 2 ** 30) {
      throw new ShapeError(
        `${OP}: initialPosition[${n}] is ${offset} and initialState has ${S} slots, expected 0 to ${2 ** S - 1}`,
      );
    }
    if (qLength > 0 && bitLength(end - 1) >= levels) {
      throw new ShapeError(
        `${OP}: levelScales has ${levels} levels, expected at least ${1 + bitLength(end - 1)} up to position ${end - 1}`,
      );
    }
    if (bitLength(end) > slots) {
      throw new ShapeError(
        `${OP}: the state has ${slots} slots, expected at least ${bitLength(end)} to hold ${end} tokens. Copy it into a larger one.`,
      );
    }
  }
  const final: FenwickState = into
    ? { state: initialState!, position: initialPosition! }
    : { state: b.output([N, HV, levels, K, V]), position: b.output([N], 'i32') };
  const o = into?.o ?? b.output([B, T, HV, V]);
  logLinear(b, { q, k, v, g, levelScales, initial: initialState, final, o, sequences: spans });
  return { o, finalState: final.state, position: final.position };
}

/**
 * Linear attention with a state for each scale of the past: o_t = sum_l levelScales_t[l] q_t S_t^l, S^0 the token itself and S^l the
 * decayed sum e^{g_{j+1} + ... + g_t} k_j v_j over the 2^(l-1) tokens of bit l - 1 of the position t, highest bits first. Unscaled.
 *
 * Source: Log-Linear Attention (Guo 2025); reference implementation fla, naive_log_linear_attn.
 *
 * @throws ShapeError, DTypeError, OptionError for operands that do not fit.
 * @example const { o, finalState, position } = await logLinearAttn({ q, k, v, g, levelScales })
 */
export function logLinearAttn(inputs: LogLinearAttnInputs, options: object = {}): Promise<LogLinearAttnResult> {
  return run(OP, inputs, (b) => planLogLinear(b, inputs, options));
}

/** As `logLinearAttn`, to the end before it returns. */
export function logLinearAttnSync(inputs: LogLinearAttnInputs, options: object = {}): LogLinearAttnResult {
  return runSync(OP, inputs, (b) => planLogLinear(b, inputs, options));
}

/**
 * One token of `logLinearAttn`; `state` and `position` are updated in place, slots merging as a binary counter carries.
 *
 * @throws ShapeError, DTypeError, OptionError for operands that do not fit.
 * @example logLinearAttnStep({ q, k, v, g, levelScales, state, position, o })
 */
export function logLinearAttnStep(inputs: LogLinearAttnStepInputs, options: object = {}): { o: Tensor } {
  const states = { state: 'initialState', position: 'initialPosition' };
  const shape = { op: OP, options, timed: ['v', 'q', 'k', 'g', 'levelScales'], states };
  const result = runStep(shape, inputs, (b, lifted, into) => planLogLinear(b, lifted, options, into));
  const { position } = inputs;
  // what the host knows of a tensor on a GPU does not see that a kernel has written it
  if (position.runtime.backend === 'webgpu') position.write(Int32Array.from(position.dataSync(), (n) => n + 1));
  return result;
}

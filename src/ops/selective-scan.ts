/**
 * The selective state-space scan of Mamba.
 *
 * @module
 */
import { scanSequences, selectiveScanOn } from '../engines/scan.ts';
import { expectContiguous, expectNames, expectTypes, matchShapes } from '../engines/shapes.ts';
import { carried } from '../engines/states.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `selectiveScan`. */
export interface SelectiveScanInputs {
  /** f32 [B, T, D] */
  readonly u: Tensor;
  /** f32 [B, T, D]: step sizes. */
  readonly delta: Tensor;
  /** f32 [D, N], negative for states that decay. */
  readonly A: Tensor;
  /** f32 [B, T, N] */
  readonly B: Tensor;
  /** f32 [B, T, N] */
  readonly C: Tensor;
  /** f32 [D]: factor of u in the output; default none. */
  readonly D?: Tensor;
  /** f32 [B, T, D]: the output is multiplied by silu(z); default none. */
  readonly z?: Tensor;
  /** f32 [D]: added to delta; default none. */
  readonly deltaBias?: Tensor;
  /** f32 [sequences, D, N], a sequence for each of B or of cuSeqlens; default zeros. */
  readonly initialState?: Tensor;
  /** i32 [sequences + 1]: boundaries of sequences packed along T, with B = 1. */
  readonly cuSeqlens?: Tensor;
}

/** Options of `selectiveScan`. */
export interface SelectiveScanOptions {
  /** Step sizes are softplus(delta + deltaBias) = ln(1 + e^...). Default false. */
  readonly deltaSoftplus?: boolean;
}

/** Results of `selectiveScan`. */
export interface SelectiveScanResult {
  /** [B, T, D] */
  readonly o: Tensor;
  /** [sequences, D, N] */
  readonly finalState: Tensor;
}

/** Operands of `selectiveScanStep`. */
export interface SelectiveScanStepInputs {
  /** f32 [B, D] */
  readonly u: Tensor;
  /** f32 [B, D] */
  readonly delta: Tensor;
  /** f32 [D, N] */
  readonly A: Tensor;
  /** f32 [B, N] */
  readonly B: Tensor;
  /** f32 [B, N] */
  readonly C: Tensor;
  /** f32 [D] */
  readonly D?: Tensor;
  /** f32 [B, D] */
  readonly z?: Tensor;
  /** f32 [D] */
  readonly deltaBias?: Tensor;
  /** f32 [B, D, N], updated in place. */
  readonly state: Tensor;
  /** f32 [B, D] to write to; default a new tensor. */
  readonly o?: Tensor;
}

const OP = 'selectiveScan';
const OPERANDS = ['u', 'delta', 'A', 'B', 'C', 'D', 'z', 'deltaBias'];
// the tensors B and D have the names of axes: these are batch and channels
const PATTERNS = {
  u: 'batch T channels',
  delta: 'batch T channels',
  A: 'channels N',
  B: 'batch T N',
  C: 'batch T N',
  D: '?channels',
  z: '?batch T channels',
  deltaBias: '?channels',
};

/** Lays out the call. */
export function planSelectiveScan(
  b: Builder,
  inputs: SelectiveScanInputs,
  options: SelectiveScanOptions = {},
  into?: StepTarget,
): SelectiveScanResult {
  expectNames(OP, 'input', inputs, [...OPERANDS, 'initialState', 'cuSeqlens']);
  expectNames(OP, 'option', options, ['deltaSoftplus']);
  const { initialState, cuSeqlens, ...operands } = inputs;
  matchShapes(OP, { ...operands, cuSeqlens }, { ...PATTERNS, cuSeqlens: '?boundaries' });
  expectTypes(OP, operands, ['f32']);
  expectContiguous(OP, operands);
  const { deltaSoftplus = false } = options;
  if (typeof deltaSoftplus !== 'boolean') {
    throw new OptionError(`${OP}: deltaSoftplus is ${deltaSoftplus}, expected true or false`);
  }
  const { u, A } = operands;
  const spans = scanSequences(OP, u, cuSeqlens);
  const finalState = carried(b, OP, 'initialState', initialState, [spans.length, ...A.shape], into);
  const o = into?.o ?? b.output(u.shape);
  selectiveScanOn(b, {
    ...operands,
    spans,
    like: u,
    softplus: deltaSoftplus,
    initial: initialState,
    final: finalState,
    o,
  });
  return { o, finalState };
}

/**
 * Selective state-space scan: with dt = delta + deltaBias, or softplus of it, h_t = e^{dt A} h_{t-1} + dt u_t B_t and
 * o_t = (C_t h_t + D u_t) silu(z_t).
 *
 * Source: Mamba (Gu and Dao 2023); reference implementation state-spaces/mamba, selective_scan_ref.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await selectiveScan({ u, delta, A, B, C, D, z }, { deltaSoftplus: true })
 */
export function selectiveScan(
  inputs: SelectiveScanInputs,
  options: SelectiveScanOptions = {},
): Promise<SelectiveScanResult> {
  return run(OP, inputs, (b) => planSelectiveScan(b, inputs, options));
}

/** As `selectiveScan`, to the end before it returns. */
export function selectiveScanSync(
  inputs: SelectiveScanInputs,
  options: SelectiveScanOptions = {},
): SelectiveScanResult {
  return runSync(OP, inputs, (b) => planSelectiveScan(b, inputs, options));
}

/**
 * One token of `selectiveScan`: state <- e^{dt A} state + dt u B, o = (C state + D u) silu(z).
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = selectiveScanStep({ u, delta, A, B, C, D, z, state, o: buffer }, { deltaSoftplus: true })
 */
export function selectiveScanStep(inputs: SelectiveScanStepInputs, options: SelectiveScanOptions = {}): { o: Tensor } {
  const shape = { op: OP, options, timed: ['u', 'delta', 'B', 'C', 'z'], states: { state: 'initialState' } };
  return runStep(shape, inputs, (b, lifted, into) => planSelectiveScan(b, lifted, options, into));
}

/**
 * Linear attention of positive random features (FAVOR+).
 *
 * @module
 */
import { favor } from '../engines/features.ts';
import type { LinearInputs, Stepped } from '../engines/linear-operands.ts';
import { expectContiguous, expectNames, expectRows, expectTypes, finite, matchShapes } from '../engines/shapes.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type LinearAttnResult, planFeatures } from './linear-attn.ts';

/** Operands of `performer`; q and k are f32. Initial states and cuSeqlens need the option `stabilizer`. */
export interface PerformerInputs extends LinearInputs {
  /** f32 [M, K]: random directions, as `features.favorProjection` makes them. */
  readonly projection: Tensor;
  /** f32 [N, HV, M]: sum of the features of the keys before the first. Default zeros. */
  readonly initialNormalizer?: Tensor;
}

/** Options of `performer`. */
export interface PerformerOptions {
  /** A row sees the keys up to its own. Default true. */
  readonly causal?: boolean;
  /** Added to every exponential. Default 1e-4. */
  readonly eps?: number;
  /** c: a constant, with which the method streams. Default: the largest w x' of the row for q, of the whole head for k. */
  readonly stabilizer?: number;
}

/** Outputs of `performer`. */
export type PerformerResult = Pick<LinearAttnResult, 'o'> &
  /** f32 [N, HV, M, V] and [N, HV, M], with the option `stabilizer`. */
  Partial<Pick<LinearAttnResult, 'finalState' | 'finalNormalizer'>>;

/** Inputs of `performerStep`. */
export interface PerformerStepInputs extends Omit<Stepped<PerformerInputs>, 'initialNormalizer'> {
  /** f32 [B, HV, M], updated in place. */
  readonly normalizer: Tensor;
}

/** Options of `performerStep`. */
export interface PerformerStepOptions extends Omit<PerformerOptions, 'causal'> {
  readonly stabilizer: number;
}

const OP = 'performer';
/** Added to every feature of the sum of keys in the causal denominator. */
const CAUSAL_EPSILON = 1e-6;

/** Lays out the call. */
export function planPerformer(
  b: Builder,
  inputs: PerformerInputs,
  options: PerformerOptions,
  into?: StepTarget,
): PerformerResult {
  const carried = ['initialState', 'initialNormalizer', 'cuSeqlens'] as const;
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'projection', ...carried]);
  expectNames(OP, 'option', options, ['causal', 'eps', 'stabilizer']);
  const { q, k, projection, ...rest } = inputs;
  matchShapes(OP, { q, k, projection }, { q: 'B T H K', k: 'B T H K', projection: 'M K' });
  expectTypes(OP, { q, k, projection }, ['f32']);
  expectRows(OP, { q, k });
  expectContiguous(OP, { projection });
  const eps = finite(OP, 'eps', options.eps, 1e-4, 0);
  const streams = options.stabilizer !== undefined;
  const constant = finite(OP, 'stabilizer', options.stabilizer, 0);
  for (const name of streams ? [] : carried) {
    if (inputs[name]) {
      throw new OptionError(
        `${OP}: ${name} needs the option stabilizer, a number: without it a key's features depend on all others`,
      );
    }
  }
  const causal = options.causal ?? true;
  const result = planFeatures(
    b,
    OP,
    {
      q: favor(b, q, projection, { stabilizer: streams ? constant : 'row', eps }),
      k: favor(b, k, projection, { stabilizer: streams ? constant : 'global', eps }),
      ...rest,
    },
    { scale: 1, causal },
    causal ? { kind: 'perFeature', epsilon: CAUSAL_EPSILON } : { kind: 'add', epsilon: 0 },
    into,
  );
  if (streams) return result;
  b.drop(result.finalState, result.finalNormalizer!);
  return { o: result.o };
}

/**
 * Softmax attention approximated by positive random features, phi(x) = M^-1/2 (e^(w x' - |x'|^2 / 2 - c) + eps) with x' = K^-1/4 x:
 * o_t = sum_j phi(q_t) phi(k_j) v_j over the sum of the weights. c is the largest w x' of the row for q, of the whole head for k: that
 * form does not stream and carries no state; with c = `stabilizer` it does. A constant near the largest w x' keeps eps small beside the
 * features.
 *
 * Source: Performer (Choromanski 2020); reference implementation lucidrains, performer-pytorch.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await performer({ q, k, v, projection: features.favorProjection(rt, 256, 64, { seed: 1 }) })
 */
export function performer(inputs: PerformerInputs, options: PerformerOptions = {}): Promise<PerformerResult> {
  return run(OP, inputs, (b) => planPerformer(b, inputs, options));
}

/** As `performer`, to the end before it returns. */
export function performerSync(inputs: PerformerInputs, options: PerformerOptions = {}): PerformerResult {
  return runSync(OP, inputs, (b) => planPerformer(b, inputs, options));
}

/**
 * One token of `performer` with a fixed stabilizer; `state` and `normalizer` are updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example performerStep({ q, k, v, projection, state, normalizer, o }, { stabilizer: 4 })
 */
export function performerStep(inputs: PerformerStepInputs, options: PerformerStepOptions): { o: Tensor } {
  if (options?.stabilizer === undefined) throw new OptionError(`${OP}: a step needs the option stabilizer`);
  const states = { state: 'initialState', normalizer: 'initialNormalizer' };
  const shape = { op: OP, options, timed: ['v', 'q', 'k'], states };
  return runStep(shape, inputs, (b, lifted, into) => planPerformer(b, lifted, options, into));
}

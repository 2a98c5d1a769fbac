/**
 * Linear attention of positive random features (FAVOR+).
 *
 * @module
 */
import { favor } from '../engines/features.ts';
import type { LinearInputs } from '../engines/linear-operands.ts';
import { expectContiguous, expectNames, expectRows, expectTypes, finite, matchShapes } from '../engines/shapes.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { planFeatures } from './linear-attn.ts';

/** Operands of `performer`. */
export interface PerformerInputs extends Omit<LinearInputs, 'initialState' | 'cuSeqlens'> {
  /** f32 [M, K]: random directions, as `features.favorProjection` makes them. */
  readonly projection: Tensor;
}

/** Options of `performer`. */
export interface PerformerOptions {
  /** A row sees the keys up to its own. Default true. */
  readonly causal?: boolean;
  /** Added to every exponential. Default 1e-4. */
  readonly eps?: number;
}

const OP = 'performer';
/** Added to every feature of the sum of keys in the causal denominator. */
const CAUSAL_EPSILON = 1e-6;

/** Lays out the call. */
export function planPerformer(b: Builder, inputs: PerformerInputs, options: PerformerOptions): { o: Tensor } {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'projection']);
  expectNames(OP, 'option', options, ['causal', 'eps']);
  const { q, k, v, projection } = inputs;
  matchShapes(OP, { ...inputs }, { q: 'B T H K', k: 'B T H K', v: 'B T HV V', projection: 'M K' });
  expectTypes(OP, { q, k, projection }, ['f32']);
  expectRows(OP, { q, k });
  expectContiguous(OP, { projection });
  const eps = finite(OP, 'eps', options.eps, 1e-4, 0);
  const causal = options.causal ?? true;
  const { o, finalState, finalNormalizer } = planFeatures(
    b,
    OP,
    {
      q: favor(b, q, projection, { stabilizer: 'row', eps }),
      k: favor(b, k, projection, { stabilizer: 'global', eps }),
      v,
    },
    { scale: 1, causal },
    causal ? { kind: 'perFeature', epsilon: CAUSAL_EPSILON } : { kind: 'add', epsilon: 0 },
  );
  b.drop(finalState, finalNormalizer!);
  return { o };
}

/**
 * Softmax attention approximated by positive random features, phi(x) = M^-1/2 (e^(w x' - |x'|^2 / 2 - c) + eps) with x' = K^-1/4 x:
 * o_t = sum_j phi(q_t) phi(k_j) v_j over the sum of the weights. c is the largest w x' of the row for q, of the whole head for k: the
 * form does not stream; for streaming use `features.favor` with a fixed stabiliser and `linearAttn`.
 *
 * Source: Performer (Choromanski 2020); reference implementation lucidrains, performer-pytorch.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await performer({ q, k, v, projection: features.favorProjection(rt, 256, 64, { seed: 1 }) })
 */
export function performer(inputs: PerformerInputs, options: PerformerOptions = {}): Promise<{ o: Tensor }> {
  return run(OP, inputs, (b) => planPerformer(b, inputs, options));
}

/** As `performer`, to the end before it returns. */
export function performerSync(inputs: PerformerInputs, options: PerformerOptions = {}): { o: Tensor } {
  return runSync(OP, inputs, (b) => planPerformer(b, inputs, options));
}

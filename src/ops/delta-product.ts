/**
 * DeltaProduct: several steps of the delta rule a token.
 *
 * @module
 */
import { delta } from '../engines/delta.ts';
import { type NormalizingOptions, normalization, strengths } from '../engines/delta-operands.ts';
import type { LinearResult } from '../engines/linear-operands.ts';
import { sequencesOf } from '../engines/sequences.ts';
import { expectNames, expectRows, expectTypes, finite, matchShapes, whole } from '../engines/shapes.ts';
import { carried } from '../engines/states.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `gatedDeltaProduct`, n steps a token. */
export interface GatedDeltaProductInputs {
  /** [B, T, H, K]; any storage type. */
  readonly q: Tensor;
  /** `[B, T n, H, K]`: rows n t to n t + n - 1 are token t's. */
  readonly k: Tensor;
  /** [B, T n, HV, V], HV a multiple of H: value head h goes with key head floor(h / (HV / H)). */
  readonly v: Tensor;
  /** f32 [B, T n, HV]: strength of each step, up to 2. */
  readonly beta: Tensor;
  /** f32 [B, T, HV]: log decay before the first step of a token. Default 0. */
  readonly g?: Tensor;
  /** f32 [N, HV, K, V], N = B or the number of sequences. Default zeros. */
  readonly initialState?: Tensor;
  /** i32 [N + 1]: boundaries, in tokens, of sequences packed along T; B is then 1. */
  readonly cuSeqlens?: Tensor;
}

/** Options of `gatedDeltaProduct`. */
export interface GatedDeltaProductOptions extends NormalizingOptions {
  /** Steps a token, n. */
  readonly numHouseholder: number;
}

/** Operands of `gatedDeltaProductStep`: one token's, k [B, n, H, K], v [B, n, HV, V], beta [B, n, HV]. */
export interface GatedDeltaProductStepInputs extends Omit<GatedDeltaProductInputs, 'initialState' | 'cuSeqlens'> {
  /** f32 [B, HV, K, V], updated in place. */
  readonly state: Tensor;
  /** f32 [B, HV, V] to write into. Default: a new tensor. */
  readonly o?: Tensor;
}

const OP = 'gatedDeltaProduct';
const STORAGE = ['f32', 'f16', 'bf16'] as const;

/** Lays out the call. */
export function planGatedDeltaProduct(
  b: Builder,
  inputs: GatedDeltaProductInputs,
  options: GatedDeltaProductOptions,
  into?: StepTarget,
): LinearResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'beta', 'g', 'initialState', 'cuSeqlens']);
  expectNames(OP, 'option', options, ['numHouseholder', 'scale', 'useQkL2norm']);
  const { q, k, v, beta, g, initialState, cuSeqlens } = inputs;
  if (options.numHouseholder === undefined) {
    throw new OptionError(`${OP}: numHouseholder is missing, expected how many steps a token has`);
  }
  const substeps = whole(OP, 'numHouseholder', options.numHouseholder, 1, 1);
  const patterns = { q: 'B T H K', k: 'B Tn H K', v: 'B Tn HV V', beta: 'B Tn HV', g: '?B T HV' };
  const sizes = matchShapes(OP, { q, k, v, beta, g }, patterns);
  const [B, T, H, K] = q.shape as [number, number, number, number];
  const [, rows, HV, V] = v.shape as [number, number, number, number];
  if (rows !== T * substeps) {
    throw new ShapeError(
      `${OP}: k has shape [${k.shape}], expected ${T * substeps} rows: ${substeps} (numHouseholder) for each of the ${T} tokens of q`,
    );
  }
  if (HV % Math.max(1, H) !== 0) {
    throw new ShapeError(
      `${OP}: v has ${HV} heads and q ${sizes.H}; expected a whole number of value heads to a key head`,
    );
  }
  expectTypes(OP, { q, k, v }, STORAGE);
  expectTypes(OP, { beta, g }, ['f32']);
  expectRows(OP, { q, k, v, beta, g });
  // counted in steps, as the engine's tokens are
  const sequences = sequencesOf(OP, { B, Tq: T, Tk: T }, { cuSeqlens }).map((span) => ({
    ...span,
    qStart: span.qStart * substeps,
    qLength: span.qLength * substeps,
  }));
  const shape = [sequences.length, HV, K, V];
  const final = carried(b, OP, 'initialState', initialState, shape, into, 'strided');
  const o = into?.o ?? b.output([B, T, HV, V]);
  const scale = finite(OP, 'scale', options.scale, K ** -0.5);
  const l2norm = normalization(OP, options);
  delta(b, {
    q,
    k,
    v,
    beta: strengths(b, beta),
    g,
    scale,
    l2norm,
    substeps,
    initial: initialState,
    final,
    o,
    sequences,
  });
  return { o, finalState: final };
}

/**
 * DeltaProduct: n steps of the gated delta rule a token, whose product of reflections rotates the state further than one could. The state
 * decays by e^g_t before the first step, S <- S + k beta (v - k S) for each of the token's n rows, and o_t = scale q_t S after the last.
 *
 * q [B, T, H, K], k [B, T n, H, K], v [B, T n, HV, V], beta [B, T n, HV], g [B, T, HV]; states [N, HV, K, V]. Source: DeltaProduct
 * (Siems 2025); reference implementation fla, naive_recurrent_gated_delta_product.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await gatedDeltaProduct({ q, k, v, beta, g }, { numHouseholder: 2 })
 */
export function gatedDeltaProduct(
  inputs: GatedDeltaProductInputs,
  options: GatedDeltaProductOptions,
): Promise<LinearResult> {
  return run(OP, inputs, (b) => planGatedDeltaProduct(b, inputs, options ?? {}));
}

/** As `gatedDeltaProduct`, to the end before it returns. */
export function gatedDeltaProductSync(
  inputs: GatedDeltaProductInputs,
  options: GatedDeltaProductOptions,
): LinearResult {
  return runSync(OP, inputs, (b) => planGatedDeltaProduct(b, inputs, options ?? {}));
}

/**
 * One token of `gatedDeltaProduct`, all its steps; `state` is updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example gatedDeltaProductStep({ q, k, v, beta, g, state, o }, { numHouseholder: 2 })
 */
export function gatedDeltaProductStep(
  inputs: GatedDeltaProductStepInputs,
  options: GatedDeltaProductOptions,
): { o: Tensor } {
  const { v } = inputs;
  const shape = {
    op: OP,
    options: options ?? {},
    timed: ['q', 'g'],
    states: { state: 'initialState' },
    // v has the axis of steps in the place of time
    ...(v?.shape?.length === 4 && { shape: [v.shape[0]!, v.shape[2]!, v.shape[3]!] }),
  };
  return runStep(shape, inputs, (b, lifted, into) => planGatedDeltaProduct(b, lifted, options ?? {}, into));
}

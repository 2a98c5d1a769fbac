/**
 * The gated Oja rule.
 *
 * @module
 */
import { asFloats, repeatedHeads } from '../engines/copy.ts';
import { delta } from '../engines/delta.ts';
import { type DeltaInputs, type NormalizingOptions, normalization, strengths } from '../engines/delta-operands.ts';
import { l2norm } from '../engines/features.ts';
import { linear } from '../engines/linear.ts';
import { type LinearResult, openLinear, type Stepped } from '../engines/linear-operands.ts';
import { expectNames } from '../engines/shapes.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `gatedOja`. */
export interface GatedOjaInputs extends DeltaInputs {
  /** f32 [B, T, HV, V]: log decay of the state's columns. Default 0. */
  readonly gv?: Tensor;
}

const OP = 'gatedOja';

/** Lays out the call. */
export function planGatedOja(
  b: Builder,
  inputs: GatedOjaInputs,
  options: NormalizingOptions,
  into?: StepTarget,
): LinearResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'beta', 'gv', 'initialState', 'cuSeqlens']);
  expectNames(OP, 'option', options, ['scale', 'useQkL2norm']);
  const { beta, gv, ...rest } = inputs;
  const gates = { beta: [beta, 'B T HV'], gv: [gv, '?B T HV V'] } as const;
  const { call, sizes } = openLinear(b, OP, rest, options, { gates, into });
  const { B, T, H, HV, K, V, N } = sizes;
  const norm = normalization(OP, options);
  const group = HV / Math.max(1, H);
  const rows = (x: Tensor) =>
    repeatedHeads(b, norm === undefined ? x : l2norm(b, asFloats(b, x), { eps: norm }), group);
  const [q, k] = [rows(rest.q), rows(rest.k)];
  // the delta rule of the transposed state, whose keys are the values, writes the keys that the gated sum then takes
  const written = b.temporary([B, T, HV, K]);
  delta(b, {
    k: call.v,
    v: k,
    g: gv,
    beta: strengths(b, beta),
    scale: 1,
    initial: call.initial?.state?.permute([0, 1, 3, 2]),
    final: b.temporary([N, HV, V, K]),
    written,
    sequences: call.sequences,
  });
  linear(b, { ...call, q, k: written, gv });
  return { o: call.o, finalState: call.final.state };
}

/**
 * The gated Oja rule, the delta rule with keys and values swapped: S*_t = S_{t-1} diag(e^gv_t), k'_t = beta_t (k_t - S*_t v_t),
 * S_t = S*_t + k'_t v_t, o_t = scale q_t S_t.
 *
 * q, k [B, T, H, K], v, gv [B, T, HV, V], beta [B, T, HV]; states [N, HV, K, V]. Values should have a length of at most 1, or the state may
 * grow without end. Source: reference implementation fla, gated_oja_rule.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await gatedOja({ q, k, v, beta, gv })
 */
export function gatedOja(inputs: GatedOjaInputs, options: NormalizingOptions = {}): Promise<LinearResult> {
  return run(OP, inputs, (b) => planGatedOja(b, inputs, options));
}

/** As `gatedOja`, to the end before it returns. */
export function gatedOjaSync(inputs: GatedOjaInputs, options: NormalizingOptions = {}): LinearResult {
  return runSync(OP, inputs, (b) => planGatedOja(b, inputs, options));
}

/**
 * One token of `gatedOja`; `state` is updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example gatedOjaStep({ q, k, v, beta, gv, state, o })
 */
export function gatedOjaStep(inputs: Stepped<GatedOjaInputs>, options: NormalizingOptions = {}): { o: Tensor } {
  const timed = ['v', 'q', 'k', 'beta', ...(inputs.gv ? ['gv'] : [])];
  const shape = { op: OP, options, timed, states: { state: 'initialState' } };
  return runStep(shape, inputs, (b, lifted, into) => planGatedOja(b, lifted, options, into));
}

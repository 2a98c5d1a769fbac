/**
 * The matrix-memory cell of xLSTM.
 *
 * @module
 */
import { linear } from '../engines/linear.ts';
import { type LinearInputs, type LinearOptions, openLinear } from '../engines/linear-operands.ts';
import { sequenceTable } from '../engines/sequences.ts';
import { expectContiguous, expectNames, finite } from '../engines/shapes.ts';
import { carried } from '../engines/states.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { StabilizerParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `mlstm`. */
export interface MlstmInputs extends Omit<LinearInputs, 'initialState'> {
  /** f32 [B, T, HV]: input gate, an exponent. */
  readonly i: Tensor;
  /** f32 [B, T, HV]: forget gate before its sigmoid. */
  readonly f: Tensor;
  /** f32 [N, HV, K, V], [N, HV, K], [N, HV, 1]: memory, sum of keys and stabiliser to begin with. Default zeros. */
  readonly initialC?: Tensor;
  readonly initialN?: Tensor;
  readonly initialM?: Tensor;
}

/** Options of `mlstm`. */
export interface MlstmOptions extends LinearOptions {
  /** Added to the denominator. Default 1e-6. */
  readonly eps?: number;
}

/** Outputs of `mlstm`. */
export interface MlstmResult {
  /** f32 [B, T, HV, V] */
  readonly o: Tensor;
  /** f32 [N, HV, K, V] */
  readonly finalC: Tensor;
  /** f32 [N, HV, K] */
  readonly finalN: Tensor;
  /** f32 [N, HV, 1] */
  readonly finalM: Tensor;
}

/** Inputs of `mlstmStep`. */
export interface MlstmStepInputs extends Omit<MlstmInputs, 'initialC' | 'initialN' | 'initialM' | 'cuSeqlens'> {
  /** f32 [B, HV, K, V], [B, HV, K], [B, HV, 1], updated in place. */
  readonly c: Tensor;
  readonly n: Tensor;
  readonly m: Tensor;
  /** f32 [B, HV, V] to write into. Default: a new tensor. */
  readonly o?: Tensor;
}

const OP = 'mlstm';

/** Lays out the call. */
export function planMlstm(b: Builder, inputs: MlstmInputs, options: MlstmOptions, into?: StepTarget): MlstmResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'i', 'f', 'initialC', 'initialN', 'initialM', 'cuSeqlens']);
  expectNames(OP, 'option', options, ['scale', 'eps']);
  const { i, f, initialC, initialN, initialM, ...rest } = inputs;
  const { call, sizes } = openLinear(b, OP, { ...rest, ...(initialC && { initialState: initialC }) }, options, {
    names: { initialState: 'initialC' },
    gates: { i: [i, 'B T HV'], f: [f, 'B T HV'] },
    into,
  });
  expectContiguous(OP, { i, f });
  const { B, T, HV, K, N } = sizes;
  const z = carried(b, OP, 'initialN', initialN, [N, HV, K], into);
  const finalM = carried(b, OP, 'initialM', initialM, [N, HV, 1], into);
  const [m, g, weight] = [b.temporary([B, T, HV]), b.temporary([B, T, HV]), b.temporary([B, T, HV])];
  b.dispatch({
    kernel: 'stabilize',
    params: encode(StabilizerParams, {
      i: i.address,
      f: f.address,
      m: m.address,
      g: g.address,
      w: weight.address,
      mIn: initialM?.address ?? 0,
      mOut: finalM.address,
      sequences: b.table(sequenceTable(call.sequences, () => HV, 1).words),
      length: T,
      heads: HV,
    }),
    items: N * HV,
    flops: 40 * B * T * HV,
  });
  linear(b, {
    ...call,
    g,
    weight,
    initial: { ...call.initial, z: initialN },
    final: { ...call.final, z },
    normalizer: { kind: 'stabilized', epsilon: finite(OP, 'eps', options.eps, 1e-6, 0), m },
  });
  return { o: call.o, finalC: call.final.state, finalN: z, finalM };
}

/**
 * The mLSTM cell: m_t = max(ln sigmoid(f_t) + m_{t-1}, i_t), C_t = e^(ln sigmoid(f_t) + m_{t-1} - m_t) C_{t-1} + e^(i_t - m_t) k_t v_t,
 * n_t likewise with k_t, o_t = scale q_t C_t / (max(|scale q_t n_t|, e^-m_t) + eps).
 *
 * Source: xLSTM (Beck 2024); reference implementation transformers, mlstm_recurrent_sequence_native.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalC, finalN, finalM } = await mlstm({ q, k, v, i, f })
 */
export function mlstm(inputs: MlstmInputs, options: MlstmOptions = {}): Promise<MlstmResult> {
  return run(OP, inputs, (b) => planMlstm(b, inputs, options));
}

/** As `mlstm`, to the end before it returns. */
export function mlstmSync(inputs: MlstmInputs, options: MlstmOptions = {}): MlstmResult {
  return runSync(OP, inputs, (b) => planMlstm(b, inputs, options));
}

/**
 * One token of `mlstm`; `c`, `n` and `m` are updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example mlstmStep({ q, k, v, i, f, c, n, m, o })
 */
export function mlstmStep(inputs: MlstmStepInputs, options: MlstmOptions = {}): { o: Tensor } {
  const states = { c: 'initialC', n: 'initialN', m: 'initialM' };
  const shape = { op: OP, options, timed: ['v', 'q', 'k', 'i', 'f'], states };
  return runStep(shape, inputs, (b, lifted, into) => planMlstm(b, lifted, options, into));
}

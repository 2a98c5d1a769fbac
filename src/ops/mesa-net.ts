/**
 * MesaNet.
 *
 * @module
 */
import { mesa } from '../engines/mesa.ts';
import { sequencesOf } from '../engines/sequences.ts';
import {
  expectContiguous,
  expectNames,
  expectRows,
  expectTypes,
  finite,
  matchShapes,
  whole,
} from '../engines/shapes.ts';
import { carried } from '../engines/states.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `mesaNet`. */
export interface MesaNetInputs {
  /** [B, T, H, K], of length 1 as a rule; f32, f16 or bf16, as k and v. */
  readonly q: Tensor;
  /** [B, T, H, K], of length 1 as a rule. */
  readonly k: Tensor;
  /** [B, T, H, V] */
  readonly v: Tensor;
  /** f32 [B, T, H]: log decay of both states. Default 0. */
  readonly g?: Tensor;
  /** f32 [B, T, H]: strength with which a token is written to both states. */
  readonly beta: Tensor;
  /** f32 [H, K]: what is added to the diagonal of H_kk, above 0. */
  readonly lamb: Tensor;
  /** f32 [N, H, K, K], symmetric, N = B or the number of sequences. Default zeros. */
  readonly initialHKk?: Tensor;
  /** f32 [N, H, K, V]. Default zeros. */
  readonly initialHKv?: Tensor;
  /** i32 [N + 1]: boundaries of sequences packed along T; B is then 1. */
  readonly cuSeqlens?: Tensor;
}

/** Options of `mesaNet` and `mesaNetStep`. */
export interface MesaNetOptions {
  /** Most steps of conjugate gradients. Default 30. */
  readonly maxIterations?: number;
  /**
   * A token's steps end when the residual |q - (H_kk + diag lamb) x| that they keep track of is this share of |q|, 0 to
   * 1. Its rounding errors are about 1e-7; a smaller tolerance only takes more steps. Default 1e-7.
   */
  readonly tolerance?: number;
}

/** Results of `mesaNet`. */
export interface MesaNetResult {
  /** f32 [B, T, H, V] */
  readonly o: Tensor;
  /** f32 [N, H, K, K]: the sum of k k after the last token. */
  readonly hKk: Tensor;
  /** f32 [N, H, K, V]: the sum of k v after the last token. */
  readonly hKv: Tensor;
}

/** Operands of `mesaNetStep`. */
export interface MesaNetStepInputs {
  /** [B, H, K] */
  readonly q: Tensor;
  /** [B, H, K] */
  readonly k: Tensor;
  /** [B, H, V] */
  readonly v: Tensor;
  /** f32 [B, H]. Default 0. */
  readonly g?: Tensor;
  /** f32 [B, H] */
  readonly beta: Tensor;
  /** f32 [H, K] */
  readonly lamb: Tensor;
  /** f32 [B, H, K, K], updated in place. */
  readonly hKk: Tensor;
  /** f32 [B, H, K, V], updated in place. */
  readonly hKv: Tensor;
  /** f32 [B, H, V] to write into. Default: a new tensor. */
  readonly o?: Tensor;
}

const OP = 'mesaNet';
/** Most elements of a head: a thread holds its states. */
const MOST_DIM = 256;
const MOST_ITERATIONS = 10_000;

/** Lays out the call; a step starts its iterations from the diagonal. */
export function planMesaNet(
  b: Builder,
  inputs: MesaNetInputs,
  options: MesaNetOptions,
  into?: StepTarget,
): MesaNetResult {
  const names = ['q', 'k', 'v', 'g', 'beta', 'lamb', 'initialHKk', 'initialHKv', 'cuSeqlens'];
  expectNames(OP, 'input', inputs, names);
  expectNames(OP, 'option', options, ['maxIterations', 'tolerance']);
  const { q, k, v, g, beta, lamb, initialHKk, initialHKv, cuSeqlens } = inputs;
  const sizes = matchShapes<'q' | 'k' | 'v' | 'g' | 'beta' | 'lamb'>(
    OP,
    { q, k, v, g, beta, lamb },
    { q: 'B T H K', k: 'B T H K', v: 'B T H V', g: '?B T H', beta: 'B T H', lamb: 'H K' },
  );
  const { B, T, H, K, V } = sizes as Record<'B' | 'T' | 'H' | 'K' | 'V', number>;
  if (K < 1 || K > MOST_DIM || V < 1 || V > MOST_DIM) {
    throw new ShapeError(`${OP}: head dimensions are ${K} and ${V}, expected 1 to ${MOST_DIM}`);
  }
  expectTypes(OP, { q, k, v }, ['f32', 'f16', 'bf16']);
  expectTypes(OP, { g, beta, lamb }, ['f32']);
  expectRows(OP, { q, k, v });
  expectContiguous(OP, { lamb });
  const maxIterations = whole(OP, 'maxIterations', options.maxIterations, 30, 0, MOST_ITERATIONS);
  const tolerance = finite(OP, 'tolerance', options.tolerance, 1e-7, 0, 1);
  const sequences = sequencesOf(OP, { B, Tq: T, Tk: T }, { cuSeqlens });
  const N = sequences.length;
  const hKk = carried(b, OP, 'initialHKk', initialHKk, [N, H, K, K], into);
  const hKv = carried(b, OP, 'initialHKv', initialHKv, [N, H, K, V], into);
  const o = into?.o ?? b.output([B, T, H, V]);
  mesa(b, {
    q,
    k,
    v,
    beta,
    g,
    lamb,
    o,
    kk: { initial: initialHKk, final: hKk },
    kv: { initial: initialHKv, final: hKv },
    sequences,
    maxIterations,
    tolerance,
    jacobi: into !== undefined,
  });
  return { o, hKk, hKv };
}

/**
 * MesaNet: what a layer reads is the value that ridge regression on all tokens so far predicts for its query:
 * H_kk,t = e^g_t H_kk,t-1 + beta_t k_t k_t, H_kv,t = e^g_t H_kv,t-1 + beta_t k_t v_t,
 * o_t = q_t (H_kk,t + diag(lamb))^-1 H_kv,t.
 *
 * The systems are solved by conjugate gradients from 0. They end at `tolerance` or after `maxIterations`, which are
 * enough where H_kk is well conditioned; o is the best estimate so far, so raise maxIterations where lamb is small
 * beside H_kk.
 *
 * Source: MesaNet (von Oswald 2025); reference implementation fla, naive_mesa_net_exact.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, hKk, hKv } = await mesaNet({ q, k, v, g, beta, lamb })
 */
export function mesaNet(inputs: MesaNetInputs, options: MesaNetOptions = {}): Promise<MesaNetResult> {
  return run(OP, inputs, (b) => planMesaNet(b, inputs, options));
}

/** As `mesaNet`, to the end before it returns. */
export function mesaNetSync(inputs: MesaNetInputs, options: MesaNetOptions = {}): MesaNetResult {
  return runSync(OP, inputs, (b) => planMesaNet(b, inputs, options));
}

/**
 * One token of `mesaNet`; `hKk` and `hKv` are updated in place. Iterations start from q / (diagonal of H_kk + lamb).
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example mesaNetStep({ q, k, v, g, beta, lamb, hKk, hKv, o })
 */
export function mesaNetStep(inputs: MesaNetStepInputs, options: MesaNetOptions = {}): { o: Tensor } {
  const timed = ['v', 'q', 'k', 'beta', ...(inputs.g ? ['g'] : [])];
  const shape = { op: OP, timed, states: { hKk: 'initialHKk', hKv: 'initialHKv' } };
  return runStep(shape, inputs, (b, lifted, into) => planMesaNet(b, lifted, options, into));
}

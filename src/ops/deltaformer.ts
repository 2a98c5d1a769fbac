/**
 * DeltaFormer.
 *
 * @module
 */
import { deltaformerAttend } from '../engines/deltaformer.ts';
import { sequencesOf } from '../engines/sequences.ts';
import { expectNames, expectRows, expectTypes, finite, matchShapes } from '../engines/shapes.ts';
import { ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `deltaformer`. */
export interface DeltaformerInputs {
  /** [B, T, Hq, D], Hq a multiple of Hkv; f32, f16 or bf16, as k and v. */
  readonly q: Tensor;
  /** [B, T, Hkv, D] */
  readonly k: Tensor;
  /** [B, T, Hkv, Dv] */
  readonly v: Tensor;
  /** f32 [B, T, Hq]: how much of what a query reads before its token is taken from the token's value. */
  readonly beta: Tensor;
  /** i32 [n + 1]: boundaries of n sequences packed along T, with B = 1. */
  readonly cuSeqlens?: Tensor;
}

/** Options of `deltaformer`. */
export interface DeltaformerOptions {
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
}

const OP = 'deltaformer';
/** Most elements of a head: a block's values stay in the cache. */
const MOST_DIM = 256;

/** Lays out the call. */
export function planDeltaformer(b: Builder, inputs: DeltaformerInputs, options: DeltaformerOptions): { o: Tensor } {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'beta', 'cuSeqlens']);
  expectNames(OP, 'option', options, ['scale']);
  const { q, k, v, beta, cuSeqlens } = inputs;
  const sizes = matchShapes<keyof DeltaformerInputs>(
    OP,
    { ...inputs },
    { q: 'B T Hq D', k: 'B T Hkv D', v: 'B T Hkv Dv', beta: 'B T Hq', cuSeqlens: '?n' },
  );
  const { B, T, Hq, Hkv, D, Dv } = sizes as Record<'B' | 'T' | 'Hq' | 'Hkv' | 'D' | 'Dv', number>;
  if (Hkv === 0 || Hq % Hkv !== 0) {
    throw new ShapeError(`${OP}: ${Hq} query heads cannot share ${Hkv} key/value heads: Hq must be a multiple of Hkv`);
  }
  if (D < 1 || D > MOST_DIM || Dv < 1 || Dv > MOST_DIM) {
    throw new ShapeError(`${OP}: head dimensions are ${D} and ${Dv}, expected 1 to ${MOST_DIM}`);
  }
  expectTypes(OP, { q, k, v }, ['f32', 'f16', 'bf16']);
  expectTypes(OP, { beta }, ['f32']);
  expectRows(OP, { q, k, v });
  const scale = finite(OP, 'scale', options.scale, D ** -0.5);
  const sequences = sequencesOf(OP, { B, Tq: T, Tk: T }, { cuSeqlens });
  const o = b.output([B, T, Hq, Dv]);
  deltaformerAttend(b, { q, k, v, beta, o, sequences, scale, softcap: 0, window: [-1, 0] });
  return { o };
}

/**
 * Causal softmax attention over values that the delta rule has changed:
 * u_i = v_i - beta_i sum_{j < i} softmax_{j < i}(scale q_i k_j) u_j,
 * o_i = sum_{j <= i} softmax_{j <= i}(scale q_i k_j) u_j.
 *
 * Source: DeltaFormer (Zhong 2025, arXiv 2505.19488); reference implementation fla, naive_deltaformer_attn.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await deltaformer({ q, k, v, beta })
 */
export function deltaformer(inputs: DeltaformerInputs, options: DeltaformerOptions = {}): Promise<{ o: Tensor }> {
  return run(OP, inputs, (b) => planDeltaformer(b, inputs, options));
}

/** As `deltaformer`, to the end before it returns. */
export function deltaformerSync(inputs: DeltaformerInputs, options: DeltaformerOptions = {}): { o: Tensor } {
  return runSync(OP, inputs, (b) => planDeltaformer(b, inputs, options));
}

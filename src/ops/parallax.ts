/**
 * Parallax attention.
 *
 * @module
 */
import { flashAttend } from '../engines/flash.ts';
import { expectNames, expectTypes, matchShapes } from '../engines/shapes.ts';
import { ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type AttentionOptions, type AttentionResult, attentionCall } from './attention.ts';

/** Operands of `parallax`. */
export interface ParallaxInputs {
  /** f32 [B, Tq, Hq, D] */
  readonly q: Tensor;
  /** [B, Tk, Hkv, D] */
  readonly k: Tensor;
  /** [B, Tk, Hkv, Dv] */
  readonly v: Tensor;
  /** f32 [B, Tq, Hq, D] */
  readonly r: Tensor;
}

const OP = 'parallax';

/** Lays out the call. */
export function planParallax(b: Builder, inputs: ParallaxInputs, options: AttentionOptions): AttentionResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'r']);
  const { q, k, v, r } = inputs;
  matchShapes<keyof ParallaxInputs>(
    OP,
    { ...inputs },
    { q: 'B Tq Hq D', k: 'B Tk Hkv D', v: 'B Tk Hkv Dv', r: 'B Tq Hq D' },
  );
  expectTypes(OP, { q, r }, ['f32']);
  if (q.strides.some((step, axis) => step !== r.strides[axis])) {
    throw new ShapeError(`${OP}: q and r must be laid out alike; their strides are [${q.strides}] and [${r.strides}]`);
  }
  const call = attentionCall(b, OP, { q, k, v }, options);
  flashAttend(b, call, { r });
  return { o: call.o, lse: call.lse };
}

/**
 * Softmax attention whose weights are corrected by a second, linear score s2_ij = r_i k_j:
 * o_i = sum_j p_ij (1 + E_p[s2_i] - s2_ij) v_j, p the softmax of scale q k.
 *
 * Source: Parallax (2026); reference implementation fla, naive_parallax.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await parallax({ q, k, v, r }, { causal: true })
 */
export function parallax(inputs: ParallaxInputs, options: AttentionOptions = {}): Promise<AttentionResult> {
  return run(OP, inputs, (b) => planParallax(b, inputs, options));
}

/** As `parallax`, to the end before it returns. */
export function parallaxSync(inputs: ParallaxInputs, options: AttentionOptions = {}): AttentionResult {
  return runSync(OP, inputs, (b) => planParallax(b, inputs, options));
}

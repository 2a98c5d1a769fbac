/**
 * Forgetting attention.
 *
 * @module
 */
import { expectContiguous, expectNames, expectTypes, matchShapes, whole } from '../engines/shapes.ts';
import { CumsumParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type AttentionOptions, attend, attentionCall } from './attention.ts';

/** Operands of `forgettingAttn`. */
export interface ForgettingAttnInputs {
  /** [B, T, Hq, D] */
  readonly q: Tensor;
  /** [B, T, Hkv, D] */
  readonly k: Tensor;
  /** [B, T, Hkv, Dv] */
  readonly v: Tensor;
  /** f32 [B, T, Hq]: log of the forget gate, at most 0. */
  readonly g: Tensor;
}

/** Options of `forgettingAttn`. */
export interface ForgettingAttnOptions extends Pick<AttentionOptions, 'scale'> {
  /** Row i sees the last windowSize keys, its own counted. Default: all up to its own. */
  readonly windowSize?: number;
}

const OP = 'forgettingAttn';

/** Lays out the call. */
export function planForgetting(
  b: Builder,
  inputs: ForgettingAttnInputs,
  options: ForgettingAttnOptions,
): { o: Tensor } {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'g']);
  expectNames(OP, 'option', options, ['windowSize', 'scale']);
  const { q, k, v, g } = inputs;
  const sizes = matchShapes<keyof ForgettingAttnInputs>(
    OP,
    { ...inputs },
    {
      q: 'B T Hq D',
      k: 'B T Hkv D',
      v: 'B T Hkv Dv',
      g: 'B T Hq',
    },
  );
  const { B, T, Hq } = sizes as Record<'B' | 'T' | 'Hq', number>;
  expectTypes(OP, { g }, ['f32']);
  expectContiguous(OP, { g });
  const size = whole(OP, 'windowSize', options.windowSize, T, 1);
  const total = b.temporary([...g.shape, 2]);
  b.dispatch({
    kernel: 'cumsum',
    params: encode(CumsumParams, { x: g.address, o: total.address, factor: -1, length: T, heads: Hq }),
    items: B * Hq,
    flops: g.size,
  });
  // the row's own sum does not change its softmax, so that the gates reduce to a bias of each key
  const window = [Math.min(size - 1, T), 0] as const;
  const call = attentionCall(b, OP, { q, k, v }, { window, scale: options.scale });
  attend(b, { ...call, lse: undefined, keyBias: total });
  b.drop(call.lse);
  return { o: call.o };
}

/**
 * Causal softmax attention whose scores fade with the forget gates in between:
 * o_i = sum_j softmax_j(scale q_i k_j + sum_{j < s <= i} g_s) v_j.
 *
 * Source: Forgetting Transformer (Lin 2025); reference implementation fla, naive_forgetting_attn.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await forgettingAttn({ q, k, v, g })
 */
export function forgettingAttn(
  inputs: ForgettingAttnInputs,
  options: ForgettingAttnOptions = {},
): Promise<{ o: Tensor }> {
  return run(OP, inputs, (b) => planForgetting(b, inputs, options));
}

/** As `forgettingAttn`, to the end before it returns. */
export function forgettingAttnSync(inputs: ForgettingAttnInputs, options: ForgettingAttnOptions = {}): { o: Tensor } {
  return runSync(OP, inputs, (b) => planForgetting(b, inputs, options));
}

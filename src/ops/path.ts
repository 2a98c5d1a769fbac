/**
 * PaTH attention.
 *
 * @module
 */
import { pathAttend } from '../engines/path.ts';
import { sequencesOf } from '../engines/sequences.ts';
import { expectContiguous, expectNames, expectRows, expectTypes, finite, matchShapes } from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { CumsumParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `pathAttn`. */
export interface PathAttnInputs {
  /** [B, T, Hq, D], Hq a multiple of Hkv; f32, f16 or bf16, as k, v and w. */
  readonly q: Tensor;
  /** [B, T, Hkv, D] */
  readonly k: Tensor;
  /** [B, T, Hkv, Dv] */
  readonly v: Tensor;
  /** `[B, T, Hkv, D]`: direction of each token's transition I - beta w w^T, as it is; normalize it first. */
  readonly w: Tensor;
  /** f32 [B, T, Hkv]: strength of the transition, 0 to 2 for unit w. */
  readonly beta: Tensor;
  /** f32 [B, T, Hq]: log of a forget gate, at most 0. Default: none. */
  readonly g?: Tensor;
  /** i32 [n + 1]: boundaries of n sequences packed along T, with B = 1. */
  readonly cuSeqlens?: Tensor;
}

/** Options of `pathAttn`. */
export interface PathAttnOptions {
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
  /** Whether scale multiplies the gates too, as in fla. Default true; false adds them as `forgettingAttn` does. */
  readonly scaleGates?: boolean;
}

const OP = 'pathAttn';
/** Most elements of a head: transitions are matrices of D x D. */
const MOST_DIM = 256;

/** Lays out the call. */
export function planPath(b: Builder, inputs: PathAttnInputs, options: PathAttnOptions): { o: Tensor } {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'w', 'beta', 'g', 'cuSeqlens']);
  expectNames(OP, 'option', options, ['scale', 'scaleGates']);
  const { q, k, v, w, beta, g, cuSeqlens } = inputs;
  const sizes = matchShapes<keyof PathAttnInputs>(
    OP,
    { ...inputs },
    {
      q: 'B T Hq D',
      k: 'B T Hkv D',
      v: 'B T Hkv Dv',
      w: 'B T Hkv D',
      beta: 'B T Hkv',
      g: '?B T Hq',
      cuSeqlens: '?n',
    },
  );
  const { B, T, Hq, Hkv, D, Dv } = sizes as Record<'B' | 'T' | 'Hq' | 'Hkv' | 'D' | 'Dv', number>;
  if (Hkv === 0 || Hq % Hkv !== 0) {
    throw new ShapeError(`${OP}: ${Hq} query heads cannot share ${Hkv} key/value heads: Hq must be a multiple of Hkv`);
  }
  if (D < 1 || D > MOST_DIM || Dv < 1 || Dv > MOST_DIM) {
    throw new ShapeError(`${OP}: head dimensions are ${D} and ${Dv}, expected 1 to ${MOST_DIM}`);
  }
  expectTypes(OP, { q, k, v, w }, ['f32', 'f16', 'bf16']);
  expectTypes(OP, { beta, g }, ['f32']);
  expectRows(OP, { q, k, v, w });
  expectContiguous(OP, { g });
  const scale = finite(OP, 'scale', options.scale, D ** -0.5);
  const { scaleGates = true } = options;
  if (typeof scaleGates !== 'boolean') {
    throw new OptionError(`${OP}: scaleGates is ${scaleGates}, expected true or false`);
  }
  const sequences = sequencesOf(OP, { B, Tq: T, Tk: T }, { cuSeqlens });
  const o = b.output([B, T, Hq, Dv]);
  let keyBias: Tensor | undefined;
  if (g) {
    // the row's own sum does not change its softmax, so that the gates reduce to a bias of each key
    keyBias = b.temporary([...g.shape, 2]);
    b.dispatch({
      kernel: 'cumsum',
      params: encode(CumsumParams, {
        x: g.address,
        o: keyBias.address,
        factor: scaleGates ? -scale : -1,
        length: T,
        heads: Hq,
      }),
      items: B * Hq,
      flops: g.size,
    });
  }
  pathAttend(b, { q, k, v, w, beta, o, sequences, scale, softcap: 0, window: [-1, 0], keyBias });
  return { o };
}

/**
 * Causal softmax attention whose positions are products of Householder-like transitions of the tokens in between:
 * o_i = sum_j softmax_j(scale (q_i H_i H_{i-1} ... H_{j+1} k_j + sum_{j < s <= i} g_s)) v_j, H_t = I - beta_t w_t w_t^T.
 *
 * Source: PaTH Attention (Yang 2025); reference implementation fla, naive_path_attn.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await pathAttn({ q, k, v, w, beta, g })
 */
export function pathAttn(inputs: PathAttnInputs, options: PathAttnOptions = {}): Promise<{ o: Tensor }> {
  return run(OP, inputs, (b) => planPath(b, inputs, options));
}

/** As `pathAttn`, to the end before it returns. */
export function pathAttnSync(inputs: PathAttnInputs, options: PathAttnOptions = {}): { o: Tensor } {
  return runSync(OP, inputs, (b) => planPath(b, inputs, options));
}

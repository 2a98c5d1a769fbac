/**
 * Multi-matrix factorization attention.
 *
 * @module
 */
import { asFloats, packed } from '../engines/copy.ts';
import { gemm, gemmPack, packedSize } from '../engines/gemm.ts';
import { expectOperands } from '../engines/pattern-call.ts';
import { sequencesOf } from '../engines/sequences.ts';
import { expectContiguous, expectNames, expectTypes, finite, flag, matchShapes } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type AttentionOptions, type AttentionResult, attend, windowOf } from './attention.ts';
import { axisForHeads, perHead } from './mla.ts';
import { planRope, type RopeOptions } from './rope.ts';

/** Operands of `mfa`; k and v f32, f16 or bf16, others f32. */
export interface MfaInputs {
  /** `[B, Tq, C]`: latents of the queries. */
  readonly cQ: Tensor;
  /** `[H, C, D]`: queries of each head from the latent. */
  readonly wUq: Tensor;
  /** `[B, Tk, D]`: keys of all heads, rotated if `rope` is given. */
  readonly k: Tensor;
  /** `[B, Tk, Dv]`: values of all heads. Without v and wV values are the keys. */
  readonly v?: Tensor;
  /** [D, Dv], in place of v: values are k wV (MFA-KR). */
  readonly wV?: Tensor;
  /** i32 [B], as in `attention`. */
  readonly kvLens?: Tensor;
}

/** Options of `mfa`. The scale defaults to D^-1/2. */
export interface MfaOptions extends Omit<AttentionOptions, 'blockMask'> {
  /** How queries are rotated once they are made; as `rope`. Default: not at all. */
  readonly rope?: RopeOptions;
  /** With wV: true puts it behind the attention, false makes values first. Default: whichever takes fewer operations. */
  readonly absorb?: boolean;
}

const OP = 'mfa';

/** Adds o [rows, n] = x [rows, k] w, both contiguous but for the rows' stride of x. */
function project(b: Builder, x: Tensor, w: Tensor, rows: number, o: Tensor): void {
  const [k, n] = w.shape as [number, number];
  const bPack = b.temporary([packedSize(k, n)]);
  gemmPack(b, w, false, bPack.address);
  const call = { bPack: bPack.address, bias: 0, m: rows, k, n, activation: 'none', oStride: n } as const;
  gemm(b, { ...call, a: x.address, aStride: k, o: o.address });
}

/** Lays out the call. */
export function planMfa(b: Builder, inputs: MfaInputs, options: MfaOptions): AttentionResult {
  expectNames(OP, 'input', inputs, ['cQ', 'wUq', 'k', 'v', 'wV', 'kvLens']);
  expectNames(OP, 'option', options, ['causal', 'window', 'scale', 'softcap', 'rope', 'absorb']);
  const { cQ, wUq, k, v, wV, kvLens } = inputs;
  if (v && wV) throw new OptionError(`${OP}: v and wV were both given, expected v, or wV to make values of the keys`);
  const sizes = matchShapes<keyof MfaInputs>(
    OP,
    { ...inputs },
    { cQ: 'B Tq C', wUq: 'H C D', k: 'B Tk D', v: '?B Tk Dv', wV: '?D Dv', kvLens: '?B' },
  ) as Record<'B' | 'Tq' | 'Tk' | 'H' | 'C' | 'D', number> & { Dv?: number };
  const { B, Tq, Tk, H, D, Dv = D } = sizes;
  expectTypes(OP, { cQ, wUq, wV }, ['f32']);
  expectContiguous(OP, { cQ, wUq, wV });
  const [keys, values] = [axisForHeads(k), axisForHeads(v ?? k)];
  expectOperands(OP, { q: wUq, k, v: v ?? k }, { Hq: H, Hkv: 1, D, Dv });
  const common = {
    sequences: sequencesOf(OP, { B, Tq, Tk }, { kvLens }),
    scale: finite(OP, 'scale', options.scale, D ** -0.5),
    softcap: finite(OP, 'softcap', options.softcap, 0, 0),
    window: windowOf(OP, options),
  };
  const made = b.temporary([B, Tq, H, D]);
  perHead(b, axisForHeads(cQ), wUq, false, made);
  const rotated = options.rope && planRope(b, { x: made }, options.rope).o;
  if (rotated) b.drop(rotated);
  const call = { ...common, q: rotated ?? made, k: keys };
  const [o, lse] = [b.output([B, Tq, H, Dv]), b.output([B, Tq, H])];
  const absorb = flag(OP, 'absorb', options.absorb, (Tq * H - Tk) * D * Dv + Tq * Tk * H * (D - Dv) <= 0);
  if (!wV) {
    attend(b, { ...call, v: values, o, lse });
  } else if (absorb) {
    const mixed = b.temporary([B, Tq, H, D]);
    attend(b, { ...call, v: keys, o: mixed, lse });
    project(b, mixed, wV, B * Tq * H, o);
    b.note(() => 'values are the keys; wV is applied to their sums');
  } else {
    const from = packed(b, asFloats(b, keys));
    const all = b.temporary([B, Tk, 1, Dv]);
    project(b, from, wV, B * Tk, all);
    attend(b, { ...call, v: all, o, lse });
    b.note(() => 'values are made of the keys by wV');
  }
  return { o, lse };
}

/**
 * Multi-matrix factorization attention: many heads whose queries come from a small latent, q_h = c wUq_h, and one key and one value a token
 * for all of them. With wV (key reuse, MFA-KR) values are k wV, so that the cache is keys alone; for few queries wV is applied after the
 * attention.
 *
 * Shapes: cQ [B, Tq, C], wUq [H, C, D], k [B, Tk, D], v [B, Tk, Dv] or wV [D, Dv] -> o [B, Tq, H, Dv], lse [B, Tq, H].
 *
 * Source: Multi-matrix Factorization Attention (Hu 2024), from the paper's definition: no code was published.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await mfa({ cQ, wUq, k, v }, { causal: true })
 */
export function mfa(inputs: MfaInputs, options: MfaOptions = {}): Promise<AttentionResult> {
  return run(OP, inputs, (b) => planMfa(b, inputs, options));
}

/** As `mfa`, to the end before it returns. */
export function mfaSync(inputs: MfaInputs, options: MfaOptions = {}): AttentionResult {
  return runSync(OP, inputs, (b) => planMfa(b, inputs, options));
}

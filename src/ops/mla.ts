/**
 * Multi-head latent attention.
 *
 * @module
 */
import { MOST_DIM } from '../engines/attention-call.ts';
import { copyRows } from '../engines/copy.ts';
import { gemm, gemmPack, packedSize } from '../engines/gemm.ts';
import { sequencesOf } from '../engines/sequences.ts';
import { expectContiguous, expectNames, expectTypes, finite, matchShapes } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type AttentionOptions, attend, windowOf } from './attention.ts';

/** Operands of `mla`, all f32. */
export interface MlaInputs {
  /** [B, Tq, H, N] */
  readonly qNope: Tensor;
  /** [B, Tq, H, R], rotated. */
  readonly qRope: Tensor;
  /** [B, Tk, C]: the latent cache. */
  readonly cKv: Tensor;
  /** [B, Tk, R], rotated, shared by all heads. With cKv two slices of one [B, Tk, C + R] cache, nothing is copied. */
  readonly kRope: Tensor;
  /** [H, C, N]: keys from the latent. */
  readonly wUk: Tensor;
  /** [H, C, V]: values from the latent. */
  readonly wUv: Tensor;
  /** i32 [B], as in `attention`. */
  readonly kvLens?: Tensor;
}

/** Options of `mla`. The scale defaults to (N + R)^-1/2. */
export interface MlaOptions extends Omit<AttentionOptions, 'blockMask'> {
  /**
   * true: fold wUk into the queries and wUv behind the attention, which then runs on the latents; false: expand keys and
   * values first. Default: whichever takes fewer operations.
   */
  readonly absorb?: boolean;
}

interface Sizes {
  B: number;
  Tq: number;
  Tk: number;
  H: number;
  N: number;
  R: number;
  C: number;
  V: number;
}

const OP = 'mla';

/** Adds out[.., h, :] = x[.., h, :] w[h] ([C, N] or its transpose); x [B, T, H, K], or [B, T, 1, K] for all heads. */
function perHead(b: Builder, x: Tensor, w: Tensor, transposed: boolean, out: Tensor): void {
  const [heads, rows, columns] = w.shape as [number, number, number];
  const [k, n] = transposed ? [columns, rows] : [rows, columns];
  const bPack = b.temporary([heads, packedSize(k, n)]);
  gemmPack(b, w, transposed, bPack.address);
  const [batch, length] = x.shape as [number, number];
  // time and batch are one axis of rows where they lie one stride apart
  const joined = x.strides[0] === length * x.strides[1]! && out.strides[0] === length * out.strides[1]!;
  for (let i = 0; i < (joined ? 1 : batch); ++i) {
    gemm(b, {
      a: x.address + i * x.strides[0]! * 4,
      aStride: x.strides[1]!,
      bPack: bPack.address,
      o: out.address + i * out.strides[0]! * 4,
      oStride: out.strides[1]!,
      bias: 0,
      m: joined ? batch * length : length,
      k,
      n,
      activation: 'none',
      batch: [heads, x.shape[2] === 1 ? 0 : x.strides[2]!, packedSize(k, n), out.strides[2]!],
    });
  }
}

/** [cKv, kRope] as keys [B, Tk, 1, C + R], without a copy where they lie side by side. */
function latentKeys(b: Builder, cKv: Tensor, kRope: Tensor, { B, Tk, C, R }: Sizes): Tensor {
  const [strideB, strideT] = cKv.strides as [number, number];
  const beside = kRope.address === cKv.address + C * 4 && kRope.strides[0] === strideB && kRope.strides[1] === strideT;
  if (beside) return cKv.restride([B, Tk, 1, C + R], [strideB, strideT, C + R, 1]);
  const keys = b.temporary([B, Tk, 1, C + R]);
  copyRows(b, axisForHeads(cKv), keys.slice(3, 0, C));
  copyRows(b, axisForHeads(kRope), keys.slice(3, C, C + R));
  return keys;
}

/** [B, T, D] as [B, T, 1, D]. */
function axisForHeads(x: Tensor): Tensor {
  const [batch, length, d] = x.shape as [number, number, number];
  return x.restride([batch, length, 1, d], [x.strides[0]!, x.strides[1]!, d, x.strides[2]!]);
}

/** Lays out the call. */
export function planMla(b: Builder, inputs: MlaInputs, options: MlaOptions): { o: Tensor } {
  expectNames(OP, 'input', inputs, ['qNope', 'qRope', 'cKv', 'kRope', 'wUk', 'wUv', 'kvLens']);
  expectNames(OP, 'option', options, ['causal', 'window', 'scale', 'softcap', 'absorb']);
  const { qNope, qRope, cKv, kRope, wUk, wUv, kvLens } = inputs;
  const sizes = matchShapes<keyof MlaInputs>(
    OP,
    { ...inputs },
    {
      qNope: 'B Tq H N',
      qRope: 'B Tq H R',
      cKv: 'B Tk C',
      kRope: 'B Tk R',
      wUk: 'H C N',
      wUv: 'H C V',
      kvLens: '?B',
    },
  ) as unknown as Sizes;
  expectTypes(OP, { qNope, qRope, cKv, kRope, wUk, wUv }, ['f32']);
  expectContiguous(OP, { qNope, qRope, wUk, wUv });
  const { B, Tq, Tk, H, N, R, C, V } = sizes;
  const common = {
    sequences: sequencesOf(OP, sizes, { kvLens }),
    scale: finite(OP, 'scale', options.scale, (N + R) ** -0.5),
    softcap: finite(OP, 'softcap', options.softcap, 0, 0),
    window: windowOf(OP, options),
  };
  const o = b.output([B, Tq, H, V]);
  const onLatents = Tq * Tk * (2 * C + R) + Tq * C * (N + V);
  const onHeads = Tq * Tk * (N + R + V) + Tk * C * (N + V);
  const absorb = options.absorb ?? (C + R <= MOST_DIM && onLatents <= onHeads);
  if (absorb && C + R > MOST_DIM) {
    throw new OptionError(`${OP}: absorb needs C + R <= ${MOST_DIM}; C is ${C} and R is ${R}. Leave absorb out.`);
  }
  if (absorb) {
    const q = b.temporary([B, Tq, H, C + R]);
    perHead(b, qNope, wUk, true, q.slice(3, 0, C));
    copyRows(b, qRope, q.slice(3, C, C + R));
    const k = latentKeys(b, cKv, kRope, sizes);
    const mixed = b.temporary([B, Tq, H, C]);
    attend(b, { ...common, q, k, v: k.slice(3, 0, C), o: mixed });
    perHead(b, mixed, wUv, false, o);
    b.note(() => `absorbed: attention over latents of ${C} + ${R}, shared by ${H} heads`);
  } else {
    const latents = axisForHeads(cKv);
    const k = b.temporary([B, Tk, H, N + R]);
    const v = b.temporary([B, Tk, H, V]);
    perHead(b, latents, wUk, false, k.slice(3, 0, N));
    const shared = axisForHeads(kRope);
    copyRows(b, shared.broadcast([B, Tk, H, R]), k.slice(3, N, N + R));
    perHead(b, latents, wUv, false, v);
    const q = b.temporary([B, Tq, H, N + R]);
    copyRows(b, qNope, q.slice(3, 0, N));
    copyRows(b, qRope, q.slice(3, N, N + R));
    attend(b, { ...common, q, k, v, o });
    b.note(() => `expanded: keys of ${N} + ${R} and values of ${V} for each of ${H} heads`);
  }
  return { o };
}

/**
 * Multi-head latent attention: keys k_j = [wUk c_j, kRope_j] and values v_j = wUv c_j come from one small latent per
 * token. For few queries the projections are absorbed, and attention runs on the latent cache itself, its values a
 * prefix of its keys.
 *
 * Source: DeepSeek-V2 (2024); reference implementation DeepSeek-V3, inference/model.py.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await mla({ qNope, qRope, cKv, kRope, wUk, wUv }, { causal: true })
 */
export function mla(inputs: MlaInputs, options: MlaOptions = {}): Promise<{ o: Tensor }> {
  return run(OP, inputs, (b) => planMla(b, inputs, options));
}

/** As `mla`, to the end before it returns. */
export function mlaSync(inputs: MlaInputs, options: MlaOptions = {}): { o: Tensor } {
  return runSync(OP, inputs, (b) => planMla(b, inputs, options));
}

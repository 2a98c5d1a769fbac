/**
 * Multi-head latent attention.
 *
 * @module
 */
import { MOST_DIM } from '../engines/attention-call.ts';
import { asFloats, copyRows } from '../engines/copy.ts';
import { gemm, gemmPack, packedSize } from '../engines/gemm.ts';
import { sequencesOf } from '../engines/sequences.ts';
import { expectContiguous, expectNames, expectRows, expectTypes, finite, matchShapes } from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import { bytesOf, type Tensor } from '../tensor.ts';
import { type AttentionOptions, attend, windowOf } from './attention.ts';

/** Operands of `mla`; f32, the latents also f16 or bf16. */
export interface MlaInputs {
  /** [B, Tq, H, N] */
  readonly qNope: Tensor;
  /** [B, Tq, H, R], rotated. */
  readonly qRope: Tensor;
  /** `[B, Tk, C]`: the latent cache. */
  readonly cKv: Tensor;
  /** [B, Tk, R], rotated, shared by all heads, of the type of cKv. */
  readonly kRope: Tensor;
  /** `[H, C, N]`: keys from the latent. */
  readonly wUk: Tensor;
  /** `[H, C, V]`: values from the latent. */
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

/** Operands of attention to latents: those of `mla`, with an axis of latent heads. */
export interface LatentInputs extends Omit<MlaInputs, 'cKv'> {
  /** [B, Tk, L, C], H a multiple of L: query heads h L / H share latent head h. */
  readonly cKv: Tensor;
}

const OP = 'mla';

/** Adds out[.., h, :] = x[.., h, :] w[h] ([C, N] or its transpose); x [B, T, H, K], or [B, T, 1, K] for all heads. */
export function perHead(b: Builder, x: Tensor, w: Tensor, transposed: boolean, out: Tensor): void {
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

/** [cKv, kRope] as keys of one row, where they lie side by side: a single row is read without a copy of it. */
function joinedKeys({ cKv, kRope }: LatentInputs, width: number) {
  const [B, Tk, L, C] = cKv.shape as [number, number, number, number];
  const [strideB, strideT, strideL, one] = cKv.strides as [number, number, number, number];
  const beside =
    L === 1 &&
    kRope.address === cKv.address + C * bytesOf(cKv.dtype) &&
    kRope.strides[0] === strideB &&
    kRope.strides[1] === strideT;
  if (!beside) return { k: cKv, kRest: kRope };
  return { k: cKv.restride([B, Tk, 1, width], [strideB, strideT, strideL, one]) };
}

/** [B, T, D] as [B, T, 1, D]. */
export function axisForHeads(x: Tensor): Tensor {
  const [batch, length, d] = x.shape as [number, number, number];
  return x.restride([batch, length, 1, d], [x.strides[0]!, x.strides[1]!, d, x.strides[2]!]);
}

/** Lays out attention to latents of one head or several. */
export function planLatents(b: Builder, op: string, inputs: LatentInputs, options: MlaOptions): { o: Tensor } {
  expectNames(op, 'input', inputs, ['qNope', 'qRope', 'cKv', 'kRope', 'wUk', 'wUv', 'kvLens']);
  expectNames(op, 'option', options, ['causal', 'window', 'scale', 'softcap', 'absorb']);
  const { qNope, qRope, cKv, kRope, wUk, wUv, kvLens } = inputs;
  const { B, Tq, Tk, H, N, R, L, C, V } = matchShapes<keyof MlaInputs>(
    op,
    { ...inputs },
    {
      qNope: 'B Tq H N',
      qRope: 'B Tq H R',
      cKv: 'B Tk L C',
      kRope: 'B Tk R',
      wUk: 'H C N',
      wUv: 'H C V',
      kvLens: '?B',
    },
  ) as Record<'B' | 'Tq' | 'Tk' | 'H' | 'N' | 'R' | 'L' | 'C' | 'V', number>;
  expectTypes(op, { qNope, qRope, wUk, wUv }, ['f32']);
  expectTypes(op, { cKv }, ['f32', 'f16', 'bf16']);
  expectTypes(op, { kRope }, [cKv.dtype]);
  expectContiguous(op, { qNope, qRope, wUk, wUv });
  expectRows(op, { cKv, kRope });
  if (L === 0 || H % L !== 0) {
    throw new ShapeError(`${op}: ${H} query heads cannot share ${L} latent heads: H must be a multiple of them`);
  }
  const common = {
    sequences: sequencesOf(op, { B, Tq, Tk }, { kvLens }),
    scale: finite(op, 'scale', options.scale, (N + R) ** -0.5),
    softcap: finite(op, 'softcap', options.softcap, 0, 0),
    window: windowOf(op, options),
  };
  const o = b.output([B, Tq, H, V]);
  const onLatents = Tq * Tk * (2 * C + R) + Tq * C * (N + V);
  const onHeads = Tq * Tk * (N + R + V) + Tk * C * (N + V);
  const absorb = options.absorb ?? (C + R <= MOST_DIM && onLatents <= onHeads);
  if (absorb && C + R > MOST_DIM) {
    throw new OptionError(`${op}: absorb needs C + R <= ${MOST_DIM}; C is ${C} and R is ${R}. Leave absorb out.`);
  }
  if (absorb) {
    const q = b.temporary([B, Tq, H, C + R]);
    perHead(b, qNope, wUk, true, q.slice(3, 0, C));
    copyRows(b, qRope, q.slice(3, C, C + R));
    const mixed = b.temporary([B, Tq, H, C]);
    attend(b, { ...common, q, ...joinedKeys(inputs, C + R), v: cKv, o: mixed });
    perHead(b, mixed, wUv, false, o);
    b.note(() => `absorbed: attention over ${L === 1 ? '' : `${L} `}latents of ${C} + ${R}, shared by ${H} heads`);
  } else {
    const latents = asFloats(b, cKv);
    const k = b.temporary([B, Tk, H, N]);
    const v = b.temporary([B, Tk, H, V]);
    for (let l = 0; l < L; ++l) {
      const [own, low, high] = [latents.slice(2, l, l + 1), (l * H) / L, ((l + 1) * H) / L];
      perHead(b, own, wUk.slice(0, low, high), false, k.slice(2, low, high));
      perHead(b, own, wUv.slice(0, low, high), false, v.slice(2, low, high));
    }
    const q = b.temporary([B, Tq, H, N + R]);
    copyRows(b, qNope, q.slice(3, 0, N));
    copyRows(b, qRope, q.slice(3, N, N + R));
    const shared = asFloats(b, axisForHeads(kRope));
    const kRest = shared.restride([B, Tk, R], [shared.strides[0]!, shared.strides[1]!, 1]);
    attend(b, { ...common, q, k, kRest, v, o });
    b.note(() => `expanded: keys of ${N} + ${R} and values of ${V} for each of ${H} heads`);
  }
  return { o };
}

/** Lays out the call. */
export function planMla(b: Builder, inputs: MlaInputs, options: MlaOptions): { o: Tensor } {
  const { cKv } = inputs;
  matchShapes(OP, { cKv }, { cKv: 'B Tk C' });
  return planLatents(b, OP, { ...inputs, cKv: axisForHeads(cKv) }, options);
}

/**
 * Multi-head latent attention: keys k_j = [wUk c_j, kRope_j] and values v_j = wUv c_j come from one small latent per
 * token. For few queries the projections are absorbed, and attention runs on the latent cache itself, its values a
 * prefix of its keys; it is read where it lies, cKv and kRope in rows of one cache [B, Tk, C + R] a little faster than apart.
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

/**
 * Host side of the FFT engine: tables of roots of unity, long convolutions, and kernels by their spectrum.
 *
 * @module
 */
import { FftConvParams, NplrKernelParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Tables up to this many points are kept, half a megabyte in all. */
const KEPT_POINTS = 2 ** 15;
const kept = new Map<number, Float32Array<ArrayBuffer>>();

/** e^(-2 pi i k / n) for all k, each rounded once. */
function rootsOfUnity(n: number): Float32Array<ArrayBuffer> {
  const known = kept.get(n);
  if (known) return known;
  const roots = new Float32Array(2 * n);
  for (let k = 0; k < n; ++k) {
    roots[2 * k] = Math.cos((2 * Math.PI * k) / n);
    roots[2 * k + 1] = -Math.sin((2 * Math.PI * k) / n);
  }
  if (n <= KEPT_POINTS) kept.set(n, roots);
  return roots;
}

function words(values: Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer>): Int32Array {
  return new Int32Array(values.buffer);
}

/** One causal convolution with a kernel for every channel. */
export interface FftConvCall {
  /** f32 [B, T, H], last axis contiguous. */
  readonly u: Tensor;
  /** f32 [H, at least taps], contiguous. */
  readonly kernel: Tensor;
  /** Elements of each kernel that count. */
  readonly taps: number;
  /** f32 [H] */
  readonly d?: Tensor | undefined;
  /** f32 [B, H, at least T], contiguous: added to the result. */
  readonly added?: Tensor | undefined;
  readonly o: Tensor;
}

/** Points of the transforms of a causal convolution: its first `length` outputs must not wrap around. */
export function convolutionPoints(length: number, taps: number): number {
  const needed = length + Math.max(1, Math.min(taps, length)) - 1;
  let points = 4;
  while (points < needed) points *= 2;
  return points;
}

/** Adds a causal convolution. */
export function fftConvolve(b: Builder, call: FftConvCall): void {
  const { u, kernel, d, added, o } = call;
  const [batch, length, channels] = u.shape as [number, number, number];
  if (o.size === 0) return;
  const taps = Math.min(call.taps, length);
  const points = convolutionPoints(length, taps);
  const groups = Math.ceil(channels / 4);
  const parts = Math.min(batch, Math.ceil(8 / groups));
  const params = encode(FftConvParams, {
    u: u.address,
    uStrideB: u.strides[0]!,
    uStrideT: u.strides[1]!,
    kernel: kernel.address,
    kernelStride: kernel.shape[1]!,
    taps,
    d: d?.address ?? 0,
    added: added?.address ?? 0,
    addedStride: added?.shape[2] ?? 0,
    o: o.address,
    oStrideB: o.strides[0]!,
    oStrideT: o.strides[1]!,
    twiddles: b.table(words(rootsOfUnity(points))),
    batch,
    length,
    channels,
    m: points / 2,
    parts,
  });
  b.dispatch({
    kernel: 'fftConv',
    params,
    items: groups * parts,
    scratchBytes: b.runtime.scratchBytes('fftConvScratchBytes', params),
    flops: groups * 4 * (parts + 2 * batch) * 2.5 * points * Math.log2(points),
  });
}

/** The parameters of S4 kernels: A = diag(lambda) - P P^*. */
export interface NplrCall {
  /** f32 [H, N] */
  readonly aReal: Tensor;
  readonly aImag: Tensor;
  /** f32 [H, N, 2] */
  readonly p: Tensor;
  readonly b: Tensor;
  readonly c: Tensor;
  /** f32 [H] */
  readonly logDt: Tensor;
  /** f32 [H, length] */
  readonly o: Tensor;
}

/** Adds the convolution kernels of S4. */
export function nplrKernels(b: Builder, call: NplrCall): void {
  const { aReal, aImag, p, c, logDt, o } = call;
  const [channels, states] = aReal.shape as [number, number];
  const length = o.shape[1]!;
  if (o.size === 0) return;
  const quick = length >= 4 && (length & (length - 1)) === 0;
  const tangents = Float64Array.from({ length: Math.floor(length / 2) + 2 }, (_, k) =>
    Math.tan((Math.PI * Math.min(k, length / 2)) / length),
  );
  const roots = new Float64Array(quick ? 0 : 2 * length);
  for (let k = 0; 2 * k < roots.length; ++k) {
    roots[2 * k] = Math.cos((2 * Math.PI * k) / length);
    roots[2 * k + 1] = Math.sin((2 * Math.PI * k) / length);
  }
  const params = encode(NplrKernelParams, {
    aReal: aReal.address,
    aImag: aImag.address,
    p: p.address,
    b: call.b.address,
    c: c.address,
    logDt: logDt.address,
    tangents: b.table(words(tangents)),
    twiddles: quick ? b.table(words(rootsOfUnity(length))) : 0,
    roots: quick ? 0 : b.table(words(roots)),
    o: o.address,
    channels,
    states,
    length,
    m: quick ? length / 2 : 0,
  });
  b.dispatch({
    kernel: 'nplrKernel',
    params,
    items: quick ? Math.ceil(channels / 4) : channels,
    scratchBytes: b.runtime.scratchBytes('nplrKernelScratchBytes', params),
    flops: channels * length * (20 * states + (quick ? 3 * Math.log2(length) : 2 * length)),
  });
  b.note(() =>
    quick
      ? `kernels of ${length} steps by an inverse FFT`
      : `kernels of ${length} steps by the direct sum: a length that is a power of two is faster`,
  );
}

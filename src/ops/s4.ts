/**
 * Long convolutions: with given kernels, and with those of S4.
 *
 * @module
 */
import { fftConvolve, nplrKernels } from '../engines/fft.ts';
import { expectContiguous, expectNames, expectRows, expectTypes, matchShapes, whole } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `fftConv`. */
export interface FftConvInputs {
  /** f32 [B, T, H] */
  readonly u: Tensor;
  /** f32 [H, L]: kernel[h, l] weighs the input l steps ago. */
  readonly kernel: Tensor;
  /** f32 [H]: weight of the input in the output, besides kernel[:, 0]. Default zeros. */
  readonly D?: Tensor | undefined;
}

/** Operands of `s4Kernel`. */
export interface S4KernelInputs {
  /** f32 [H, N]: real parts of the diagonal part of A, one of each conjugate pair; themselves, not their logarithms. */
  readonly AReal: Tensor;
  /** f32 [H, N]: imaginary parts. */
  readonly AImag: Tensor;
  /** f32 [H, N, 2]: the complex vector of the low-rank part, A = diag(AReal + i AImag) - P P^*. */
  readonly P: Tensor;
  /** f32 [H, N, 2]: complex input weights. */
  readonly B: Tensor;
  /** f32 [H, N, 2]: complex output weights as the S4 code stores them, C (I - a^length) of the discretised a. */
  readonly C: Tensor;
  /** f32 [H]: natural logarithm of the step. */
  readonly logDt: Tensor;
}

/** Operands of `s4`. */
export interface S4Inputs extends S4KernelInputs {
  /** f32 [B, T, H] */
  readonly u: Tensor;
  /** f32 [H]: weight of the input in the output. Default zeros. */
  readonly D?: Tensor | undefined;
}

/** Options of `s4Kernel`. */
export interface S4KernelOptions {
  /** Steps of the kernel, for which C is stored; powers of two from 4 on are fast. */
  readonly length: number;
}

/** Options of `s4`. */
export interface S4Options {
  /** Steps of the kernel, for which C is stored; powers of two from 4 on are fast. Default T. */
  readonly length?: number;
}

const LONG = 'fftConv';
const S4 = 's4';
const KERNEL = 's4Kernel';
const PARAMETERS = ['AReal', 'AImag', 'P', 'B', 'C', 'logDt'] as const;

/** Lays out `fftConv`. */
export function planFftConv(b: Builder, inputs: FftConvInputs, options: object): { o: Tensor } {
  expectNames(LONG, 'input', inputs, ['u', 'kernel', 'D']);
  expectNames(LONG, 'option', options, []);
  const { u, kernel, D } = inputs;
  const sizes = matchShapes(LONG, { u, kernel, D }, { u: 'B T H', kernel: 'H L', D: '?H' });
  expectTypes(LONG, { u, kernel, D }, ['f32']);
  expectRows(LONG, { u });
  expectContiguous(LONG, { kernel, D });
  const o = b.output(u.shape);
  fftConvolve(b, { u, kernel, taps: sizes.L!, d: D, o });
  return { o };
}

/**
 * Causal convolution of every channel with a long kernel of its own: o_t = sum_l kernel_l u_{t-l} + D u_t, by FFT of at
 * least T + L - 1 points. Its error is relative to the largest values of a sequence, not to each output.
 *
 * Source: the convolution of S4 (Gu et al. 2021) and Hyena (Poli et al. 2023).
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await fftConv({ u, kernel, D })
 */
export function fftConv(inputs: FftConvInputs, options: object = {}): Promise<{ o: Tensor }> {
  return run(LONG, inputs, (b) => planFftConv(b, inputs, options));
}

/** As `fftConv`, to the end before it returns. */
export function fftConvSync(inputs: FftConvInputs, options: object = {}): { o: Tensor } {
  return runSync(LONG, inputs, (b) => planFftConv(b, inputs, options));
}

/** Adds the kernels f32 [H, length] of checked parameters to `o`. */
function addKernels(b: Builder, op: string, inputs: S4KernelInputs, o: Tensor): void {
  const { AReal, AImag, P, B, C, logDt } = inputs;
  const vector = 'H N 2';
  matchShapes<keyof S4KernelInputs>(
    op,
    { AReal, AImag, P, B, C, logDt },
    { AReal: `${o.shape[0]} N`, AImag: `${o.shape[0]} N`, P: vector, B: vector, C: vector, logDt: `${o.shape[0]}` },
  );
  expectTypes(op, { AReal, AImag, P, B, C, logDt }, ['f32']);
  expectContiguous(op, { AReal, AImag, P, B, C, logDt });
  nplrKernels(b, { aReal: AReal, aImag: AImag, p: P, b: B, c: C, logDt, o });
}

/** Lays out `s4Kernel`. */
export function planS4Kernel(b: Builder, inputs: S4KernelInputs, options: S4KernelOptions): { kernel: Tensor } {
  expectNames(KERNEL, 'input', inputs, PARAMETERS);
  expectNames(KERNEL, 'option', options, ['length']);
  const { H } = matchShapes(KERNEL, { AReal: inputs.AReal }, { AReal: 'H N' });
  if (options.length === undefined)
    throw new OptionError(`${KERNEL}: length is missing: the steps for which C is stored`);
  const kernel = b.output([H!, whole(KERNEL, 'length', options.length, 1, 1)]);
  addKernels(b, KERNEL, inputs, kernel);
  return { kernel };
}

/**
 * The convolution kernels of `s4`, f32 [H, length], for `fftConv`: parameters that do not change need them but once.
 *
 * Source: as `s4`.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { kernel } = await s4Kernel({ AReal, AImag, P, B, C, logDt }, { length: 1024 })
 */
export function s4Kernel(inputs: S4KernelInputs, options: S4KernelOptions): Promise<{ kernel: Tensor }> {
  return run(KERNEL, inputs, (b) => planS4Kernel(b, inputs, options));
}

/** As `s4Kernel`, to the end before it returns. */
export function s4KernelSync(inputs: S4KernelInputs, options: S4KernelOptions): { kernel: Tensor } {
  return runSync(KERNEL, inputs, (b) => planS4Kernel(b, inputs, options));
}

/** Lays out `s4`. */
export function planS4(b: Builder, inputs: S4Inputs, options: S4Options): { o: Tensor } {
  expectNames(S4, 'input', inputs, ['u', ...PARAMETERS, 'D']);
  expectNames(S4, 'option', options, ['length']);
  const { u, D } = inputs;
  const { T, H } = matchShapes(S4, { u, D }, { u: 'B T H', D: '?H' });
  expectTypes(S4, { u, D }, ['f32']);
  expectRows(S4, { u });
  expectContiguous(S4, { D });
  const length = whole(S4, 'length', options.length, Math.max(1, T!), 1);
  const kernel = b.temporary([H!, length]);
  addKernels(b, S4, inputs, kernel);
  const o = b.output(u.shape);
  fftConvolve(b, { u, kernel, taps: length, d: D, o });
  return { o };
}

/**
 * Structured state space in its normal plus low-rank form, as a convolution: o = K * u + D u with
 * K_l = 2 Re (C a^l b) for l < length, a = (I - dt A / 2)^-1 (I + dt A / 2), b = (I - dt A / 2)^-1 dt B and
 * A = diag(lambda) - P P^* over states and their conjugates. Inputs further back than `length` do not count.
 *
 * Source: S4 (Gu et al. 2021), algorithm 1; reference implementation state-spaces/s4, SSMKernelDPLR of rank 1.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await s4({ u, AReal, AImag, P, B, C, logDt, D }, { length: 1024 })
 */
export function s4(inputs: S4Inputs, options: S4Options = {}): Promise<{ o: Tensor }> {
  return run(S4, inputs, (b) => planS4(b, inputs, options));
}

/** As `s4`, to the end before it returns. */
export function s4Sync(inputs: S4Inputs, options: S4Options = {}): { o: Tensor } {
  return runSync(S4, inputs, (b) => planS4(b, inputs, options));
}

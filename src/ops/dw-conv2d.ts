/**
 * Depthwise convolution of images.
 *
 * @module
 */
import { depthwiseConv2d } from '../engines/conv.ts';
import { expectContiguous, expectNames, expectTypes, matchShapes } from '../engines/shapes.ts';
import { ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `dwConv2d`. */
export interface DwConv2dInputs {
  /** f32 [B, Hh, Ww, C] */
  readonly x: Tensor;
  /** f32 [kh, kw, C] */
  readonly weight: Tensor;
  /** f32 [C]; default zeros. */
  readonly bias?: Tensor | undefined;
}

const OP = 'dwConv2d';

/** Lays out the call. */
export function planDwConv2d(b: Builder, inputs: DwConv2dInputs, options: object): { o: Tensor } {
  expectNames(OP, 'input', inputs, ['x', 'weight', 'bias']);
  expectNames(OP, 'option', options, []);
  const { x, weight, bias } = inputs;
  const sizes = matchShapes(OP, { x, weight, bias }, { x: 'B Hh Ww C', weight: 'kh kw C', bias: '?C' });
  if (sizes.kh === 0 || sizes.kw === 0) {
    throw new ShapeError(`${OP}: weight has shape [${weight.shape}], expected [kh, kw, C] with kh and kw > 0`);
  }
  expectTypes(OP, { x, weight, bias }, ['f32']);
  expectContiguous(OP, { x, weight, bias });
  const o = b.output(x.shape);
  depthwiseConv2d(b, x, weight, bias, o);
  return { o };
}

/**
 * Depthwise convolution with zeros around the image, a cross-correlation: o[y, x] = bias + sum_ij weight[i, j]
 * x[y + i - floor((kh - 1) / 2), x + j - floor((kw - 1) / 2)].
 *
 * Source: the convolution of V in FLatten Transformer (Han et al. 2023) and SLAB (Guo et al. 2024); PyTorch conv2d with
 * groups = C and padding 'same'.
 *
 * @throws ShapeError, DTypeError, OptionError for operands that do not fit.
 * @example const { o } = await dwConv2d({ x, weight, bias })
 */
export function dwConv2d(inputs: DwConv2dInputs, options: object = {}): Promise<{ o: Tensor }> {
  return run(OP, inputs, (b) => planDwConv2d(b, inputs, options));
}

/** As `dwConv2d`, to the end before it returns. */
export function dwConv2dSync(inputs: DwConv2dInputs, options: object = {}): { o: Tensor } {
  return runSync(OP, inputs, (b) => planDwConv2d(b, inputs, options));
}

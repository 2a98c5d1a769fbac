/**
 * Root-mean-square and layer normalisation over the last axis.
 *
 * @module
 */
import { expectContiguous, expectNames, expectTensor, expectTypes, finite, matchShapes } from '../engines/shapes.ts';
import { ShapeError } from '../errors.ts';
import { NormParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `rmsNorm`. */
export interface RmsNormInputs {
  /** f32 [..., C] */
  readonly x: Tensor;
  /** f32 [C]; default ones. */
  readonly weight?: Tensor;
}

/** Operands of `layerNorm`. */
export interface LayerNormInputs extends RmsNormInputs {
  /** f32 [C]; default zeros. */
  readonly bias?: Tensor;
}

/** Options of `rmsNorm` and `layerNorm`. */
export interface NormOptions {
  /** Added to the mean square. Default 1e-5. */
  readonly eps?: number;
}

/** Lays out a normalisation. */
export function planNorm(
  b: Builder,
  op: string,
  inputs: LayerNormInputs,
  options: NormOptions,
  centered: boolean,
): { o: Tensor } {
  expectNames(op, 'input', inputs, centered ? ['x', 'weight', 'bias'] : ['x', 'weight']);
  expectNames(op, 'option', options, ['eps']);
  const { x, weight, bias } = inputs;
  expectTensor(op, 'x', x, '[..., C]');
  expectTypes(op, { x, weight, bias }, ['f32']);
  expectContiguous(op, { x, weight, bias });
  const n = x.shape.at(-1);
  if (n === undefined || n === 0) throw new ShapeError(`${op}: x has shape [${x.shape}], expected [..., C] with C > 0`);
  matchShapes(op, { weight, bias }, { weight: `?${n}`, bias: `?${n}` });
  const o = b.output(x.shape);
  b.dispatch({
    kernel: 'norm',
    params: encode(NormParams, {
      x: x.address,
      weight: weight?.address ?? 0,
      bias: bias?.address ?? 0,
      o: o.address,
      n,
      epsilon: finite(op, 'eps', options.eps, 1e-5, 0),
      centered: centered ? 1 : 0,
    }),
    items: x.size / n,
    grain: Math.max(1, Math.ceil(8192 / n)),
    flops: 8 * x.size,
  });
  return { o };
}

/**
 * RMS normalisation over the last axis: o = x / sqrt(mean(x^2) + eps) * weight.
 *
 * Source: Zhang and Sennrich 2019.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await rmsNorm({ x, weight }, { eps: 1e-6 })
 */
export function rmsNorm(inputs: RmsNormInputs, options: NormOptions = {}): Promise<{ o: Tensor }> {
  return run('rmsNorm', inputs, (b) => planNorm(b, 'rmsNorm', inputs, options, false));
}

/** As `rmsNorm`, to the end before it returns. */
export function rmsNormSync(inputs: RmsNormInputs, options: NormOptions = {}): { o: Tensor } {
  return runSync('rmsNorm', inputs, (b) => planNorm(b, 'rmsNorm', inputs, options, false));
}

/**
 * Layer normalisation over the last axis: o = (x - mean) / sqrt(variance + eps) * weight + bias.
 *
 * Source: Ba et al. 2016.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await layerNorm({ x, weight, bias })
 */
export function layerNorm(inputs: LayerNormInputs, options: NormOptions = {}): Promise<{ o: Tensor }> {
  return run('layerNorm', inputs, (b) => planNorm(b, 'layerNorm', inputs, options, true));
}

/** As `layerNorm`, to the end before it returns. */
export function layerNormSync(inputs: LayerNormInputs, options: NormOptions = {}): { o: Tensor } {
  return runSync('layerNorm', inputs, (b) => planNorm(b, 'layerNorm', inputs, options, true));
}

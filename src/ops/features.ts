/**
 * Feature maps and gates: what turns x [B, T, H, D] into the features [B, T, H, F] of linear attention.
 *
 * @module
 */
import { type FavorProjectionOptions, projectionRows } from '../engines/favor-projection.ts';
import { expectNames, whole } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { run, runSync } from '../runtime/program.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';
import {
  type CosineOptions,
  type DpfpOptions,
  type FavorInputs,
  type FavorOptions,
  type FocusedOptions,
  type L2NormOptions,
  type LogSigmoidOptions,
  type ProjectedInputs,
  planCosine,
  planDpfp,
  planFavor,
  planFocused,
  planHedgehog,
  planL2norm,
  planPointwise,
  planQtVit,
  planQuadratic,
  planSoftmax,
  planT2r,
  planTaylor2,
  type QtVitOptions,
  type ScaleOptions,
  type SecondOrderOptions,
  tensorsOf,
} from './feature-plans.ts';

export type {
  CosineOptions,
  DpfpOptions,
  FavorInputs,
  FavorOptions,
  FavorProjectionOptions,
  FocusedOptions,
  L2NormOptions,
  LogSigmoidOptions,
  ProjectedInputs,
  QtVitOptions,
  ScaleOptions,
  SecondOrderOptions,
};

/**
 * elu(x) + 1: x + 1 above zero, e^x below.
 *
 * Source: Katharopoulos 2020.
 *
 * @throws ShapeError, DTypeError for an operand that does not fit.
 * @example const { o } = await features.elu1(q)
 */
export function elu1(x: Tensor): Promise<{ o: Tensor }> {
  return run('features.elu1', { x }, (b) => planPointwise(b, 'elu1', { x }));
}

/** As `elu1`, to the end before it returns. */
export function elu1Sync(x: Tensor): { o: Tensor } {
  return runSync('features.elu1', { x }, (b) => planPointwise(b, 'elu1', { x }));
}

/**
 * max(x, 0).
 *
 * @throws ShapeError, DTypeError for an operand that does not fit.
 * @example const { o } = await features.relu(q)
 */
export function relu(x: Tensor): Promise<{ o: Tensor }> {
  return run('features.relu', { x }, (b) => planPointwise(b, 'relu', { x }));
}

/** As `relu`, to the end before it returns. */
export function reluSync(x: Tensor): { o: Tensor } {
  return runSync('features.relu', { x }, (b) => planPointwise(b, 'relu', { x }));
}

/**
 * max(x, 0)^2.
 *
 * Source: Primer, So 2021.
 *
 * @throws ShapeError, DTypeError for an operand that does not fit.
 * @example const { o } = await features.squaredRelu(q)
 */
export function squaredRelu(x: Tensor): Promise<{ o: Tensor }> {
  return run('features.squaredRelu', { x }, (b) => planPointwise(b, 'squaredRelu', { x }));
}

/** As `squaredRelu`, to the end before it returns. */
export function squaredReluSync(x: Tensor): { o: Tensor } {
  return runSync('features.squaredRelu', { x }, (b) => planPointwise(b, 'squaredRelu', { x }));
}

/**
 * 1 / (1 + e^-x).
 *
 * @throws ShapeError, DTypeError for an operand that does not fit.
 * @example const { o } = await features.sigmoid(q)
 */
export function sigmoid(x: Tensor): Promise<{ o: Tensor }> {
  return run('features.sigmoid', { x }, (b) => planPointwise(b, 'sigmoid', { x }));
}

/** As `sigmoid`, to the end before it returns. */
export function sigmoidSync(x: Tensor): { o: Tensor } {
  return runSync('features.sigmoid', { x }, (b) => planPointwise(b, 'sigmoid', { x }));
}

/**
 * e^x.
 *
 * @throws ShapeError, DTypeError for an operand that does not fit.
 * @example const { o } = await features.exp(q)
 */
export function exp(x: Tensor): Promise<{ o: Tensor }> {
  return run('features.exp', { x }, (b) => planPointwise(b, 'exp', { x }));
}

/** As `exp`, to the end before it returns. */
export function expSync(x: Tensor): { o: Tensor } {
  return runSync('features.exp', { x }, (b) => planPointwise(b, 'exp', { x }));
}

/**
 * x / (1 + e^-x), also called swish.
 *
 * Source: Elfwing 2018.
 *
 * @throws ShapeError, DTypeError for an operand that does not fit.
 * @example const { o } = await features.silu(q)
 */
export function silu(x: Tensor): Promise<{ o: Tensor }> {
  return run('features.silu', { x }, (b) => planPointwise(b, 'silu', { x }));
}

/** As `silu`, to the end before it returns. */
export function siluSync(x: Tensor): { o: Tensor } {
  return runSync('features.silu', { x }, (b) => planPointwise(b, 'silu', { x }));
}

/**
 * tanh x.
 *
 * @throws ShapeError, DTypeError for an operand that does not fit.
 * @example const { o } = await features.tanh(q)
 */
export function tanh(x: Tensor): Promise<{ o: Tensor }> {
  return run('features.tanh', { x }, (b) => planPointwise(b, 'tanh', { x }));
}

/** As `tanh`, to the end before it returns. */
export function tanhSync(x: Tensor): { o: Tensor } {
  return runSync('features.tanh', { x }, (b) => planPointwise(b, 'tanh', { x }));
}

/**
 * ln(1 + e^x), accurate for any size of x.
 *
 * @throws ShapeError, DTypeError for an operand that does not fit.
 * @example const { o } = await features.softplus(q)
 */
export function softplus(x: Tensor): Promise<{ o: Tensor }> {
  return run('features.softplus', { x }, (b) => planPointwise(b, 'softplus', { x }));
}

/** As `softplus`, to the end before it returns. */
export function softplusSync(x: Tensor): { o: Tensor } {
  return runSync('features.softplus', { x }, (b) => planPointwise(b, 'softplus', { x }));
}

/**
 * ln(1 / (1 + e^-x)) / temperature, accurate for any size of x: the log of a forget gate. temperature 1 unless given.
 *
 * Source: GLA, Yang 2024 (temperature 16).
 *
 * @throws ShapeError, DTypeError, OptionError for an operand or option that does not fit.
 * @example const { o: g } = await features.logSigmoid(x, { temperature: 16 })
 */
export function logSigmoid(x: Tensor, options: LogSigmoidOptions = {}): Promise<{ o: Tensor }> {
  return run('features.logSigmoid', { x }, (b) => planPointwise(b, 'logSigmoid', { x }, options));
}

/** As `logSigmoid`, to the end before it returns. */
export function logSigmoidSync(x: Tensor, options: LogSigmoidOptions = {}): { o: Tensor } {
  return runSync('features.logSigmoid', { x }, (b) => planPointwise(b, 'logSigmoid', { x }, options));
}

/**
 * Softmax of scale * x over the last axis, scale 1 unless given; a row of -Infinity gives zeros.
 *
 * Source: Efficient Attention, Shen 2021.
 *
 * @throws ShapeError, DTypeError, OptionError for an operand or option that does not fit.
 * @example const { o } = await features.softmax(q)
 */
export function softmax(x: Tensor, options: ScaleOptions = {}): Promise<{ o: Tensor }> {
  return run('features.softmax', { x }, (b) => planSoftmax(b, { x }, options));
}

/** As `softmax`, to the end before it returns. */
export function softmaxSync(x: Tensor, options: ScaleOptions = {}): { o: Tensor } {
  return runSync('features.softmax', { x }, (b) => planSoftmax(b, { x }, options));
}

/**
 * x / sqrt(sum x^2 + eps) over the last axis, eps 1e-6 unless given; zeros stay zeros.
 *
 * Source: reference implementation fla, l2norm.
 *
 * @throws ShapeError, DTypeError, OptionError for an operand or option that does not fit.
 * @example const { o } = await features.l2norm(q)
 */
export function l2norm(x: Tensor, options: L2NormOptions = {}): Promise<{ o: Tensor }> {
  return run('features.l2norm', { x }, (b) => planL2norm(b, { x }, options));
}

/** As `l2norm`, to the end before it returns. */
export function l2normSync(x: Tensor, options: L2NormOptions = {}): { o: Tensor } {
  return runSync('features.l2norm', { x }, (b) => planL2norm(b, { x }, options));
}

/**
 * |r| r^power / |r^power|, r = max(x, 0), over the last axis: sharper directions of the same length; zeros where r is
 * zero. power 3 unless given.
 *
 * Source: FLatten Transformer, Han 2023.
 *
 * @throws ShapeError, DTypeError, OptionError for an operand or option that does not fit.
 * @example const { o } = await features.focused(q)
 */
export function focused(x: Tensor, options: FocusedOptions = {}): Promise<{ o: Tensor }> {
  return run('features.focused', { x }, (b) => planFocused(b, { x }, options));
}

/** As `focused`, to the end before it returns. */
export function focusedSync(x: Tensor, options: FocusedOptions = {}): { o: Tensor } {
  return runSync('features.focused', { x }, (b) => planFocused(b, { x }, options));
}

/**
 * [1, sqrt(s) x, s/sqrt 2 x_i^2, s x_i x_j (i < j)], so that phi(q) phi(k) = 1 + y + y^2 / 2 with y = s q k, s = scale,
 * D^-1/2 unless given: F = 1 + D + D (D + 1) / 2. With layout 'full' fla's map [1, sqrt(s) x, s/sqrt 2 x_i x_j (all i, j)] of
 * the same kernel: F = 1 + D + D^2, twice the work.
 *
 * Source: Based, Arora 2024; reference implementation fla, naive_parallel_based and TaylorFeatureMap.
 *
 * @throws ShapeError, DTypeError, OptionError for an operand or option that does not fit.
 * @example const { o } = await features.taylor2(q)
 */
export function taylor2(x: Tensor, options: SecondOrderOptions = {}): Promise<{ o: Tensor }> {
  return run('features.taylor2', { x }, (b) => planTaylor2(b, { x }, options));
}

/** As `taylor2`, to the end before it returns. */
export function taylor2Sync(x: Tensor, options: SecondOrderOptions = {}): { o: Tensor } {
  return runSync('features.taylor2', { x }, (b) => planTaylor2(b, { x }, options));
}

/**
 * [s x_i^2, s sqrt 2 x_i x_j (i < j)], so that phi(q) phi(k) = (s q k)^2 with s = scale, 1 unless given: F = D (D + 1) / 2.
 * With layout 'full' s x_i x_j for all i and j: F = D^2. For ReBased put `layerNorm` with gamma and beta before it.
 *
 * Source: ReBased, Aksenov 2024; reference implementation fla, RebasedFeatureMap (scale D^-1/2).
 *
 * @throws ShapeError, DTypeError, OptionError for an operand or option that does not fit.
 * @example const { o } = await features.quadratic(q)
 */
export function quadratic(x: Tensor, options: SecondOrderOptions = {}): Promise<{ o: Tensor }> {
  return run('features.quadratic', { x }, (b) => planQuadratic(b, { x }, options));
}

/** As `quadratic`, to the end before it returns. */
export function quadraticSync(x: Tensor, options: SecondOrderOptions = {}): { o: Tensor } {
  return runSync('features.quadratic', { x }, (b) => planQuadratic(b, { x }, options));
}

/**
 * `[gamma, c x, alpha x_i^2]`: the second-order Taylor map without its mixed products, F = 2D + 1, phi(q) phi(k) = gamma^2 +
 * c^2 q k + alpha^2 sum q_i^2 k_i^2. The coefficients printed in the survey (eq. 67) are garbled and there is no public code;
 * the defaults are those of e^y = 1 + y + y^2 / 2, y = D^-1/2 q k, whose diagonal terms are kept: gamma = 1, c = D^-1/4,
 * alpha = D^-1/2 / sqrt 2.
 *
 * Source: QT-ViT, Xu 2024.
 *
 * @throws ShapeError, DTypeError, OptionError for an operand or option that does not fit.
 * @example const { o } = await features.qtVit(q)
 */
export function qtVit(x: Tensor, options: QtVitOptions = {}): Promise<{ o: Tensor }> {
  return run('features.qtVit', { x }, (b) => planQtVit(b, { x }, options));
}

/** As `qtVit`, to the end before it returns. */
export function qtVitSync(x: Tensor, options: QtVitOptions = {}): { o: Tensor } {
  return runSync('features.qtVit', { x }, (b) => planQtVit(b, { x }, options));
}

/**
 * [r sin a, r cos a], r = max(x, 0), a = pi (t + offset) / (2 M), so that phi(q_i) phi(k_j) = relu(q_i) relu(k_j)
 * cos(pi (i - j) / (2 M)): x [B, T, H, D], F = 2D. M = maxLength, T unless given; offset 0 unless given.
 *
 * Source: cosFormer, Qin 2022.
 *
 * @throws ShapeError, DTypeError, OptionError for an operand or option that does not fit.
 * @example const { o } = await features.cosine(q, { maxLength: 4096, offset: position })
 */
export function cosine(x: Tensor, options: CosineOptions = {}): Promise<{ o: Tensor }> {
  return run('features.cosine', { x }, (b) => planCosine(b, { x }, options));
}

/** As `cosine`, to the end before it returns. */
export function cosineSync(x: Tensor, options: CosineOptions = {}): { o: Tensor } {
  return runSync('features.cosine', { x }, (b) => planCosine(b, { x }, options));
}

/**
 * [r roll(r, 1), ..., r roll(r, nu)], r = [max(x, 0), max(-x, 0)], roll(r, i)[j] = r[j - i]: F = 2 D nu, nu 4 unless given.
 * Early versions of fla join relu(x) and -relu(x) instead: they lose the negative elements and give negative features.
 *
 * Source: Schlag 2021; reference implementation fla, DPFPFeatureMap.
 *
 * @throws ShapeError, DTypeError, OptionError for an operand or option that does not fit.
 * @example const { o } = await features.dpfp(q)
 */
export function dpfp(x: Tensor, options: DpfpOptions = {}): Promise<{ o: Tensor }> {
  return run('features.dpfp', { x }, (b) => planDpfp(b, { x }, options));
}

/** As `dpfp`, to the end before it returns. */
export function dpfpSync(x: Tensor, options: DpfpOptions = {}): { o: Tensor } {
  return runSync('features.dpfp', { x }, (b) => planDpfp(b, { x }, options));
}

/**
 * softmax([s y, -s y]) over the features, y = w x + bias, s = scale, 1 unless given: F is twice the rows of w. scale 2 is
 * the map of fla.
 *
 * Source: Hedgehog, Zhang 2024; reference implementation fla, HedgehogFeatureMap.
 *
 * @throws ShapeError, DTypeError, OptionError for an operand or option that does not fit.
 * @example const { o } = await features.hedgehog({ x: q, w })
 */
export function hedgehog(inputs: ProjectedInputs, options: ScaleOptions = {}): Promise<{ o: Tensor }> {
  return run('features.hedgehog', tensorsOf(inputs), (b) => planHedgehog(b, inputs, options));
}

/** As `hedgehog`, to the end before it returns. */
export function hedgehogSync(inputs: ProjectedInputs, options: ScaleOptions = {}): { o: Tensor } {
  return runSync('features.hedgehog', tensorsOf(inputs), (b) => planHedgehog(b, inputs, options));
}

/**
 * max(w x + bias, 0).
 *
 * Source: T2R, Kasai 2021; reference implementation fla, T2RFeatureMap.
 *
 * @throws ShapeError, DTypeError for an operand that does not fit.
 * @example const { o } = await features.t2r({ x: q, w })
 */
export function t2r(inputs: ProjectedInputs): Promise<{ o: Tensor }> {
  return run('features.t2r', tensorsOf(inputs), (b) => planT2r(b, inputs));
}

/** As `t2r`, to the end before it returns. */
export function t2rSync(inputs: ProjectedInputs): { o: Tensor } {
  return runSync('features.t2r', tensorsOf(inputs), (b) => planT2r(b, inputs));
}

/**
 * F^-1/2 (e^(w y - |y|^2 / 2 - c) + eps), y = D^-1/4 x: positive random features, phi(q) phi(k) estimates e^(D^-1/2 q k) up to
 * the factors e^-c. c is the largest w y of the row, of the (batch, head), or a constant (stabilizer, 'row' unless given); eps
 * 1e-4 unless given. With kernel 'relu' max(w y, 0) + eps, eps 1e-3 unless given.
 *
 * Source: Performer, Choromanski 2021; reference implementation lucidrains/performer-pytorch.
 *
 * @throws ShapeError, DTypeError, OptionError for an operand or option that does not fit.
 * @example const { o } = await features.favor({ x: k, projection }, { stabilizer: 'global' })
 */
export function favor(inputs: FavorInputs, options: FavorOptions = {}): Promise<{ o: Tensor }> {
  return run('features.favor', tensorsOf(inputs), (b) => planFavor(b, inputs, options));
}

/** As `favor`, to the end before it returns. */
export function favorSync(inputs: FavorInputs, options: FavorOptions = {}): { o: Tensor } {
  return runSync('features.favor', tensorsOf(inputs), (b) => planFavor(b, inputs, options));
}

/**
 * Random projections [features, dim] for `favor`, the same on every host for the same seed: rows at right angles in blocks
 * of dim (the Q of a QR decomposition of normal numbers) unless orthogonal is false, with norms of normal vectors ('chi') or
 * all sqrt(dim) ('sqrt'). seed 0, orthogonal and 'chi' unless given.
 *
 * Source: Performer, Choromanski 2021; reference implementation lucidrains/performer-pytorch.
 *
 * @throws OptionError for sizes or options that do not fit.
 * @example const projection = features.favorProjection(rt, 256, 64, { seed: 1 })
 */
export function favorProjection(
  rt: Runtime,
  features: number,
  dim: number,
  options: FavorProjectionOptions = {},
): Tensor {
  const op = 'features.favorProjection';
  expectNames(op, 'option', options, ['seed', 'orthogonal', 'scaling']);
  whole(op, 'features', features, 0, 1);
  whole(op, 'dim', dim, 0, 1);
  whole(op, 'seed', options.seed, 0, 0, 2 ** 32 - 1);
  if (options.scaling !== undefined && !['chi', 'sqrt'].includes(options.scaling)) {
    throw new OptionError(`${op}: scaling is '${options.scaling}', expected 'chi' or 'sqrt'`);
  }
  return rt.tensor(projectionRows(features, dim, options), [features, dim]);
}

/**
 * Checks and layouts of the feature maps: what `features` and the registry call.
 *
 * @module
 */
import * as engine from '../engines/features.ts';
import {
  expectContiguous,
  expectNames,
  expectRows,
  expectTensor,
  expectTypes,
  finite,
  matchShapes,
  whole,
} from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { PackedMatrix } from './matmul.ts';

/** Operand of a feature map. */
export interface FeatureInputs {
  /** f32 [..., D]: up to four axes with the last contiguous, or any number in order. */
  readonly x: Tensor;
}

/** Operands of a feature map that begins with a linear map. */
export interface ProjectedInputs extends FeatureInputs {
  /** f32, f16 or bf16 [F, D], or [H, F, D] for x [..., H, D]; or `packMatrix(w, { transposeB: true })` of the first. */
  readonly w: Tensor | PackedMatrix;
  /** f32 [F], or [H, F] as w. Default zeros. */
  readonly bias?: Tensor;
}

/** Operands of `favor`. */
export interface FavorInputs extends FeatureInputs {
  /**
   * f32, f16 or bf16 [F, D], or [H, F, D] for x [..., H, D], made by `favorProjection`; or `packMatrix(projection,
   * { transposeB: true })` of the first.
   */
  readonly projection: Tensor | PackedMatrix;
}

/** Options of `logSigmoid`. */
export interface LogSigmoidOptions {
  /** The result is divided by it. Default 1; GLA's gates take 16. */
  readonly temperature?: number;
}

/** Options of `softmax` and `hedgehog`. */
export interface ScaleOptions {
  /** Factor on the logits, at least 0. Default 1. */
  readonly scale?: number;
}

/** Options of `l2norm`. */
export interface L2NormOptions {
  /** Added to the sum of squares. Default 1e-6. */
  readonly eps?: number;
}

/** Options of `focused`. */
export interface FocusedOptions {
  /** Exponent p, above 0. Default 3. */
  readonly power?: number;
}

/** Options of `taylor2` and `quadratic`. */
export interface SecondOrderOptions {
  /** Factor on q k, at least 0. Default D^-1/2 for taylor2, 1 for quadratic. */
  readonly scale?: number;
  /**
   * 'packed': each product x_i x_j, i < j, once, times sqrt 2: about half of the features for the same kernel. 'full':
   * all D^2 products, the layout of fla. Default 'packed'.
   */
  readonly layout?: engine.ProductLayout;
}

/** Options of `qtVit`. */
export interface QtVitOptions {
  /** Factor on the squares. Default D^-1/2 / sqrt 2. */
  readonly alpha?: number;
  /** Factor on x. Default D^-1/4. */
  readonly c?: number;
  /** The constant. Default 1. */
  readonly gamma?: number;
}

/** Options of `cosine`. */
export interface CosineOptions {
  /** M, at least the longest sequence for weights that do not turn negative. Default T. */
  readonly maxLength?: number;
  /** Position of the first row. Default 0. */
  readonly offset?: number;
}

/** Options of `dpfp`. */
export interface DpfpOptions {
  /** Number of shifts. Default 4. */
  readonly nu?: number;
}

/** Options of `favor`. */
export interface FavorOptions {
  /** 'exp': the softmax kernel; 'relu': max(w y, 0) + eps. Default 'exp'. */
  readonly kernel?: 'exp' | 'relu';
  /**
   * c: each row's largest w y ('row', for queries), the largest of each (batch, head) over T and the features ('global',
   * for keys), or a constant, which alone gives the same features step by step. Default 'row'.
   */
  readonly stabilizer?: engine.Stabilizer;
  /** Default 1e-4, 1e-3 with kernel 'relu'. */
  readonly eps?: number;
}

/** The tensors of a call, the panels of packed matrices in their place. */
export function tensorsOf(inputs: object): object {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, input]) => [name, input instanceof PackedMatrix ? input.panels : input]),
  );
}

/** Checks x; more than four axes cannot be strided. */
function expectFeatures(op: string, x: Tensor): void {
  expectTensor(op, 'x', x, '[..., D]');
  expectTypes(op, { x }, ['f32']);
  if (x.shape.length > 4) expectContiguous(op, { x });
  expectRows(op, { x });
}

/** Checks x of a map that needs its last axis; returns D. */
function expectVectors(op: string, x: Tensor): number {
  expectFeatures(op, x);
  const d = x.shape.at(-1);
  if (!d) throw new ShapeError(`${op}: x has shape [${x.shape}], expected [..., D] with D > 0`);
  return d;
}

/** Checks the weights of a linear map of x. */
function expectWeights(op: string, name: string, x: Tensor, w: Tensor | PackedMatrix, bias?: Tensor): void {
  const d = expectVectors(op, x);
  expectTypes(op, { bias }, ['f32']);
  expectContiguous(op, { bias });
  if (w instanceof PackedMatrix) {
    if (w.k !== d) {
      throw new ShapeError(
        `${op}: ${name} is packed from [${w.k}, ${w.n}] and x has shape [${x.shape}], expected [D, F] with D = ${d}. ` +
          'Pack weights [F, D] with transposeB: true.',
      );
    }
    matchShapes(op, { bias }, { bias: `?${w.n}` });
    return;
  }
  expectTensor(op, name, w, '[F, D] or [H, F, D]');
  const perHead = w.shape.length === 3;
  if (perHead && x.shape.length < 2) {
    throw new ShapeError(
      `${op}: ${name} has shape [${w.shape}], for each head its own, and x [${x.shape}] has no heads`,
    );
  }
  const lead = perHead ? `${x.shape.at(-2)} ` : '';
  matchShapes(op, { [name]: w, bias }, { [name]: `${lead}F ${d}`, bias: `?${lead}F` });
  expectTypes(op, { [name]: w }, ['f32', 'f16', 'bf16']);
  expectRows(op, { [name]: w });
}

/** One of a few names. @throws OptionError if it is another. */
function choice<T extends string>(op: string, name: string, value: T | undefined, known: readonly T[]): T | undefined {
  if (value === undefined || known.includes(value)) return value;
  throw new OptionError(`${op}: ${name} is '${value}', expected ${known.map((one) => `'${one}'`).join(' or ')}`);
}

/** The options that were given, so that the engine's defaults stand for the others. */
function given<T extends object>(options: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}

/** A number within limits if it was given. */
function number(op: string, name: string, value: number | undefined, low?: number): number | undefined {
  return value === undefined ? undefined : finite(op, name, value, 0, low);
}

/** Lays out a function of single elements. */
export function planPointwise(
  b: Builder,
  map: engine.Pointwise,
  inputs: FeatureInputs,
  options: LogSigmoidOptions = {},
): { o: Tensor } {
  const op = `features.${map}`;
  expectNames(op, 'input', inputs, ['x']);
  expectNames(op, 'option', options, map === 'logSigmoid' ? ['temperature'] : []);
  const { x } = inputs;
  expectFeatures(op, x);
  const temperature = finite(op, 'temperature', options.temperature, 1);
  if (temperature === 0) throw new OptionError(`${op}: temperature is 0, expected a number to divide by`);
  return { o: b.keep(engine.pointwise(b, map, x, 1 / temperature)) };
}

/** Lays out a softmax. */
export function planSoftmax(b: Builder, inputs: FeatureInputs, options: ScaleOptions = {}): { o: Tensor } {
  const op = 'features.softmax';
  expectNames(op, 'input', inputs, ['x']);
  expectNames(op, 'option', options, ['scale']);
  expectVectors(op, inputs.x);
  const scale = number(op, 'scale', options.scale, 0);
  return { o: b.keep(engine.softmax(b, inputs.x, given({ scale }))) };
}

/** Lays out a normalisation. */
export function planL2norm(b: Builder, inputs: FeatureInputs, options: L2NormOptions = {}): { o: Tensor } {
  const op = 'features.l2norm';
  expectNames(op, 'input', inputs, ['x']);
  expectNames(op, 'option', options, ['eps']);
  expectVectors(op, inputs.x);
  const eps = number(op, 'eps', options.eps, 0);
  return { o: b.keep(engine.l2norm(b, inputs.x, given({ eps }))) };
}

/** Lays out a focused map. */
export function planFocused(b: Builder, inputs: FeatureInputs, options: FocusedOptions = {}): { o: Tensor } {
  const op = 'features.focused';
  expectNames(op, 'input', inputs, ['x']);
  expectNames(op, 'option', options, ['power']);
  expectVectors(op, inputs.x);
  const power = number(op, 'power', options.power, 0);
  if (power === 0) throw new OptionError(`${op}: power is 0, expected a number above 0`);
  return { o: b.keep(engine.focused(b, inputs.x, given({ power }))) };
}

/** The checks and options that second-order maps share. */
function secondOrder(op: string, inputs: FeatureInputs, options: SecondOrderOptions) {
  expectNames(op, 'input', inputs, ['x']);
  expectNames(op, 'option', options, ['scale', 'layout']);
  expectVectors(op, inputs.x);
  const scale = number(op, 'scale', options.scale, 0);
  return given({ scale, layout: choice(op, 'layout', options.layout, ['packed', 'full']) });
}

/** Lays out a second-order Taylor map. */
export function planTaylor2(b: Builder, inputs: FeatureInputs, options: SecondOrderOptions = {}): { o: Tensor } {
  const known = secondOrder('features.taylor2', inputs, options);
  return { o: b.keep(engine.taylor2(b, inputs.x, known)) };
}

/** Lays out a quadratic map. */
export function planQuadratic(b: Builder, inputs: FeatureInputs, options: SecondOrderOptions = {}): { o: Tensor } {
  const known = secondOrder('features.quadratic', inputs, options);
  return { o: b.keep(engine.quadratic(b, inputs.x, known)) };
}

/** Lays out a quadratic Taylor map without mixed products. */
export function planQtVit(b: Builder, inputs: FeatureInputs, options: QtVitOptions = {}): { o: Tensor } {
  const op = 'features.qtVit';
  expectNames(op, 'input', inputs, ['x']);
  expectNames(op, 'option', options, ['alpha', 'c', 'gamma']);
  expectVectors(op, inputs.x);
  const [alpha, c, gamma] = [
    number(op, 'alpha', options.alpha),
    number(op, 'c', options.c),
    number(op, 'gamma', options.gamma),
  ];
  return { o: b.keep(engine.qtVit(b, inputs.x, given({ alpha, c, gamma }))) };
}

/** Lays out a cosine map. */
export function planCosine(b: Builder, inputs: FeatureInputs, options: CosineOptions = {}): { o: Tensor } {
  const op = 'features.cosine';
  expectNames(op, 'input', inputs, ['x']);
  expectNames(op, 'option', options, ['maxLength', 'offset']);
  expectVectors(op, inputs.x);
  matchShapes(op, { x: inputs.x }, { x: 'B T H D' });
  const maxLength = options.maxLength === undefined ? undefined : whole(op, 'maxLength', options.maxLength, 1, 1);
  const offset = options.offset === undefined ? undefined : whole(op, 'offset', options.offset, 0, 0);
  return { o: b.keep(engine.cosine(b, inputs.x, given({ maxLength, offset }))) };
}

/** Lays out a deterministic parameter-free projection. */
export function planDpfp(b: Builder, inputs: FeatureInputs, options: DpfpOptions = {}): { o: Tensor } {
  const op = 'features.dpfp';
  expectNames(op, 'input', inputs, ['x']);
  expectNames(op, 'option', options, ['nu']);
  expectVectors(op, inputs.x);
  const nu = options.nu === undefined ? undefined : whole(op, 'nu', options.nu, 1, 1);
  return { o: b.keep(engine.dpfp(b, inputs.x, given({ nu }))) };
}

/** Lays out a mirrored softmax of a linear map. */
export function planHedgehog(b: Builder, inputs: ProjectedInputs, options: ScaleOptions = {}): { o: Tensor } {
  const op = 'features.hedgehog';
  expectNames(op, 'input', inputs, ['x', 'w', 'bias']);
  expectNames(op, 'option', options, ['scale']);
  const { x, w, bias } = inputs;
  expectWeights(op, 'w', x, w, bias);
  const scale = number(op, 'scale', options.scale, 0);
  return { o: b.keep(engine.hedgehog(b, x, { w, bias }, given({ scale }))) };
}

/** Lays out a rectified linear map. */
export function planT2r(b: Builder, inputs: ProjectedInputs, options: object = {}): { o: Tensor } {
  const op = 'features.t2r';
  expectNames(op, 'input', inputs, ['x', 'w', 'bias']);
  expectNames(op, 'option', options, []);
  const { x, w, bias } = inputs;
  expectWeights(op, 'w', x, w, bias);
  return { o: b.keep(engine.t2r(b, x, { w, bias })) };
}

/** Lays out positive random features. */
export function planFavor(b: Builder, inputs: FavorInputs, options: FavorOptions = {}): { o: Tensor } {
  const op = 'features.favor';
  expectNames(op, 'input', inputs, ['x', 'projection']);
  expectNames(op, 'option', options, ['kernel', 'stabilizer', 'eps']);
  const { x, projection } = inputs;
  expectWeights(op, 'projection', x, projection);
  const kernel = choice(op, 'kernel', options.kernel, ['exp', 'relu']);
  const { stabilizer } = options;
  if (typeof stabilizer === 'number') finite(op, 'stabilizer', stabilizer, 0);
  else choice(op, 'stabilizer', stabilizer, ['row', 'global']);
  if (stabilizer === 'global') matchShapes(op, { x }, { x: 'B T H D' });
  const eps = number(op, 'eps', options.eps, 0);
  return { o: b.keep(engine.favor(b, x, projection, given({ kernel, stabilizer, eps }))) };
}

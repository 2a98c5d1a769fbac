/**
 * Linear attention behind maps of the queries and keys, normalised: Hedgehog, T2R, DPFP, and FLatten, SANA, SLAB and QT-ViT for images.
 *
 * @module
 */
import { sum } from '../engines/binary.ts';
import { depthwiseConv2d } from '../engines/conv.ts';
import { copyRows } from '../engines/copy.ts';
import type { LinearInputs, Stepped } from '../engines/linear-operands.ts';
import {
  expectContiguous,
  expectNames,
  expectRows,
  expectTypes,
  finite,
  matchShapes,
  whole,
} from '../engines/shapes.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import {
  type ProjectedInputs,
  planDpfp,
  planFocused,
  planHedgehog,
  planPointwise,
  planQtVit,
  planT2r,
  tensorsOf,
} from './feature-plans.ts';
import { type LinearAttnResult, planFeatures } from './linear-attn.ts';

/** Operands of all of these methods; q and k are f32. */
export interface FeatureAttentionInputs extends LinearInputs {
  /** f32 [N, HV, F]: sum of the features of the keys before the first. Default zeros. */
  readonly initialNormalizer?: Tensor;
}

/** Options of all of these methods. */
export interface FeatureAttentionOptions {
  /** A row sees the keys up to its own; otherwise all of its sequence. */
  readonly causal?: boolean;
  /** Added to the denominator. */
  readonly eps?: number;
}

/** Operands of `hedgehog` and `t2r`. */
export interface ProjectedAttentionInputs extends FeatureAttentionInputs {
  /** f32, f16 or bf16 [F, K], or [H, F, K] for each head its own; or `packMatrix(w, { transposeB: true })` of the first. */
  readonly w: ProjectedInputs['w'];
  /** f32 [F], or [H, F] as w. Default zeros. */
  readonly bias?: Tensor;
  /** As w, for the keys where they have a map of their own. Default w, with its bias. */
  readonly wK?: ProjectedInputs['w'];
  /** f32 [F] or [H, F]: bias of wK. Default zeros. */
  readonly biasK?: Tensor;
}

/** Operands of `focused` and `slab`. */
export interface ConvolvedAttentionInputs extends FeatureAttentionInputs {
  /** f32 [kh, kw, V], shared by the heads, or [kh, kw, HV, V]: a depthwise convolution of v that is added to o. Default none. */
  readonly convWeight?: Tensor;
  /** f32 [V], or [HV, V] as convWeight. Default zeros. */
  readonly convBias?: Tensor;
}

/** Options of `focused` and `slab`, needed with `convWeight`: tokens are the pixels of height x width images, row by row. */
export interface ImageOptions {
  readonly height?: number;
  readonly width?: number;
}

/** Options of `hedgehog`. */
export interface HedgehogAttentionOptions extends FeatureAttentionOptions {
  /** Factor on the logits of the map. Default 1. */
  readonly scale?: number;
}

/** Options of `dpfp`. */
export interface DpfpAttentionOptions extends FeatureAttentionOptions {
  /** Number of shifts. Default 4. */
  readonly nu?: number;
}

/** Options of `focused`. */
export interface FocusedAttentionOptions extends FeatureAttentionOptions, ImageOptions {
  /** Exponent p, above 0. Default 3. */
  readonly power?: number;
}

/** Options of `slab`. */
export interface SlabOptions extends FeatureAttentionOptions, ImageOptions {}

/** Options of `qtVit`. */
export interface QtVitAttentionOptions extends FeatureAttentionOptions {
  /** Factor on the squares. Default K^-1/2 / sqrt 2. */
  readonly alpha?: number;
  /** Factor on q and k. Default K^-1/4. */
  readonly c?: number;
  /** The constant. Default 1. */
  readonly gamma?: number;
}

/** How a method differs from the others. */
interface FeatureMethod {
  /** The features of one operand; checks the weights and options of the map. */
  readonly map: (b: Builder, inputs: never, options: never) => { o: Tensor };
  /** Names of the map's options. */
  readonly options: readonly string[];
  /** Defaults. */
  readonly causal: boolean;
  readonly eps: number;
  /** The map begins with a linear map. */
  readonly projected?: true;
  /** A convolution of the values may be added. */
  readonly convolved?: true;
}

const relu: FeatureMethod['map'] = (b, inputs) => planPointwise(b, 'relu', inputs);

const METHODS = {
  hedgehog: { map: planHedgehog, options: ['scale'], causal: true, eps: 1e-10, projected: true },
  t2r: { map: planT2r, options: [], causal: true, eps: 1e-10, projected: true },
  dpfp: { map: planDpfp, options: ['nu'], causal: true, eps: 1e-10 },
  focused: { map: planFocused, options: ['power'], causal: false, eps: 1e-6, convolved: true },
  sana: { map: relu, options: [], causal: false, eps: 1e-15 },
  slab: { map: relu, options: [], causal: false, eps: 1e-6, convolved: true },
  qtVit: { map: planQtVit, options: ['alpha', 'c', 'gamma'], causal: false, eps: 1e-6 },
} as const satisfies Record<string, FeatureMethod>;

/** Names of these methods. */
export type FeatureMethodName = keyof typeof METHODS;

type AnyInputs = FeatureAttentionInputs & Partial<ProjectedAttentionInputs> & ConvolvedAttentionInputs;
type AnyOptions = FeatureAttentionOptions & ImageOptions & Readonly<Record<string, unknown>>;

const SHARED = ['q', 'k', 'v', 'initialState', 'initialNormalizer', 'cuSeqlens'];
const WEIGHTS = ['w', 'bias', 'wK', 'biasK'];

/** Lays out any of the methods. */
export function planFeatureAttention(
  b: Builder,
  op: FeatureMethodName,
  inputs: FeatureAttentionInputs,
  options: FeatureAttentionOptions,
  into?: StepTarget,
): LinearAttnResult {
  const method: FeatureMethod = METHODS[op];
  const names = [
    ...SHARED,
    ...(method.projected ? WEIGHTS : []),
    ...(method.convolved ? ['convWeight', 'convBias'] : []),
  ];
  expectNames(op, 'input', inputs, names);
  const image = method.convolved ? ['height', 'width'] : [];
  expectNames(op, 'option', options, ['causal', 'eps', ...method.options, ...image]);
  const { q, k, v, w, bias, wK = w, biasK, convWeight, convBias, ...rest } = inputs as AnyInputs;
  const all = options as AnyOptions;
  matchShapes(op, { q, k }, { q: 'B T H K', k: 'B T H K' });
  expectTypes(op, { q, k }, ['f32']);
  expectRows(op, { q, k });
  const ofMap = Object.fromEntries(method.options.map((name) => [name, all[name]]));
  const features = (x: Tensor, weights: object) => {
    const { o } = method.map(b, { x, ...(method.projected && weights) } as never, ofMap as never);
    b.drop(o);
    return o;
  };
  const keys = features(k, { w: wK, bias: wK === w ? (biasK ?? bias) : biasK });
  const result = planFeatures(
    b,
    op,
    { q: features(q, { w, bias }), k: keys, v, ...rest },
    { scale: 1, causal: all.causal ?? method.causal },
    { kind: 'add', epsilon: finite(op, 'eps', all.eps, method.eps, 0) },
    into,
  );
  if (convWeight && inputs.cuSeqlens) {
    throw new OptionError(`${op}: convWeight does not go with cuSeqlens: pass the images as a batch`);
  }
  if (convWeight) addConvolution(b, op, { v, weight: convWeight, bias: convBias, o: result.o }, all);
  else if (convBias) throw new OptionError(`${op}: convBias is given without convWeight. Pass both, or neither.`);
  return result;
}

/** Adds the depthwise convolution of v [B, height x width, HV, V] to o. */
function addConvolution(
  b: Builder,
  op: FeatureMethodName,
  { v, weight, bias, o }: { v: Tensor; weight: Tensor; bias: Tensor | undefined; o: Tensor },
  options: ImageOptions,
): void {
  const [B, T, HV, V] = v.shape as [number, number, number, number];
  const [height, width] = (['height', 'width'] as const).map((name) => {
    if (options[name] === undefined) throw new OptionError(`${op}: convWeight needs the options height and width`);
    return whole(op, name, options[name], 0, 0);
  }) as [number, number];
  if (height * width !== T) {
    throw new ShapeError(
      `${op}: height ${height} times width ${width} is ${height * width}, expected T = ${T} (from v)`,
    );
  }
  const lead = weight.shape.length === 4 ? `${HV} ` : '';
  const { kh, kw } = matchShapes(
    op,
    { convWeight: weight, convBias: bias },
    { convWeight: `kh kw ${lead}${V}`, convBias: `?${lead}${V}` },
  ) as { kh: number; kw: number };
  if (kh === 0 || kw === 0)
    throw new ShapeError(`${op}: convWeight has shape [${weight.shape}], expected kh and kw > 0`);
  expectTypes(op, { convWeight: weight, convBias: bias }, ['f32']);
  expectContiguous(op, { convWeight: weight, convBias: bias });
  const channels = HV * V;
  const perHead = (x: Tensor, taps: number) => {
    if (lead) return x.reshape([taps, channels]);
    const spread = b.temporary([1, taps, HV, V]);
    copyRows(b, x.restride(spread.shape, [0, V, 0, 1]), spread);
    return spread.reshape([taps, channels]);
  };
  const image = (x: Tensor) => x.reshape([B, height, width, channels]);
  let x = v;
  if (v.dtype !== 'f32' || !v.contiguous) {
    x = b.temporary(v.shape);
    copyRows(b, v, x);
  }
  const y = b.temporary(v.shape);
  const taps = perHead(weight, kh * kw).reshape([kh, kw, channels]);
  depthwiseConv2d(b, image(x), taps, bias && perHead(bias, 1), image(y));
  sum(b, o, y, o);
}

function prefill(op: FeatureMethodName, inputs: object, options: object): Promise<LinearAttnResult> {
  return run(op, tensorsOf(inputs), (b) => planFeatureAttention(b, op, inputs as never, options));
}

function prefillSync(op: FeatureMethodName, inputs: object, options: object): LinearAttnResult {
  return runSync(op, tensorsOf(inputs), (b) => planFeatureAttention(b, op, inputs as never, options));
}

/** What a step of these methods has in place of the states of the sequence form. */
export type FeatureStep<I extends FeatureAttentionInputs> = Omit<Stepped<I>, 'initialNormalizer'> & {
  /** f32 [B, HV, F], updated in place. */
  readonly normalizer: Tensor;
};

function step(op: FeatureMethodName, inputs: object, options: object): { o: Tensor } {
  const states = { state: 'initialState', normalizer: 'initialNormalizer' };
  const shape = { op, options, timed: ['v', 'q', 'k'], states };
  return runStep(shape, inputs, (b, lifted, into) => planFeatureAttention(b, op, lifted, options, into));
}

/**
 * Hedgehog: linear attention of phi(x) = softmax([scale w x, -scale w x]), which learns to mimic softmax attention:
 * o_t = sum_j phi(q_t) phi(k_j) v_j / (sum_j phi(q_t) phi(k_j) + eps). Causal by default; eps defaults to 1e-10.
 *
 * Source: Hedgehog (Zhang 2024); reference implementation fla, HedgehogFeatureMap (there with scale 2).
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState, finalNormalizer } = await hedgehog({ q, k, v, w })
 */
export function hedgehog(
  inputs: ProjectedAttentionInputs,
  options: HedgehogAttentionOptions = {},
): Promise<LinearAttnResult> {
  return prefill('hedgehog', inputs, options);
}

/** As `hedgehog`, to the end before it returns. */
export function hedgehogSync(
  inputs: ProjectedAttentionInputs,
  options: HedgehogAttentionOptions = {},
): LinearAttnResult {
  return prefillSync('hedgehog', inputs, options);
}

/**
 * One token of `hedgehog`; `state` and `normalizer` are updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example hedgehogStep({ q, k, v, w, state, normalizer, o })
 */
export function hedgehogStep(
  inputs: FeatureStep<ProjectedAttentionInputs>,
  options: Omit<HedgehogAttentionOptions, 'causal'> = {},
): { o: Tensor } {
  return step('hedgehog', inputs, options);
}

/**
 * T2R: linear attention of phi(x) = relu(w x + bias), over the sum of the weights + eps. Causal by default; eps defaults to 1e-10.
 *
 * Source: Finetuning pretrained transformers into RNNs (Kasai 2021); reference implementation fla, T2RFeatureMap.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState, finalNormalizer } = await t2r({ q, k, v, w, bias })
 */
export function t2r(
  inputs: ProjectedAttentionInputs,
  options: FeatureAttentionOptions = {},
): Promise<LinearAttnResult> {
  return prefill('t2r', inputs, options);
}

/** As `t2r`, to the end before it returns. */
export function t2rSync(inputs: ProjectedAttentionInputs, options: FeatureAttentionOptions = {}): LinearAttnResult {
  return prefillSync('t2r', inputs, options);
}

/**
 * One token of `t2r`; `state` and `normalizer` are updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example t2rStep({ q, k, v, w, bias, state, normalizer, o })
 */
export function t2rStep(
  inputs: FeatureStep<ProjectedAttentionInputs>,
  options: Omit<FeatureAttentionOptions, 'causal'> = {},
): { o: Tensor } {
  return step('t2r', inputs, options);
}

/**
 * DPFP: linear attention of the 2 K nu features [r roll(r, 1), ..., r roll(r, nu)], r = [relu(x), relu(-x)], over the sum of the weights
 * + eps. Causal by default; eps defaults to 1e-10.
 *
 * Source: Linear transformers are secretly fast weight programmers (Schlag 2021); fla's map has relu(x) with -relu(x) instead.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState, finalNormalizer } = await dpfp({ q, k, v }, { nu: 3 })
 */
export function dpfp(inputs: FeatureAttentionInputs, options: DpfpAttentionOptions = {}): Promise<LinearAttnResult> {
  return prefill('dpfp', inputs, options);
}

/** As `dpfp`, to the end before it returns. */
export function dpfpSync(inputs: FeatureAttentionInputs, options: DpfpAttentionOptions = {}): LinearAttnResult {
  return prefillSync('dpfp', inputs, options);
}

/**
 * One token of `dpfp`; `state` and `normalizer` are updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example dpfpStep({ q, k, v, state, normalizer, o })
 */
export function dpfpStep(
  inputs: FeatureStep<FeatureAttentionInputs>,
  options: Omit<DpfpAttentionOptions, 'causal'> = {},
): { o: Tensor } {
  return step('dpfp', inputs, options);
}

/**
 * Focused linear attention: o_t = sum_j phi(q_t) phi(k_j) v_j / (sum_j phi(q_t) phi(k_j) + eps) with phi(x) = |r| r^power / |r^power|,
 * r = relu(x), plus a depthwise convolution of v where `convWeight` is given. Over all keys by default; eps defaults to 1e-6.
 *
 * Source: FLatten Transformer (Han 2023); its layers add 1e-6 to r and divide q and k by a learned scale before.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await focused({ q, k, v, convWeight, convBias }, { height: 14, width: 14 })
 */
export function focused(
  inputs: ConvolvedAttentionInputs,
  options: FocusedAttentionOptions = {},
): Promise<LinearAttnResult> {
  return prefill('focused', inputs, options);
}

/** As `focused`, to the end before it returns. */
export function focusedSync(inputs: ConvolvedAttentionInputs, options: FocusedAttentionOptions = {}): LinearAttnResult {
  return prefillSync('focused', inputs, options);
}

/**
 * SANA's linear attention: weights relu(q_t) relu(k_j) over their sum + eps. Over all keys by default; eps defaults to 1e-15.
 *
 * Source: SANA (Xie 2024); reference implementation NVlabs/Sana, LiteLA.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await sana({ q, k, v })
 */
export function sana(inputs: FeatureAttentionInputs, options: FeatureAttentionOptions = {}): Promise<LinearAttnResult> {
  return prefill('sana', inputs, options);
}

/** As `sana`, to the end before it returns. */
export function sanaSync(inputs: FeatureAttentionInputs, options: FeatureAttentionOptions = {}): LinearAttnResult {
  return prefillSync('sana', inputs, options);
}

/**
 * Simplified linear attention: weights relu(q_t) relu(k_j) over their sum + eps, plus a depthwise convolution of v where `convWeight`
 * is given. Over all keys by default; eps defaults to 1e-6.
 *
 * Source: SLAB (Guo 2024); reference implementation xinghaochen/SLAB.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await slab({ q, k, v, convWeight, convBias }, { height: 14, width: 14 })
 */
export function slab(inputs: ConvolvedAttentionInputs, options: SlabOptions = {}): Promise<LinearAttnResult> {
  return prefill('slab', inputs, options);
}

/** As `slab`, to the end before it returns. */
export function slabSync(inputs: ConvolvedAttentionInputs, options: SlabOptions = {}): LinearAttnResult {
  return prefillSync('slab', inputs, options);
}

/**
 * QT-ViT's linear attention: weights gamma^2 + c^2 q_t k_j + alpha^2 q_t^2 k_j^2 over their sum + eps, the second-order expansion of
 * e^(K^-1/2 q_t k_j) without mixed products. Over all keys by default; eps defaults to 1e-6.
 *
 * Source: QT-ViT (Xu 2024), whose coefficients are not public; these are the expansion's.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await qtVit({ q, k, v })
 */
export function qtVit(inputs: FeatureAttentionInputs, options: QtVitAttentionOptions = {}): Promise<LinearAttnResult> {
  return prefill('qtVit', inputs, options);
}

/** As `qtVit`, to the end before it returns. */
export function qtVitSync(inputs: FeatureAttentionInputs, options: QtVitAttentionOptions = {}): LinearAttnResult {
  return prefillSync('qtVit', inputs, options);
}

/**
 * Test-time training: layers whose hidden state is a small network that learns from every mini-batch of tokens.
 *
 * @module
 */
import {
  type FastResidual,
  type FastShape,
  type FastWeightInputs,
  fastWeight,
  openFastWeight,
  packed,
  parameters,
  residualOf,
  separate,
} from '../engines/fast-weight.ts';
import { expectContiguous, expectNames, expectTypes, finite, flag, matchShapes, whole } from '../engines/shapes.ts';
import { carried } from '../engines/states.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands that both methods have. */
export interface TttInputs extends FastWeightInputs {
  /** f32 [B, T, H] or [B, T, H, 1]: learning rate of each token. */
  readonly eta: Tensor;
  /**
   * f32 [miniBatchSize]: makes the rate of query i and key j tokenIdx[i] eta_j, i counting from the mini-batch's start, as in
   * ttt-lm-pytorch. Default: it is eta_i, as in fla.
   */
  readonly tokenIdx?: Tensor;
  /** f32 [N, H, P]: the `gradient` of the tokens before; goes with `initialPosition`. Default zeros. */
  readonly initialGradient?: Tensor;
}

/** Options that both methods have. */
export interface TttOptions {
  /** Tokens whose gradients are taken at the same weights. Default 16. */
  readonly miniBatchSize?: number;
  /** Added to variances. Default 1e-6. */
  readonly eps?: number;
  /** Factor on q. Default D^-1/2. */
  readonly scale?: number;
  /**
   * What is added to LN(z): z itself ('output', as in fla), the query ('query', as in ttt-lm-pytorch), or 'none'. Default 'output', and
   * 'none' where there is no norm.
   */
  readonly residual?: FastResidual;
  /** Whether the last mini-batch ends with the sequence, as in fla, so that the weights hold its update. Default false. */
  readonly flush?: boolean;
}

/** Operands of `tttLinear`. */
export interface TttLinearInputs extends TttInputs {
  /** f32 [N, H, D, D]. Default zeros. */
  readonly initialState?: Tensor;
  /** f32 [N, H, 1, D]. Default zeros. */
  readonly initialStateBias?: Tensor;
}

/** Options of `tttLinear`. */
export interface TttLinearOptions extends TttOptions {
  /** Whether the layer has a bias that learns too. Default true. */
  readonly bias?: boolean;
}

/** Outputs that both methods have. */
export interface TttResult {
  /** f32 [B, T, H, D] */
  readonly o: Tensor;
  /** f32 [N, H, P]: sum of the gradients of the unfinished mini-batch's tokens, in the order of the weights; zeros where there are none. */
  readonly gradient: Tensor;
  /** i32 [N]: tokens of the unfinished mini-batch. */
  readonly position: Tensor;
}

/** Outputs of `tttLinear`. */
export interface TttLinearResult extends TttResult {
  /** f32 [N, H, D, D]: weights at the start of the unfinished mini-batch, if there is one. */
  readonly finalState: Tensor;
  /** f32 [N, H, 1, D]; absent without a bias. */
  readonly finalStateBias?: Tensor;
}

/** States and output of a step. */
interface TttStep {
  /** f32 [B, H, P], updated in place: zeros where a mini-batch begins. */
  readonly gradient: Tensor;
  /** i32 [B], updated in place. */
  readonly position: Tensor;
  /** f32 [B, H, D] to write into. Default: a new tensor. */
  readonly o?: Tensor;
}

/** Operands of `tttLinearStep`: those of `tttLinear` without the T axis, and the states, which are updated in place. */
export interface TttLinearStepInputs
  extends Omit<
      TttLinearInputs,
      'initialState' | 'initialStateBias' | 'initialGradient' | 'initialPosition' | 'cuSeqlens'
    >,
    TttStep {
  /** f32 [B, H, D, D], updated in place. */
  readonly state: Tensor;
  /** f32 [B, H, 1, D], updated in place; absent without a bias. */
  readonly stateBias?: Tensor;
}

/** Operands of `tttMlp`, whose weights before the first token must be given: zeros would never learn. */
export interface TttMlpInputs extends TttInputs {
  /** f32 [N, H, D, M] */
  readonly w1: Tensor;
  /** f32 [N, H, 1, M] */
  readonly b1: Tensor;
  /** f32 [N, H, M, D] */
  readonly w2: Tensor;
  /** f32 [N, H, 1, D] */
  readonly b2: Tensor;
}

/** Outputs of `tttMlp`: the weights are those at the start of the unfinished mini-batch, if there is one. */
export interface TttMlpResult extends TttResult {
  /** f32 [N, H, D, M] */
  readonly w1: Tensor;
  /** f32 [N, H, 1, M] */
  readonly b1: Tensor;
  /** f32 [N, H, M, D] */
  readonly w2: Tensor;
  /** f32 [N, H, 1, D] */
  readonly b2: Tensor;
}

/** Operands of `tttMlpStep`: those of `tttMlp` without the T axis; weights, gradient and position are updated in place. */
export interface TttMlpStepInputs
  extends Omit<TttMlpInputs, 'initialGradient' | 'initialPosition' | 'cuSeqlens'>,
    TttStep {}

const COMMON = ['q', 'k', 'v', 'eta', 'lnWeight', 'lnBias', 'tokenIdx', 'initialGradient', 'initialPosition'];
const OPTIONS = ['miniBatchSize', 'eps', 'scale', 'residual', 'flush'];

/** What both methods make of their operands and options. */
function openTtt(b: Builder, op: string, inputs: TttInputs, options: TttOptions, into: StepTarget | undefined) {
  const { q, k, v, eta, lnWeight, lnBias, tokenIdx, initialGradient } = inputs;
  const miniBatch = whole(op, 'miniBatchSize', options.miniBatchSize, 16, 1);
  const open = openFastWeight(b, op, inputs, { eta }, { miniBatch, carried: { initialGradient } }, into);
  matchShapes(op, { tokenIdx }, { tokenIdx: `?${miniBatch}` });
  expectTypes(op, { tokenIdx }, ['f32']);
  expectContiguous(op, { tokenIdx });
  const { sizes, sequences, position, o } = open;
  const call = {
    q,
    k,
    v,
    o,
    rule: { kind: 'rates', eta: open.gates.eta!, tokenIdx },
    miniBatch,
    lnWeight,
    lnBias,
    eps: finite(op, 'eps', options.eps, 1e-6, 0),
    scale: finite(op, 'scale', options.scale, sizes.D ** -0.5),
    target: 'v-k',
    residual: residualOf(op, options.residual, lnWeight ? 'output' : 'none'),
    flush: flag(op, 'flush', options.flush),
    activation: 'gelu',
    sequences,
    position,
  } as const;
  return { sizes, call };
}

/** The gradient before and after. */
function gradientOf(
  b: Builder,
  op: string,
  { initialGradient }: TttInputs,
  N: number,
  H: number,
  shapes: readonly FastShape[],
  into: StepTarget | undefined,
) {
  const final = carried(b, op, 'initialGradient', initialGradient, [N, H, parameters(shapes)], into);
  return {
    gradient: final,
    second: { initial: initialGradient && packed(initialGradient, shapes), final: packed(final, shapes) },
  };
}

const LINEAR = 'tttLinear';

/** Lays out TTT-Linear. */
export function planTttLinear(
  b: Builder,
  inputs: TttLinearInputs,
  options: TttLinearOptions,
  into?: StepTarget,
): TttLinearResult {
  expectNames(LINEAR, 'input', inputs, [...COMMON, 'initialState', 'initialStateBias', 'cuSeqlens']);
  expectNames(LINEAR, 'option', options, [...OPTIONS, 'bias']);
  const { initialState, initialStateBias } = inputs;
  const { sizes, call } = openTtt(b, LINEAR, inputs, options, into);
  const { N, H, D } = sizes;
  const bias = flag(LINEAR, 'bias', options.bias, true);
  if (!bias && initialStateBias) {
    throw new ShapeError(`${LINEAR}: initialStateBias was given with bias: false; leave out one of the two`);
  }
  const shapes = [{ din: D, dout: D, bias }];
  const state = carried(b, LINEAR, 'initialState', initialState, [N, H, D, D], into);
  const stateBias = bias ? carried(b, LINEAR, 'initialStateBias', initialStateBias, [N, H, 1, D], into) : undefined;
  const { gradient, second } = gradientOf(b, LINEAR, inputs, N, H, shapes, into);
  const places = { w: initialState, b: initialStateBias };
  fastWeight(b, {
    ...call,
    shapes,
    state: { initial: separate([places]), final: separate([{ w: state, b: stateBias }]) },
    second,
  });
  return {
    o: call.o,
    finalState: state,
    ...(stateBias && { finalStateBias: stateBias }),
    gradient,
    position: call.position,
  };
}

/**
 * TTT-Linear: a linear layer W, b learns v - k from k. Over mini-batches of keys and their queries,
 * g_j = gradient of |LN(k_j W + b) - (v_j - k_j)|^2 / 2 at the mini-batch's start, W_i = W - rate_i sum_{j <= i} k_j^T g_j (b likewise),
 * z_i = scale q_i W_i + b_i, o_i = z_i + LN(z_i); W and b of its last query start the next.
 *
 * A sequence may come in parts of any lengths: `finalState` is W where the unfinished mini-batch began, `gradient` the sum over its tokens
 * and `position` their count; passed on as `initialState`, `initialGradient`, `initialPosition`, the next part goes on within it.
 *
 * Source: TTT (Sun 2024); reference implementations fla, chunk_ttt_linear_ref (whose conventions are the defaults), and ttt-lm-pytorch:
 * with `tokenIdx`, `scale: 1` and `residual: 'query'`.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState, finalStateBias } = await tttLinear({ q, k, v, eta, lnWeight, lnBias }, { miniBatchSize: 16 })
 */
export function tttLinear(inputs: TttLinearInputs, options: TttLinearOptions = {}): Promise<TttLinearResult> {
  return run(LINEAR, inputs, (b) => planTttLinear(b, inputs, options));
}

/** As `tttLinear`, to the end before it returns. */
export function tttLinearSync(inputs: TttLinearInputs, options: TttLinearOptions = {}): TttLinearResult {
  return runSync(LINEAR, inputs, (b) => planTttLinear(b, inputs, options));
}

/**
 * One token of `tttLinear`; `state`, `stateBias`, `gradient` and `position` are updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example tttLinearStep({ q, k, v, eta, lnWeight, lnBias, state, stateBias, gradient, position, o })
 */
export function tttLinearStep(inputs: TttLinearStepInputs, options: TttLinearOptions = {}): { o: Tensor } {
  const states = {
    state: 'initialState',
    ...(options.bias !== false && { stateBias: 'initialStateBias' }),
    gradient: 'initialGradient',
    position: 'initialPosition',
  };
  const shape = { op: LINEAR, timed: ['v', 'q', 'k', 'eta'], states };
  return runStep(shape, inputs, (b, lifted, into) => planTttLinear(b, lifted, options, into));
}

const MLP = 'tttMlp';

/** Lays out TTT-MLP. */
export function planTttMlp(b: Builder, inputs: TttMlpInputs, options: TttOptions, into?: StepTarget): TttMlpResult {
  expectNames(MLP, 'input', inputs, [...COMMON, 'w1', 'b1', 'w2', 'b2', 'cuSeqlens']);
  expectNames(MLP, 'option', options, OPTIONS);
  const { w1, b1, w2, b2 } = inputs;
  const { sizes, call } = openTtt(b, MLP, inputs, options, into);
  const { N, H, D } = sizes;
  const { M = 0 } = matchShapes(
    MLP,
    { w1, b1, w2, b2 },
    { w1: `${N} ${H} ${D} M`, b1: `${N} ${H} 1 M`, w2: `${N} ${H} M ${D}`, b2: `${N} ${H} 1 ${D}` },
  );
  const shapes = [
    { din: D, dout: M, bias: true },
    { din: M, dout: D, bias: true },
  ];
  const after = {
    w1: carried(b, MLP, 'w1', w1, [N, H, D, M], into),
    b1: carried(b, MLP, 'b1', b1, [N, H, 1, M], into),
    w2: carried(b, MLP, 'w2', w2, [N, H, M, D], into),
    b2: carried(b, MLP, 'b2', b2, [N, H, 1, D], into),
  };
  const { gradient, second } = gradientOf(b, MLP, inputs, N, H, shapes, into);
  const network = (x: { w1: Tensor; b1: Tensor; w2: Tensor; b2: Tensor }) =>
    separate([
      { w: x.w1, b: x.b1 },
      { w: x.w2, b: x.b2 },
    ]);
  fastWeight(b, { ...call, shapes, state: { initial: network(inputs), final: network(after) }, second });
  return { o: call.o, ...after, gradient, position: call.position };
}

/**
 * TTT-MLP: as `tttLinear` with a network of two layers, f(x) = gelu(x W1 + b1) W2 + b2, gelu by its tanh form; all four learn, and a query
 * reads each layer after the gradients of its mini-batch's keys up to its own. P, the width of `gradient`, is (D + 1) M + (M + 1) D.
 *
 * Source: TTT (Sun 2024); reference implementation ttt-lm-pytorch: with `tokenIdx`, `scale: 1` and `residual: 'query'`.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, gradient, position, ...weights } = await tttMlp({ q, k, v, eta, lnWeight, lnBias, w1, b1, w2, b2 })
 */
export function tttMlp(inputs: TttMlpInputs, options: TttOptions = {}): Promise<TttMlpResult> {
  return run(MLP, inputs, (b) => planTttMlp(b, inputs, options));
}

/** As `tttMlp`, to the end before it returns. */
export function tttMlpSync(inputs: TttMlpInputs, options: TttOptions = {}): TttMlpResult {
  return runSync(MLP, inputs, (b) => planTttMlp(b, inputs, options));
}

/**
 * One token of `tttMlp`; the weights, `gradient` and `position` are updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example tttMlpStep({ q, k, v, eta, lnWeight, lnBias, w1, b1, w2, b2, gradient, position, o })
 */
export function tttMlpStep(inputs: TttMlpStepInputs, options: TttOptions = {}): { o: Tensor } {
  const states = { w1: 'w1', b1: 'b1', w2: 'w2', b2: 'b2', gradient: 'initialGradient', position: 'initialPosition' };
  const shape = { op: MLP, timed: ['v', 'q', 'k', 'eta'], states };
  return runStep(shape, inputs, (b, lifted, into) => planTttMlp(b, lifted, options, into));
}

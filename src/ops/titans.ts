/**
 * Titans: a neural memory that learns from every token with momentum and forgetting.
 *
 * @module
 */
import {
  activationOf,
  type FastActivation,
  type FastResidual,
  type FastShape,
  type FastTarget,
  type FastWeightInputs,
  fastWeight,
  openFastWeight,
  packed,
  parameters,
  residualOf,
  targetOf,
} from '../engines/fast-weight.ts';
import { expectNames, expectTensor, finite, whole } from '../engines/shapes.ts';
import { carried } from '../engines/states.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands that both methods have. */
export interface TitansInputs extends FastWeightInputs {
  /** f32 [B, T, H] or [B, T, H, 1]: what of the momentum stays at each token. */
  readonly eta: Tensor;
  /** Likewise: learning rate. */
  readonly theta: Tensor;
  /** Likewise: what the memory forgets, 0 to 1. */
  readonly alpha: Tensor;
  /** f32, of the shape of the state: the `finalMomentum` of the tokens before. Default zeros. */
  readonly initialMomentum?: Tensor;
  /** f32, of the shape of the state: the `anchor` of the tokens before; goes with `initialPosition`. */
  readonly initialAnchor?: Tensor;
}

/** Operands of `titansLinear`. */
export interface TitansLinearInputs extends TitansInputs {
  /** f32 [N, H, D, D]. Default zeros. */
  readonly initialState?: Tensor;
}

/** Operands of `titans`. */
export interface TitansMemoryInputs extends TitansInputs {
  /** f32 [N, H, P]: the matrices [D, M], [M, M]..., [M, D] of the layers one after another; with one layer [D, D]. */
  readonly initialState: Tensor;
}

/** Options that both methods have. */
export interface TitansOptions {
  /** Tokens whose gradients are taken at the same weights. Default 16. */
  readonly chunkSize?: number;
  /** Added to variances. Default 1e-6. */
  readonly eps?: number;
  /** Factor on q. Default 1. */
  readonly scale?: number;
  /** What the memory's output, normalised, is compared with: 'v-k' or 'v'. Default 'v-k' with a norm, 'v' without. */
  readonly target?: FastTarget;
  /** What is added to LN(y): y itself ('output'), the query, or 'none'. */
  readonly residual?: FastResidual;
}

/** Options of `titans`. */
export interface TitansMemoryOptions extends TitansOptions {
  /** Layers of the memory. Default 2. */
  readonly depth?: number;
  /** Width of the memory between its layers, in D. Default 4. */
  readonly expansion?: number;
  /** Between its layers; 'gelu' by its tanh form. Default 'gelu'. */
  readonly activation?: FastActivation;
}

/** Outputs of both methods; states have the shape of `initialState`. */
export interface TitansResult {
  /** f32 [B, T, H, D] */
  readonly o: Tensor;
  /** The memory after the last token. */
  readonly finalState: Tensor;
  /** Its momentum. */
  readonly finalMomentum: Tensor;
  /** The memory at the start of the unfinished chunk, where the gradients of its other tokens are to be taken. */
  readonly anchor: Tensor;
  /** i32 [N]: tokens of the unfinished chunk. */
  readonly position: Tensor;
}

/** Operands of a step: those of the method without the T axis, and the states, which are updated in place. */
type TitansStep<I> = Omit<I, 'initialState' | 'initialMomentum' | 'initialAnchor' | 'initialPosition' | 'cuSeqlens'> & {
  /** The memory, f32 [B, H, D, D] or [B, H, P]. */
  readonly state: Tensor;
  /** Of its shape: zeros before the first token. */
  readonly momentum: Tensor;
  /** Of its shape: anything where `position` is zero. */
  readonly anchor: Tensor;
  /** i32 [B] */
  readonly position: Tensor;
  /** f32 [B, H, D] to write into. Default: a new tensor. */
  readonly o?: Tensor;
};

/** Operands of `titansLinearStep`. */
export type TitansLinearStepInputs = TitansStep<TitansLinearInputs>;
/** Operands of `titansStep`. */
export type TitansMemoryStepInputs = TitansStep<TitansMemoryInputs>;

const INPUTS = [
  'q',
  'k',
  'v',
  'eta',
  'theta',
  'alpha',
  'lnWeight',
  'lnBias',
  'initialState',
  'initialMomentum',
  'initialAnchor',
  'initialPosition',
  'cuSeqlens',
];
const OPTIONS = ['chunkSize', 'eps', 'scale', 'target', 'residual'];
const STATES = {
  state: 'initialState',
  momentum: 'initialMomentum',
  anchor: 'initialAnchor',
  position: 'initialPosition',
};
const TIMED = ['v', 'q', 'k', 'eta', 'theta', 'alpha'];

/** What a method chooses. */
interface Memory {
  readonly op: string;
  /** The layers for heads of D elements. */
  readonly shapes: (D: number) => readonly FastShape[];
  /** Axes of a state behind [N, H]. */
  readonly stateShape: (D: number) => readonly number[];
  readonly activation: FastActivation;
  /** Residual of a memory with a norm. */
  readonly residual: FastResidual;
}

function planMemory(
  b: Builder,
  { op, shapes: shapesOf, stateShape, activation, residual }: Memory,
  inputs: TitansInputs & { readonly initialState?: Tensor },
  options: TitansOptions,
  into: StepTarget | undefined,
): TitansResult {
  const { q, k, v, eta, theta, alpha, lnWeight, lnBias, initialState, initialMomentum, initialAnchor } = inputs;
  const miniBatch = whole(op, 'chunkSize', options.chunkSize, 16, 1);
  const before = { initialState, initialMomentum, initialAnchor };
  const open = openFastWeight(b, op, inputs, { eta, theta, alpha }, { miniBatch, carried: before }, into);
  const { H, D, N } = open.sizes;
  const shapes = shapesOf(D);
  const shape = [N, H, ...stateShape(D)];
  const place = (name: keyof typeof before) => {
    const tensor = carried(b, op, name, before[name], shape, into);
    return {
      tensor,
      network: { initial: before[name] && packed(before[name], shapes), final: packed(tensor, shapes) },
    };
  };
  const [state, momentum, anchor] = [place('initialState'), place('initialMomentum'), place('initialAnchor')];
  const { eta: stay, theta: rate, alpha: forget } = open.gates;
  fastWeight(b, {
    q,
    k,
    v,
    o: open.o,
    rule: { kind: 'momentum', eta: stay!, theta: rate!, alpha: forget! },
    shapes,
    activation,
    miniBatch,
    lnWeight,
    lnBias,
    eps: finite(op, 'eps', options.eps, 1e-6, 0),
    scale: finite(op, 'scale', options.scale, 1),
    target: targetOf(op, options.target, lnWeight ? 'v-k' : 'v'),
    residual: residualOf(op, options.residual, lnWeight ? residual : 'none'),
    flush: false,
    sequences: open.sequences,
    state: state.network,
    second: momentum.network,
    anchor: anchor.network,
    position: open.position,
  });
  return {
    o: open.o,
    finalState: state.tensor,
    finalMomentum: momentum.tensor,
    anchor: anchor.tensor,
    position: open.position,
  };
}

const LINEAR: Memory = {
  op: 'titansLinear',
  shapes: (D) => [{ din: D, dout: D, bias: false }],
  stateShape: (D) => [D, D],
  activation: 'gelu',
  residual: 'output',
};

/** Lays out a linear memory. */
export function planTitansLinear(
  b: Builder,
  inputs: TitansLinearInputs,
  options: TitansOptions,
  into?: StepTarget,
): TitansResult {
  expectNames(LINEAR.op, 'input', inputs, INPUTS);
  expectNames(LINEAR.op, 'option', options, OPTIONS);
  return planMemory(b, LINEAR, inputs, options, into);
}

const OP = 'titans';

/** The layers of a memory. */
export function memoryShapes(D: number, depth: number, expansion: number): readonly FastShape[] {
  const width = D * expansion;
  return Array.from({ length: depth }, (_, i) => ({
    din: i === 0 ? D : width,
    dout: i === depth - 1 ? D : width,
    bias: false,
  }));
}

/** Lays out a memory of several layers. */
export function planTitans(
  b: Builder,
  inputs: TitansMemoryInputs,
  options: TitansMemoryOptions,
  into?: StepTarget,
  op: string = OP,
): TitansResult {
  expectNames(op, 'input', inputs, INPUTS);
  expectNames(op, 'option', options, [...OPTIONS, 'depth', 'expansion', 'activation']);
  const depth = whole(op, 'depth', options.depth, 2, 1, 8);
  const expansion = whole(op, 'expansion', options.expansion, 4, 1, 16);
  expectTensor(op, 'initialState', inputs.initialState, '[N, H, P]: zeros would never learn');
  const memory = {
    op,
    shapes: (D: number) => memoryShapes(D, depth, expansion),
    stateShape: (D: number) => [parameters(memoryShapes(D, depth, expansion))],
    activation: activationOf(op, options.activation),
    residual: 'query',
  } as const;
  return planMemory(b, memory, inputs, options, into);
}

/**
 * Titans with a linear memory: S_t = eta_t S_{t-1} - 2 theta_t k_t^T g_t, M_t = (1 - alpha_t) M_{t-1} + S_t, y_t = scale q_t M_t,
 * o_t = y_t + LN(y_t), g_t the gradient of |LN(k_t M) - (v_t - k_t)|^2 / 2 at the memory M of the chunk's start. Without a norm
 * the loss is |k_t M - v_t|^2 and o_t = y_t.
 *
 * A sequence may come in parts of any lengths, within chunks too, with all four states passed on. `finalState` and
 * `finalMomentum` alone start a new chunk.
 *
 * Source: Titans (Behrouz 2025); reference implementation fla, titans_linear.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState, finalMomentum } = await titansLinear({ q, k, v, eta, theta, alpha, lnWeight, lnBias })
 */
export function titansLinear(inputs: TitansLinearInputs, options: TitansOptions = {}): Promise<TitansResult> {
  return run(LINEAR.op, inputs, (b) => planTitansLinear(b, inputs, options));
}

/** As `titansLinear`, to the end before it returns. */
export function titansLinearSync(inputs: TitansLinearInputs, options: TitansOptions = {}): TitansResult {
  return runSync(LINEAR.op, inputs, (b) => planTitansLinear(b, inputs, options));
}

/**
 * One token of `titansLinear`; `state`, `momentum`, `anchor` and `position` are updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example titansLinearStep({ q, k, v, eta, theta, alpha, lnWeight, lnBias, state, momentum, anchor, position, o })
 */
export function titansLinearStep(inputs: TitansLinearStepInputs, options: TitansOptions = {}): { o: Tensor } {
  const shape = { op: LINEAR.op, timed: TIMED, states: STATES };
  return runStep(shape, inputs, (b, lifted, into) => planTitansLinear(b, lifted, options, into));
}

/**
 * Titans with a memory of several layers without biases: f(x) = act(act(x W_1) ...) W_depth. The gradients of all of them are taken at the
 * chunk's start; momentum and forgetting are those of `titansLinear`, and so is the loss. With a norm o_t = scale q_t + LN(f_t(scale q_t)),
 * without one o_t = f_t(scale q_t).
 *
 * Source: Titans (Behrouz 2025); reference implementation titans-pytorch (Wang), NeuralMemory with a residual norm.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await titans({ q, k, v, eta, theta, alpha, initialState }, { depth: 2, expansion: 4, chunkSize: 64 })
 */
export function titans(inputs: TitansMemoryInputs, options: TitansMemoryOptions = {}): Promise<TitansResult> {
  return run(OP, inputs, (b) => planTitans(b, inputs, options));
}

/** As `titans`, to the end before it returns. */
export function titansSync(inputs: TitansMemoryInputs, options: TitansMemoryOptions = {}): TitansResult {
  return runSync(OP, inputs, (b) => planTitans(b, inputs, options));
}

/**
 * One token of `titans`; `state`, `momentum`, `anchor` and `position` are updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example titansStep({ q, k, v, eta, theta, alpha, state, momentum, anchor, position, o }, { depth: 2 })
 */
export function titansStep(inputs: TitansMemoryStepInputs, options: TitansMemoryOptions = {}): { o: Tensor } {
  const shape = { op: OP, timed: TIMED, states: STATES };
  return runStep(shape, inputs, (b, lifted, into) => planTitans(b, lifted, options, into));
}

/**
 * The time mixing of RWKV-4.
 *
 * @module
 */
import { rwkv4On, scanSequences } from '../engines/scan.ts';
import { expectContiguous, expectNames, expectTypes, matchShapes } from '../engines/shapes.ts';
import { carried } from '../engines/states.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** The states of `rwkv4`: both sums are kept times e^-max. */
export interface Rwkv4States {
  /** f32 [N, D], N = B or the sequences of cuSeqlens: weighted sum of values. */
  readonly num: Tensor;
  /** f32 [N, D]: sum of weights. */
  readonly den: Tensor;
  /** f32 [N, D]: running maximum of the exponents. */
  readonly max: Tensor;
}

/** Operands of `rwkv4`; the states are all given, or none: then 0, 0 and -1e38. */
export interface Rwkv4Inputs extends Partial<Rwkv4States> {
  /** f32 [B, T, D] */
  readonly k: Tensor;
  /** f32 [B, T, D] */
  readonly v: Tensor;
  /** f32 [D]: the log decay of a token is -e^w. */
  readonly w: Tensor;
  /** f32 [D]: bonus of a token's own key. */
  readonly u: Tensor;
  /** i32 [N + 1]: boundaries of sequences packed along T, with B = 1. */
  readonly cuSeqlens?: Tensor;
}

/** Results of `rwkv4`. */
export interface Rwkv4Result extends Rwkv4States {
  /** [B, T, D] */
  readonly o: Tensor;
}

/** Operands of `rwkv4Step`; the states are updated in place. */
export interface Rwkv4StepInputs extends Rwkv4States {
  /** f32 [B, D] */
  readonly k: Tensor;
  /** f32 [B, D] */
  readonly v: Tensor;
  /** f32 [D] */
  readonly w: Tensor;
  /** f32 [D] */
  readonly u: Tensor;
  /** f32 [B, D] to write to; default a new tensor. */
  readonly o?: Tensor;
}

const OP = 'rwkv4';

/** Lays out the call. */
export function planRwkv4(b: Builder, inputs: Rwkv4Inputs, options: object = {}, into?: StepTarget): Rwkv4Result {
  expectNames(OP, 'input', inputs, ['k', 'v', 'w', 'u', 'num', 'den', 'max', 'cuSeqlens']);
  expectNames(OP, 'option', options, []);
  const { k, v, w, u, num, den, max, cuSeqlens } = inputs;
  matchShapes(OP, { k, v, w, u, cuSeqlens }, { k: 'B T D', v: 'B T D', w: 'D', u: 'D', cuSeqlens: '?boundaries' });
  expectTypes(OP, { k, v, w, u }, ['f32']);
  expectContiguous(OP, { k, v, w, u });
  const spans = scanSequences(OP, k, cuSeqlens);
  if ((num === undefined) !== (den === undefined) || (num === undefined) !== (max === undefined)) {
    throw new ShapeError(`${OP}: num, den and max are one state: give all three, or none for an empty one`);
  }
  const shape = [spans.length, k.shape[2]!];
  const result = {
    num: carried(b, OP, 'num', num, shape, into),
    den: carried(b, OP, 'den', den, shape, into),
    max: carried(b, OP, 'max', max, shape, into),
    o: into?.o ?? b.output(k.shape),
  };
  rwkv4On(b, {
    spans,
    like: k,
    k,
    v,
    w,
    u,
    o: result.o,
    initial: num,
    initialDen: den,
    initialMax: max,
    final: result.num,
    finalDen: result.den,
    finalMax: result.max,
  });
  return result;
}

/**
 * RWKV-4 time mixing, per channel: o_t = (a_{t-1} + e^{u + k_t} v_t) / (b_{t-1} + e^{u + k_t}) with
 * a_t = e^{-e^w} a_{t-1} + e^{k_t} v_t and b_t = e^{-e^w} b_{t-1} + e^{k_t}.
 *
 * Source: RWKV (Peng 2023); reference implementation transformers, rwkv_linear_attention_cpu.
 *
 * @throws ShapeError, DTypeError for operands that do not fit.
 * @example const { o, num, den, max } = await rwkv4({ k, v, w, u })
 */
export function rwkv4(inputs: Rwkv4Inputs, options: object = {}): Promise<Rwkv4Result> {
  return run(OP, inputs, (b) => planRwkv4(b, inputs, options));
}

/** As `rwkv4`, to the end before it returns. */
export function rwkv4Sync(inputs: Rwkv4Inputs, options: object = {}): Rwkv4Result {
  return runSync(OP, inputs, (b) => planRwkv4(b, inputs, options));
}

/**
 * One token of `rwkv4`; num, den and max are updated in place. An empty state is 0, 0 and -1e38.
 *
 * @throws ShapeError, DTypeError for operands that do not fit.
 * @example const { o } = rwkv4Step({ k, v, w, u, num, den, max, o: buffer })
 */
export function rwkv4Step(inputs: Rwkv4StepInputs, options: object = {}): { o: Tensor } {
  const shape = { op: OP, options, timed: ['k', 'v'], states: { num: 'num', den: 'den', max: 'max' } };
  return runStep(shape, inputs, (b, lifted, into) => planRwkv4(b, lifted, options, into));
}

/**
 * Steps: a method on one token, with its states updated where they lie.
 *
 * @module
 */
import { OptionError, ShapeError, WattnError } from '../errors.ts';
import { type Builder, runSync } from '../runtime/program.ts';
import type { Dispatch } from '../runtime/runtime.ts';
import { contentReads, Tensor } from '../tensor.ts';
import { expectContiguous, expectTensor, expectTypes, matchShapes } from './shapes.ts';

/** Where a step writes: o with a time axis of 1. Its states are written over the initial ones. */
export interface StepTarget {
  readonly o: Tensor;
}

/** How a step's inputs become those of the method over a sequence. */
export interface StepShape {
  /** The method over a sequence; its step has the same name and `Step`. */
  readonly op: string;
  /** Inputs with a time axis in the sequence form, the one whose shape o has first. */
  readonly timed: readonly string[];
  /** States: the step's name and the sequence form's. */
  readonly states: Readonly<Record<string, string>>;
  /** Shape of o, if it is another than that of the first timed input. */
  readonly shape?: readonly number[];
  /** The options of the call: with them the step's layout is kept for the next call that has the same tensors and options. */
  readonly options?: object;
}

/** The layout of a step, as it was made for these tensors and options. */
interface Kept {
  readonly op: string;
  readonly names: readonly string[];
  readonly tensors: readonly unknown[];
  readonly options: readonly (readonly [string, unknown])[];
  readonly dispatches: readonly Dispatch[];
}

/** By the step's first state. */
const kept = new WeakMap<Tensor, Kept>();

/** Whether a layout serves a call too; tensors keep their place and shape as long as they live. */
function serves(layout: Kept, op: string, inputs: Readonly<Record<string, unknown>>, options: object): boolean {
  const { names, tensors } = layout;
  if (layout.op !== op) return false;
  let count = 0;
  for (const _ in inputs) ++count;
  if (count !== names.length) return false;
  for (let i = 0; i < names.length; ++i) {
    const tensor = tensors[i];
    if (inputs[names[i]!] !== tensor) return false;
    if (tensor !== undefined && ((tensor as Tensor).disposed || (tensor as Tensor).lost)) return false;
  }
  count = 0;
  for (const _ in options) ++count;
  if (count !== layout.options.length) return false;
  return layout.options.every(([name, value]) => (options as Record<string, unknown>)[name] === value);
}

/** Keeps a layout that made nothing of its own and read no values, and so would come out the same. */
function keep(b: Builder, op: string, state: Tensor, inputs: object, options: object, reads: number): void {
  if (!b.inPlace || contentReads() !== reads) return;
  kept.set(state, {
    op,
    names: Object.keys(inputs),
    tensors: Object.values(inputs),
    options: Object.entries(options),
    dispatches: b.dispatches,
  });
}

/** x [B, ...] as [B, 1, ...], without a copy. */
function withTime(x: Tensor): Tensor {
  return x.restride([x.shape[0]!, 1, ...x.shape.slice(1)], [x.strides[0]!, x.strides[0]!, ...x.strides.slice(1)]);
}

/** @throws ShapeError, DTypeError if o is not a tensor of its own to write `shape` to. */
export function expectTarget(
  op: string,
  o: Tensor,
  shape: readonly number[],
  inputs: Readonly<Record<string, unknown>>,
): void {
  matchShapes(op, { o }, { o: shape.join(' ') });
  expectTypes(op, { o }, ['f32']);
  expectContiguous(op, { o });
  const at = o.address;
  for (const [name, input] of Object.entries(inputs)) {
    if (name !== 'o' && input instanceof Tensor && input.address === at && o.size > 0) {
      throw new ShapeError(
        `${op}: o is ${name} itself, expected a tensor of its own. Make one with rt.empty([${shape}]).`,
      );
    }
  }
}

/**
 * Runs one token through the plan of a sequence method; no state leaves the caller's tensors.
 *
 * @throws ShapeError if a state or an input is missing or does not fit.
 */
export function runStep(
  { op, timed, states, shape, options }: StepShape,
  inputs: object,
  plan: (b: Builder, lifted: never, into: StepTarget) => object,
): { o: Tensor } {
  const given = inputs as Readonly<Record<string, Tensor | undefined>>;
  let state: Tensor | undefined;
  for (const name in states) state ??= given[name];
  const layout = options && state instanceof Tensor ? kept.get(state) : undefined;
  if (layout && serves(layout, op, given, options!)) {
    state!.runtime.runSync(layout.dispatches);
    return { o: given.o! };
  }
  const step = `${op}Step`;
  const reads = contentReads();
  return runSync(step, inputs, (b) => {
    for (const name of Object.keys(states)) expectTensor(step, name, given[name], 'of the state');
    const initials = Object.values(states);
    const lifted: Record<string, unknown> = {};
    for (const [name, input] of Object.entries(given)) {
      if (name === 'cuSeqlens')
        throw new OptionError(`${step} has no input 'cuSeqlens': a step has a row of each sequence`);
      if (initials.includes(name) && !(name in states)) {
        throw new OptionError(`${step}: a step takes its state by the name of the state, not ${name}`);
      }
      if (name === 'o') continue;
      const lift = input instanceof Tensor && timed.includes(name) && input.shape.length > 0;
      lifted[states[name] ?? name] = lift ? withTime(input) : input;
    }
    const first = given[timed[0]!];
    expectTensor(step, timed[0]!, first, 'without a time axis');
    const result = shape ?? first.shape;
    if (given.o) expectTarget(step, given.o, result, given);
    const o = given.o ?? b.output(result);
    try {
      plan(b, lifted as never, { o: withTime(o) });
    } catch (error) {
      throw error instanceof WattnError ? stepError(error, step, states) : error;
    }
    if (options && state) keep(b, op, state, given, options, reads);
    return { o };
  });
}

/** The sequence method's error, with what it calls the step's inputs. */
function stepError(error: WattnError, step: string, states: StepShape['states']): WattnError {
  const renamed = Object.entries(states).filter(([name, initial]) => name !== initial);
  const as = ['T = 1', ...renamed.map(([name, initial]) => `${name} as ${initial}`)].join(', ');
  const Same = error.constructor as new (message: string, options: ErrorOptions) => WattnError;
  return new Same(`${step} (${as}): ${error.message}`, { cause: error });
}

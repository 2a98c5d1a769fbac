/**
 * Steps: a method on one token, with its states updated where they lie.
 *
 * @module
 */
import { OptionError } from '../errors.ts';
import { type Builder, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { expectContiguous, expectTensor, expectTypes, matchShapes } from './shapes.ts';

/** Where a step writes: o with a time axis of 1. Its states are written over the initial ones. */
export interface StepTarget {
  readonly o: Tensor;
}

/** How a step's inputs become those of the method over a sequence. */
export interface StepShape {
  readonly op: string;
  /** Inputs with a time axis in the sequence form, the one whose shape o has first. */
  readonly timed: readonly string[];
  /** States: the step's name and the sequence form's. */
  readonly states: Readonly<Record<string, string>>;
  /** Shape of o, if it is another than that of the first timed input. */
  readonly shape?: readonly number[];
}

/** x [B, ...] as [B, 1, ...], without a copy. */
function withTime(x: Tensor): Tensor {
  return x.restride([x.shape[0]!, 1, ...x.shape.slice(1)], [x.strides[0]!, x.strides[0]!, ...x.strides.slice(1)]);
}

/**
 * Runs one token through the plan of a sequence method; no state leaves the caller's tensors.
 *
 * @throws ShapeError if a state or an input is missing or does not fit.
 */
export function runStep(
  { op, timed, states, shape }: StepShape,
  inputs: object,
  plan: (b: Builder, lifted: never, into: StepTarget) => object,
): { o: Tensor } {
  const given = inputs as Readonly<Record<string, Tensor | undefined>>;
  return runSync(op, inputs, (b) => {
    const lifted: Record<string, Tensor | undefined> = {};
    for (const name of Object.keys(states)) expectTensor(op, name, given[name], 'of the state');
    for (const [name, tensor] of Object.entries(given)) {
      if (name === 'o') continue;
      if (timed.includes(name)) expectTensor(op, name, tensor, 'without a time axis');
      const lift = tensor && timed.includes(name) && tensor.shape.length > 0;
      lifted[states[name] ?? name] = lift ? withTime(tensor) : tensor;
    }
    const first = given[timed[0]!];
    expectTensor(op, timed[0]!, first, 'without a time axis');
    const result = shape ?? first.shape;
    if (given.o) {
      matchShapes(op, { o: given.o }, { o: result.join(' ') });
      expectTypes(op, { o: given.o }, ['f32']);
      expectContiguous(op, { o: given.o });
    }
    for (const name of Object.values(states)) {
      if (name in given && !(name in states))
        throw new OptionError(`${op}: a step takes its state by the name of the state, not ${name}`);
    }
    const o = given.o ?? b.output(result);
    plan(b, lifted as never, { o: withTime(o) });
    return { o };
  });
}

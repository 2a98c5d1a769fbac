/**
 * What a call would do.
 *
 * @module
 */
import { OptionError } from '../errors.ts';
import { type Explanation, explainProgram } from '../runtime/program.ts';
import { OPS, type Tensors } from './registry.ts';

/**
 * Backend, variant, threads, work items and operations that a call would use, and why; nothing is computed.
 *
 * @param op name of the function, such as 'attention'.
 * @throws OptionError if there is no such operation, and all that the call itself would throw before it runs.
 * @example console.log(explain('attention', { q, k, v }, { causal: true }).notes)
 */
export function explain(op: string, inputs: object, options: object = {}): Explanation {
  const entry = OPS.find(({ name }) => name === op);
  if (!entry)
    throw new OptionError(`there is no operation '${op}'; there are ${OPS.map(({ name }) => name).join(', ')}`);
  return explainProgram(op, inputs, (b) => entry.plan(b, inputs as Tensors, options as Record<string, unknown>));
}

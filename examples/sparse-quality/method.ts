import type { Runtime, Tensor } from '../../src/index.ts';
import type { Visible } from './visible.ts';

/** What a method attends to. */
export interface Inputs {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
}

/** What a method gave, and what it computed for it. */
export interface Attended {
  /** [1, T, Hq, Dv] */
  readonly o: Tensor;
  /** The pairs that were visible; of methods that approximate otherwise, scores computed over pairs of dense attention. */
  readonly seen: Visible | number;
}

/** A method with its options. */
export interface Setting {
  readonly text: string;
  run(inputs: Inputs, rt: Runtime): Promise<Attended>;
}

/** A method in the settings that are measured. */
export interface Method {
  readonly name: string;
  readonly settings: readonly Setting[];
  /** Settings in which nothing is left out, so that the output must be that of dense attention. */
  readonly everything: readonly Setting[];
}

/** A method whose settings are `options`, written as they are in the call. */
export function method<Options extends object>(
  name: string,
  call: (inputs: Inputs, options: Options, rt: Runtime) => Promise<Attended>,
  settings: readonly Options[],
  everything: readonly Options[],
): Method {
  const of = (options: Options): Setting => ({
    text: textOf(options),
    run: (inputs, rt) => call(inputs, options, rt),
  });
  return { name, settings: settings.map(of), everything: everything.map(of) };
}

function textOf(value: object): string {
  return Object.entries(value)
    .map(([key, each]) => `${key} ${typeof each === 'object' && !Array.isArray(each) ? textOf(each) : each}`)
    .join(', ');
}

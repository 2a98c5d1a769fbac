import type { Tensor } from '../src/index.ts';
import { type Builder, run } from '../src/runtime/program.ts';

/** An op of the tensors that `build` lays out and returns by name. */
export function program<Inputs extends object, Options, Made extends Record<string, Tensor>>(
  build: (b: Builder, inputs: Inputs, options: Options) => Made,
): (inputs: Inputs, options?: Options) => Promise<Made> {
  return (inputs, options) =>
    run('select', inputs, (b) => {
      const made = build(b, inputs, options as Options);
      for (const tensor of Object.values(made)) if (!Object.values(inputs).includes(tensor)) b.keep(tensor);
      return made;
    });
}

/**
 * Recurrent methods moved on by any number of tokens: their steps for one, their sequence forms for more.
 *
 * @module
 */
import { copyRows } from '../engines/copy.ts';
import { causalConv1dStep, causalConv1dSync } from '../ops/causal-conv.ts';
import { runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

type Named<Name extends string> = Readonly<Record<Name, Tensor>>;

/** Writes the elements of a tensor over those of another one of its shape, both without gaps. */
function overwrite(to: Tensor, from: Tensor): void {
  const row = [1, 1, 1, to.size];
  runSync('overwrite', { from, to }, (b) => copyRows(b, from.reshape(row), to.reshape(row)));
}

/**
 * Moves a recurrent method on by the tokens of its inputs [1, T, ...]: by its step for one token, by its sequence form for
 * more, whose last states are written over `states` as the step writes them.
 *
 * @returns o [1, T, ...]
 */
export function advance<Input extends string, State extends string>(
  inputs: Named<Input>,
  states: Named<State>,
  step: (token: Named<Input>) => { readonly o: Tensor },
  sequence: (tokens: Named<Input>) => Named<NoInfer<State>> & { readonly o: Tensor },
): Tensor {
  const entries = Object.entries(inputs) as [Input, Tensor][];
  if (entries[0]![1].shape[1] === 1) {
    const token = entries.map(([name, x]) => [name, x.reshape([1, ...x.shape.slice(2)])]);
    const { o } = step(Object.fromEntries(token) as Named<Input>);
    return o.reshape([1, ...o.shape]);
  }
  const result = sequence(inputs);
  for (const name of Object.keys(states) as State[]) overwrite(states[name], result[name]);
  return result.o;
}

/** A causal convolution that goes on from its last inputs, `state`; operands as `causalConv1d`'s. */
export function convolve(
  x: Tensor,
  state: Tensor,
  filter: { readonly weight: Tensor; readonly bias?: Tensor },
  activation: 'none' | 'silu' = 'none',
): Tensor {
  return advance(
    { x },
    { state },
    (token) => causalConv1dStep({ ...token, ...filter, state }, { activation }),
    (tokens) => {
      const { o, finalState } = causalConv1dSync({ ...tokens, ...filter, initialState: state }, { activation });
      return { o, state: finalState };
    },
  );
}

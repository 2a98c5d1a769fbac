import { addSync, layerNormSync, matmulSync, mulSync, rwkv5Step, rwkv5Sync, type Tensor } from '../../src/index.ts';
import { advance } from '../../src/lm/advance.ts';
import type { Weights } from '../weights.ts';
import type { Part } from './memory.ts';
import { newestShift } from './token-shift.ts';

type TimeMix5States = Readonly<Record<'previous' | 'state', Tensor>>;

/** RWKV-5.2's time mixing: W_o (groupNorm(wkv(W_r x_r, W_k x_k, W_v x_v)) silu(W_g x_g)), a group for each head. */
export function timeMix5(weights: Weights, width: number): Part<TimeMix5States> {
  const { rt } = weights;
  const [heads, size] = weights.shape('time_faaaa') as [number, number];
  const shift = newestShift(weights, 'rkvg', width);
  const receptance = weights.matrix('receptance.weight', [width, width]);
  const key = weights.matrix('key.weight', [width, width]);
  const value = weights.matrix('value.weight', [width, width]);
  const gate = weights.matrix('gate.weight', [width, width]);
  const output = weights.matrix('output.weight', [width, width]);
  // stored as e^w, and both with an axis of 1 more
  const w = weights.tensor('time_decay', [heads, size, 1], Math.log).reshape([heads, size]);
  const u = weights.tensor('time_faaaa', [heads, size, 1]).reshape([heads, size]);
  const scale = weights.tensor('ln_x.weight', [width]);
  const bias = weights.tensor('ln_x.bias', [width]);
  return {
    empty: () => ({ previous: shift.empty(), state: rt.zeros([1, heads, size, size]) }),
    apply(x, { previous, state }) {
      const [xr, xk, xv, xg] = shift.mix(x, previous) as [Tensor, Tensor, Tensor, Tensor];
      const split = (rows: Tensor) => rows.reshape([1, x.shape[1]!, heads, size]);
      const wkv = advance(
        {
          r: split(matmulSync({ a: xr, b: receptance }).o),
          k: split(matmulSync({ a: xk, b: key }).o),
          v: split(matmulSync({ a: xv, b: value }).o),
        },
        { state },
        (token) => rwkv5Step({ ...token, w, u, state }),
        (tokens) => {
          const { o, finalState } = rwkv5Sync({ ...tokens, w, u, initialState: state });
          return { o, state: finalState };
        },
      );
      const normed = layerNormSync({ x: wkv }).o.reshape(x.shape);
      const scaled = addSync({ a: mulSync({ a: normed, b: scale }).o, b: bias }).o;
      const { o: g } = matmulSync({ a: xg, b: gate }, { activation: 'silu' });
      return matmulSync({ a: mulSync({ a: scaled, b: g }).o, b: output }).o;
    },
  };
}

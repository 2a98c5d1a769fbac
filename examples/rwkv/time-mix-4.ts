import { features, matmulSync, mulSync, rwkv4Step, rwkv4Sync, type Tensor } from '../../src/index.ts';
import { advance } from '../../src/lm/advance.ts';
import type { Weights } from '../weights.ts';
import type { Part } from './memory.ts';
import { newestShift } from './token-shift.ts';

type TimeMix4States = Readonly<Record<'previous' | 'num' | 'den' | 'max', Tensor>>;

/** RWKV-4's time mixing: W_o (sigmoid(W_r x_r) wkv(W_k x_k, W_v x_v)). */
export function timeMix4(weights: Weights, width: number): Part<TimeMix4States> {
  const { rt } = weights;
  const shift = newestShift(weights, 'rkv', width);
  const receptance = weights.matrix('receptance.weight', [width, width]);
  const key = weights.matrix('key.weight', [width, width]);
  const value = weights.matrix('value.weight', [width, width]);
  const output = weights.matrix('output.weight', [width, width]);
  // stored as -e^w
  const w = weights.tensor('time_decay', [width], (decay) => Math.log(-decay));
  const u = weights.tensor('time_first', [width]);
  return {
    empty: () => ({
      previous: shift.empty(),
      num: rt.zeros([1, width]),
      den: rt.zeros([1, width]),
      max: rt.tensor(new Float32Array(width).fill(-1e38), [1, width]),
    }),
    apply(x, { previous, ...states }) {
      const [xr, xk, xv] = shift.mix(x, previous) as [Tensor, Tensor, Tensor];
      const { o: r } = features.sigmoidSync(matmulSync({ a: xr, b: receptance }).o);
      const { o: k } = matmulSync({ a: xk, b: key });
      const { o: v } = matmulSync({ a: xv, b: value });
      const wkv = advance(
        { k, v },
        states,
        (token) => rwkv4Step({ ...token, w, u, ...states }),
        (tokens) => rwkv4Sync({ ...tokens, w, u, ...states }),
      );
      return matmulSync({ a: mulSync({ a: r, b: wkv }).o, b: output }).o;
    },
  };
}

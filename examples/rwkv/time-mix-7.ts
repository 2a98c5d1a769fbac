import {
  addSync,
  features,
  layerNormSync,
  matmulSync,
  mulSync,
  packMatrixSync,
  rwkv7Step,
  rwkv7Sync,
  type Tensor,
} from '../../src/index.ts';
import { advance } from '../../src/lm/advance.ts';
import type { Weights } from '../weights.ts';
import type { Part } from './memory.ts';
import { tokenShift } from './token-shift.ts';

type TimeMix7States = Readonly<Record<'previous' | 'state', Tensor>>;

/** The slowest decay is e^-e^(-1/2). */
const SLOWEST = -Math.exp(-0.5);

/** W_2 f(W_1 x) + bias, through a few channels. */
function throughFew(weights: Weights, name: string, width: number, f: (x: Tensor) => Tensor, bias?: Tensor) {
  const [few] = weights.shape(`${name}1`) as [number];
  const first = weights.matrix(`${name}1`, [few, width]);
  const second = weights.matrix(`${name}2`, [width, few]);
  return (x: Tensor) => matmulSync({ a: f(matmulSync({ a: x, b: first }).o), b: second, ...(bias && { bias }) }).o;
}

/**
 * RWKV-7's time mixing: W_o ((groupNorm(wkv) + (sum r k r_k) v) g), a group for each head, where wkv removes the key kk = k k_k / |k k_k| as
 * far as a says and writes k (1 + (a - 1) k_a). From the second layer on, v is mixed with the values of the first.
 */
export function timeMix7(weights: Weights, width: number): Part<TimeMix7States> {
  const { rt } = weights;
  const [heads, size] = weights.shape('r_k') as [number, number];
  const channels = (name: string, map?: (x: number) => number) =>
    weights.tensor(name, [1, 1, width], map).reshape([width]);
  const constant = (x: number) => weights.own(rt.tensor(new Float32Array(width).fill(x), [width]));
  const square = (name: string) => weights.matrix(`${name}.weight`, [width, width]);

  const shares = weights.tensor('x_rwkvag', [6, 1, width]);
  const shift = tokenShift(
    weights,
    Array.from({ length: 6 }, (_, i) => shares.slice(0, i, i + 1).reshape([width])),
    width,
  );
  const receptance = square('receptance');
  const key = square('key');
  const value = square('value');
  const output = square('output');
  const decay = throughFew(weights, 'w', width, (x) => features.tanhSync(x).o, channels('w0'));
  const removal = throughFew(weights, 'a', width, (x) => x, channels('a0'));
  const gate = throughFew(weights, 'g', width, (x) => features.sigmoidSync(x).o);
  const valueMix = weights.has('v0') ? throughFew(weights, 'v', width, (x) => x, channels('v0')) : undefined;
  const removedKey = channels('k_k');
  const writtenKey = channels('k_a');
  const keptKey = channels('k_a', (x) => 1 - x);
  const bonus = weights.tensor('r_k', [heads, size]).reshape([width]);
  // a product with it is each head's sum, once for each of its channels
  using ones = rt.tensor(new Float32Array(size * size).fill(1), [size, size]);
  const sums = weights.own(packMatrixSync(ones));
  const slowest = constant(SLOWEST);
  const negative = constant(-1);
  const scale = weights.tensor('ln_x.weight', [width]);
  const bias = weights.tensor('ln_x.bias', [width]);

  return {
    empty: () => ({ previous: shift.empty(), state: rt.zeros([1, heads, size, size]) }),
    apply(x, { previous, state }, passed) {
      const [xr, xw, xk, xv, xa, xg] = shift.mix(x, previous) as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
      const split = (rows: Tensor) => rows.reshape([1, x.shape[1]!, heads, size]);
      const { o: r } = matmulSync({ a: xr, b: receptance });
      const { o: projected } = matmulSync({ a: xk, b: key });
      let { o: v } = matmulSync({ a: xv, b: value });
      if (valueMix) {
        const change = addSync({ a: passed.firstValues!, b: mulSync({ a: v, b: negative }).o }).o;
        v = addSync({ a: v, b: mulSync({ a: change, b: features.sigmoidSync(valueMix(xv)).o }).o }).o;
      } else {
        passed.firstValues = v;
      }
      const { o: w } = mulSync({ a: features.sigmoidSync(decay(xw)).o, b: slowest });
      const { o: a } = features.sigmoidSync(removal(xa));
      const { o: kk } = features.l2normSync(split(mulSync({ a: projected, b: removedKey }).o), { eps: 1e-24 });
      const share = addSync({ a: mulSync({ a, b: writtenKey }).o, b: keptKey }).o;
      const { o: k } = mulSync({ a: projected, b: share });
      const wkv = advance(
        { r: split(r), w: split(w), k: split(k), v: split(v), kk, a: split(a) },
        { state },
        (token) => rwkv7Step({ ...token, state }),
        (tokens) => {
          const { o, finalState } = rwkv7Sync({ ...tokens, initialState: state });
          return { o, state: finalState };
        },
      );
      const normed = layerNormSync({ x: wkv }, { eps: 64e-5 }).o.reshape(x.shape);
      const scaled = addSync({ a: mulSync({ a: normed, b: scale }).o, b: bias }).o;
      const own = mulSync({ a: mulSync({ a: r, b: k }).o, b: bonus }).o;
      const { o: strength } = matmulSync({ a: split(own), b: sums });
      const mixed = addSync({ a: scaled, b: mulSync({ a: strength.reshape(x.shape), b: v }).o }).o;
      return matmulSync({ a: mulSync({ a: mixed, b: gate(xg) }).o, b: output }).o;
    },
  };
}

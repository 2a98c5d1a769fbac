// What the methods of the fast-weight engine are in special cases, and what their gradients are.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { lact, titans, titansLinear, tttLinear, tttMlp } from '../src/index.ts';
import { assertNear } from './accuracy.ts';
import { call } from './call.ts';
import { type Activation, activate, forward, gradients, type Layer, loss, type Norm } from './reference/fast-weight.ts';
import { apply, gradients as lactGradients, newtonSchulz } from './reference/lact.ts';
import { row } from './reference/linear.ts';
import { at, type NdArray, zeros } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { floats, normal, randomFrom } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

/** DeltaNet: S_t = S_{t-1} + beta_t k_t^T (v_t - k_t S_{t-1}), o_t = q_t S_t (fla, naive delta rule, unscaled). */
function deltaRule(q: NdArray, k: NdArray, v: NdArray, beta: (b: number, t: number, h: number) => number) {
  const [B = 0, T = 0, H = 0, D = 0] = v.shape;
  const o = zeros(v.shape);
  for (let b = 0; b < B; b++)
    for (let h = 0; h < H; h++) {
      const state = Array.from({ length: D }, () => new Array<number>(D).fill(0));
      for (let t = 0; t < T; t++) {
        const [query, key, value] = [row(q, b, t, h), row(k, b, t, h), row(v, b, t, h)];
        const read = (x: number[], d: number) => x.reduce((sum, e, c) => sum + e * state[c]![d]!, 0);
        const wrong = value.map((e, d) => e - read(key, d));
        for (let c = 0; c < D; c++) for (let d = 0; d < D; d++) state[c]![d]! += beta(b, t, h) * key[c]! * wrong[d]!;
        for (let d = 0; d < D; d++) o.data[((b * T + t) * H + h) * D + d] = read(query, d);
      }
    }
  return o;
}

const minus = (a: NdArray, b: NdArray): NdArray => ({
  shape: a.shape,
  data: Float64Array.from(a.data, (x, n) => x - b.data[n]!),
});

const random = randomFrom(61);
const shape = [2, 70, 2, 18];
const [q, k, v] = [normal(random, shape), normal(random, shape, 0.2), normal(random, shape)];
const rates = floats([2, 70, 2], () => random());

test('tttLinear with mini-batches of one, without norm and bias, is DeltaNet on v - k at the rate eta', async () => {
  const want = deltaRule(q, k, minus(v, k), (b, t, h) => at(rates, b, t, h));
  for (const rt of runtimes) {
    const got = await call(rt, tttLinear, { q, k, v, eta: rates }, { miniBatchSize: 1, scale: 1, bias: false });
    assertNear(got.o, want, 1e-5, rt.variant);
  }
});

test('a linear memory without momentum, decay and norm is DeltaNet at the rate 2 theta', async () => {
  const none = floats([2, 70, 2], () => 0);
  const want = deltaRule(q, k, v, (b, t, h) => 2 * at(rates, b, t, h));
  const initialState = floats([2, 2, 18 * 18], () => 0);
  for (const rt of runtimes) {
    const inputs = { q, k, v, theta: rates, eta: none, alpha: none };
    assertNear((await call(rt, titansLinear, inputs, { chunkSize: 1 })).o, want, 1e-5, rt.variant);
    const layered = await call(rt, titans, { ...inputs, initialState }, { chunkSize: 1, depth: 1 });
    assertNear(layered.o, want, 1e-5, `${rt.variant}: titans of one layer`);
  }
});

test('tttLinear at the rate 0 is a static layer, and so is tttMlp', async () => {
  const eta = floats([2, 70, 2], () => 0);
  const [w1, b1] = [normal(random, [2, 2, 18, 7]), normal(random, [2, 2, 1, 7])];
  const [w2, b2] = [normal(random, [2, 2, 7, 18]), normal(random, [2, 2, 1, 18])];
  const want = zeros(shape);
  for (let n = 0; n < 2 * 70 * 2; n++) {
    const [b, t, h] = [Math.floor(n / 140), Math.floor(n / 2) % 70, n % 2];
    const layer = (w: NdArray, bias: NdArray): Layer => ({
      w: Array.from({ length: w.shape[2]! }, (_, c) => row(w, b, h, c)),
      b: row(bias, b, h, 0),
    });
    const z = forward([layer(w1, b1), layer(w2, b2)], row(q, b, t, h), 'gelu').outputs[1]!;
    want.data.set(z, n * 18);
  }
  for (const rt of runtimes) {
    const got = await call(rt, tttMlp, { q, k, v, eta, w1, b1, w2, b2 }, { scale: 1 });
    assertNear(got.o, want, 1e-5, rt.variant);
    assertNear(got.w1, w1, 0, `${rt.variant}: w1`);
  }
});

test('lact at the rate 0 is a static SwiGLU', async () => {
  const none = floats([2, 70, 2], () => 0);
  const [w0, w1, w2] = [normal(random, [2, 2, 9, 18]), normal(random, [2, 2, 18, 9]), normal(random, [2, 2, 9, 18])];
  const want = zeros(shape);
  for (let n = 0; n < 2 * 70 * 2; n++) {
    const [b, t, h] = [Math.floor(n / 140), Math.floor(n / 2) % 70, n % 2];
    const read = (w: NdArray) => Array.from({ length: w.shape[2]! }, (_, c) => row(w, b, h, c));
    want.data.set(apply(read(w0), read(w1), read(w2), row(q, b, t, h)), n * 18);
  }
  for (const rt of runtimes) {
    const got = await call(rt, lact, { q, k, v, lr0: none, lr1: none, lr2: none, w0, w1, w2 }, { chunkSize: 16 });
    // rows are divided by their norm plus 1e-5 at every chunk's end
    assertNear(got.o, want, 2e-3, rt.variant);
    const whole = await call(rt, lact, { q, k, v, lr0: none, lr1: none, lr2: none, w0, w1, w2 });
    assertNear(whole.o, want, 1e-4, `${rt.variant}: one chunk`);
  }
});

test('without momentum and forgetting, a chunk of titans is a mini-batch of tttLinear at a constant rate', async () => {
  const rate = 0.02;
  const [lnWeight, lnBias] = [floats([2, 18], () => 0.5 + random()), normal(random, [2, 18], 0.2)];
  const initialState = normal(random, [2, 2, 18, 18], 0.2);
  const constant = (x: number) => floats([2, 70, 2], () => x);
  for (const rt of runtimes) {
    const shared = { q, k, v, lnWeight, lnBias, initialState };
    const ttt = await call(rt, tttLinear, { ...shared, eta: constant(rate) }, { scale: 1, bias: false });
    // momentum 1 and forgetting 1: the memory is its momentum, which is made of all gradients
    const gates = { theta: constant(rate / 2), eta: constant(1), alpha: constant(1) };
    const memory = await call(rt, titansLinear, { ...shared, ...gates, initialMomentum: initialState });
    assertNear(memory.o, ttt.o, 1e-5, rt.variant);
  }
});

/** All numbers of a network, to be changed where they are. */
function* places(net: Layer[]): Generator<{ values: number[]; at: number; layer: number; c: number | 'b' }> {
  for (const [layer, { w, b }] of net.entries()) {
    for (const [c, values] of w.entries()) for (let d = 0; d < values.length; d++) yield { values, at: d, layer, c };
    if (b) for (let d = 0; d < b.length; d++) yield { values: b, at: d, layer, c: 'b' };
  }
}

/** (f(x + h) - f(x - h)) / 2h */
function slope(values: number[], i: number, f: () => number): number {
  const [x, h] = [values[i]!, 1e-5];
  values[i] = x + h;
  const above = f();
  values[i] = x - h;
  const below = f();
  values[i] = x;
  return (above - below) / (2 * h);
}

test('the gradients of the inner losses are those of finite differences', () => {
  const numbers = (n: number) => Array.from(normal(random, [n], 0.7).data);
  const matrix = (rows: number, columns: number) => Array.from({ length: rows }, () => numbers(columns));
  for (const widths of [
    [5, 5],
    [5, 8, 5],
    [5, 6, 7, 5],
  ]) {
    for (const act of ['gelu', 'silu', 'relu'] as Activation[]) {
      for (const norm of [
        { eps: 1e-6 },
        { eps: 1e-6, weight: numbers(5).map((x) => 1 + x / 4), bias: numbers(5) },
      ] as Norm[]) {
        const net = widths.slice(1).map((dout, i): Layer => ({ w: matrix(widths[i]!, dout), b: numbers(dout) }));
        const [key, target] = [numbers(5), numbers(5)];
        const found = gradients(net, key, target, norm, act);
        for (const { values, at: d, layer, c } of places(net)) {
          const { x, g } = found[layer]!;
          const got = c === 'b' ? g[d]! : x[c]! * g[d]!;
          const want = slope(values, d, () => loss(forward(net, key, act).outputs.at(-1)!, target, norm));
          assert.ok(Math.abs(got - want) < 1e-6 * (1 + Math.abs(want)), `${widths} ${act}: ${got}, not ${want}`);
        }
      }
    }
  }
  const [w0, w1, w2] = [matrix(6, 5), matrix(4, 6), matrix(6, 5)];
  const [key, value] = [numbers(5), numbers(4)];
  const found = lactGradients(w0, w1, w2, key, value);
  const product = () => apply(w0, w1, w2, key).reduce((sum, y, c) => sum + y * value[c]!, 0);
  for (const [i, w] of [w0, w1, w2].entries())
    for (const [r, values] of w.entries())
      for (let d = 0; d < values.length; d++) {
        const got = found[i]!.left[r]! * found[i]!.right[d]!;
        const want = slope(values, d, product);
        assert.ok(Math.abs(got - want) < 1e-6 * (1 + Math.abs(want)), `lact, w${i}: ${got}, not ${want}`);
      }
});

test('the slopes of the activations are those of finite differences', () => {
  for (const act of ['gelu', 'silu'] as Activation[])
    for (let x = -6; x <= 6; x += 0.37) {
      const value = [x];
      const want = slope(value, 0, () => activate(value[0]!, act, (y) => y).y);
      assert.ok(Math.abs(activate(x, act, (y) => y).slope - want) < 1e-8, `${act} at ${x}`);
    }
});

test('five Newton-Schulz steps bring singular values near 1', () => {
  const g = Array.from({ length: 4 }, () => Array.from(normal(random, [9]).data));
  const x = newtonSchulz(g);
  for (let i = 0; i < 4; i++)
    for (let j = 0; j < 4; j++) {
      const dot = x[i]!.reduce((sum, e, c) => sum + e * x[j]![c]!, 0);
      assert.ok(Math.abs(dot - (i === j ? 1 : 0)) < 0.35, `${i} ${j}: ${dot}`);
    }
});

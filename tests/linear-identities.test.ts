// What the gated-linear methods must have in common, whatever they are made of.
import { after, test } from 'node:test';
import type { Runtime, Tensor } from '../src/index.ts';
import { assertNear, assertSameBits } from './accuracy.ts';
import { type CallInputs, call } from './call.ts';
import { exported, gates, levelsOf, methods, opOf } from './linear-methods.ts';
import type { NdArray } from './reference/ndarray.ts';
import { availableVariants, variants } from './runtimes.ts';
import { type FloatSample, floats, ints, mapped, normal, randomFrom } from './samples.ts';
import { rowsOf, rowsOfAll } from './streaming.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

type Op = (inputs: Record<string, Tensor>, options?: object) => Promise<Record<string, Tensor>>;

function run(rt: Runtime, name: string, inputs: CallInputs, options?: object): Promise<Record<string, NdArray>> {
  return call(rt, exported<Op>(name), inputs, options);
}

/** Both are float32 results of the same number: 1e-5 of the largest. */
function assertSame(got: NdArray | undefined, want: NdArray | undefined, what: string): void {
  if (!got || !want) throw new Error(`${what}: no output`);
  const largest = Array.from(want.data).reduce((max, x) => Math.max(max, Math.abs(x)), 1);
  assertNear(got, want, 1e-5 * largest, what);
}

const zeros = (...shape: number[]) => floats(shape, () => 0);
const ones = (...shape: number[]) => floats(shape, () => 1);

/** One shape for most: more than a block of tokens, sizes that are no multiple of a vector, two value heads per key head. */
const [B, T, H, HV, K, V] = [2, 70, 2, 4, 18, 20];

function qkv(seed: number): { q: FloatSample; k: FloatSample; v: FloatSample } {
  const random = randomFrom(seed);
  return { q: normal(random, [B, T, H, K]), k: normal(random, [B, T, H, K]), v: normal(random, [B, T, HV, V]) };
}

/** x [B,T,H,...] with each head `times` times. */
function repeated({ shape, data }: FloatSample, times: number): FloatSample {
  const [b = 0, t = 0, h = 0, ...rest] = shape;
  const size = rest.reduce((x, y) => x * y, 1);
  return floats([b, t, h * times, ...rest], (n) => {
    const head = Math.floor(n / size) % (h * times);
    const token = Math.floor(n / size / (h * times));
    return data[(token * h + Math.floor(head / times)) * size + (n % size)]!;
  });
}

/** x [...] as [..., size]. */
function spread({ shape, data }: FloatSample, size: number): FloatSample {
  return floats([...shape, size], (n) => data[Math.floor(n / size)]!);
}

function product(a: FloatSample, b: FloatSample): FloatSample {
  return floats(a.shape, (n) => a.data[n]! * b.data[n]!);
}

test('gates of zero are no gates', async () => {
  const inputs = qkv(61);
  for (const rt of runtimes) {
    const want = await run(rt, 'linearAttn', inputs);
    for (const [name, gate] of [
      ['simpleGla', { g: zeros(B, T, HV) }],
      ['gla', {}],
      ['gla', { gk: zeros(B, T, H, K) }],
      ['gla', { gv: zeros(B, T, HV, V) }],
      ['lightningAttn', { slopes: zeros(HV) }],
    ] as const) {
      const got = await run(rt, name, { ...inputs, ...gate });
      assertSame(got.o, want.o, `${rt.variant}: ${name} of ${Object.keys(gate)}`);
      assertSame(got.finalState, want.finalState, `${rt.variant}: ${name} of ${Object.keys(gate)}, state`);
    }
  }
});

test('one gate for all channels is the gate of the head', async () => {
  const inputs = qkv(62);
  for (const kind of ['mild', 'bursts', 'walls'] as const) {
    const g = gates(randomFrom(63), [B, T, H], kind);
    const perValueHead = repeated(g, HV / H);
    for (const rt of runtimes) {
      const want = await run(rt, 'simpleGla', { ...inputs, g: perValueHead });
      for (const gate of [{ gk: spread(g, K) }, { gv: spread(perValueHead, V) }]) {
        const got = await run(rt, 'gla', { ...inputs, ...gate });
        assertSame(got.o, want.o, `${rt.variant}: ${kind}, ${Object.keys(gate)}`);
        assertSame(got.finalState, want.finalState, `${rt.variant}: ${kind}, ${Object.keys(gate)}, state`);
      }
    }
  }
});

test('gla is the sum over all keys before', async () => {
  const inputs = { ...qkv(64), gk: gates(randomFrom(65), [B, T, H, K], 'mixed') };
  const { q, k, v, gk } = inputs;
  const want = floats([B, T, HV, V], () => 0);
  for (let b = 0; b < B; b++)
    for (let h = 0; h < HV; h++) {
      const at = (t: number) => ((b * T + t) * H + Math.floor(h / (HV / H))) * K;
      for (let i = 0; i < T; i++)
        for (let c = 0; c < K; c++) {
          let decay = 0;
          for (let j = i; j >= 0; j--) {
            const w = K ** -0.5 * q.data[at(i) + c]! * k.data[at(j) + c]! * Math.exp(decay);
            for (let d = 0; d < V; d++)
              want.data[((b * T + i) * HV + h) * V + d]! += w * v.data[((b * T + j) * HV + h) * V + d]!;
            decay += gk.data[at(j) + c]!;
          }
        }
    }
  for (const rt of runtimes) assertSame((await run(rt, 'gla', inputs)).o, want, rt.variant);
});

test('a column of ones is the normaliser', async () => {
  const { q, k, v } = qkv(66);
  const [positiveQ, positiveK] = [mapped(q, Math.abs), mapped(k, Math.abs)];
  const withOnes = floats([B, T, HV, V + 1], (n) =>
    n % (V + 1) === V ? 1 : v.data[Math.floor(n / (V + 1)) * V + (n % (V + 1))]!,
  );
  for (const causal of [true, false])
    for (const rt of runtimes) {
      const { o } = await run(rt, 'linearAttn', { q: positiveQ, k: positiveK, v: withOnes }, { causal });
      const want = floats([B, T, HV, V], (n) => {
        const row = Math.floor(n / V) * (V + 1);
        return o!.data[row + (n % V)]! / o!.data[row + V]!;
      });
      const got = await run(rt, 'linearAttn', { q: positiveQ, k: positiveK, v }, { causal, normalize: true });
      assertSame(got.o, want, `${rt.variant}: causal ${causal}`);
    }
});

test('heads that share keys are heads with copies of them', async () => {
  const { q, k, v } = qkv(67);
  const copies = { q: repeated(q, HV / H), k: repeated(k, HV / H), v };
  const g = gates(randomFrom(68), [B, T, H, K], 'mild');
  for (const rt of runtimes) {
    const shared = await run(rt, 'gla', { q, k, v, gk: g });
    const own = await run(rt, 'gla', { ...copies, gk: repeated(g, HV / H) });
    assertSame(shared.o, own.o, rt.variant);
    assertSame(shared.finalState, own.finalState, `${rt.variant}: state`);
  }
});

test('retention and lightning attention are simpleGla of a constant gate', async () => {
  const inputs = qkv(69);
  const constant = (gate: (h: number) => number) => floats([B, T, HV], (n) => gate(n % HV));
  for (const rt of runtimes) {
    const retained = await run(rt, 'retention', inputs);
    const g = constant((h) => Math.log(1 - 2 ** (-5 - h)));
    assertSame(retained.o, (await run(rt, 'simpleGla', { ...inputs, g })).o, `${rt.variant}: retention`);
    const lightning = await run(rt, 'lightningAttn', inputs, { layerIdx: 3, numLayers: 12 });
    const slopes = constant((h) => -(8 / HV) * (1 - 3 / 12) * h);
    assertSame(lightning.o, (await run(rt, 'simpleGla', { ...inputs, g: slopes })).o, `${rt.variant}: lightningAttn`);
  }
});

test('ssd is simpleGla with values dt x and gates dt A', async () => {
  const random = randomFrom(70);
  const [x, k, q] = [normal(random, [B, T, HV, V]), normal(random, [B, T, H, K]), normal(random, [B, T, H, K])];
  const dt = floats([B, T, HV], random);
  const A = floats([HV], () => -0.1 - 3 * random());
  const v = product(spread(dt, V), x);
  const g = floats(dt.shape, (n) => dt.data[n]! * A.data[n % HV]!);
  for (const rt of runtimes) {
    const got = await run(rt, 'ssd', { x, dt, A, B: k, C: q });
    const want = await run(rt, 'simpleGla', { q, k, v, g }, { scale: 1 });
    assertSame(got.o, want.o, rt.variant);
    const transposed = floats([B, HV, V, K], (n) => {
      const [head, d, c] = [Math.floor(n / (K * V)), Math.floor(n / K) % V, n % K];
      return want.finalState!.data[(head * K + c) * V + d]!;
    });
    assertSame(got.finalState, transposed, `${rt.variant}: state`);
  }
});

test('hgrn2 is gla of keys 1 - f', async () => {
  const { q, v } = qkv(71);
  const f = floats(q.shape, randomFrom(72));
  for (const rt of runtimes) {
    const got = await run(rt, 'hgrn2', { q, f, v });
    const want = await run(rt, 'gla', { q, k: mapped(f, (x) => 1 - x), v, gk: mapped(f, Math.log) });
    assertSame(got.o, want.o, rt.variant);
    assertSame(got.finalState, want.finalState, `${rt.variant}: state`);
  }
});

test('rwkv without decay and with bonus 1 is linear attention; a constant decay is rwkv5', async () => {
  const { q, k, v } = qkv(73);
  const [u, w] = [normal(randomFrom(74), [H, K]), gates(randomFrom(75), [H, K], 'strong')];
  for (const rt of runtimes) {
    const want = await run(rt, 'linearAttn', { q, k, v }, { scale: 1 });
    for (const [name, still] of [
      ['rwkv5', zeros(H, K)],
      ['rwkv6', zeros(B, T, H, K)],
    ] as const) {
      const got = await run(rt, name, { r: q, k, v, w: still, u: ones(H, K) });
      assertSame(got.o, want.o, `${rt.variant}: ${name}`);
      assertSame(got.finalState, want.finalState, `${rt.variant}: ${name}, state`);
    }
    const constant = floats([B, T, H, K], (n) => w.data[n % (H * K)]!);
    const five = await run(rt, 'rwkv5', { r: q, k, v, w, u });
    const six = await run(rt, 'rwkv6', { r: q, k, v, w: constant, u });
    assertSame(five.o, six.o, `${rt.variant}: constant decay`);
  }
});

test('log-linear attention with levels of 1 is simpleGla', async () => {
  for (const t of [1, 2, 33, 64, 65]) {
    const inputs = rowsOfAll(qkv(76), 0, t);
    const g = gates(randomFrom(77), [B, t, HV], 'mild');
    for (const rt of runtimes) {
      const got = await run(rt, 'logLinearAttn', { ...inputs, g, levelScales: ones(B, t, HV, levelsOf(t)) });
      const want = await run(rt, 'simpleGla', { ...inputs, g }, { scale: 1 });
      assertSame(got.o, want.o, `${rt.variant}: T ${t}`);
    }
  }
});

test('mlstm is its parallel form, whatever stabiliser it begins with', async () => {
  const random = randomFrom(78);
  const { q, k, v } = qkv(79);
  const inputs = {
    q: mapped(q, Math.abs),
    k: mapped(k, Math.abs),
    v,
    i: normal(random, [B, T, HV], 3),
    f: normal(random, [B, T, HV], 3),
  };
  const want = floats([B, T, HV, V], () => 0);
  for (let b = 0; b < B; b++)
    for (let h = 0; h < HV; h++)
      for (let row = 0; row < T; row++) {
        const head = (t: number, size: number, heads: number) =>
          ((b * T + t) * heads + Math.floor(h / (HV / heads))) * size;
        let forgotten = 0;
        const logs: number[] = [];
        const scores: number[] = [];
        for (let j = row; j >= 0; j--) {
          logs.push(forgotten + inputs.i.data[head(j, 1, HV)]!);
          let score = 0;
          for (let c = 0; c < K; c++)
            score += K ** -0.5 * inputs.q.data[head(row, K, H) + c]! * inputs.k.data[head(j, K, H) + c]!;
          scores.push(score);
          forgotten -= Math.log1p(Math.exp(-inputs.f.data[head(j, 1, HV)]!));
        }
        const m = Math.max(...logs, forgotten);
        const weights = scores.map((score, n) => score * Math.exp(logs[n]! - m));
        const sum = weights.reduce((x, y) => x + y, 0);
        const divisor = Math.max(Math.abs(sum), Math.exp(-m)) + 1e-6;
        weights.forEach((weight, n) => {
          for (let d = 0; d < V; d++)
            want.data[head(row, V, HV) + d]! += (weight / divisor) * v.data[head(row - n, V, HV) + d]!;
        });
      }
  for (const rt of runtimes) {
    assertSame((await run(rt, 'mlstm', inputs)).o, want, rt.variant);
    for (const m of [-3, 2]) {
      const got = await run(rt, 'mlstm', {
        ...inputs,
        initialC: zeros(B, HV, K, V),
        initialN: zeros(B, HV, K),
        initialM: floats([B, HV, 1], () => m),
      });
      assertSame(got.o, want, `${rt.variant}: m ${m}`);
    }
  }
});

test('gsa with a slot for each token is softmax attention in its last row', async () => {
  const [t, k, v] = [33, 18, 20];
  const random = randomFrom(80);
  const inputs = { q: normal(random, [1, t, 2, k]), k: normal(random, [1, t, 2, k]), v: normal(random, [1, t, 2, v]) };
  const s = floats([1, t, 2, t], (n) => (Math.floor(n / (2 * t)) === n % t ? 1 : 0));
  for (const rt of runtimes) {
    const got = await run(rt, 'gsa', { ...inputs, s, g: zeros(1, t, 2, t) });
    const want = await run(rt, 'attention', inputs, { causal: true });
    const last = ({ shape, data }: NdArray) => rowsOf({ shape, data: Float32Array.from(data) }, t - 1, t);
    assertSame(last(got.o!), last(want.o!), rt.variant);
  }
});

test('abc is gsa and lightnet is gla of the gates of a running logcumsumexp', async () => {
  const m = 5;
  const { q, k, v: grouped } = qkv(81);
  const v = floats([B, T, H, V], (n) => grouped.data[n]!);
  const s = normal(randomFrom(82), [B, T, H, m], 3);
  const gatesOf = (x: FloatSample) => {
    const row = x.shape[2]! * x.shape[3]!;
    const z = new Float64Array(x.data.length);
    const before = (n: number) => (Math.floor(n / row) % T === 0 ? Number.NEGATIVE_INFINITY : z[n - row]!);
    x.data.forEach((value, n) => {
      const max = Math.max(value, before(n));
      z[n] = max + Math.log(Math.exp(value - max) + Math.exp(before(n) - max));
    });
    return {
      write: floats(x.shape, (n) => Math.exp(x.data[n]! - z[n]!)),
      g: floats(x.shape, (n) => before(n) - z[n]!),
    };
  };
  for (const rt of runtimes) {
    const slots = gatesOf(s);
    const attended = await run(rt, 'abc', { q, k, v, s });
    assertSame(attended.o, (await run(rt, 'gsa', { q, k, v, s: slots.write, g: slots.g })).o, `${rt.variant}: abc`);
    const keys = gatesOf(k);
    const light = await run(rt, 'lightnet', { q, k, v });
    assertSame(light.o, (await run(rt, 'gla', { q, k: keys.write, v, gk: keys.g })).o, `${rt.variant}: lightnet`);
  }
});

test('mamba3 without trapezoid and rotation is ssd', async () => {
  const random = randomFrom(83);
  const [x, k, q] = [normal(random, [B, T, HV, V]), normal(random, [B, T, H, K]), normal(random, [B, T, H, K])];
  const dt = floats([B, T, HV], random);
  const A = floats([HV], () => -0.1 - random());
  for (const rt of runtimes) {
    const got = await run(rt, 'mamba3', {
      q,
      k,
      x,
      dt,
      A: floats(dt.shape, (n) => A.data[n % HV]!),
      lambda: ones(B, T, HV),
      angle: zeros(B, T, HV, K / 2),
    });
    assertSame(got.o, (await run(rt, 'ssd', { x, dt, A, B: k, C: q })).o, rt.variant);
  }
});

test('the trapezoid of mamba3 is simpleGla of rescaled keys less what the token does not yet see', async () => {
  const random = randomFrom(84);
  const [x, k, q] = [normal(random, [B, T, HV, V]), normal(random, [B, T, HV, K]), normal(random, [B, T, HV, K])];
  const perHead = [B, T, HV];
  const [dt, lambda] = [floats(perHead, random), floats(perHead, random)];
  const A = floats(perHead, () => -random());
  // What the next token will add for this one.
  const later = floats(perHead, (n) =>
    Math.floor(n / HV) % T === T - 1 ? 0 : (1 - lambda.data[n + HV]!) * dt.data[n + HV]!,
  );
  const share = floats(perHead, (n) => lambda.data[n]! * dt.data[n]! + later.data[n]!);
  for (const rt of runtimes) {
    const got = await run(rt, 'mamba3', { q, k, x, dt, A, lambda, angle: zeros(B, T, HV, 1) });
    const { o } = await run(
      rt,
      'simpleGla',
      { q, k: product(spread(share, K), k), v: x, g: product(dt, A) },
      { scale: 1 },
    );
    const want = floats(x.shape, (n) => {
      const head = Math.floor(n / V);
      let score = 0;
      for (let c = 0; c < K; c++) score += q.data[head * K + c]! * k.data[head * K + c]!;
      return o!.data[n]! - later.data[head]! * score * x.data[n]!;
    });
    assertSame(got.o, want, rt.variant);
  }
});

test('metala without augmentation adds half of the value to gla', async () => {
  const { q, v } = qkv(85);
  const g = gates(randomFrom(86), q.shape, 'mixed');
  for (const rt of runtimes) {
    const got = await run(rt, 'metala', { q, v, g, aug: zeros(H, K) });
    const { o } = await run(rt, 'gla', { q, k: mapped(g, (x) => -Math.expm1(x)), v, gk: g });
    const want = floats(v.shape, (n) => o!.data[n]! + v.data[n]! / 2);
    assertSame(got.o, want, rt.variant);
  }
});

test('rodimus with g = 1 is gla of unit keys and gates -tau', async () => {
  const { q, k, v } = qkv(87);
  const tau = floats(q.shape, randomFrom(88));
  const unit = floats(k.shape, (n) => {
    const key = k.data.subarray(Math.floor(n / K) * K, (Math.floor(n / K) + 1) * K);
    return k.data[n]! / Math.hypot(...key);
  });
  for (const rt of runtimes) {
    const got = await run(rt, 'rodimus', { q, k, v, g: ones(B, T, H, K), tau });
    const want = await run(rt, 'gla', { q, k: unit, v, gk: mapped(tau, (x) => -x) });
    assertSame(got.o, want.o, rt.variant);
  }
});

test('a mixture of one memory is simpleGla, and memories apart are sequences apart', async () => {
  const { q, k, v } = qkv(89);
  const g = gates(randomFrom(90), [B, T, HV], 'mild');
  for (const rt of runtimes) {
    const whole = await run(rt, 'simpleGla', { q, k, v, g });
    assertSame((await run(rt, 'mom', { q, k, v, g, weights: ones(B, T, 1) })).o, whole.o, `${rt.variant}: one`);
    // The first half of the tokens to one memory, the second half to another.
    const half = T / 2;
    const weights = floats([B, T, 2], (n) => (Math.floor(n / 2) % T < half === (n % 2 === 0) ? 1 : 0));
    const { o } = await run(rt, 'mom', { q, k, v, g, weights });
    const part = (x: FloatSample) => rowsOf(x, half, T);
    const second = await run(rt, 'simpleGla', { q: part(q), k: part(k), v: part(v), g: part(g) });
    assertSame(part({ shape: o!.shape, data: Float32Array.from(o!.data) }), second.o, `${rt.variant}: two`);
  }
});

test('cosformer weighs by the cosine of the distance', async () => {
  const { q, k, v } = qkv(91);
  const relu = (x: number) => Math.max(x, 0);
  for (const causal of [true, false]) {
    const want = floats(v.shape, () => 0);
    for (let b = 0; b < B; b++)
      for (let h = 0; h < HV; h++)
        for (let i = 0; i < T; i++) {
          const key = (t: number) => ((b * T + t) * H + Math.floor(h / (HV / H))) * K;
          const weights = Array.from({ length: causal ? i + 1 : T }, (_, j) => {
            let w = 0;
            for (let c = 0; c < K; c++) w += relu(q.data[key(i) + c]!) * relu(k.data[key(j) + c]!);
            return w * Math.cos((Math.PI * (i - j)) / (2 * T));
          });
          const sum = Math.max(
            weights.reduce((x, y) => x + y, 0),
            1e-6,
          );
          weights.forEach((w, j) => {
            for (let d = 0; d < V; d++)
              want.data[((b * T + i) * HV + h) * V + d]! += (w / sum) * v.data[((b * T + j) * HV + h) * V + d]!;
          });
        }
    for (const rt of runtimes)
      assertSame((await run(rt, 'cosformer', { q, k, v }, { causal })).o, want, `${rt.variant}: causal ${causal}`);
  }
});

test('based is softmax attention to the second order; rebased does not know the length of q', async () => {
  const { q, k, v } = qkv(92);
  const small = mapped(q, (x) => x / 100);
  for (const rt of runtimes) {
    const want = await run(
      rt,
      'attention',
      { q: repeated(small, HV / H), k: repeated(k, HV / H), v },
      { causal: true },
    );
    assertSame((await run(rt, 'based', { q: small, k, v })).o, want.o, `${rt.variant}: based`);
    const [once, twice] = [
      await run(rt, 'rebased', { q: mapped(q, (x) => 100 * x), k, v }),
      await run(rt, 'rebased', { q: mapped(q, (x) => 200 * x), k, v }),
    ];
    assertSame(once.o, twice.o, `${rt.variant}: rebased`);
  }
});

test('performer comes closer to softmax attention the more features it has', async () => {
  const random = randomFrom(93);
  const [t, k] = [48, 8];
  const inputs = {
    q: normal(random, [1, t, 2, k], 0.4),
    k: normal(random, [1, t, 2, k], 0.4),
    v: normal(random, [1, t, 2, 9]),
  };
  for (const causal of [true, false])
    for (const rt of runtimes) {
      const want = await run(rt, 'attention', inputs, { causal });
      const errors: number[] = [];
      for (const m of [8, 128, 2048]) {
        const projection = normal(randomFrom(94), [m, k]);
        const { o } = await run(rt, 'performer', { ...inputs, projection }, { causal, eps: 1e-6 });
        errors.push(Math.sqrt(Array.from(o!.data).reduce((sum, x, n) => sum + (x - want.o!.data[n]!) ** 2, 0)));
      }
      const [few = 0, some = 0, many = 0] = errors;
      if (!(some < few / 2 && many < some / 2)) throw new Error(`${rt.variant}: causal ${causal}: errors ${errors}`);
    }
});

test('packed sequences are sequences apart', async () => {
  const [b, t, h, k, v, m] = [1, 40, 2, 5, 7, 3];
  const bounds = [0, 0, 13, 14, 14, 40];
  const lengths = { b, t, h, hv: h, k, v, m };
  for (const method of methods.filter(({ packed }) => packed)) {
    const random = randomFrom(95);
    const tokens = method.tokens(random, lengths, 'mild', 1);
    const constants = method.constants?.(random, lengths, 'mild') ?? {};
    for (const rt of runtimes) {
      const whole = await call(rt, opOf(method), { ...tokens, ...constants, cuSeqlens: ints(bounds) }, method.options);
      for (let n = 0; n + 1 < bounds.length; n++) {
        const [from, to] = [bounds[n]!, bounds[n + 1]!];
        const part = rowsOfAll(tokens, from, to);
        const alone = await call(rt, opOf(method), { ...part, ...constants }, method.options);
        const { shape, data } = whole.o!;
        const rows = rowsOf({ shape, data: Float32Array.from(data) }, from, to);
        assertSame(rows, alone.o, `${rt.variant}: ${method.label}, sequence ${n}`);
        for (const { final } of method.states) {
          const all = whole[final]!;
          const size = all.data.length / (bounds.length - 1);
          const own = { shape: alone[final]!.shape, data: Array.from(all.data).slice(n * size, (n + 1) * size) };
          assertNear(
            own,
            alone[final]!,
            1e-5 * (1 + Math.max(...own.data.map(finiteSize))),
            `${method.label}: ${final}`,
          );
        }
      }
    }
  }
});

function finiteSize(x: number): number {
  return Number.isFinite(x) ? Math.abs(x) : 0;
}

test('the number of threads does not change a bit', async () => {
  const teams = await Promise.all([1, 2, 3].map((threads) => variants(threads)));
  for (const lengths of [
    { b: 1, t: 700, h: 1, hv: 1, k: 16, v: 40, m: 4 },
    { b: 2, t: 90, h: 3, hv: 3, k: 18, v: 20, m: 4 },
  ])
    for (const method of methods) {
      const random = randomFrom(96);
      const inputs = {
        ...method.tokens(random, lengths, 'mixed', 1),
        ...method.constants?.(random, lengths, 'mixed'),
      };
      for (const [n, variant] of availableVariants().entries()) {
        const [want, ...others] = await Promise.all(
          teams.map((team) => call(team[n]!, opOf(method), inputs, method.options)),
        );
        for (const got of others)
          for (const name of Object.keys(want!))
            assertSameBits(got[name]!, want![name]!, `${variant}: ${method.label}, ${name}`);
      }
    }
  for (const rt of teams.flat()) rt.dispose();
});

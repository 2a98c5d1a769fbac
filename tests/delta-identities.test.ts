// What the methods of the delta family must have in common, whatever they are made of.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import type { Runtime, Tensor } from '../src/index.ts';
import { assertNear } from './accuracy.ts';
import { type CallInputs, call } from './call.ts';
import { deltaMethods, strengths, unitKeys, unitRows } from './delta-methods.ts';
import { exported, gateKinds, gates, type Lengths } from './linear-methods.ts';
import { property } from './property.ts';
import { comba, combaDplr } from './reference/comba.ts';
import { deltaRule, deltaRuleDplr, gatedDeltaRule, gatedDeltaRuleDplr } from './reference/delta-rule.ts';
import { gatedOja, gatedOjaDplr } from './reference/gated-oja.ts';
import { gdn2, gdn2Dplr } from './reference/gdn2.ts';
import { kda, kdaDplr } from './reference/kda.ts';
import { float64, type NdArray } from './reference/ndarray.ts';
import { precondDelta, precondDeltaDplr } from './reference/precond-delta.ts';
import { rwkv7, rwkv7Dplr } from './reference/rwkv7.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, normal, randomFrom } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

type Op = (inputs: Record<string, Tensor>, options?: object) => Promise<Record<string, Tensor>>;
type Outputs = Record<string, NdArray>;

const run = (rt: Runtime, name: string, inputs: CallInputs, options?: object): Promise<Outputs> =>
  call(rt, exported<Op>(name), inputs, options);

/** Outputs of one number computed in two ways, to 1e-5 of the largest. */
function assertSame(got: Outputs, want: Outputs, what: string): void {
  for (const name of ['o', 'finalState']) {
    const wanted = want[name] ?? assert.fail(`${what}: no ${name}`);
    const largest = Array.from(wanted.data).reduce((max, x) => Math.max(max, Math.abs(x)), 1);
    assertNear(got[name] ?? assert.fail(`${what}: no ${name}`), wanted, 1e-5 * largest, `${what}: ${name}`);
  }
}

/** More than a block of tokens, sizes that are no multiple of a vector, as many value heads as key heads. */
const lengths: Lengths = { b: 2, t: 70, h: 2, hv: 2, k: 18, v: 20, m: 1 };
const { b: B, t: T, h: H, k: K, v: V } = lengths;
const tokens = (seed: number) => {
  const random = randomFrom(seed);
  const beta = strengths(random, [B, T, H]);
  return { ...unitKeys(random, lengths, 1), beta, initialState: normal(random, [B, H, K, V]) };
};
const zeros = (...shape: number[]) => floats(shape, () => 0);
/** x [...] as [..., size]. */
const spread = ({ shape, data }: FloatSample, size: number) =>
  floats([...shape, size], (n) => data[Math.floor(n / size)]!);
/** Rows times a number for each of them, and a factor. */
const scaled = (x: FloatSample, by: FloatSample, factor = 1) => {
  const size = x.shape.at(-1)!;
  return floats(x.shape, (n) => factor * x.data[n]! * by.data[Math.floor(n / size)]!);
};
const product = (x: FloatSample, y: FloatSample, factor = 1) =>
  floats(x.shape, (n) => factor * x.data[n]! * y.data[n]!);
const exponential = (x: FloatSample) => floats(x.shape, (n) => Math.exp(x.data[n]!));
const KINDS = ['none', 'mild', 'thirty', 'mixed', 'bursts', 'walls'] as const;

// biome-ignore lint/suspicious/noExplicitAny: every method's inputs are its own
type AnyReference = (inputs: any, options?: any, round?: any) => Outputs;
const pairs: readonly (readonly [name: string, direct: AnyReference, master: AnyReference])[] = [
  ['deltaRule', deltaRule, deltaRuleDplr],
  ['gatedDeltaRule', gatedDeltaRule, gatedDeltaRuleDplr],
  ['kda', kda, kdaDplr],
  ['gdn2', gdn2, gdn2Dplr],
  ['comba', comba, combaDplr],
  ['rwkv7', rwkv7, rwkv7Dplr],
  ['precondGatedDeltaRule', precondDelta, precondDeltaDplr],
  ['precondKda', precondDelta, precondDeltaDplr],
  ['gatedOja', gatedOja, gatedOjaDplr],
];

for (const method of deltaMethods.filter(({ name }) => !/^[di]plr/.test(name)))
  test(`${method.label}: the direct recurrence is the master recurrence`, () =>
    property(
      fc.record({
        seed: fc.nat(),
        kind: fc.constantFrom(...gateKinds),
        h: fc.constantFrom(1, 2),
        group: fc.constantFrom(1, 2),
        t: fc.constantFrom(0, 1, 2, 9),
        k: fc.constantFrom(1, 3, 8),
        v: fc.constantFrom(1, 3, 8),
      }),
      20,
      async ({ seed, kind, group, ...rest }) => {
        const sizes = { ...rest, b: 2, hv: rest.h * group, m: 1 };
        const random = randomFrom(seed);
        const inputs: Record<string, FloatSample> = {
          ...method.tokens(random, sizes, kind, 1),
          ...method.constants?.(random, sizes, kind),
        };
        for (const { initial, shape, sample = normal } of method.states)
          inputs[initial] = sample(random, shape!(2, sizes));
        const [, direct, master] = pairs.find(([name]) => name === method.name) ?? assert.fail(method.name);
        const want = direct(inputs, method.options, float64);
        const got = master(inputs, method.options, float64);
        for (const [name, x] of Object.entries(want)) {
          const largest = Array.from(x.data).reduce((max, y) => Math.max(max, Math.abs(y)), 1);
          assertNear(got[name]!, x, 1e-11 * largest, `${method.label}: ${name}`);
        }
      },
    ));

test('dplr of a = b = 0 is gla', async () => {
  const { beta: _, ...inputs } = tokens(1);
  for (const kind of KINDS) {
    const gk = gates(randomFrom(2), [B, T, H, K], kind);
    for (const rt of runtimes) {
      const none = zeros(B, T, H, K);
      const got = await run(rt, 'dplr', { ...inputs, a: none, b: none, gk });
      assertSame(got, await run(rt, 'gla', { ...inputs, gk }), `${rt.variant}: ${kind}`);
    }
  }
});

test('iplr is dplr without decay', async () => {
  const { beta: _, ...inputs } = tokens(3);
  const a = unitRows(normal(randomFrom(4), [B, T, H, K]));
  const b = floats(a.shape, (n) => -0.5 * a.data[n]!);
  for (const rt of runtimes) {
    const want = await run(rt, 'dplr', { ...inputs, a, b, gk: zeros(B, T, H, K) });
    assertSame(await run(rt, 'iplr', { ...inputs, a, b }), want, rt.variant);
  }
});

test('without decay: gatedDeltaRule, kda, comba of p = k, gatedDeltaProduct of one step are deltaRule', async () => {
  const inputs = tokens(5);
  const g = zeros(B, T, H);
  for (const rt of runtimes) {
    const want = await run(rt, 'deltaRule', inputs);
    assertSame(await run(rt, 'gatedDeltaRule', { ...inputs, g }), want, `${rt.variant}: gatedDeltaRule`);
    assertSame(await run(rt, 'kda', { ...inputs, g: zeros(B, T, H, K) }), want, `${rt.variant}: kda`);
    assertSame(await run(rt, 'comba', { ...inputs, p: inputs.k, g }), want, `${rt.variant}: comba`);
    const one = await run(rt, 'gatedDeltaProduct', inputs, { numHouseholder: 1 });
    assertSame(one, want, `${rt.variant}: gatedDeltaProduct`);
  }
});

test('one decay a head: kda, gatedDeltaProduct of one step, precondGatedDeltaRule of x = 1 are gatedDeltaRule', async () => {
  const inputs = tokens(6);
  const random = randomFrom(7);
  const curvature = { gAtk: gates(random, [B, T, H], 'mild'), betaAtk: floats([B, T, H], random) };
  for (const kind of KINDS) {
    const g = gates(randomFrom(8), [B, T, H], kind);
    for (const rt of runtimes) {
      const what = `${rt.variant}, ${kind}`;
      const want = await run(rt, 'gatedDeltaRule', { ...inputs, g });
      assertSame(await run(rt, 'kda', { ...inputs, g: spread(g, K) }), want, `${what}: kda`);
      const one = await run(rt, 'gatedDeltaProduct', { ...inputs, g }, { numHouseholder: 1 });
      assertSame(one, want, `${what}: gatedDeltaProduct`);
      const plain = await run(rt, 'precondGatedDeltaRule', { ...inputs, ...curvature, g }, { x: 1 });
      assertSame(plain, want, `${what}: precondGatedDeltaRule`);
    }
  }
});

test('decays of rows: gdn2 of b = w = beta, precondKda of x = 1 are kda', async () => {
  const inputs = tokens(9);
  const { beta, ...others } = inputs;
  const random = randomFrom(10);
  const curvature = { gAtk: gates(random, [B, T, H], 'mild'), betaAtk: floats([B, T, H], random) };
  for (const kind of KINDS) {
    const g = gates(randomFrom(11), [B, T, H, K], kind);
    for (const rt of runtimes) {
      const what = `${rt.variant}, ${kind}`;
      const want = await run(rt, 'kda', { ...inputs, g });
      const gated = { ...others, g, b: spread(beta, K), w: spread(beta, V) };
      assertSame(await run(rt, 'gdn2', gated), want, `${what}: gdn2`);
      assertSame(await run(rt, 'precondKda', { ...inputs, ...curvature, g }, { x: 1 }), want, `${what}: precondKda`);
    }
  }
});

test('every rule is its dplr form', async () => {
  const inputs = tokens(12);
  const { beta, ...others } = inputs;
  const { k, v } = inputs;
  const random = randomFrom(13);
  const b = scaled(k, beta, -1);
  for (const kind of KINDS) {
    const perHead = gates(random, [B, T, H], kind);
    const perRow = gates(random, [B, T, H, K], kind);
    const still = zeros(B, T, H, K);
    const p = floats(k.shape, (n) => 0.8 * k.data[n]!);
    const write = { ...others, v: scaled(v, beta), b };
    const erase = floats(k.shape, random);
    const enter = floats(v.shape, random);
    const share = floats(k.shape, random);
    const cases: [name: string, inputs: CallInputs, form: CallInputs][] = [
      ['deltaRule', inputs, { ...write, a: k, gk: still }],
      [
        'gatedDeltaRule',
        { ...inputs, g: perHead },
        { ...write, a: product(k, exponential(spread(perHead, K))), gk: spread(perHead, K) },
      ],
      ['kda', { ...inputs, g: perRow }, { ...write, a: product(k, exponential(perRow)), gk: perRow }],
      ['comba', { ...inputs, p, g: perHead }, { ...write, a: p, gk: spread(perHead, K) }],
      [
        'gdn2',
        { ...others, g: perRow, b: erase, w: enter },
        {
          ...others,
          v: product(v, enter),
          a: product(product(k, erase), exponential(perRow)),
          b: floats(k.shape, (n) => -k.data[n]!),
          gk: perRow,
        },
      ],
      [
        'rwkv7',
        { r: inputs.q, w: perRow, k, v, kk: k, a: share, initialState: inputs.initialState },
        { ...others, a: floats(k.shape, (n) => -k.data[n]!), b: product(k, share), gk: perRow },
      ],
    ];
    for (const rt of runtimes)
      for (const [name, given, form] of cases) {
        const scale = { scale: 0.5 };
        const [got, want] = [await run(rt, name, given, scale), await run(rt, 'dplr', form, scale)];
        assertSame(got, want, `${rt.variant}, ${kind}: ${name}`);
      }
  }
});

test('orthonormal keys of strength 1 give back what was stored with them', async () => {
  const size = 16;
  const random = randomFrom(14);
  // rows of a Hadamard matrix, in another order
  const ones = (n: number) => n.toString(2).replaceAll('0', '').length;
  const k = floats([1, size, 1, size], (n) => {
    const row = (5 * Math.floor(n / size)) % size;
    return (ones(row & (n % size)) % 2 === 0 ? 1 : -1) / 4;
  });
  const v = normal(random, [1, size, 1, V]);
  const beta = floats([1, size, 1], () => 1);
  const scale = 0.3;
  for (const rt of runtimes) {
    const { finalState } = await run(rt, 'deltaRule', { q: k, k, v, beta });
    // read without writing
    const idle = { q: k, k, v, beta: zeros(1, size, 1), initialState: finalState as FloatSample };
    const { o } = await run(rt, 'deltaRule', idle, { scale });
    const want = floats(v.shape, (n) => scale * v.data[n]!);
    assertNear(o!, want, 1e-6, rt.variant);
  }
});

test('strength 0 leaves the state to its decay; strength 2 of a value of 0 reflects it, twice is as it was', async () => {
  const { q, k, v, initialState } = tokens(15);
  const g = gates(randomFrom(16), [B, T, H], 'slow');
  const still = { q, k, v, beta: zeros(B, T, H), g, initialState };
  const twice = floats(k.shape, (n) => {
    const [token, within] = [Math.floor(n / (H * K)), n % (H * K)];
    return k.data[(token - (token % 2)) * H * K + within]!;
  });
  const nothing = zeros(B, T, H, V);
  const two = floats([B, T, H], () => 2);
  for (const rt of runtimes) {
    const faded = await run(rt, 'simpleGla', { q, k: zeros(B, T, H, K), v, g, initialState });
    assertSame(await run(rt, 'gatedDeltaRule', still), faded, `${rt.variant}: strength 0`);
    const { finalState } = await run(rt, 'deltaRule', { q, k: twice, v: nothing, beta: two, initialState });
    assertNear(finalState!, initialState, 1e-5, `${rt.variant}: strength 2`);
  }
});

test('one key again and again: strength 1 keeps the last value alone', async () => {
  const random = randomFrom(17);
  const key = unitRows(normal(random, [1, 1, 1, K]));
  const k = floats([1, T, 1, K], (n) => key.data[n % K]!);
  const v = normal(random, [1, T, 1, V]);
  const beta = floats([1, T, 1], () => 1);
  for (const rt of runtimes) {
    const { o } = await run(rt, 'deltaRule', { q: k, k, v, beta }, { scale: 1 });
    assertNear(o!, v, 1e-5, rt.variant);
  }
});

test('behind a gate of -Infinity nothing is left of what was before', async () => {
  const { initialState: _, ...inputs } = tokens(18);
  const wall = 33;
  const part = (x: FloatSample) => {
    const [, , ...rest] = x.shape;
    const size = rest.reduce((n, m) => n * m, 1);
    return floats([B, T - wall, ...rest], (n) => {
      const [batch, within] = [Math.floor(n / ((T - wall) * size)), n % ((T - wall) * size)];
      return x.data[(batch * T + wall) * size + within]!;
    });
  };
  for (const rt of runtimes)
    for (const name of ['gatedDeltaRule', 'kda']) {
      const shape = name === 'kda' ? [B, T, H, K] : [B, T, H];
      const token = shape.slice(2).reduce((n, m) => n * m, 1);
      const mild = gates(randomFrom(19), shape, 'mild');
      const g = floats(shape, (n) => (Math.floor(n / token) % T === wall ? Number.NEGATIVE_INFINITY : mild.data[n]!));
      // what was before may be as large as it likes
      const v = floats(inputs.v.shape, (n) =>
        Math.floor(n / (H * V)) % T < wall ? 1e30 * inputs.v.data[n]! : inputs.v.data[n]!,
      );
      const got = await run(rt, name, { ...inputs, v, g });
      const rest = Object.fromEntries(Object.entries({ ...inputs, g }).map(([key, x]) => [key, part(x)]));
      const want = await run(rt, name, rest);
      const behind = { ...got, o: part(got.o as FloatSample) };
      assertSame(behind, want, `${rt.variant}: ${name}`);
    }
});

test('the gated Oja rule is kda of the transposed state', async () => {
  const random = randomFrom(20);
  const { q, k } = tokens(21);
  const v = unitRows(normal(random, [B, T, H, V]));
  const beta = strengths(random, [B, T, H]);
  const initialState = normal(random, [B, H, K, V]);
  const swapped = (x: NdArray, rows: number, columns: number) =>
    floats([B, H, columns, rows], (n) => {
      const [matrix, c, r] = [Math.floor(n / (rows * columns)), Math.floor(n / rows) % columns, n % rows];
      return x.data[matrix * rows * columns + r * columns + c]!;
    });
  for (const kind of KINDS) {
    const gv = gates(random, [B, T, H, V], kind);
    for (const rt of runtimes) {
      const { finalState } = await run(rt, 'gatedOja', { q, k, v, beta, gv, initialState });
      const other = await run(rt, 'kda', { q: v, k: v, v: k, g: gv, beta, initialState: swapped(initialState, K, V) });
      const largest = Array.from(finalState!.data).reduce((max, x) => Math.max(max, Math.abs(x)), 1);
      assertNear(swapped(other.finalState!, V, K), finalState!, 1e-5 * largest, `${rt.variant}: ${kind}`);
    }
  }
});

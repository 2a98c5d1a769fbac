import { after, test } from 'node:test';
import fc from 'fast-check';
import type { Runtime, Tensor } from '../src/index.ts';
import { LinearAttention, type LinearAttentionAttributes, LinearAttentionSync } from '../src/onnx/index.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { type CallInputs, call } from './call.ts';
import { unitRows } from './delta-methods.ts';
import { property } from './property.ts';
import { deltaRecurrence } from './reference/delta.ts';
import { expNatural, recurrence, row } from './reference/linear.ts';
import { at, float64, type NdArray, type Result, type Round, zeros } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, mapped, normal, randomFrom, roundToBfloat, roundToHalf } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

interface Operands {
  query: NdArray;
  key: NdArray;
  value: NdArray;
  past_state?: NdArray;
  decay?: NdArray;
  beta?: NdArray;
}

/** x [outer, H, inner] with every head `size` times. */
function repeated(x: NdArray, shape: number[], outer: number, heads: number, size: number): NdArray {
  const inner = x.data.length / Math.max(1, outer * heads);
  const y = zeros(shape);
  for (let n = 0; n < y.data.length; n++) {
    const [within, head, before] = [
      n % inner,
      Math.floor(n / inner) % (heads * size),
      Math.floor(n / inner / (heads * size)),
    ];
    y.data[n] = x.data[(before * heads + Math.floor(head / size)) * inner + within]!;
  }
  return y;
}

/** LinearAttention with a state of its own for every query head. */
function reference(
  { query, key, value, past_state, decay, beta }: Operands,
  { q_num_heads, kv_num_heads, scale }: LinearAttentionAttributes,
  round: Round = float64,
): { output: Result; present_state: Result } {
  const [B = 0, T = 0, width = 0] = query.shape;
  const [K, V] = [width / q_num_heads, value.shape[2]! / kv_num_heads];
  const size = q_num_heads / kv_num_heads;
  const spread = (x: NdArray, d: number) => repeated(x, [B, T, q_num_heads, d], B * T, kv_num_heads, size);
  const gates = decay && spread(decay, decay.shape[2]! / kv_num_heads);
  const operands = {
    q: { shape: [B, T, q_num_heads, K], data: query.data },
    k: spread(key, K),
    v: spread(value, V),
    initialState: past_state && repeated(past_state, [B, q_num_heads, K, V], B, kv_num_heads, size),
  };
  const rows = (b: number, t: number, h: number) => {
    const own = row(gates!, b, t, h).map((g) => expNatural(g, round));
    return Array.from({ length: K }, (_, c) => own[own.length === 1 ? 0 : c]!);
  };
  const strength = (b: number, t: number, h: number) =>
    at(beta!, b, t, beta!.shape[2] === 1 ? 0 : Math.floor(h / size));
  const shared = { scale: scale || undefined };
  const { o, finalState } = beta
    ? deltaRecurrence(operands, { ...shared, beta: strength, ...(gates && { decay: rows }) }, round)
    : recurrence(operands, { ...shared, ...(gates && { rows }) }, round);
  const present_state = zeros([B, kv_num_heads, K, V]);
  for (let n = 0; n < present_state.data.length; n++) {
    const [within, head] = [n % (K * V), Math.floor(n / (K * V))];
    present_state.data[n] = finalState.data[head * size * K * V + within]!;
  }
  return { output: { shape: [B, T, q_num_heads * V], data: o.data }, present_state };
}

const cases = fc.record({
  seed: fc.nat(),
  B: fc.integer({ min: 1, max: 2 }),
  T: fc.constantFrom(0, 1, 1, 2, 17, 65),
  H: fc.integer({ min: 1, max: 3 }),
  size: fc.constantFrom(1, 1, 2, 3),
  K: fc.constantFrom(1, 3, 8, 18, 64),
  V: fc.constantFrom(1, 5, 8, 20, 64),
  decay: fc.constantFrom('none', 'heads', 'rows'),
  beta: fc.constantFrom('none', 'heads', 'one'),
  past: fc.boolean(),
  scale: fc.constantFrom(undefined, 0, 0.3),
});

type Case = typeof cases extends fc.Arbitrary<infer C> ? C : never;

function operandsOf({ seed, B, T, H, size, K, V, decay, beta, past, scale }: Case) {
  const random = randomFrom(seed);
  const inputs: Record<string, FloatSample> = {
    query: normal(random, [B, T, H * size * K]),
    key: normal(random, [B, T, H * K]),
    value: normal(random, [B, T, H * V]),
  };
  if (past) inputs.past_state = normal(random, [B, H, K, V]);
  if (decay !== 'none') {
    inputs.decay = floats([B, T, decay === 'heads' ? H : H * K], () => -(random() < 0.1 ? 30 : 1) * random());
  }
  if (beta !== 'none') {
    inputs.beta = floats([B, T, beta === 'heads' ? H : 1], () => 2 * random());
    inputs.key = unitRows(normal(random, [B, T, H, K]));
    inputs.key.shape = [B, T, H * K];
  }
  const rules = { none: ['linear', 'gated'], some: ['delta', 'gated_delta'] } as const;
  const attributes: LinearAttentionAttributes = {
    q_num_heads: H * size,
    kv_num_heads: H,
    update_rule: rules[beta === 'none' ? 'none' : 'some'][decay === 'none' ? 0 : 1],
    ...(scale !== undefined && { scale }),
  };
  return { inputs, attributes };
}

const wantedOf = (inputs: object, attributes: LinearAttentionAttributes) =>
  expected((round) => reference(inputs as Operands, attributes, round));

type AnyOp = (inputs: never, attributes?: never) => Promise<Record<string, Tensor>>;

/** The outputs of a call. */
function attend(
  rt: Runtime,
  inputs: CallInputs,
  attributes: LinearAttentionAttributes,
  op: AnyOp = LinearAttention as unknown as AnyOp,
): Promise<Record<'output' | 'present_state', NdArray>> {
  return call(rt, op, inputs, attributes as never) as Promise<Record<'output' | 'present_state', NdArray>>;
}

const sync: AnyOp = async (inputs, attributes) => ({ ...LinearAttentionSync(inputs, attributes as never) });

test('random shapes, shared states, gates and pasts, in both forms', () =>
  property(cases, 80, async (sample) => {
    const { inputs, attributes } = operandsOf(sample);
    const wanted = wantedOf(inputs, attributes);
    for (const rt of runtimes) {
      const got = await attend(rt, inputs, attributes);
      assertAccurate(got, wanted, rt.variant);
      const again = await attend(rt, inputs, attributes, sync);
      for (const name of ['output', 'present_state'] as const) assertSameBits(again[name], got[name], name);
    }
  }));

test('f16 and bf16: outputs and states are rounded once', () =>
  property(cases, 30, async (sample) => {
    const { inputs, attributes } = operandsOf(sample);
    for (const [dtype, rounded, ulp] of [
      ['f16', roundToHalf, 2 ** -11],
      ['bf16', roundToBfloat, 2 ** -8],
    ] as const) {
      const kept = Object.fromEntries(Object.entries(inputs).map(([name, x]) => [name, mapped(x, rounded)]));
      const { want, limit } = wantedOf(kept, attributes);
      for (const rt of runtimes)
        await rt.scope(async () => {
          const tensors = Object.fromEntries(
            Object.entries(kept).map(([name, x]) => [name, rt.tensor(x.data, x.shape, dtype)]),
          );
          const got = await attend(rt, tensors, attributes);
          for (const name of ['output', 'present_state'] as const) {
            const largest = Array.from(want[name].data).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
            assertNear(got[name], want[name], limit[name] + ulp * largest, `${rt.variant}, ${dtype}: ${name}`);
          }
        });
    }
  }));

test('the state goes on: a sequence in parts, and token by token', () =>
  property(cases, 30, async (sample) => {
    const { inputs, attributes } = operandsOf(sample);
    const { past_state, ...tokens } = inputs;
    const wanted = wantedOf(inputs, attributes);
    const rows = ({ shape, data }: FloatSample, from: number, to: number): FloatSample => {
      const [b = 0, t = 0, d = 0] = shape;
      return floats([b, to - from, d], (n) => {
        const [within, batch] = [n % ((to - from) * d), Math.floor(n / ((to - from) * d))];
        return data[batch * t * d + from * d + within]!;
      });
    };
    const { B, T, V } = sample;
    const width = attributes.q_num_heads * V;
    for (const rt of runtimes)
      for (const step of [1, Math.max(1, Math.ceil(T / 2))]) {
        let state: NdArray | undefined = past_state;
        const output = floats([B, T, width], () => 0);
        if (T === 0) continue;
        for (let from = 0; from < T; from += step) {
          const to = Math.min(T, from + step);
          const part = Object.fromEntries(Object.entries(tokens).map(([name, x]) => [name, rows(x, from, to)]));
          const got = await attend(rt, { ...part, ...(state && { past_state: state as FloatSample }) }, attributes);
          for (let n = 0; n < got.output.data.length; n++) {
            const [within, batch] = [n % ((to - from) * width), Math.floor(n / ((to - from) * width))];
            output.data[batch * T * width + from * width + within] = got.output.data[n]!;
          }
          state = got.present_state;
        }
        assertAccurate({ output, present_state: state! }, wanted, `${rt.variant}: ${step} at a time`);
      }
  }));

import { after, test } from 'node:test';
import fc from 'fast-check';
import type { Runtime, Tensor } from '../src/index.ts';
import { assertAccurate, expected } from './accuracy.ts';
import { type CallInputs, call } from './call.ts';
import { type GateKind, gateKinds, type Lengths, type Method, methods, opOf } from './linear-methods.ts';
import { property } from './property.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, ints, mapped, normal, randomFrom, roundToBfloat, roundToHalf } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

interface Case {
  seed: number;
  lengths: Lengths;
  kind: GateKind;
  size: number;
  states: boolean;
  packed: boolean;
  headsFirst: boolean;
  scale: number | undefined;
}

/** Multiplications of the reference. */
function costOf({ quadratic }: Method, { b, t, hv, k, v, m }: Lengths): number {
  return b * t * hv * (quadratic ? t * (k + v + m) : k * v + m * (k + v));
}

function casesOf(method: Method, most: number): fc.Arbitrary<Case> {
  return fc
    .record({
      seed: fc.nat(),
      lengths: fc
        .record({
          b: fc.integer({ min: 1, max: 2 }),
          t: fc.constantFrom(0, 1, 2, 17, 63, 65, 130),
          h: fc.integer({ min: 1, max: 3 }),
          g: method.ungrouped ? fc.constant(1) : fc.constantFrom(1, 1, 2, 3),
          k: fc.constantFrom(1, 3, 18, 64, 80),
          v: fc.constantFrom(1, 3, 20, 64, 80),
          m: fc.constantFrom(1, 3, 8, 20),
        })
        .map(({ g, ...lengths }) => ({ ...lengths, hv: g * lengths.h }))
        .filter((lengths) => costOf(method, lengths) < most),
      kind: fc.constantFrom(...gateKinds),
      size: fc.constantFrom(1, 1, 30, 1e5),
      states: fc.boolean(),
      packed: fc.boolean(),
      headsFirst: fc.boolean(),
      scale: fc.option(fc.constantFrom(0.1, 1), { nil: undefined }),
    })
    .map((sample) => ({ ...sample, scale: method.scaled ? sample.scale : undefined }));
}

/** Boundaries of sequences that fill t, empty ones among them. */
function boundaries(random: () => number, t: number): number[] {
  const inner = Array.from({ length: 1 + Math.floor(4 * random()) }, () => Math.floor(random() * (t + 1)));
  return [0, ...[...inner, inner[0]!].sort((a, b) => a - b), t];
}

/** A tensor [B,T,H,D] whose memory is [B,H,T,D]. */
function headsFirst(rt: Runtime, { shape, data }: FloatSample): Tensor {
  const [b = 0, t = 0, h = 0, d = 0] = shape;
  const swapped = new Float32Array(data.length);
  for (let row = 0; row < b * t * h; row++) {
    const [batch, time, head] = [Math.floor(row / (t * h)), Math.floor(row / h) % t, row % h];
    swapped.set(data.subarray(row * d, (row + 1) * d), ((batch * h + head) * t + time) * d);
  }
  return rt.tensor(swapped, [b, h, t, d]).permute([0, 2, 1, 3]);
}

/** Operands of a case; packed ones have a batch of 1. */
function operandsOf(method: Method, { seed, lengths: given, kind, size, states, packed }: Case) {
  const random = randomFrom(seed);
  const cut = packed && method.packed;
  const lengths = cut ? { ...given, b: 1 } : given;
  const cuSeqlens = cut ? ints(boundaries(random, lengths.t)) : undefined;
  const count = cuSeqlens ? cuSeqlens.shape[0]! - 1 : lengths.b;
  const tokens = method.tokens(random, lengths, kind, size);
  const others: CallInputs = { ...method.constants?.(random, lengths, kind), ...(cuSeqlens && { cuSeqlens }) };
  for (const { initial, shape, sample = normal } of states ? method.states : []) {
    if (shape) others[initial] = sample(random, shape(count, lengths));
  }
  return { tokens, others };
}

for (const method of methods) {
  test(`${method.label}: odd shapes, gates of every strength, packed sequences, initial states, both layouts`, () =>
    property(casesOf(method, 4e5), 50, async (sample) => {
      const { tokens, others } = operandsOf(method, sample);
      const options = { ...method.options, ...(sample.scale && { scale: sample.scale }) };
      const wanted = expected((round) => method.reference({ ...tokens, ...others }, options, round));
      for (const rt of runtimes) {
        await rt.scope(async () => {
          const inputs: CallInputs = { ...tokens, ...others };
          for (const [name, x] of Object.entries(tokens))
            if (sample.headsFirst && x.shape.length === 4) inputs[name] = headsFirst(rt, x);
          assertAccurate(await call(rt, opOf(method), inputs, options), wanted, `${rt.variant}: ${method.label}`);
        });
      }
    }));
}

test('queries, keys and values stored as f16 or bf16', async () => {
  const lengths = { b: 2, t: 70, h: 2, hv: 4, k: 19, v: 21, m: 3 };
  const stored = { f16: roundToHalf, bf16: roundToBfloat };
  for (const label of ['linearAttn', 'simpleGla', 'gla', 'hgrn2', 'rwkv6', 'retention'])
    for (const [dtype, rounded] of Object.entries(stored) as ['f16' | 'bf16', (x: number) => number][]) {
      const method = methods.find((candidate) => candidate.label === label)!;
      const random = randomFrom(50);
      const tokens = method.tokens(random, lengths, 'mild', 1);
      const constants = method.constants?.(random, lengths, 'mild') ?? {};
      const narrow = Object.entries(tokens).filter(([name]) => ['q', 'r', 'k', 'v'].includes(name));
      const kept = Object.fromEntries(narrow.map(([name, x]) => [name, mapped(x, rounded)]));
      const wanted = expected((round) => method.reference({ ...tokens, ...kept, ...constants }, method.options, round));
      for (const rt of runtimes)
        await rt.scope(async () => {
          const tensors = Object.fromEntries(narrow.map(([name, x]) => [name, rt.tensor(x.data, x.shape, dtype)]));
          const got = await call(rt, opOf(method), { ...tokens, ...constants, ...tensors }, method.options);
          assertAccurate(got, wanted, `${rt.variant}: ${label} of ${dtype}`);
        });
    }
});

test('long sequences of one head, where time may be split', async () => {
  for (const label of ['linearAttn', 'retention', 'simpleGla', 'gla', 'rwkv6', 'lightnet', 'mlstm', 'ssd']) {
    const method = methods.find((candidate) => candidate.label === label)!;
    for (const kind of ['slow', 'bursts'] as const) {
      const random = randomFrom(51);
      const lengths = { b: 1, t: 1337, h: 1, hv: 1, k: 9, v: 16, m: 1 };
      const inputs = { ...method.tokens(random, lengths, kind, 1), ...method.constants?.(random, lengths, kind) };
      const wanted = expected((round) => method.reference(inputs, method.options, round));
      for (const rt of runtimes) {
        const got = await call(rt, opOf(method), inputs, method.options);
        assertAccurate(got, wanted, `${rt.variant}: ${label}, ${kind} gates`);
      }
    }
  }
});

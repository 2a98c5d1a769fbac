// Random cases of the gated-linear methods, against their references.
import fc from 'fast-check';
import type { Runtime, Tensor } from '../src/index.ts';
import { assertAccurate } from './accuracy.ts';
import { type CallInputs, call } from './call.ts';
import { type GateKind, gateKinds, type Lengths, type Method, opOf, wantedOf } from './linear-methods.ts';
import { property } from './property.ts';
import { type FloatSample, ints, normal, randomFrom } from './samples.ts';

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
function costOf({ work = ({ k, v, m }) => k * v + m * (k + v) }: Method, lengths: Lengths): number {
  return lengths.b * lengths.t * lengths.hv * work(lengths);
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

/** Checks `method` at odd shapes: gates of every strength, packed sequences, initial states, both layouts. */
export function checkShapes(runtimes: readonly Runtime[], method: Method, runs: number): Promise<void> {
  return property(casesOf(method, 6e5), runs, async (sample) => {
    const { tokens, others } = operandsOf(method, sample);
    const options = { ...method.options, ...(sample.scale && { scale: sample.scale }) };
    const wanted = wantedOf(method, { ...tokens, ...others }, options);
    for (const rt of runtimes) {
      await rt.scope(async () => {
        const inputs: CallInputs = { ...tokens, ...others };
        for (const [name, x] of Object.entries(tokens))
          if (sample.headsFirst && x.shape.length === 4) inputs[name] = headsFirst(rt, x);
        assertAccurate(await call(rt, opOf(method), inputs, options), wanted, `${rt.variant}: ${method.label}`);
      });
    }
  });
}

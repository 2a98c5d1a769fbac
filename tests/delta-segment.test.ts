// Segments of the delta rules against the whole.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { deltaSegment, joinDeltaSegment, kda, type Tensor } from '../src/index.ts';
import { assertAccurate, expected } from './accuracy.ts';
import { type CallInputs, call } from './call.ts';
import { strengths, unitKeys } from './delta-methods.ts';
import { exported, gateKinds, gates, qkv } from './linear-methods.ts';
import { property } from './property.ts';
import { deltaRule, gatedDeltaRule } from './reference/delta-rule.ts';
import { kda as kdaReference } from './reference/kda.ts';
import { dot, type NdArray, type Round, zeros } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, ints, normal, randomFrom } from './samples.ts';
import { again, cutsAt, rowsOf } from './streaming.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

// biome-ignore lint/suspicious/noExplicitAny: each rule's operands are its own
type Reference = (inputs: any, options: any, round: Round) => Record<string, NdArray>;
type Op = (inputs: Record<string, Tensor>, options?: object) => Promise<Record<string, Tensor>>;

const rules = {
  deltaRule: { gate: undefined, reference: deltaRule as Reference },
  gatedDeltaRule: { gate: 'g', reference: gatedDeltaRule as Reference },
  kda: { gate: 'gk', reference: kdaReference as Reference },
} as const;

/** transition S + update for every head. */
function join(state: NdArray, { update, transition }: Record<string, NdArray>, round: Round): NdArray {
  const [n = 0, h = 0, rows = 0, columns = 0] = state.shape;
  const joined = zeros(state.shape);
  for (let m = 0; m < n * h; m++)
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < columns; c++) {
        const at = (m * rows + r) * columns + c;
        const from = m * rows * columns + c;
        const product = dot(transition!.data, (m * rows + r) * rows, 1, state.data, from, columns, rows, round);
        joined.data[at] = round(product + update!.data[at]!);
      }
  return joined;
}

/** The identity for every head of n sequences. */
const identities = (n: number, h: number, size: number) =>
  floats([n, h, size, size], (at) => (Math.floor(at / size) % size === at % size ? 1 : 0));

for (const [name, { gate, reference }] of Object.entries(rules))
  for (const useQkL2norm of [false, true])
    test(`${name}${useQkL2norm ? ', normalised' : ''}: segments joined one after another are the prefill`, () =>
      property(
        fc
          .record({
            seed: fc.nat(),
            t: fc.constantFrom(0, 1, 2, 63, 65, 130),
            h: fc.constantFrom(1, 2),
            group: fc.constantFrom(1, 2),
            k: fc.constantFrom(1, 3, 18, 64),
            v: fc.constantFrom(1, 20, 64),
            cuts: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 3 }),
            kind: fc.constantFrom(...gateKinds),
          })
          .filter(({ t, h, group, k, v }) => t * h * group * k * (k + v) < 3e5),
        15,
        async ({ seed, t, h, group, k, v, cuts, kind }) => {
          const random = randomFrom(seed);
          const hv = h * group;
          const lengths = { b: 1, t, h, hv, k, v, m: 1 };
          const tokens: Record<string, FloatSample> = {
            ...(useQkL2norm ? qkv(random, lengths, 1) : unitKeys(random, lengths, 1)),
            beta: strengths(random, [1, t, hv]),
            ...(gate && { [gate]: gates(random, gate === 'g' ? [1, t, hv] : [1, t, h, k], kind) }),
          };
          const initialState = normal(random, [1, hv, k, v]);
          const options = useQkL2norm ? { useQkL2norm } : {};
          const at = cutsAt(cuts, t);
          const spans = at.slice(1).map((to, i) => [at[i]!, to] as const);
          const asRule = ({ gk, ...rest }: Record<string, FloatSample>) => ({ ...rest, ...(gk && { g: gk }) });
          const span = (from: number, to: number) =>
            Object.fromEntries(Object.entries(tokens).map(([key, x]) => [key, rowsOf(x, from, to)]));
          const eye = identities(1, hv, k);
          // as naively as the whole: each segment's update and transition, joined
          const form = (round: Round) => {
            let state: NdArray = initialState;
            for (const [from, to] of spans) {
              const { v: values, ...rest } = asRule(span(from, to)) as Record<'v', FloatSample>;
              const nothing = floats([1, to - from, hv, k], () => 0);
              const { finalState: update } = reference({ ...rest, v: values }, options, round);
              const moved = reference({ ...rest, v: nothing, initialState: eye }, options, round);
              state = join(state, { update: update!, transition: moved.finalState! }, round);
            }
            return { finalState: state };
          };
          const whole = { ...asRule(tokens), initialState };
          const wanted = expected((round) => reference(whole, options, round), [form]);
          for (const rt of runtimes) {
            let state = initialState;
            for (const [from, to] of spans) {
              const { q: _, ...piece } = span(from, to);
              const segment = await call(rt, deltaSegment as unknown as Op, piece, options);
              const samples = { update: again(segment.update!), transition: again(segment.transition!) };
              const next = await call(rt, joinDeltaSegment as unknown as Op, { state, ...samples });
              state = again(next.state!);
            }
            const { o } = await call(rt, exported<Op>(name), whole, options);
            assertAccurate({ o: o!, finalState: state }, wanted, `${rt.variant}: cut at ${at}`);
          }
        },
      ));

test('segments of packed sequences', async () => {
  const random = randomFrom(3);
  const lengths = { b: 1, t: 40, h: 1, hv: 2, k: 6, v: 9, m: 1 };
  const { k, v } = unitKeys(random, lengths, 1);
  const beta = strengths(random, [1, 40, 2]);
  const gk = gates(random, [1, 40, 2, 6], 'mild');
  const state = normal(random, [3, 2, 6, 9]);
  const cuSeqlens = ints([0, 7, 7, 40]);
  const whole = { q: k, k, v, beta, g: gk, initialState: state, cuSeqlens };
  const eye = identities(3, 2, 6);
  for (const rt of runtimes) {
    const segment = await call(rt, deltaSegment as unknown as Op, { k, v, beta, gk, cuSeqlens });
    const parts: CallInputs = { state, update: again(segment.update!), transition: again(segment.transition!) };
    const { state: finalState } = await call(rt, joinDeltaSegment as unknown as Op, parts);
    const form = (round: Round) => {
      const { finalState: update } = kdaReference({ ...whole, initialState: undefined } as never, {}, round);
      const still = { ...whole, v: floats([1, 40, 2, 6], () => 0), initialState: eye };
      const { finalState: transition } = kdaReference(still, {}, round);
      return { finalState: join(state, { update: update!, transition: transition! }, round) };
    };
    const wanted = expected((round) => kdaReference(whole, {}, round) as Record<string, NdArray>, [form]);
    const { o } = await call(rt, kda as unknown as Op, whole);
    assertAccurate({ o: o!, finalState: finalState! }, wanted, rt.variant);
  }
});

test('operands that do not fit are refused, and nothing is left behind', async () => {
  const rt = runtimes[0]!;
  await rt.scope(async () => {
    const k = rt.zeros([1, 4, 2, 8]);
    const v = rt.zeros([1, 4, 2, 5]);
    const beta = rt.zeros([1, 4, 2]);
    const state = rt.zeros([1, 2, 8, 5]);
    const { used } = rt.memory();
    await assert.rejects(deltaSegment({ k, v, beta, g: beta, gk: k }), { name: 'OptionError' });
    await assert.rejects(deltaSegment({ k, v, beta: k }), { name: 'ShapeError' });
    await assert.rejects(deltaSegment({ k, v } as never), { name: 'ShapeError', message: /beta is missing/ });
    await assert.rejects(deltaSegment({ k, v, beta, gk: v }), { name: 'ShapeError' });
    await assert.rejects(deltaSegment({ k, v, beta }, { useQkL2norm: 1 } as never), { name: 'OptionError' });
    await assert.rejects(joinDeltaSegment({ state, update: state, transition: state }), { name: 'ShapeError' });
    assert.equal(rt.memory().used, used);
  });
});

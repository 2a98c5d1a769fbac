// Segments of the gated-linear recurrence against the whole.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { gla, joinSegment, linearSegment, simpleGla, type Tensor } from '../src/index.ts';
import { assertAccurate, expected } from './accuracy.ts';
import { call } from './call.ts';
import { gateKinds, gates } from './linear-methods.ts';
import { property } from './property.ts';
import { gla as glaReference, simpleGla as simpleReference } from './reference/gla.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, normal, randomFrom } from './samples.ts';
import { rowsOf } from './streaming.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

for (const rows of [false, true])
  test(`${rows ? 'row' : 'scalar'} gates: segments joined one after another give the state and the outputs of the whole`, () =>
    property(
      fc.record({
        seed: fc.nat(),
        t: fc.constantFrom(1, 2, 63, 65, 130),
        heads: fc.constantFrom(1, 2, 3),
        k: fc.constantFrom(1, 3, 18, 64),
        v: fc.constantFrom(1, 20, 64),
        cut: fc.double({ min: 0, max: 1, noNaN: true }),
        kind: fc.constantFrom(...gateKinds),
      }),
      20,
      async ({ seed, t, heads, k, v, cut, kind }) => {
        const random = randomFrom(seed);
        const gate = gates(random, rows ? [1, t, heads, k] : [1, t, heads], kind);
        const operands = {
          q: normal(random, [1, t, heads, k]),
          k: normal(random, [1, t, heads, k]),
          v: normal(random, [1, t, heads, v]),
        };
        const gated = { [rows ? 'gk' : 'g']: gate };
        const initialState = normal(random, [1, heads, k, v]);
        const inputs = { ...operands, ...gated, initialState };
        const wanted = expected((round) =>
          rows
            ? glaReference({ ...operands, gk: gate, initialState }, {}, round)
            : simpleReference({ ...operands, g: gate, initialState }, {}, round),
        );
        const middle = Math.round(cut * t);
        const span = (x: FloatSample, from: number, to: number) => rowsOf(x, from, to) as FloatSample;
        const piece = (from: number, to: number) => ({
          k: span(operands.k, from, to),
          v: span(operands.v, from, to),
          [rows ? 'gk' : 'g']: span(gate, from, to),
        });
        for (const rt of runtimes) {
          let state = initialState;
          for (const [from, to] of [
            [0, middle],
            [middle, t],
          ] as const) {
            const { update, decay } = await call(rt, linearSegment, piece(from, to));
            const samples = { update: update as FloatSample, decay: decay as FloatSample };
            const joined = await call(rt, joinSegment as never, { state, ...samples });
            state = (joined as { state: FloatSample }).state;
          }
          const op = (rows ? gla : simpleGla) as (inputs: never) => Promise<{ o: Tensor; finalState: Tensor }>;
          const { o } = await call<never, never, { o: Tensor; finalState: Tensor }>(rt, op as never, inputs);
          assertAccurate({ o, finalState: state }, wanted, `${rt.variant}: ${middle} of ${t}`);
        }
      },
    ));

test('operands that do not fit are refused, and nothing is left behind', async () => {
  const [rt] = runtimes;
  await rt!.scope(async () => {
    const k = rt!.empty([1, 4, 2, 8]);
    const v = rt!.empty([1, 4, 2, 8]);
    const g = rt!.empty([1, 4, 2]);
    const gk = rt!.empty([1, 4, 2, 8]);
    const used = rt!.memory().used;
    await assert.rejects(linearSegment({ k, v, g, gk }), { name: 'OptionError' });
    await assert.rejects(linearSegment({ k, v: g, g }), { name: 'ShapeError' });
    await assert.rejects(joinSegment({ state: k, update: v, decay: gk }), { name: 'ShapeError' });
    assert.equal(rt!.memory().used, used);
  });
});

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import {
  causalConv1d,
  causalConv1dStep,
  causalConv1dSync,
  DTypeError,
  dwConv2d,
  dwConv2dSync,
  OptionError,
  ShapeError,
  type Tensor,
} from '../src/index.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { call } from './call.ts';
import { property, sometimes } from './property.ts';
import { causalConv1d as causalReference } from './reference/causal-conv.ts';
import { dwConv2d as dwReference } from './reference/dw-conv2d.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, ints, mapped, normal, randomFrom } from './samples.ts';
import { rowsOf } from './streaming.ts';

const runtimes = await variants();
const [rt = assert.fail('no runtime')] = runtimes;
after(() => {
  for (const each of runtimes) each.dispose();
});

const activations = fc.constantFrom('none', 'silu') as fc.Arbitrary<'none' | 'silu'>;
const shapes = fc.record({
  seed: fc.nat(),
  batch: fc.integer({ min: 1, max: 2 }),
  t: fc.constantFrom(0, 1, 2, 3, 5, 63, 65, 130),
  d: fc.constantFrom(1, 3, 4, 18, 64, 80),
  taps: fc.constantFrom(1, 2, 3, 4, 4, 5, 9),
  bias: fc.boolean(),
  state: fc.boolean(),
});

test('causalConv1d', () =>
  property(
    fc.record({ shape: shapes, activation: activations, size: sometimes(fc.constantFrom(1e-3, 100)) }),
    80,
    async ({ shape: { seed, batch, t, d, taps, bias, state }, activation, size = 1 }) => {
      const random = randomFrom(seed);
      const inputs = {
        x: normal(random, [batch, t, d], size),
        weight: normal(random, [d, taps], 0.5),
        ...(bias && { bias: normal(random, [d]) }),
        ...(state && { initialState: normal(random, [batch, d, taps - 1], size) }),
      };
      const wanted = expected((round) => causalReference(inputs, { activation }, round));
      for (const each of runtimes)
        assertAccurate(await call(each, causalConv1d, inputs, { activation }), wanted, each.variant);
    },
  ));

test('causalConv1d over several blocks of time and of channels', async () => {
  const random = randomFrom(51);
  for (const [t, d, taps] of [
    [1100, 5, 4],
    [40, 515, 4],
    [1030, 3, 700],
  ] as const) {
    const inputs = {
      x: normal(random, [1, t, d]),
      weight: normal(random, [d, taps], taps ** -0.5),
      initialState: normal(random, [1, d, taps - 1]),
    };
    const wanted = expected((round) => causalReference(inputs, {}, round));
    for (const each of runtimes) assertAccurate(await call(each, causalConv1d, inputs), wanted, `${each.variant} ${t}`);
  }
});

test('causalConv1d of packed sequences, empty ones and ones shorter than the taps too', async () => {
  const random = randomFrom(52);
  const bounds = [0, 0, 1, 3, 20, 20, 85, 85];
  for (const taps of [1, 4, 6]) {
    const inputs = {
      x: normal(random, [1, 85, 18]),
      weight: normal(random, [18, taps]),
      initialState: normal(random, [bounds.length - 1, 18, taps - 1]),
      cuSeqlens: ints(bounds),
    };
    const wanted = expected((round) => causalReference(inputs, { activation: 'silu' }, round));
    for (const each of runtimes)
      assertAccurate(await call(each, causalConv1d, inputs, { activation: 'silu' }), wanted, each.variant);
  }
});

test('causalConv1d in two calls, and in steps, with the state carried over', () =>
  property(
    fc.record({ shape: shapes, cut: fc.double({ min: 0, max: 1, noNaN: true }) }),
    30,
    async ({ shape, cut }) => {
      const { seed, batch, t, d, taps } = shape;
      const random = randomFrom(seed);
      const at = Math.floor(cut * t);
      const x = normal(random, [batch, t, d]);
      const shared = { weight: normal(random, [d, taps]), bias: normal(random, [d]) };
      const initialState = normal(random, [batch, d, taps - 1]);
      const options = { activation: 'silu' } as const;
      for (const each of runtimes) {
        const whole = await call(each, causalConv1d, { x, ...shared, initialState }, options);
        const first = await call(each, causalConv1d, { x: rowsOf(x, 0, at), ...shared, initialState }, options);
        const second = await call(
          each,
          causalConv1d,
          { x: rowsOf(x, at, t), ...shared, initialState: mapped(first.finalState as FloatSample, (y) => y) },
          options,
        );
        assertNear(second.o, rowsOf(whole.o as FloatSample, at, t), 2e-6, `${each.variant}: o behind ${at}`);
        assertSameBits(second.finalState, whole.finalState, `${each.variant}: state`);
        each.scope(() => {
          const [weight, bias] = [each.tensor(shared.weight.data, [d, taps]), each.tensor(shared.bias.data, [d])];
          const state = each.tensor(initialState.data, initialState.shape);
          const o = each.empty([batch, d]);
          const inputs = Array.from({ length: t }, (_, i) => each.tensor(rowsOf(x, i, i + 1).data, [batch, d]));
          const { blocks } = each.memory();
          for (const [i, row] of inputs.entries()) {
            each.poison();
            const result = causalConv1dStep({ x: row, weight, bias, state, o }, options);
            assert.equal(result.o, o);
            const got = { shape: [batch, 1, d], data: o.dataSync() };
            assertNear(got, rowsOf(whole.o as FloatSample, i, i + 1), 2e-6, `${each.variant}: step ${i}`);
          }
          assert.ok(each.memory().blocks <= blocks);
          assertSameBits(
            { shape: state.shape, data: state.dataSync() },
            whole.finalState,
            `${each.variant}: stepped state`,
          );
        });
      }
    },
  ));

test('causalConv1d of a part of the channels of a wider tensor', async () => {
  const random = randomFrom(53);
  const wide = normal(random, [2, 9, 30]);
  const weight = normal(random, [7, 4]);
  const x = floats([2, 9, 7], (n) => wide.data[Math.floor(n / 7) * 30 + (n % 7) + 11]!);
  const wanted = expected((round) => causalReference({ x, weight }, {}, round));
  for (const each of runtimes) {
    await each.scope(async () => {
      const view = each.tensor(wide.data, wide.shape).slice(2, 11, 18);
      assertAccurate(await call(each, causalConv1d, { x: view, weight }), wanted, each.variant);
    });
  }
});

test('dwConv2d', () =>
  property(
    fc.record({
      seed: fc.nat(),
      batch: fc.integer({ min: 1, max: 2 }),
      height: fc.constantFrom(1, 2, 3, 7, 14),
      width: fc.constantFrom(1, 2, 3, 7, 15),
      channels: fc.constantFrom(1, 3, 4, 18, 65),
      kh: fc.constantFrom(1, 2, 3, 5),
      kw: fc.constantFrom(1, 2, 3, 4, 5, 7),
      bias: fc.boolean(),
    }),
    60,
    async ({ seed, batch, height, width, channels, kh, kw, bias }) => {
      const random = randomFrom(seed);
      const inputs = {
        x: normal(random, [batch, height, width, channels]),
        weight: normal(random, [kh, kw, channels]),
        ...(bias && { bias: normal(random, [channels]) }),
      };
      const wanted = expected((round) => dwReference(inputs, {}, round));
      for (const each of runtimes) assertAccurate(await call(each, dwConv2d, inputs), wanted, each.variant);
    },
  ));

// biome-ignore lint/suspicious/noExplicitAny: the inputs are wrong on purpose
type AnyOp = (inputs: any, options: any) => unknown;

const f32 = (...shape: number[]): Tensor => rt.zeros(shape);

test('wrong calls are named errors and leave nothing behind', () => {
  rt.scope(() => {
    const x = f32(2, 5, 6);
    const weight = f32(6, 4);
    const state = f32(2, 6, 3);
    const i32 = rt.zeros([2, 5, 6], 'i32');
    const step = { x: f32(2, 6), weight, state };
    const wrong: [AnyOp, object, object, abstract new (...args: never[]) => Error, RegExp][] = [
      [causalConv1dSync, { x }, {}, ShapeError, /weight is missing/],
      [causalConv1dSync, { x, weight: f32(5, 4) }, {}, ShapeError, /weight has shape \[5, 4\]/],
      [causalConv1dSync, { x, weight: f32(6, 0) }, {}, ShapeError, /W > 0/],
      [causalConv1dSync, { x, weight, bias: f32(5) }, {}, ShapeError, /bias/],
      [causalConv1dSync, { x, weight, initialState: f32(2, 6, 4) }, {}, ShapeError, /initialState.*\[2, 6, 3\]/],
      [causalConv1dSync, { x: i32, weight }, {}, DTypeError, /x is i32/],
      [causalConv1dSync, { x, weight }, { activation: 'relu' }, OptionError, /relu/],
      [causalConv1dSync, { x, weight }, { act: 'silu' }, OptionError, /no option 'act'/],
      [causalConv1dSync, { x, weight, cuSeqlens: rt.zeros([2], 'i32') }, {}, ShapeError, /cuSeqlens/],
      [causalConv1dStep, { ...step, state: f32(2, 6, 2) }, {}, ShapeError, /3/],
      [causalConv1dStep, { ...step, o: f32(2, 5) }, {}, ShapeError, /o has shape/],
      [causalConv1dStep, { ...step, x: f32(2, 1, 6) }, {}, ShapeError, /x has shape/],
      [dwConv2dSync, { x, weight: f32(3, 3, 6) }, {}, ShapeError, /x has shape/],
      [dwConv2dSync, { x: f32(1, 2, 3, 6), weight: f32(3, 3, 5) }, {}, ShapeError, /weight/],
      [dwConv2dSync, { x: f32(1, 2, 3, 6), weight: f32(0, 3, 6) }, {}, ShapeError, /kh and kw > 0/],
    ];
    const { used } = rt.memory();
    for (const [op, inputs, options, error, message] of wrong) {
      assert.throws(
        () => op(inputs, options),
        (thrown) => thrown instanceof error && message.test(thrown.message),
        String(message),
      );
      assert.equal(rt.memory().used, used, String(message));
    }
  });
});

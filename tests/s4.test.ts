import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { explain } from '../src/explain.ts';
import {
  createRuntime,
  DTypeError,
  dss,
  dssStep,
  dssSync,
  fftConv,
  fftConvSync,
  OptionError,
  ShapeError,
  s4,
  s4d,
  s4dStep,
  s4dSync,
  s4dTable,
  s4Kernel,
  s4KernelSync,
  s4Sync,
  type Tensor,
} from '../src/index.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { call } from './call.ts';
import { property, sometimes } from './property.ts';
import { fftConv as fftReference, s4 as s4Reference, storedC } from './reference/s4.ts';
import { dss as dssReference, s4d as s4dReference } from './reference/s4d.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, ints, normal, randomFrom } from './samples.ts';
import { rowsOf } from './streaming.ts';

const runtimes = await variants();
const [rt = assert.fail('no runtime')] = runtimes;
after(() => {
  for (const each of runtimes) each.dispose();
});

const MODES = ['recurrent', 'convolution', 'auto'] as const;

const shapes = fc
  .record({
    seed: fc.nat(),
    batch: fc.integer({ min: 1, max: 3 }),
    t: fc.constantFrom(0, 1, 2, 8, 9, 63, 64, 65, 130, 200),
    h: fc.constantFrom(1, 2, 3, 4, 5, 18, 33),
    n: fc.constantFrom(1, 2, 3, 4, 5, 8, 9, 16, 31),
    skip: fc.boolean(),
    state: fc.boolean(),
  })
  .filter(({ batch, t, h, n }) => batch * t * h * n < 1e5);

/** Eigenvalues as S4D starts with them, -1/2 + i pi n, times `strength`, and steps from 0.001 to 0.1. */
function system(random: () => number, h: number, n: number, strength = 1) {
  return {
    AReal: floats([h, n], () => -0.5 * strength * (0.5 + random())),
    AImag: floats([h, n], (i) => Math.PI * (i % n) * (0.9 + 0.2 * random())),
    C: normal(random, [h, n, 2], n ** -0.5),
    logDt: floats([h], () => Math.log(0.001) + random() * Math.log(100)),
  };
}

function samples(
  {
    seed,
    batch,
    t,
    h,
    n,
    skip,
    state,
  }: { seed: number; batch: number; t: number; h: number; n: number; skip: boolean; state: boolean },
  strength = 1,
) {
  const random = randomFrom(seed);
  return {
    u: normal(random, [batch, t, h]),
    ...system(random, h, n, strength),
    ...(skip && { D: normal(random, [h]) }),
    ...(state && { initialState: normal(random, [batch, h, n, 2]) }),
  };
}

test('s4d: recurrence and convolution, from slow decays to e^-30 a step', () =>
  property(
    fc.record({
      shape: shapes,
      strength: fc.constantFrom(1, 1, 0.01, 30, 1000, 60000),
      discretization: fc.constantFrom('zoh', 'zoh', 'bilinear') as fc.Arbitrary<'zoh' | 'bilinear'>,
    }),
    60,
    async ({ shape, strength, discretization }) => {
      const inputs = samples(shape, strength);
      const wanted = expected((round) => s4dReference(inputs, { discretization }, round));
      for (const rt of runtimes)
        for (const mode of MODES) {
          const got = await call(rt, s4d, inputs, { discretization, mode });
          assertAccurate(got, wanted, `${rt.variant} ${mode}`);
        }
    },
  ));

test('s4d: eigenvalues and steps of 0, large inputs, long sequences', async () => {
  const random = randomFrom(61);
  for (const [t, size] of [
    [40, 1],
    [40, 1e4],
    [3000, 1],
  ] as const) {
    const own = system(random, 5, 6);
    own.AReal.data.fill(0, 0, 12);
    own.AImag.data.fill(0, 0, 7);
    own.logDt.data[2] = -200;
    const inputs = { u: normal(random, [1, t, 5], size), ...own, initialState: normal(random, [1, 5, 6, 2]) };
    const wanted = expected((round) => s4dReference(inputs, {}, round));
    for (const each of runtimes)
      for (const mode of MODES)
        assertAccurate(await call(each, s4d, inputs, { mode }), wanted, `${each.variant} ${mode} ${t} ${size}`);
  }
});

test('s4d and fftConv of a part of many channels', async () => {
  const random = randomFrom(69);
  const [h, first, wide] = [130, 3, 137];
  for (const t of [5, 70]) {
    const whole = normal(random, [2, t, wide]);
    const u = floats([2, t, h], (n) => whole.data[Math.floor(n / h) * wide + first + (n % h)]!);
    const own = { ...system(random, h, 3), D: normal(random, [h]) };
    const kernel = normal(random, [h, 20], 0.2);
    const wanted = expected((round) => s4dReference({ ...own, u }, {}, round));
    const long = expected((round) => fftReference({ u, kernel, D: own.D }, {}, round));
    for (const each of runtimes) {
      await each.scope(async () => {
        const view = each.tensor(whole.data, whole.shape).slice(2, first, first + h);
        for (const mode of MODES)
          assertAccurate(await call(each, s4d, { ...own, u: view }, { mode }), wanted, `${each.variant} ${mode}`);
        assertAccurate(await call(each, fftConv, { u: view, kernel, D: own.D }), long, `${each.variant} fftConv`);
      });
    }
  }
});

test('s4d of packed sequences, empty ones too', async () => {
  const random = randomFrom(62);
  const bounds = [0, 0, 1, 10, 85, 85, 130];
  const inputs = {
    u: normal(random, [1, 130, 18]),
    ...system(random, 18, 7),
    D: normal(random, [18]),
    initialState: normal(random, [bounds.length - 1, 18, 7, 2]),
    cuSeqlens: ints(bounds),
  };
  const wanted = expected((round) => s4dReference(inputs, {}, round));
  for (const each of runtimes) assertAccurate(await call(each, s4d, inputs), wanted, each.variant);
});

test('s4d and dss in two calls, and in steps, with the state carried over', () =>
  property(
    fc.record({
      shape: shapes.filter(({ t }) => t <= 65),
      cut: fc.double({ min: 0, max: 1, noNaN: true }),
      modes: fc.tuple(fc.constantFrom(...MODES), fc.constantFrom(...MODES)),
      softmax: fc.boolean(),
    }),
    25,
    async ({ shape, cut, modes, softmax }) => {
      const { batch, t, h, n } = shape;
      const inputs = samples({ ...shape, state: true });
      const at = Math.floor(cut * t);
      const variant = softmax ? 'softmax' : 'exp';
      for (const each of runtimes) {
        for (const [op, stepOp, options, reference] of [
          [s4d, s4dStep, {}, s4dReference],
          [dss, dssStep, { variant, length: 65 }, dssReference],
        ] as const) {
          const wanted = expected((round) => reference(inputs, options as never, round));
          const what = `${each.variant} ${op.name}`;
          const { u, initialState, ...others } = inputs;
          const first = await call(
            each,
            op,
            { ...others, u: rowsOf(u, 0, at), initialState },
            { ...options, mode: modes[0] },
          );
          const second = await call(
            each,
            op,
            { ...others, u: rowsOf(u, at, t), initialState: first.finalState as FloatSample },
            { ...options, mode: modes[1] },
          );
          assertNear(first.o, rowsOf(wanted.want.o, 0, at), wanted.limit.o, `${what}: before ${at}`);
          assertNear(second.o, rowsOf(wanted.want.o, at, t), wanted.limit.o, `${what}: behind ${at}`);
          assertNear(second.finalState, wanted.want.finalState, wanted.limit.finalState, `${what}: state`);
          each.scope(() => {
            const parameters = Object.fromEntries(
              Object.entries(others).map(([name, { data, shape }]) => [name, each.tensor(data, shape)]),
            );
            const state = each.tensor(initialState!.data, [batch, h, n, 2]);
            const o = each.empty([batch, h]);
            const steps = Array.from({ length: t }, (_, i) => each.tensor(rowsOf(u, i, i + 1).data, [batch, h]));
            const { blocks } = each.memory();
            for (const [i, row] of steps.entries()) {
              each.poison();
              const result = stepOp({ u: row, state, o, ...parameters } as never, options as never);
              assert.equal(result.o, o);
              const got = { shape: [batch, 1, h], data: o.dataSync() };
              assertNear(got, rowsOf(wanted.want.o, i, i + 1), wanted.limit.o, `${what}: step ${i}`);
            }
            assert.ok(each.memory().blocks <= blocks + 1);
            const last = { shape: state.shape, data: state.dataSync() };
            assertNear(last, wanted.want.finalState, wanted.limit.finalState, `${what}: stepped state`);
          });
        }
      }
    },
  ));

test('s4dStep takes a table in place of the parameters, to the same bits', () => {
  const random = randomFrom(63);
  const own = system(random, 7, 5);
  for (const each of runtimes) {
    each.scope(() => {
      const [AReal, AImag, C, logDt] = [own.AReal, own.AImag, own.C, own.logDt].map(({ data, shape }) =>
        each.tensor(data, shape),
      ) as [Tensor, Tensor, Tensor, Tensor];
      const parameters = { AReal, AImag, C, logDt };
      const u = each.tensor(normal(random, [2, 7]).data, [2, 7]);
      const initial = normal(random, [2, 7, 5, 2]);
      const [one, two] = [0, 1].map(() => each.tensor(initial.data, initial.shape)) as [Tensor, Tensor];
      const { table } = s4dTable(parameters, { discretization: 'bilinear' });
      const a = s4dStep({ u, table, state: one });
      const b = s4dStep({ u, ...parameters, state: two }, { discretization: 'bilinear' });
      assert.deepEqual(a.o.dataSync(), b.o.dataSync());
      assert.deepEqual(one.dataSync(), two.dataSync());
    });
  }
});

test('dss: both variants, growing states too', () =>
  property(
    fc.record({
      shape: shapes.filter(({ t }) => t > 0),
      softmax: fc.boolean(),
      growing: fc.boolean(),
      more: sometimes(fc.integer({ min: 0, max: 70 })),
    }),
    40,
    async ({ shape, softmax, growing, more }) => {
      const inputs = samples(shape);
      if (growing) for (let i = 0; i < inputs.AReal.data.length; i += 2) inputs.AReal.data[i]! *= -1;
      const options = {
        variant: softmax ? ('softmax' as const) : ('exp' as const),
        ...(more !== undefined && { length: shape.t + more }),
      };
      const wanted = expected((round) => dssReference(inputs, options, round));
      for (const each of runtimes)
        for (const mode of MODES)
          assertAccurate(await call(each, dss, inputs, { ...options, mode }), wanted, `${each.variant} ${mode}`);
    },
  ));

test('dss: states that grow out of all proportion are normalised, too', async () => {
  const random = randomFrom(68);
  const own = system(random, 3, 3);
  own.AReal.data.set([0.99, 0.5, 0.1, -2.3, 0.9, 0.7]);
  own.logDt.data.fill(0);
  const inputs = { u: normal(random, [2, 90, 3]), ...own };
  for (const length of [90, 128]) {
    const options = { variant: 'softmax', length } as const;
    const wanted = expected((round) => dssReference(inputs, options, round));
    for (const each of runtimes) {
      assertAccurate(await call(each, dss, inputs, options), wanted, `${each.variant} ${length}`);
      await assert.rejects(() => call(each, dss, inputs, { ...options, mode: 'recurrent' }), OptionError);
    }
  }
});

test('dss: a softmax kernel of one state adds up to its weight', async () => {
  const [h, t] = [3, 50];
  const random = randomFrom(64);
  const own = system(random, h, 1);
  own.AImag.data.fill(0.3);
  const u = floats([1, t, h], (n) => (n < h ? 1 : 0));
  for (const each of runtimes) {
    const { o } = await call(each, dss, { ...own, u }, { variant: 'softmax', eps: 0 });
    const sums = floats([h], (c) => {
      let sum = 0;
      for (let i = 0; i < t; i++) sum += o.data[i * h + c]!;
      return sum;
    });
    // C / A is the weight of the softmax
    const weights = floats([h], (c) => {
      const [re, im] = [own.AReal.data[c]!, own.AImag.data[c]!];
      return (own.C.data[2 * c]! * re + own.C.data[2 * c + 1]! * im) / (re * re + im * im);
    });
    assertNear(sums, weights, 2e-5, each.variant);
  }
});

test('s4d chooses by the shapes, and has the same bits on two threads', async () => {
  const two = await createRuntime({ threads: 2, variant: rt.variant });
  try {
    await two.ready();
    for (const [batch, n, steps] of [
      [2, 16, ['diagonalTable', 'diagonalScan']],
      [4, 128, ['diagonalKernel', 'fftConv', 'diagonalState']],
    ] as const) {
      const random = randomFrom(67);
      const inputs = { u: normal(random, [batch, 1030, 24]), ...system(random, 24, n) };
      const [one, other] = [await call(rt, s4d, inputs), await call(two, s4d, inputs)];
      assertSameBits(other.o, one.o, 'o');
      assertSameBits(other.finalState, one.finalState, 'finalState');
      rt.scope(() => {
        const given = Object.fromEntries(
          Object.entries(inputs).map(([name, { data, shape }]) => [name, rt.tensor(data, shape)]),
        );
        assert.deepEqual(
          explain('s4d', given).steps.map(({ kernel }) => kernel),
          steps,
        );
      });
    }
  } finally {
    two.dispose();
  }
});

test('fftConv is the direct sum', () =>
  property(
    fc.record({
      seed: fc.nat(),
      batch: fc.integer({ min: 1, max: 3 }),
      t: fc.constantFrom(0, 1, 2, 3, 4, 5, 8, 16, 31, 63, 64, 65, 130, 255, 257, 600),
      h: fc.constantFrom(1, 2, 3, 4, 5, 7, 9),
      taps: fc.constantFrom(0, 1, 2, 3, 17, 64, 130, 257),
      skip: fc.boolean(),
    }),
    80,
    async ({ seed, batch, t, h, taps, skip }) => {
      const random = randomFrom(seed);
      const inputs = {
        u: normal(random, [batch, t, h]),
        kernel: normal(random, [h, taps], Math.max(1, taps) ** -0.5),
        ...(skip && { D: normal(random, [h]) }),
      };
      const wanted = expected((round) => fftReference(inputs, {}, round));
      for (const each of runtimes) assertAccurate(await call(each, fftConv, inputs), wanted, each.variant);
    },
  ));

test('fftConv of impulses copies the kernels exactly where they go', async () => {
  const [h, t] = [6, 1500];
  const random = randomFrom(65);
  const kernel = normal(random, [h, t]);
  const u = floats([1, t, h], (n) => (Math.floor(n / h) === 7 * (n % h) ? 1 : 0));
  const want = floats([1, t, h], (n) => {
    const l = Math.floor(n / h) - 7 * (n % h);
    return l < 0 ? 0 : kernel.data[(n % h) * t + l]!;
  });
  for (const each of runtimes) assertNear((await call(each, fftConv, { u, kernel })).o, want, 3e-6, each.variant);
});

test('s4 is the dense recurrence, for lengths that are powers of two and others', () =>
  property(
    fc.record({
      seed: fc.nat(),
      batch: fc.integer({ min: 1, max: 2 }),
      t: fc.constantFrom(1, 2, 4, 8, 31, 64),
      length: sometimes(fc.constantFrom(1, 2, 3, 5, 16, 33, 64, 100)),
      h: fc.constantFrom(1, 2, 4, 5),
      n: fc.constantFrom(1, 2, 3, 8),
      skip: fc.boolean(),
      strength: fc.constantFrom(1, 1, 20),
    }),
    40,
    async ({ seed, batch, t, length, h, n, skip, strength }) => {
      const random = randomFrom(seed);
      const inputs = {
        u: normal(random, [batch, t, h]),
        ...system(random, h, n, strength),
        P: normal(random, [h, n, 2], 0.7),
        B: normal(random, [h, n, 2]),
        ...(skip && { D: normal(random, [h]) }),
      };
      const options = length === undefined ? {} : { length };
      const wanted = expected((round) => s4Reference(inputs, options, round));
      const stored = { ...inputs, C: floats([h, n, 2], (i) => storedC(inputs, length ?? t).data[i]!) };
      const { u, D, ...parameters } = stored;
      for (const each of runtimes) {
        assertAccurate(await call(each, s4, stored, options), wanted, each.variant);
        const { kernel } = await call(each, (given: never) => s4Kernel(given, { length: length ?? t }), parameters);
        const inputs = { u, kernel: kernel as FloatSample, ...(D && { D }) };
        assertAccurate(await call(each, fftConv, inputs), wanted, `${each.variant}: kernel apart`);
      }
    },
  ));

test('s4 without its low-rank part is s4d, bilinear', async () => {
  const random = randomFrom(66);
  const [h, n, t] = [5, 8, 512];
  const { C, ...own } = system(random, h, n);
  const inputs = { u: normal(random, [2, t, h]), ...own };
  const zero = floats([h, n, 2], () => 0);
  const B = floats([h, n, 2], (i) => (i % 2 === 0 ? 1 : 0));
  const stored = floats([h, n, 2], (i) => {
    // C (1 - a^t), a of the bilinear rule
    const at = Math.floor(i / 2);
    const dt = Math.exp(own.logDt.data[Math.floor(at / n)]!);
    const [x, y] = [0.5 * dt * own.AReal.data[at]!, 0.5 * dt * own.AImag.data[at]!];
    const size = (((1 + x) ** 2 + y ** 2) / ((1 - x) ** 2 + y ** 2)) ** (t / 2);
    const angle = t * (Math.atan2(y, 1 + x) + Math.atan2(y, 1 - x));
    const [re, im] = [1 - size * Math.cos(angle), -size * Math.sin(angle)];
    const [cr, ci] = [C.data[2 * at]!, C.data[2 * at + 1]!];
    return i % 2 === 0 ? cr * re - ci * im : cr * im + ci * re;
  });
  for (const each of runtimes) {
    const diagonal = await call(each, s4d, { ...inputs, C }, { discretization: 'bilinear' });
    const nplr = await call(each, s4, { ...inputs, C: stored, P: zero, B });
    assertNear(nplr.o, diagonal.o, 2e-5, each.variant);
  }
});

// biome-ignore lint/suspicious/noExplicitAny: the inputs are wrong on purpose
type AnyOp = (inputs: any, options: any) => unknown;

test('wrong calls are named errors and leave nothing behind', () => {
  const f32 = (...shape: number[]): Tensor => rt.zeros(shape);
  rt.scope(() => {
    const u = f32(2, 5, 6);
    const own = { AReal: f32(6, 3), AImag: f32(6, 3), C: f32(6, 3, 2), logDt: f32(6) };
    const inputs = { u, ...own };
    const nplr = { ...inputs, P: f32(6, 3, 2), B: f32(6, 3, 2) };
    const step = { ...own, u: f32(2, 6), state: f32(2, 6, 3, 2) };
    const one = { u: f32(1, 5, 6), ...own, cuSeqlens: rt.tensor(Int32Array.of(0, 2, 5), [3]) };
    const wrong: [AnyOp, object, object, abstract new (...args: never[]) => Error, RegExp][] = [
      [s4dSync, { ...inputs, C: undefined }, {}, ShapeError, /C is missing/],
      [s4dSync, { ...inputs, AImag: f32(6, 4) }, {}, ShapeError, /AImag/],
      [s4dSync, { ...inputs, AReal: f32(5, 3) }, {}, ShapeError, /AReal/],
      [s4dSync, { ...inputs, u: rt.zeros([2, 5, 6], 'i32') }, {}, DTypeError, /u is i32/],
      [s4dSync, { ...inputs, initialState: f32(1, 6, 3, 2) }, {}, ShapeError, /initialState/],
      [s4dSync, inputs, { discretization: 'euler' }, OptionError, /euler/],
      [s4dSync, inputs, { mode: 'fft' }, OptionError, /fft/],
      [s4dSync, one, { mode: 'convolution' }, OptionError, /cuSeqlens/],
      [s4dSync, inputs, { variant: 'exp' }, OptionError, /no option 'variant'/],
      [s4dStep, { ...step, state: f32(2, 6, 4, 2) }, {}, ShapeError, /initialState has shape/],
      [s4dStep, { ...step, o: f32(2, 5) }, {}, ShapeError, /o has shape/],
      [s4dStep, { u: step.u, state: step.state }, {}, ShapeError, /AReal is missing/],
      [s4dStep, { u: step.u, state: step.state, table: f32(6, 2, 8, 4) }, {}, ShapeError, /table/],
      [dssSync, inputs, { variant: 'max' }, OptionError, /max/],
      [dssSync, inputs, { variant: 'softmax', length: 0 }, OptionError, /length/],
      [dssSync, inputs, { eps: -1 }, OptionError, /eps/],
      [s4dStep, { ...step, table: f32(6, 1, 8, 4) }, {}, OptionError, /no input 'AReal'/],
      [dssStep, step, { variant: 'softmax' }, OptionError, /length is missing/],
      [dssStep, step, { variant: 'softmax', mode: 'convolution' }, OptionError, /mode/],
      [dssStep, { u: step.u, state: step.state, table: f32(6, 1, 8, 4) }, {}, OptionError, /no input 'table'/],
      [fftConvSync, { u, kernel: f32(5, 4) }, {}, ShapeError, /kernel/],
      [fftConvSync, { u, kernel: f32(6, 4), D: f32(5) }, {}, ShapeError, /D has shape/],
      [fftConvSync, { u, kernel: f32(6, 4) }, { mode: 1 }, OptionError, /mode/],
      [s4Sync, { ...nplr, P: f32(6, 2, 2) }, {}, ShapeError, /P has shape/],
      [s4Sync, { ...nplr, B: undefined }, {}, ShapeError, /B is missing/],
      [s4Sync, nplr, { length: 0 }, OptionError, /length/],
      [s4KernelSync, { ...own, P: nplr.P, B: nplr.B }, {}, OptionError, /length is missing/],
      [s4KernelSync, { ...own, P: nplr.P, B: f32(5, 3, 2) }, { length: 8 }, ShapeError, /B has shape/],
    ];
    const { used } = rt.memory();
    for (const [op, given, options, error, message] of wrong) {
      assert.throws(
        () => op(given, options),
        (thrown) => thrown instanceof error && message.test(thrown.message),
        String(message),
      );
      assert.equal(rt.memory().used, used, String(message));
    }
  });
});

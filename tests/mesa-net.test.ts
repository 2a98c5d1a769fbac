import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { explain } from '../src/explain.ts';
import { DTypeError, mesaNet, mesaNetStep, mesaNetSync, OptionError, ShapeError, type Tensor } from '../src/index.ts';
import { assertAccurate, assertNear, assertSameBits, expected, maxError } from './accuracy.ts';
import { call } from './call.ts';
import { property } from './property.ts';
import { conjugateGradients, type MesaOperands, mesaNet as reference } from './reference/mesa-net.ts';
import type { Round } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, ints, mapped, normal, randomFrom, roundToBfloat, roundToHalf } from './samples.ts';

const runtimes = await variants();
/** The same variants with more threads. */
const teams = await Promise.all([2, 3].map(variants));
after(() => {
  for (const rt of [...runtimes, ...teams.flat()]) rt.dispose();
});

/** x [..., D] with rows of length 1. */
function unit(x: FloatSample): FloatSample {
  const d = x.shape.at(-1)!;
  const length = (n: number) => Math.hypot(...x.data.subarray(Math.floor(n / d) * d, Math.floor(n / d) * d + d)) || 1;
  return floats(x.shape, (n) => x.data[n]! / length(n));
}

interface Shape {
  seed: number;
  batch: number;
  t: number;
  h: number;
  k: number;
  v: number;
}

/** Unit queries and keys, gates from 0 to -`gate`, lamb from 0.5 to 1.5. */
function operands({ seed, batch, t, h, k, v }: Shape, gate = 0.1) {
  const random = randomFrom(seed);
  return {
    q: unit(normal(random, [batch, t, h, k])),
    k: unit(normal(random, [batch, t, h, k])),
    v: normal(random, [batch, t, h, v]),
    g: floats([batch, t, h], () => -gate * random()),
    beta: floats([batch, t, h], () => random()),
    lamb: floats([h, k], () => 0.5 + random()),
  };
}

/** States as a sequence leaves them: symmetric, positive. */
function states(seed: number, n: number, h: number, k: number, v: number) {
  const random = randomFrom(seed);
  const rows = normal(random, [n, h, k, k], k ** -0.5);
  const product = (matrix: number, i: number, j: number) => {
    let sum = 0;
    for (let c = 0; c < k; c++) sum += rows.data[(matrix * k + i) * k + c]! * rows.data[(matrix * k + j) * k + c]!;
    return sum;
  };
  return {
    initialHKk: floats([n, h, k, k], (at) => {
      const [i, j] = [Math.floor(at / k) % k, at % k];
      return product(Math.floor(at / (k * k)), Math.min(i, j), Math.max(i, j));
    }),
    initialHKv: normal(random, [n, h, k, v]),
  };
}

/** Naive float32 versions may solve the systems by either way. */
function wantedOf(inputs: MesaOperands, solver = conjugateGradients(60, 1e-7)) {
  return expected((round) => reference(inputs, {}, round), [(round: Round) => reference(inputs, { solver }, round)]);
}

const shapes = fc
  .record({
    seed: fc.nat(),
    batch: fc.integer({ min: 1, max: 2 }),
    t: fc.constantFrom(1, 2, 23, 24, 25, 65, 0),
    h: fc.integer({ min: 1, max: 2 }),
    k: fc.constantFrom(1, 3, 8, 18, 32),
    v: fc.constantFrom(1, 3, 8, 20, 64),
  })
  .filter(({ batch, t, h, k }) => batch * h * t * k ** 3 < 3e6);

test('one head of 64', async () => {
  const inputs = operands({ seed: 1, batch: 1, t: 50, h: 1, k: 64, v: 64 });
  const wanted = wantedOf(inputs);
  for (const rt of runtimes) assertAccurate(await call(rt, mesaNet, inputs), wanted, rt.variant);
});

test('the widest heads', async () => {
  const inputs = operands({ seed: 2, batch: 1, t: 26, h: 1, k: 256, v: 200 });
  const wanted = wantedOf(inputs);
  for (const rt of runtimes) assertAccurate(await call(rt, mesaNet, inputs), wanted, rt.variant);
});

test('random shapes, gates and states', () =>
  property(
    fc.record({
      shape: shapes,
      gate: fc.constantFrom(0, 0.01, 1, 50),
      initial: fc.boolean(),
      gates: fc.boolean(),
    }),
    40,
    async ({ shape, gate, initial, gates }) => {
      const { seed, batch, h, k, v } = shape;
      const { g, ...rest } = operands(shape, gate);
      const inputs = { ...rest, ...(gates && { g }), ...(initial && states(seed, batch, h, k, v)) };
      const wanted = wantedOf(inputs);
      for (const rt of runtimes)
        assertAccurate(await call(rt, mesaNet, inputs, { maxIterations: 60 }), wanted, rt.variant);
    },
  ));

test('a state carried across splits at any token, and packed sequences', () =>
  property(
    fc.record({ seed: fc.nat(), cuts: fc.array(fc.integer({ min: 0, max: 70 }), { minLength: 1, maxLength: 3 }) }),
    12,
    async ({ seed, cuts }) => {
      const inputs = operands({ seed, batch: 1, t: 70, h: 2, k: 10, v: 7 }, 0.5);
      const bounds = [0, ...cuts.sort((a, b) => a - b), 70];
      const { lamb, ...tokens } = inputs;
      const wanted = wantedOf(inputs);
      const cuSeqlens = ints(bounds);
      const packed = { ...inputs, cuSeqlens };
      const wantedPacked = wantedOf(packed);
      for (const rt of runtimes) {
        assertAccurate(await call(rt, mesaNet, packed), wantedPacked, `${rt.variant}: [${bounds}] packed`);
        const parts: number[] = [];
        let carried: Partial<Awaited<ReturnType<typeof call>>> = {};
        let last: { hKk: FloatSample; hKv: FloatSample } | undefined;
        for (let n = 1; n < bounds.length; n++) {
          const [from, to] = [bounds[n - 1]!, bounds[n]!];
          const part = Object.fromEntries(
            Object.entries(tokens).map(([name, x]) => {
              const row = x.data.length / 70;
              return [name, { shape: [1, to - from, ...x.shape.slice(2)], data: x.data.slice(from * row, to * row) }];
            }),
          );
          const got = await call(rt, mesaNet, { ...part, lamb, ...carried });
          parts.push(...Array.from(got.o.data));
          last = got as unknown as typeof last;
          carried = { initialHKk: last!.hKk, initialHKv: last!.hKv } as never;
        }
        const o = { shape: inputs.v.shape, data: parts };
        assertAccurate({ o, hKk: last!.hKk, hKv: last!.hKv }, wanted, `${rt.variant}: [${bounds}]`);
      }
    },
  ));

test('steps continue a prefill, allocate nothing and end where the sequence does', async () => {
  const t = 30;
  const inputs = operands({ seed: 5, batch: 2, t, h: 2, k: 18, v: 9 });
  const wanted = wantedOf(inputs, conjugateGradients(60, 1e-7, true));
  for (const rt of runtimes) {
    rt.scope(() => {
      const token = (x: FloatSample, n: number) => {
        const row = x.shape.slice(2).reduce((a, b) => a * b, 1);
        return rt.tensor(
          Float32Array.from({ length: 2 * row }, (_, i) => x.data[(Math.floor(i / row) * t + n) * row + (i % row)]!),
          [2, ...x.shape.slice(2)],
        );
      };
      const lamb = rt.tensor(inputs.lamb.data, inputs.lamb.shape);
      const [hKk, hKv, o] = [
        rt.tensor(new Float32Array(2 * 2 * 18 * 18), [2, 2, 18, 18]),
        rt.tensor(new Float32Array(2 * 2 * 18 * 9), [2, 2, 18, 9]),
        rt.empty([2, 2, 9]),
      ];
      const outputs = new Float64Array(2 * t * 18);
      for (let n = 0; n < t; n++) {
        const { q, k, v, g, beta } = inputs;
        const now = { q: token(q, n), k: token(k, n), v: token(v, n), g: token(g, n), beta: token(beta, n) };
        const { used } = rt.memory();
        mesaNetStep({ ...now, lamb, hKk, hKv, o });
        if (n > 0) assert.equal(rt.memory().used, used, 'memory of a step');
        o.dataSync().forEach((x, i) => {
          outputs[(Math.floor(i / 18) * t + n) * 18 + (i % 18)] = x;
        });
      }
      const got = {
        o: { shape: inputs.v.shape, data: outputs },
        hKk: { shape: hKk.shape, data: hKk.dataSync() },
        hKv: { shape: hKv.shape, data: hKv.dataSync() },
      };
      assertAccurate(got, wanted, rt.variant);
    });
  }
});

test('long sequences of few heads go in segments, with the same result', async () => {
  const inputs = operands({ seed: 6, batch: 1, t: 900, h: 1, k: 10, v: 6 }, 0.02);
  const wanted = wantedOf(inputs);
  for (const rt of runtimes) {
    assertAccurate(await call(rt, mesaNet, inputs), wanted, rt.variant);
    rt.scope(() => {
      const tensors = Object.fromEntries(Object.entries(inputs).map(([name, x]) => [name, rt.tensor(x.data, x.shape)]));
      const { steps } = explain('mesaNet', tensors, {});
      assert.deepEqual(
        steps.map(({ kernel, items }) => [kernel, items]),
        [
          ['mesaStates', 1],
          ['mesa', 3],
        ],
      );
    });
  }
});

test('gates of -Infinity forget everything, and states that fade vanish', async () => {
  const shape = { seed: 7, batch: 1, t: 60, h: 1, k: 8, v: 5 };
  for (const [what, gate] of [
    ['-Infinity at 30', (n: number) => (n === 30 ? Number.NEGATIVE_INFINITY : -0.1)],
    ['-1000 at 30', (n: number) => (n === 30 ? -1000 : -0.1)],
    ['-5 everywhere', () => -5],
    ['-60 everywhere', () => -60],
  ] as const) {
    const inputs = { ...operands(shape), g: floats([1, 60, 1], gate), ...states(8, 1, 1, 8, 5) };
    const wanted = wantedOf(inputs);
    for (const rt of runtimes) assertAccurate(await call(rt, mesaNet, inputs), wanted, `${rt.variant}: ${what}`);
  }
});

test('queries of any size give outputs of that size; a zero gives zeros, and what is not finite shows in its row only', async () => {
  const inputs = operands({ seed: 9, batch: 1, t: 26, h: 1, k: 12, v: 4 });
  const right = reference(inputs).o;
  for (const rt of runtimes) {
    for (const size of [1e-30, 1e-12, 1e12, 1e30]) {
      const { o } = await call(rt, mesaNet, { ...inputs, q: mapped(inputs.q, (x) => x * size) });
      assertNear({ shape: o.shape, data: Array.from(o.data, (x) => x / size) }, right, 2e-6, `${rt.variant}: ${size}`);
    }
    for (const wrong of [0, Number.NaN, Number.POSITIVE_INFINITY]) {
      const q = floats(inputs.q.shape, (n) => (Math.floor(n / 12) === 7 ? wrong : inputs.q.data[n]!));
      const { o } = await call(rt, mesaNet, { ...inputs, q });
      for (let n = 0; n < o.data.length; n++) {
        if (Math.floor(n / 4) !== 7) assert.ok(Math.abs(o.data[n]! - right.data[n]!) < 2e-6, `${rt.variant}: ${wrong}`);
        else if (wrong === 0) assert.equal(o.data[n], 0, rt.variant);
        else assert.ok(!Number.isFinite(o.data[n]), `${rt.variant}: ${wrong} gives ${o.data[n]}`);
      }
    }
  }
});

test('fewer iterations are those of conjugate gradients from 0, and a tolerance ends them early', async () => {
  const inputs = { ...operands({ seed: 10, batch: 1, t: 30, h: 1, k: 16, v: 5 }), ...states(11, 1, 1, 16, 5) };
  const exact = reference(inputs).o;
  for (const rt of runtimes) {
    const errors: number[] = [];
    for (const maxIterations of [0, 1, 3, 6]) {
      const { o } = await call(rt, mesaNet, inputs, { maxIterations });
      const { o: want } = reference(inputs, { solver: conjugateGradients(maxIterations) });
      assertNear(o, want, 1e-5, `${rt.variant}: ${maxIterations} iterations`);
      errors.push(maxError(o, exact).error);
    }
    assert.ok(errors[0]! > 4 * errors[2]! && errors[2]! > 4 * errors[3]!, `${rt.variant}: errors ${errors}`);
    const { o: rough } = await call(rt, mesaNet, inputs, { tolerance: 1e-2 });
    const { o: want } = reference(inputs, { solver: conjugateGradients(30, 1e-2) });
    assertNear(rough, want, 1e-4, `${rt.variant}: tolerance`);
  }
});

test('a token does not feel what is solved beside it', async () => {
  const shape = { seed: 12, batch: 1, t: 24, h: 1, k: 16, v: 5 };
  const inputs = operands(shape);
  const q = floats(inputs.q.shape, (n) => (Math.floor(n / 16) === 3 ? inputs.q.data[n]! : 0));
  for (const rt of runtimes) {
    const together = await call(rt, mesaNet, inputs);
    const alone = await call(rt, mesaNet, { ...inputs, q });
    const third = ({ data }: { data: ArrayLike<number> }) => ({ shape: [5], data: Array.from(data).slice(15, 20) });
    assertSameBits(third(alone.o), third(together.o), rt.variant);
  }
});

test('16-bit storage', async () => {
  const { q, k, v, ...rest } = operands({ seed: 13, batch: 1, t: 40, h: 2, k: 20, v: 9 });
  for (const [dtype, nearest] of [
    ['f16', roundToHalf],
    ['bf16', roundToBfloat],
  ] as const) {
    const wanted = wantedOf({ q: mapped(q, nearest), k: mapped(k, nearest), v: mapped(v, nearest), ...rest });
    for (const rt of runtimes) {
      await rt.scope(async () => {
        const stored = Object.fromEntries(
          Object.entries({ q, k, v }).map(([n, x]) => [n, rt.tensor(x.data, x.shape, dtype)]),
        );
        assertAccurate(await call(rt, mesaNet, { ...stored, ...rest }), wanted, `${rt.variant}: ${dtype}`);
      });
    }
  }
});

test('the same bits for any number of threads, and from the sync twin', async () => {
  const inputs = operands({ seed: 15, batch: 1, t: 1000, h: 3, k: 16, v: 16 });
  for (const [n, one] of runtimes.entries()) {
    const alone = await call(one, mesaNet, inputs);
    const others = await Promise.all(teams.map((team) => call(team[n]!, mesaNet, inputs)));
    one.scope(() => {
      const tensors = Object.fromEntries(
        Object.entries(inputs).map(([name, x]) => [name, one.tensor(x.data, x.shape)]),
      );
      const sync = mesaNetSync(tensors as never);
      for (const name of ['o', 'hKk', 'hKv'] as const) {
        for (const other of others) assertSameBits(other[name], alone[name], `${one.variant}: threads: ${name}`);
        assertSameBits({ shape: sync[name].shape, data: sync[name].dataSync() }, alone[name], `sync: ${name}`);
      }
    });
  }
});

test('operands and options that do not fit are refused, and nothing stays behind', () => {
  const [rt = assert.fail()] = runtimes;
  rt.scope(() => {
    const x = (...shape: number[]): Tensor => rt.empty(shape);
    const right = { q: x(2, 4, 3, 6), k: x(2, 4, 3, 6), v: x(2, 4, 3, 5), beta: x(2, 4, 3), lamb: x(3, 6) };
    const wrong: [object, object, typeof ShapeError, RegExp][] = [
      [{ lamb: undefined }, {}, ShapeError, /lamb is missing/],
      [{ lamb: x(6, 3) }, {}, ShapeError, /lamb has shape \[6, 3\], expected .*H = 3/],
      [{ v: x(2, 4, 6, 5) }, {}, ShapeError, /v has shape/],
      [{ g: x(2, 4, 1) }, {}, ShapeError, /g has shape/],
      [{ initialHKk: x(2, 3, 6, 5) }, {}, ShapeError, /initialHKk has shape/],
      [{ initialHKv: x(1, 3, 6, 5) }, {}, ShapeError, /initialHKv has shape/],
      [{ v: x(2, 4, 3, 257) }, {}, ShapeError, /1 to 256/],
      [{ beta: rt.empty([2, 4, 3], 'i32') }, {}, DTypeError, /beta is i32, expected f32/],
      [{ cuSeqlens: rt.tensor(Int32Array.of(0, 4), [2]) }, {}, ShapeError, /cuSeqlens/],
      [{ mask: x(1) }, {}, OptionError, /no input 'mask'/],
      [{}, { maxIterations: 2.5 }, OptionError, /maxIterations is 2.5, expected a whole number/],
      [{}, { maxIterations: -1 }, OptionError, /maxIterations is -1/],
      [{}, { tolerance: Number.NaN }, OptionError, /tolerance is NaN/],
      [{}, { scale: 1 }, OptionError, /no option 'scale'/],
    ];
    for (const [inputs, options, error, says] of wrong) {
      const { used } = rt.memory();
      assert.throws(
        () => mesaNetSync({ ...right, ...inputs }, options as never),
        (thrown) => thrown instanceof error && says.test(thrown.message) && /^mesaNet/.test(thrown.message),
        String(says),
      );
      assert.equal(rt.memory().used, used, String(says));
    }
  });
});

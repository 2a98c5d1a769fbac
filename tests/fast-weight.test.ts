import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { OptionError, type Runtime, ShapeError, type Tensor } from '../src/index.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { type CallInputs, call } from './call.ts';
import { type FastMethod, fastMethods, type Lengths } from './fast-weight-methods.ts';
import { property } from './property.ts';
import { float64, type NdArray } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import {
  type FloatSample,
  floats,
  ints,
  normal,
  randomFrom,
  roundToBfloat,
  roundToHalf,
  type Sample,
} from './samples.ts';
import { cutsAt, joined, rowsOfAll, tokenOf } from './streaming.ts';

const runtimes = await variants();
const teams = await Promise.all([2, 4].map((threads) => variants(threads)));
after(() => {
  for (const rt of [...runtimes, ...teams.flat()]) rt.dispose();
});

const shapesOf = (method: FastMethod, most = 4e5) =>
  fc
    .record({
      seed: fc.nat(),
      b: fc.integer({ min: 1, max: 2 }),
      t: fc.constantFrom(0, 1, 2, 7, 16, 17, 48, 63, 65, 130, 170),
      h: fc.integer({ min: 1, max: 2 }),
      d: fc.constantFrom(1, 3, 8, 18, 33, 64, 80),
      c: fc.constantFrom(1, 2, 5, 16, 16, 16, 33, 64, 100),
      m: fc.constantFrom(1, 7, 20, 64),
    })
    .filter((lengths) => lengths.b * lengths.t * lengths.h * method.work(lengths) < most);

type Shape = Lengths & { seed: number };

function sample(method: FastMethod, { seed, ...lengths }: Shape) {
  const random = randomFrom(seed);
  return {
    tokens: method.tokens(random, lengths),
    constants: method.constants(random, lengths),
    initial: method.initial(random, lengths),
    options: method.options(lengths),
  };
}

function wantedOf(method: FastMethod, inputs: object, options: object) {
  return expected(
    (round) => method.reference(inputs, options, round),
    method.forms.map((form) => (round) => form(inputs, options, round)),
  );
}

const given = (x: NdArray): Sample => ({
  shape: x.shape,
  data: x.data instanceof Int32Array ? Int32Array.from(x.data) : Float32Array.from(x.data),
});

for (const method of fastMethods) {
  test(`${method.label}: random shapes`, () =>
    property(shapesOf(method), 25, async (shape) => {
      const { tokens, constants, initial, options } = sample(method, shape);
      const inputs = { ...tokens, ...constants, ...initial };
      const wanted = wantedOf(method, inputs, options);
      for (const rt of runtimes) assertAccurate(await call(rt, method.op, inputs, options), wanted, rt.variant);
    }));

  test(`${method.label}: a sequence in parts, its states passed on, wherever it is cut`, () =>
    property(
      fc.record({
        shape: shapesOf(method, 2e5),
        cuts: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 4 }),
      }),
      15,
      async ({ shape, cuts }) => {
        const { tokens, constants, initial, options } = sample(method, shape);
        const wanted = wantedOf(method, { ...tokens, ...constants, ...initial }, options);
        const at = cutsAt(cuts, shape.t);
        for (const rt of runtimes) {
          let states: CallInputs = initial;
          const parts: NdArray[] = [];
          let last: Record<string, NdArray> = {};
          for (let i = 0; i + 1 < at.length; i++) {
            last = await call(
              rt,
              method.op,
              { ...rowsOfAll(tokens, at[i]!, at[i + 1]!), ...constants, ...states },
              options,
            );
            parts.push(last.o!);
            states = Object.fromEntries(method.states.map((state) => [state.initial, given(last[state.final]!)]));
          }
          assertAccurate({ ...last, o: joined(parts) }, wanted, `${rt.variant} at ${at}`);
        }
      },
    ));

  test(`${method.label}: token by token after a prefill`, () =>
    property(
      fc.record({ shape: shapesOf(method, 6e4), from: fc.constantFrom(0, 0, 0.3, 0.9) }),
      10,
      async ({ shape, from }) => {
        const { tokens, constants, initial, options } = sample(method, shape);
        const wanted = wantedOf(method, { ...tokens, ...constants, ...initial }, options);
        const prefix = Math.floor(from * shape.t);
        for (const rt of runtimes) {
          await rt.scope(async () => {
            const first = await call(
              rt,
              method.op,
              { ...rowsOfAll(tokens, 0, prefix), ...constants, ...initial },
              options,
            );
            const on = (x: Sample) => rt.tensor(x.data, x.shape);
            const fixed = Object.fromEntries(Object.entries(constants).map(([name, x]) => [name, on(x)]));
            const states = Object.fromEntries(
              method.states.map(({ step, final }) => [step, on(given((first as Record<string, NdArray>)[final]!))]),
            );
            const o = rt.empty([shape.b, shape.h, shape.d]);
            const parts: NdArray[] = [first.o!];
            for (let t = prefix; t < shape.t; t++) {
              const token = Object.fromEntries(Object.entries(tokenOf(tokens, t)).map(([name, x]) => [name, on(x)]));
              rt.poison();
              const { blocks } = rt.memory();
              method.step({ ...token, ...fixed, ...states, o }, options);
              if (t > prefix) assert.equal(rt.memory().blocks, blocks, 'a step leaves nothing behind');
              parts.push({ shape: [shape.b, 1, shape.h, shape.d], data: o.dataSync() });
              for (const tensor of Object.values(token)) tensor.dispose();
            }
            const got: Record<string, NdArray> = { o: joined(parts) };
            for (const { step, final } of method.states)
              got[final] = { shape: states[step]!.shape, data: states[step]!.dataSync() };
            assertAccurate(got, wanted, `${rt.variant} from ${prefix}`);
          });
        }
      },
    ));

  test(`${method.label}: packed sequences, empty ones too`, () =>
    property(
      fc.record({
        shape: shapesOf(method, 1e5),
        cuts: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 4 }),
      }),
      8,
      async ({ shape, cuts }) => {
        const at = cutsAt([...cuts, cuts[0]!], shape.t);
        const N = at.length - 1;
        const { tokens, constants, options } = sample(method, { ...shape, b: 1 });
        const { initial } = sample(method, { ...shape, b: N });
        const inputs = { ...tokens, ...constants, ...initial, cuSeqlens: ints(at) };
        const wanted = wantedOf(method, inputs, options);
        for (const rt of runtimes) assertAccurate(await call(rt, method.op, inputs, options), wanted, rt.variant);
      },
    ));

  test(`${method.label}: the same bits from one thread and from several, asynchronously and not`, async () => {
    const { tokens, constants, initial, options } = sample(method, { seed: 4, b: 2, t: 70, h: 3, d: 20, c: 16, m: 24 });
    const inputs = { ...tokens, ...constants, ...initial };
    for (const [i, rt] of runtimes.entries()) {
      const want = (await call(rt, method.op, inputs, options)) as Record<string, NdArray>;
      for (const team of teams) {
        for (const op of [method.op, async (x: object, y?: object) => method.sync(x, y)]) {
          const got = (await call(team[i]!, op, inputs, options)) as Record<string, NdArray>;
          for (const name in want) assertSameBits(got[name]!, want[name]!, `${rt.variant}: ${name}`);
        }
      }
    }
  });
}

test('16-bit operands, and heads before tokens in memory', async () => {
  for (const method of fastMethods.filter(({ label }) => !label.includes(' '))) {
    const { tokens, constants, initial, options } = sample(method, { seed: 5, b: 2, t: 40, h: 2, d: 18, c: 16, m: 20 });
    for (const [dtype, round] of [
      ['f16', roundToHalf],
      ['bf16', roundToBfloat],
      ['f32', (x: number) => x],
    ] as const) {
      const rounded = { ...tokens };
      for (const name of ['q', 'k', 'v']) rounded[name] = { ...tokens[name]!, data: tokens[name]!.data.map(round) };
      const wanted = wantedOf(method, { ...rounded, ...constants, ...initial }, options);
      for (const rt of runtimes) {
        const made = Object.entries(rounded).map(([name, x]) => {
          const axes = x.shape.map((_, axis) => axis);
          axes.splice(1, 2, 2, 1);
          const type = 'qkv'.includes(name) ? dtype : 'f32';
          return [name, rt.tensor(permuted(x).data, permuted(x).shape, type).permute(axes)] as const;
        });
        const inputs = { ...Object.fromEntries(made), ...constants, ...initial };
        assertAccurate(await call(rt, method.op, inputs, options), wanted, `${rt.variant}: ${method.label} ${dtype}`);
        for (const [, tensor] of made) tensor.dispose();
      }
    }
  }
});

/** x [B,T,H,...] as [B,H,T,...]. */
function permuted({ shape, data }: FloatSample): FloatSample {
  const [b = 0, t = 0, h = 0, ...rest] = shape;
  const width = rest.reduce((product, n) => product * n, 1);
  const swapped = Float32Array.from(data, (_, n) => {
    const [c, i, j] = [n % width, Math.floor(n / width) % t, Math.floor(n / (width * t)) % h];
    return data[((Math.floor(n / (width * t * h)) * t + i) * h + j) * width + c]!;
  });
  return { shape: [b, h, t, ...rest], data: swapped };
}

test('a mini-batch that ends with the sequence holds its update, as in fla', () =>
  property(
    fc.record({ shape: shapesOf(fastMethods[0]!, 1e5), which: fc.constantFrom(0, 2, 4, 5) }),
    20,
    async ({ shape, which }) => {
      const method = fastMethods[which]!;
      if (shape.b * shape.t * shape.h * method.work(shape) > 2e5) return;
      const { tokens, constants, initial, options } = sample(method, shape);
      const inputs = { ...tokens, ...constants, ...initial };
      const flushed = { ...options, flush: true };
      const wanted = wantedOf(method, inputs, flushed);
      assert.ok(Array.from(wanted.want.position!.data).every((at) => at === 0));
      for (const rt of runtimes) assertAccurate(await call(rt, method.op, inputs, flushed), wanted, rt.variant);
    },
  ));

test('momentum and decay from none to all, in long chunks: nothing becomes denormal or infinite', async () => {
  for (const [eta, alpha] of [
    [0, 0],
    [1, 0],
    [0.01, 0.99],
    [0.99, 1],
    [1e-20, 1e-3],
  ] as const) {
    for (const method of fastMethods.filter(({ label }) => label.startsWith('titans'))) {
      const shape = { seed: 6, b: 1, t: 150, h: 1, d: 9, c: 100, m: 1 };
      const { tokens, constants, initial, options } = sample(method, shape);
      const gates = { eta: floats([1, 150, 1], () => eta), alpha: floats([1, 150, 1], () => alpha) };
      const theta = floats([1, 150, 1], () => 1e-3);
      const inputs = { ...tokens, ...gates, theta, ...constants, ...initial };
      const wanted = wantedOf(method, inputs, options);
      for (const rt of runtimes)
        assertAccurate(
          await call(rt, method.op, inputs, options),
          wanted,
          `${rt.variant}: ${method.label} ${eta} ${alpha}`,
        );
    }
  }
});

test('wide heads', async () => {
  for (const label of ['tttLinear', 'titansLinear', 'lact']) {
    const method = fastMethods.find((each) => each.label === label)!;
    const shape = { seed: 11, b: 1, t: 21, h: 1, d: label === 'lact' ? 130 : 256, c: 16, m: 67 };
    const { tokens, constants, initial, options } = sample(method, shape);
    const inputs = { ...tokens, ...constants, ...initial };
    const wanted = wantedOf(method, inputs, options);
    for (const rt of runtimes)
      assertAccurate(await call(rt, method.op, inputs, options), wanted, `${rt.variant}: ${label}`);
  }
});

test('large values', async () => {
  for (const method of fastMethods) {
    const { tokens, constants, initial, options } = sample(method, { seed: 7, b: 1, t: 40, h: 2, d: 18, c: 16, m: 20 });
    const large: Record<string, FloatSample> = { ...tokens, v: normal(randomFrom(8), [1, 40, 2, 18], 1e4) };
    // slower, as gradients are as much larger
    for (const rate of { ttt: ['eta'], tit: ['theta'], lac: ['lr0', 'lr1', 'lr2'] }[method.label.slice(0, 3)]!)
      large[rate] = { ...tokens[rate]!, data: tokens[rate]!.data.map((x) => x * 1e-4) };
    const inputs = { ...large, ...constants, ...initial };
    const wanted = wantedOf(method, inputs, options);
    for (const rt of runtimes)
      assertAccurate(await call(rt, method.op, inputs, options), wanted, `${rt.variant}: ${method.label}`);
  }
});

test('the dual forms are the primal ones', () => {
  for (const method of fastMethods.filter(({ forms }) => forms.length > 0)) {
    const { tokens, constants, initial, options } = sample(method, { seed: 9, b: 2, t: 37, h: 2, d: 7, c: 16, m: 11 });
    const inputs = { ...tokens, ...constants, ...initial };
    const primal = method.reference(inputs, options, float64);
    for (const form of method.forms) {
      const dual = form(inputs, options, float64);
      for (const name in primal) assertNear(dual[name]!, primal[name]!, 1e-11, `${method.label}: ${name}`);
    }
  }
});

function tensorsOf(rt: Runtime, samples: Record<string, Sample>): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(samples).map(([name, { shape, data }]) => [name, rt.tensor(data, shape)]));
}

test('what does not fit is an error that says so and leaves no memory behind', () => {
  const rt = runtimes[0]!;
  const lengths = { seed: 1, b: 2, t: 5, h: 2, d: 4, c: 4, m: 3 };
  for (const method of fastMethods.filter(({ label }) => !label.startsWith('lact'))) {
    rt.scope(() => {
      const { tokens, constants, initial, options } = sample(method, lengths);
      const right = tensorsOf(rt, { ...tokens, ...constants, ...initial });
      const refused = (
        change: Record<string, Tensor | undefined>,
        changed: object,
        error: typeof ShapeError | typeof OptionError,
        says: RegExp,
      ) => {
        const inputs = Object.fromEntries(Object.entries({ ...right, ...change }).filter(([, x]) => x));
        const { used } = rt.memory();
        assert.throws(
          () => method.sync(inputs, { ...options, ...changed }),
          (thrown) => thrown instanceof error && says.test(thrown.message),
          `${method.label}: ${says}`,
        );
        assert.equal(rt.memory().used, used, `${method.label}: ${says}`);
      };
      for (const name of Object.keys(tokens))
        refused({ [name]: undefined }, {}, ShapeError, new RegExp(`${name} is missing`));
      refused({ eta: rt.empty([2, 5, 3]) }, {}, ShapeError, /eta has shape \[2, 5, 3\]/);
      refused({ k: rt.empty([2, 5, 2, 3]) }, {}, ShapeError, /k has shape/);
      refused(
        {
          q: rt.empty([2, 5, 2, 0]),
          k: rt.empty([2, 5, 2, 0]),
          v: rt.empty([2, 5, 2, 0]),
          lnWeight: undefined,
          lnBias: undefined,
        },
        {},
        ShapeError,
        /0 elements a head/,
      );
      if (right.lnWeight) {
        refused({ lnBias: undefined }, {}, ShapeError, /lnWeight was given without lnBias/);
        refused({ lnBias: rt.empty([2, 5]) }, {}, ShapeError, /lnBias has shape/);
      }
      const size = method.label.startsWith('ttt') ? 'miniBatchSize' : 'chunkSize';
      for (const wrong of [0, 1.5, Number.NaN]) refused({}, { [size]: wrong }, OptionError, new RegExp(`${size} is`));
      refused({}, { eps: -1 }, OptionError, /eps is -1/);
      refused({}, { scale: Number.POSITIVE_INFINITY }, OptionError, /scale is Infinity/);
      refused({}, { residual: 'input' }, OptionError, /residual is "input", expected none or output or query/);
      refused({}, { unknown: 1 }, OptionError, /no option 'unknown'/);
      refused({ extra: rt.empty([1]) }, {}, OptionError, /no input 'extra'/);
      refused(
        { initialPosition: rt.tensor(Int32Array.of(0, 4), [2]) },
        {},
        ShapeError,
        /initialPosition\[1\] is 4, expected 0 to 3/,
      );
      refused(
        { initialPosition: rt.tensor(Int32Array.of(0, 1), [2]) },
        {},
        ShapeError,
        /initialPosition is \[0,1\] without initial/,
      );
      for (const { initial: name, shape } of method.states) {
        const axes = shape(lengths);
        if (!axes) continue;
        refused({ [name]: rt.empty([2, 3, ...axes]) }, {}, ShapeError, new RegExp(`${name} has shape`));
      }
    });
  }
});

test('errors of lact', () => {
  const rt = runtimes[0]!;
  const method = fastMethods.find(({ label }) => label === 'lact with momentum')!;
  rt.scope(() => {
    const { tokens, initial, options } = sample(method, { seed: 1, b: 2, t: 5, h: 2, d: 4, c: 4, m: 3 });
    const right = tensorsOf(rt, { ...tokens, ...initial });
    const refused = (change: Record<string, Tensor | undefined>, changed: object, says: RegExp) => {
      const inputs = Object.fromEntries(Object.entries({ ...right, ...change }).filter(([, x]) => x));
      const { used } = rt.memory();
      assert.throws(
        () => method.sync(inputs, { ...options, ...changed }),
        (thrown) => (thrown instanceof ShapeError || thrown instanceof OptionError) && says.test(thrown.message),
        String(says),
      );
      assert.equal(rt.memory().used, used, String(says));
    };
    for (const name of ['q', 'k', 'v', 'lr0', 'lr1', 'lr2', 'w0', 'w1', 'w2'])
      refused({ [name]: undefined }, {}, new RegExp(`${name} is missing`));
    refused({ lr1: rt.empty([2, 5, 3]) }, {}, /lr1 has shape \[2, 5, 3\], expected \[B, T, H\]/);
    refused({ w1: rt.empty([2, 2, 4, 5]) }, {}, /w1 has shape/);
    refused({}, { chunkSize: 0 }, /chunkSize is 0/);
    refused({}, { useMuon: 1 }, /useMuon is 1, expected true or false/);
    refused({ initialNorms: rt.empty([2, 2, 9]) }, {}, /initialNorms has shape/);
    refused({ initialPosition: rt.tensor(Int32Array.of(0, 4), [2]) }, {}, /initialPosition\[1\] is 4, expected 0 to 3/);
    refused(
      { initialPosition: rt.tensor(Int32Array.of(0, 1), [2]) },
      {},
      /without initialNorms and initialGradient and/,
    );
    refused({ momentum: undefined, initialFactor: rt.empty([2, 2]) }, {}, /go with momentum, which is missing/);
  });
});

test('errors of options that some methods have', () => {
  const rt = runtimes[0]!;
  const at = (label: string) => fastMethods.find((method) => method.label === label)!;
  rt.scope(() => {
    const lengths = { seed: 1, b: 1, t: 3, h: 1, d: 4, c: 4, m: 3 };
    const inputsOf = (method: FastMethod) => {
      const { tokens, constants, initial } = sample(method, lengths);
      return tensorsOf(rt, { ...tokens, ...constants, ...initial });
    };
    const [ttt, linearMemory, titans] = [at('tttLinear'), at('titansLinear'), at('titans')];
    assert.throws(() => ttt.sync(inputsOf(ttt), { bias: false }), /initialStateBias was given with bias: false/);
    assert.throws(() => ttt.sync(inputsOf(ttt), { bias: 'no' }), /bias is no, expected true or false/);
    assert.throws(() => ttt.sync(inputsOf(ttt), { flush: 1 }), /flush is 1, expected true or false/);
    assert.throws(
      () => ttt.sync({ ...inputsOf(ttt), tokenIdx: rt.empty([5]) }),
      /tokenIdx has shape \[5\], expected \[16\]/,
    );
    assert.throws(() => linearMemory.sync(inputsOf(linearMemory), { target: 'k' }), /target is "k", expected v or v-k/);
    assert.throws(() => titans.sync(inputsOf(titans), { depth: 0 }), /depth is 0/);
    assert.throws(() => titans.sync(inputsOf(titans), { expansion: 3 }), /initialState has shape/);
    assert.throws(() => titans.sync(inputsOf(titans), { expansion: 2, activation: 'tanh' }), /activation is "tanh"/);
    const { initialState: _, ...without } = inputsOf(titans);
    assert.throws(() => titans.sync(without), /initialState is missing/);
  });
});

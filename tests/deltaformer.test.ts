import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import {
  attention,
  DTypeError,
  deltaformer,
  deltaformerSync,
  OptionError,
  ShapeError,
  type Tensor,
} from '../src/index.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { call } from './call.ts';
import { property, sometimes } from './property.ts';
import { deltaformer as reference } from './reference/deltaformer.ts';
import { variants } from './runtimes.ts';
import { floats, ints, mapped, normal, randomFrom, roundToBfloat, roundToHalf } from './samples.ts';

const runtimes = await variants();
/** The same variants with more threads. */
const teams = await Promise.all([2, 3].map(variants));
after(() => {
  for (const rt of [...runtimes, ...teams.flat()]) rt.dispose();
});

interface Shape {
  seed: number;
  batch: number;
  t: number;
  hkv: number;
  group: number;
  d: number;
  dv?: number | undefined;
}

function operands({ seed, batch, t, hkv, group, d, dv = d }: Shape, strength = 1) {
  const random = randomFrom(seed);
  return {
    q: normal(random, [batch, t, hkv * group, d]),
    k: normal(random, [batch, t, hkv, d]),
    v: normal(random, [batch, t, hkv, dv]),
    beta: floats([batch, t, hkv * group], () => strength * random()),
  };
}

const shapes = fc
  .record({
    seed: fc.nat(),
    batch: fc.integer({ min: 1, max: 2 }),
    t: fc.constantFrom(1, 2, 63, 64, 65, 130, 250, 0),
    hkv: fc.integer({ min: 1, max: 2 }),
    group: fc.constantFrom(1, 1, 2, 3),
    d: fc.constantFrom(1, 3, 18, 64, 80),
    dv: fc.constantFrom(undefined, 1, 20, 64),
  })
  .filter(({ batch, t, hkv, group, d, dv = d }) => batch * hkv * group * t * t * (d + dv) < 2e6);

test('without strength it is dense causal attention', async () => {
  const { q, k, v, beta } = operands({ seed: 11, batch: 2, t: 200, hkv: 2, group: 2, d: 24, dv: 12 }, 0);
  for (const rt of runtimes) {
    const dense = await call(rt, attention, { q, k, v }, { causal: true });
    assertNear((await call(rt, deltaformer, { q, k, v, beta })).o, dense.o, 2e-6, rt.variant);
  }
});

test('random shapes, strengths and sizes of scores', () =>
  property(
    fc.record({
      shape: shapes,
      strength: fc.constantFrom(0, 0.5, 1, 2),
      size: fc.constantFrom(0.1, 1, 6),
      scale: sometimes(fc.double({ min: 0.05, max: 1, noNaN: true })),
    }),
    40,
    async ({ shape, strength, size, scale }) => {
      const { q, ...rest } = operands(shape, strength);
      const inputs = { q: mapped(q, (x) => x * size), ...rest };
      const options = scale ? { scale } : {};
      const wanted = expected((round) => reference(inputs, options, round));
      for (const rt of runtimes) assertAccurate(await call(rt, deltaformer, inputs, options), wanted, rt.variant);
    },
  ));

test('a key, or a row of its own key, far above the others', async () => {
  const shape = { seed: 9, batch: 1, t: 140, hkv: 1, group: 1, d: 18 };
  for (const where of [0, 5, 63, 64, 100, 139]) {
    for (const size of [30, -30]) {
      const inputs = operands(shape);
      // the key of its own token's query
      const k = floats(inputs.k.shape, (n) =>
        Math.floor(n / 18) === where ? size * inputs.q.data[n]! : inputs.k.data[n]!,
      );
      const wanted = expected((round) => reference({ ...inputs, k }, {}, round));
      for (const rt of runtimes)
        assertAccurate(await call(rt, deltaformer, { ...inputs, k }), wanted, `${rt.variant}: ${size} at ${where}`);
    }
  }
});

test('the widest heads', async () => {
  const inputs = operands({ seed: 18, batch: 1, t: 140, hkv: 1, group: 2, d: 200, dv: 256 });
  const wanted = expected((round) => reference(inputs, {}, round));
  for (const rt of runtimes) assertAccurate(await call(rt, deltaformer, inputs), wanted, rt.variant);
});

test('packed sequences, some of them empty', async () => {
  for (const bounds of [
    [0, 0, 1, 64, 64, 129, 200, 200],
    [0, 65, 66, 260],
  ]) {
    const cuSeqlens = ints(bounds);
    const inputs = operands({ seed: 3, batch: 1, t: bounds.at(-1)!, hkv: 1, group: 2, d: 18, dv: 20 });
    const wanted = expected((round) => reference({ ...inputs, cuSeqlens }, {}, round));
    for (const rt of runtimes)
      assertAccurate(await call(rt, deltaformer, { ...inputs, cuSeqlens }), wanted, `${rt.variant}: [${bounds}]`);
  }
});

test('16-bit storage', async () => {
  const { beta, ...rest } = operands({ seed: 13, batch: 1, t: 100, hkv: 1, group: 2, d: 20 });
  for (const [dtype, nearest] of [
    ['f16', roundToHalf],
    ['bf16', roundToBfloat],
  ] as const) {
    const rounded = Object.fromEntries(Object.entries(rest).map(([name, x]) => [name, mapped(x, nearest)]));
    const wanted = expected((round) => reference({ ...(rounded as typeof rest), beta }, {}, round));
    for (const rt of runtimes) {
      await rt.scope(async () => {
        const stored = Object.fromEntries(
          Object.entries(rest).map(([name, x]) => [name, rt.tensor(x.data, x.shape, dtype)]),
        );
        assertAccurate(await call(rt, deltaformer, { ...stored, beta }), wanted, `${rt.variant}: ${dtype}`);
      });
    }
  }
});

test('the same bits for any number of threads, and from the sync twin', async () => {
  const inputs = operands({ seed: 15, batch: 2, t: 300, hkv: 2, group: 2, d: 32 });
  for (const [n, one] of runtimes.entries()) {
    const alone = await call(one, deltaformer, inputs);
    for (const team of teams)
      assertSameBits((await call(team[n]!, deltaformer, inputs)).o, alone.o, `${one.variant}: threads`);
    one.scope(() => {
      const tensors = Object.fromEntries(
        Object.entries(inputs).map(([name, x]) => [name, one.tensor(x.data, x.shape)]),
      );
      const { o } = deltaformerSync(tensors as never);
      assertSameBits({ shape: o.shape, data: o.dataSync() }, alone.o, 'sync');
    });
  }
});

test('operands and options that do not fit are refused, and nothing stays behind', () => {
  const [rt = assert.fail()] = runtimes;
  rt.scope(() => {
    const x = (...shape: number[]): Tensor => rt.empty(shape);
    const right = { q: x(1, 4, 4, 6), k: x(1, 4, 2, 6), v: x(1, 4, 2, 5), beta: x(1, 4, 4) };
    const wrong: [object, object, typeof ShapeError, RegExp][] = [
      [{ beta: undefined }, {}, ShapeError, /beta is missing/],
      [{ beta: x(1, 4, 2) }, {}, ShapeError, /beta has shape \[1, 4, 2\], expected .*Hq = 4/],
      [{ q: x(1, 4, 3, 6), beta: x(1, 4, 3) }, {}, ShapeError, /3 query heads cannot share 2/],
      [{ q: x(1, 4, 4, 300), k: x(1, 4, 2, 300) }, {}, ShapeError, /1 to 256/],
      [{ beta: rt.empty([1, 4, 4], 'i32') }, {}, DTypeError, /beta is i32, expected f32/],
      [{ k: rt.empty([1, 4, 2, 6], 'i8') }, {}, DTypeError, /k is i8/],
      [{ cuSeqlens: rt.tensor(Int32Array.of(0, 3), [2]) }, {}, ShapeError, /cuSeqlens is \[0,3\]/],
      [{ g: x(1) }, {}, OptionError, /no input 'g'/],
      [{}, { scale: Number.NaN }, OptionError, /scale is NaN/],
      [{}, { causal: true }, OptionError, /no option 'causal'/],
    ];
    for (const [inputs, options, error, says] of wrong) {
      const { used } = rt.memory();
      assert.throws(
        () => deltaformerSync({ ...right, ...inputs }, options as never),
        (thrown) => thrown instanceof error && says.test(thrown.message) && /^deltaformer/.test(thrown.message),
        String(says),
      );
      assert.equal(rt.memory().used, used, String(says));
    }
  });
});

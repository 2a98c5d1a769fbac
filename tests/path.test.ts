import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { explain } from '../src/explain.ts';
import {
  attention,
  DTypeError,
  forgettingAttn,
  OptionError,
  pathAttn,
  pathAttnSync,
  ShapeError,
  type Tensor,
} from '../src/index.ts';
import { assertAccurate, assertNear, assertSameBits, expected, maxError } from './accuracy.ts';
import { call } from './call.ts';
import { property, sometimes } from './property.ts';
import { pathAttnTransformed, pathAttn as reference } from './reference/path.ts';
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
  hkv: number;
  group: number;
  d: number;
  dv?: number | undefined;
}

/** Operands with unit directions and strengths from 0 to `strength`. */
function operands({ seed, batch, t, hkv, group, d, dv = d }: Shape, strength = 2) {
  const random = randomFrom(seed);
  return {
    q: normal(random, [batch, t, hkv * group, d]),
    k: normal(random, [batch, t, hkv, d]),
    v: normal(random, [batch, t, hkv, dv]),
    w: unit(normal(random, [batch, t, hkv, d])),
    beta: floats([batch, t, hkv], () => strength * random()),
  };
}

const shapes = fc
  .record({
    seed: fc.nat(),
    batch: fc.integer({ min: 1, max: 2 }),
    t: fc.constantFrom(0, 1, 2, 63, 64, 65, 130, 330),
    hkv: fc.integer({ min: 1, max: 2 }),
    group: fc.constantFrom(1, 1, 2, 3),
    d: fc.constantFrom(1, 3, 18, 64, 80),
    dv: fc.constantFrom(undefined, 1, 20, 64),
  })
  .filter(({ batch, t, hkv, group, d, dv = d }) => batch * hkv * group * t * t * (d + dv) < 3e6);

test('random shapes, gates and strengths', () =>
  property(
    fc.record({
      shape: shapes,
      strength: fc.constantFrom(0, 0.5, 1, 2),
      gate: fc.constantFrom(undefined, 0.01, 1, 50),
      scaleGates: fc.boolean(),
      scale: sometimes(fc.double({ min: 0.05, max: 1, noNaN: true })),
    }),
    40,
    async ({ shape, strength, gate, scaleGates, scale }) => {
      const random = randomFrom(shape.seed + 1);
      const { batch, t, hkv, group } = shape;
      const g = gate && floats([batch, t, hkv * group], () => -gate * random());
      const inputs = { ...operands(shape, strength), ...(g && { g }) };
      const options = { scaleGates, ...(scale && { scale }) };
      const wanted = expected((round) => reference(inputs, options, round));
      for (const rt of runtimes) assertAccurate(await call(rt, pathAttn, inputs, options), wanted, rt.variant);
    },
  ));

test('packed sequences, some of them empty', async () => {
  for (const [seed, bounds] of [
    [1, [0, 0, 1, 64, 64, 129, 200, 200]],
    [2, [0, 300]],
    [3, [0, 65, 66, 260, 600]],
  ] as const) {
    const cuSeqlens = ints([...bounds]);
    const inputs = operands({ seed, batch: 1, t: bounds.at(-1)!, hkv: 1, group: 2, d: 18, dv: 20 });
    const g = floats([1, bounds.at(-1)!, 2], randomGate(seed));
    const wanted = expected((round) => reference({ ...inputs, g, cuSeqlens }, {}, round));
    for (const rt of runtimes)
      assertAccurate(await call(rt, pathAttn, { ...inputs, g, cuSeqlens }), wanted, `${rt.variant}: [${bounds}]`);
  }
});

function randomGate(seed: number): () => number {
  const random = randomFrom(seed);
  return () => -random();
}

test('several spans, whose carries are products of many blocks', async () => {
  const inputs = operands({ seed: 5, batch: 1, t: 900, hkv: 1, group: 1, d: 10, dv: 4 });
  const wanted = expected((round) => reference(inputs, {}, round));
  for (const rt of runtimes) assertAccurate(await call(rt, pathAttn, inputs), wanted, rt.variant);
});

test('the transformed form of the reference is the same', () => {
  const inputs = operands({ seed: 6, batch: 2, t: 70, hkv: 1, group: 2, d: 9, dv: 4 });
  assertNear(pathAttnTransformed(inputs).o, reference(inputs).o, 1e-12, 'float64');
});

test('reflections that repeat, and directions that stay', async () => {
  for (const strength of [1, 2]) {
    const shape = { seed: 7, batch: 1, t: 270, hkv: 1, group: 1, d: 16 };
    const random = randomFrom(strength);
    const [one, other] = [unit(normal(random, [16])), unit(normal(random, [16]))];
    for (const period of [1, 2, 3]) {
      const w = floats([1, 270, 1, 16], (n) => (Math.floor(n / 16) % period === 0 ? one : other).data[n % 16]!);
      const inputs = { ...operands(shape), w, beta: floats([1, 270, 1], () => strength) };
      const wanted = expected((round) => reference(inputs, {}, round));
      for (const rt of runtimes)
        assertAccurate(await call(rt, pathAttn, inputs), wanted, `${rt.variant}: beta ${strength}, period ${period}`);
    }
  }
});

test('transitions that shrink queries to nothing', async () => {
  for (const d of [1, 2, 12]) {
    const inputs = operands({ seed: 17, batch: 1, t: 600, hkv: 1, group: 1, d });
    const beta = floats([1, 600, 1], () => 1);
    const wanted = expected((round) => reference({ ...inputs, beta }, {}, round));
    for (const rt of runtimes)
      assertAccurate(await call(rt, pathAttn, { ...inputs, beta }), wanted, `${rt.variant}: D ${d}`);
  }
});

test('the widest heads', async () => {
  const inputs = operands({ seed: 18, batch: 1, t: 140, hkv: 1, group: 2, d: 256, dv: 200 });
  const wanted = expected((round) => reference(inputs, {}, round));
  for (const rt of runtimes) assertAccurate(await call(rt, pathAttn, inputs), wanted, rt.variant);
});

test('views with heads first', async () => {
  const { beta, ...rest } = operands({ seed: 19, batch: 2, t: 70, hkv: 2, group: 1, d: 12 });
  const wanted = expected((round) => reference({ ...rest, beta }, {}, round));
  for (const rt of runtimes) {
    await rt.scope(async () => {
      const views = Object.fromEntries(
        Object.entries(rest).map(([name, { shape, data }]) => {
          const turned = rt.tensor(data, shape).permute([0, 2, 1, 3]);
          return [name, rt.tensor(turned.dataSync() as Float32Array<ArrayBuffer>, turned.shape).permute([0, 2, 1, 3])];
        }),
      );
      assertAccurate(await call(rt, pathAttn, { ...views, beta }), wanted, rt.variant);
    });
  }
});

test('large scores, and a key far above the others within and across blocks', async () => {
  for (const where of [0, 5, 63, 64, 100, 128]) {
    const inputs = operands({ seed: 9, batch: 1, t: 140, hkv: 1, group: 1, d: 18 });
    const k = floats(inputs.k.shape, (n) => inputs.k.data[n]! * (Math.floor(n / 18) === where ? 80 : 1));
    const q = mapped(inputs.q, (x) => 4 * x);
    // transitions that shrink a query make scores differences of much larger ones in every blocked form
    const wanted = expected(
      (round) => reference({ ...inputs, q, k }, {}, round),
      [(round) => pathAttnTransformed({ ...inputs, q, k }, {}, round)],
    );
    for (const rt of runtimes)
      assertAccurate(await call(rt, pathAttn, { ...inputs, q, k }), wanted, `${rt.variant}: key ${where}`);
  }
});

test('without strength it is dense causal attention, and with gates forgetting attention', async () => {
  const shape = { seed: 11, batch: 2, t: 333, hkv: 2, group: 2, d: 24, dv: 12 };
  const { q, k, v, w, beta } = operands(shape, 0);
  const g = floats([2, 333, 4], randomGate(3));
  for (const rt of runtimes) {
    const dense = await call(rt, attention, { q, k, v }, { causal: true });
    assertNear((await call(rt, pathAttn, { q, k, v, w, beta })).o, dense.o, 2e-6, rt.variant);
    const fading = await call(rt, forgettingAttn, { q, k, v, g });
    const plain = await call(rt, pathAttn, { q, k, v, w, beta, g }, { scaleGates: false });
    assertNear(plain.o, fading.o, 2e-6, `${rt.variant}: gates`);
    const scaled = await call(rt, pathAttn, { q, k, v, w, beta, g });
    assert.ok(maxError(scaled.o, fading.o).error > 1e-2, `${rt.variant}: scaled gates are others`);
  }
});

test('16-bit storage', async () => {
  const inputs = operands({ seed: 13, batch: 1, t: 100, hkv: 1, group: 2, d: 20 });
  for (const [dtype, nearest] of [
    ['f16', roundToHalf],
    ['bf16', roundToBfloat],
  ] as const) {
    const { beta, ...rest } = inputs;
    const rounded = Object.fromEntries(Object.entries(rest).map(([name, x]) => [name, mapped(x, nearest)]));
    const wanted = expected((round) => reference({ ...(rounded as typeof rest), beta }, {}, round));
    for (const rt of runtimes) {
      await rt.scope(async () => {
        const stored = Object.fromEntries(
          Object.entries(rest).map(([name, x]) => [name, rt.tensor(x.data, x.shape, dtype)]),
        );
        assertAccurate(await call(rt, pathAttn, { ...stored, beta }), wanted, `${rt.variant}: ${dtype}`);
      });
    }
  }
});

test('the same bits for any number of threads, and from the sync twin', async () => {
  const inputs = operands({ seed: 15, batch: 1, t: 700, hkv: 2, group: 2, d: 32 });
  for (const [n, one] of runtimes.entries()) {
    const alone = await call(one, pathAttn, inputs);
    for (const team of teams)
      assertSameBits((await call(team[n]!, pathAttn, inputs)).o, alone.o, `${one.variant}: threads`);
    one.scope(() => {
      const tensors = Object.fromEntries(
        Object.entries(inputs).map(([name, x]) => [name, one.tensor(x.data, x.shape)]),
      );
      const { o } = pathAttnSync(tensors as never);
      assertSameBits({ shape: o.shape, data: o.dataSync() }, alone.o, 'sync');
    });
  }
});

test('explain says how queries are carried', () => {
  const [rt = assert.fail()] = runtimes;
  rt.scope(() => {
    const x = rt.empty([1, 2048, 2, 16]);
    const { steps, notes } = explain('pathAttn', { q: x, k: x, v: x, w: x, beta: rt.empty([1, 2048, 2]) }, {});
    assert.deepEqual(
      steps.map(({ kernel }) => kernel),
      ['flashPack', 'pathBlocks', 'path'],
    );
    assert.match(notes.join(), /32 blocks of 64 tokens a head in spans of 4/);
  });
});

test('operands and options that do not fit are refused, and nothing stays behind', () => {
  const [rt = assert.fail()] = runtimes;
  rt.scope(() => {
    const x = (...shape: number[]): Tensor => rt.empty(shape);
    const right = { q: x(1, 4, 4, 6), k: x(1, 4, 2, 6), v: x(1, 4, 2, 5), w: x(1, 4, 2, 6), beta: x(1, 4, 2) };
    const wrong: [object, object, typeof ShapeError, RegExp][] = [
      [{ w: x(1, 4, 2, 5) }, {}, ShapeError, /w has shape \[1, 4, 2, 5\], expected .*D = 6/],
      [{ w: undefined }, {}, ShapeError, /w is missing/],
      [{ beta: x(1, 4, 4) }, {}, ShapeError, /beta has shape/],
      [{ g: x(1, 4, 2) }, {}, ShapeError, /g has shape/],
      [{ q: x(1, 4, 3, 6) }, {}, ShapeError, /3 query heads cannot share 2/],
      [{ beta: rt.empty([1, 4, 2], 'i32') }, {}, DTypeError, /beta is i32, expected f32/],
      [{ k: rt.empty([1, 4, 2, 6], 'i8') }, {}, DTypeError, /k is i8/],
      [{ cuSeqlens: rt.tensor(Int32Array.of(0, 3), [2]) }, {}, ShapeError, /cuSeqlens is \[0,3\]/],
      [{ mask: x(1) }, {}, OptionError, /no input 'mask'/],
      [{}, { scale: Number.NaN }, OptionError, /scale is NaN/],
      [{}, { scaleGates: 1 }, OptionError, /scaleGates is 1, expected true or false/],
      [{}, { causal: true }, OptionError, /no option 'causal'/],
    ];
    for (const [inputs, options, error, says] of wrong) {
      const { used } = rt.memory();
      assert.throws(
        () => pathAttnSync({ ...right, ...inputs }, options as never),
        (thrown) => thrown instanceof error && says.test(thrown.message) && /^pathAttn/.test(thrown.message),
        String(says),
      );
      assert.equal(rt.memory().used, used, String(says));
    }
    const wide = x(1, 2, 1, 300);
    assert.throws(() => pathAttnSync({ q: wide, k: wide, v: wide, w: wide, beta: x(1, 2, 1) }), /1 to 256/);
  });
});

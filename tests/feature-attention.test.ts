// The methods behind feature maps, beyond what all methods of the engine have in common; and the forms that stream.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import {
  cosformer,
  cosformerStep,
  DTypeError,
  features,
  linearAttn,
  OptionError,
  packMatrix,
  performer,
  performerStep,
  type Runtime,
  ShapeError,
  type Tensor,
} from '../src/index.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { type CallInputs, call } from './call.ts';
import { exported } from './linear-methods.ts';
import { property } from './property.ts';
import * as reference from './reference/feature-attention.ts';
import type { NdArray, Round } from './reference/ndarray.ts';
import { rodimus } from './reference/rodimus.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, ints, normal, randomFrom, roundToHalf } from './samples.ts';

const runtimes = await variants();
const [rt = assert.fail('no runtime')] = runtimes;
after(() => {
  for (const each of runtimes) each.dispose();
});

type Op = (inputs: Record<string, Tensor>, options?: object) => Promise<Record<string, Tensor>>;

function run(on: Runtime, name: string, inputs: CallInputs, options?: object): Promise<Record<string, NdArray>> {
  return call(on, exported<Op>(name), inputs, options);
}

const references = { ...reference, rodimus };

/** Runs a method on every runtime and compares its outputs with the reference's. */
async function check(name: keyof typeof references, inputs: CallInputs, options: object = {}): Promise<void> {
  const of = references[name] as unknown as (i: CallInputs, o: object, round: Round) => Record<string, NdArray>;
  const wanted = expected((round) => of(inputs, options, round));
  for (const on of runtimes) assertAccurate(await run(on, name, inputs, options), wanted, `${on.variant}: ${name}`);
}

function qkv(random: () => number, [b, t, h, hv, k, v]: readonly [number, number, number, number, number, number]) {
  return {
    q: normal(random, [b, t, h, k]),
    k: normal(random, [b, t, h, k]),
    v: normal(random, [b, t, hv, v]),
  };
}

const SIZES = [2, 12, 2, 4, 6, 7] as const;

test('a depthwise convolution of the values is added, shared by the heads or not', () =>
  property(
    fc.record({
      seed: fc.nat(),
      name: fc.constantFrom('focused', 'slab'),
      b: fc.integer({ min: 1, max: 2 }),
      height: fc.constantFrom(0, 1, 2, 7, 12),
      width: fc.constantFrom(1, 3, 8),
      h: fc.integer({ min: 1, max: 2 }),
      group: fc.constantFrom(1, 2),
      k: fc.constantFrom(1, 5, 16),
      v: fc.constantFrom(1, 4, 7, 16),
      kernel: fc.constantFrom([5, 5], [3, 3], [1, 1], [2, 3]),
      shared: fc.boolean(),
      bias: fc.boolean(),
      causal: fc.constantFrom(undefined, true),
    }),
    40,
    async ({ seed, name, b, height, width, h, group, k, v, kernel, shared, bias, causal }) => {
      const random = randomFrom(seed);
      const heads = shared ? [] : [h * group];
      await check(
        name as 'focused',
        {
          ...qkv(random, [b, height * width, h, h * group, k, v]),
          convWeight: normal(random, [...kernel, ...heads, v]),
          ...(bias && { convBias: normal(random, [...heads, v]) }),
        },
        { height, width, ...(causal && { causal }) },
      );
    },
  ));

test('values stored as f16, or heads first, are convolved as they are', async () => {
  const random = randomFrom(71);
  const { q, k, v } = qkv(random, SIZES);
  const inputs = { q, k, convWeight: normal(random, [3, 3, 7]) };
  const options = { height: 3, width: 4 };
  const half = floats(v.shape, (n) => roundToHalf(v.data[n]!));
  const [b, t, hv, d] = v.shape as [number, number, number, number];
  const swapped = floats([b, hv, t, d], (n) => {
    const [c, i, h, batch] = [n % d, Math.floor(n / d) % t, Math.floor(n / (d * t)) % hv, Math.floor(n / (d * t * hv))];
    return v.data[((batch * t + i) * hv + h) * d + c]!;
  });
  for (const on of runtimes)
    await on.scope(async () => {
      const want = await run(on, 'slab', { ...inputs, v }, options);
      const heads = on.tensor(swapped.data, swapped.shape).permute([0, 2, 1, 3]);
      assertSameBits((await run(on, 'slab', { ...inputs, v: heads }, options)).o!, want.o!, 'heads first');
      const wide = await run(on, 'slab', { ...inputs, v: half }, options);
      const narrow = await run(on, 'slab', { ...inputs, v: on.tensor(half.data, half.shape, 'f16') }, options);
      assertSameBits(narrow.o!, wide.o!, 'f16');
    });
});

test('defaults: which methods are causal', async () => {
  const random = randomFrom(72);
  const inputs = qkv(random, SIZES);
  const w = normal(random, [2, 5, 6]);
  for (const name of ['hedgehog', 't2r', 'dpfp', 'focused', 'sana', 'slab', 'qtVit'] as const)
    await check(name, name === 'hedgehog' || name === 't2r' ? { ...inputs, w } : inputs);
});

test('weights for all heads, packed, of 16 bits, and the keys’ own', async () => {
  const random = randomFrom(73);
  const inputs = qkv(random, SIZES);
  const bias = normal(random, [5]);
  const [w, wK] = [normal(random, [5, 6]), normal(random, [5, 6])];
  const half = floats(w.shape, (n) => roundToHalf(w.data[n]!));
  for (const name of ['hedgehog', 't2r'] as const) {
    await check(name, { ...inputs, w });
    await check(name, { ...inputs, w, bias });
    await check(name, { ...inputs, w, bias, wK });
    await check(name, { ...inputs, w, wK, biasK: bias });
    for (const on of runtimes)
      await on.scope(async () => {
        const want = await run(on, name, { ...inputs, w: half, bias });
        const stored = await run(on, name, { ...inputs, w: on.tensor(half.data, half.shape, 'f16'), bias });
        const packed = await packMatrix(on.tensor(half.data, half.shape), { transposeB: true });
        const got = await run(on, name, { ...inputs, w: packed as never, bias });
        assertSameBits(stored.o!, want.o!, `${name}: f16`);
        assertSameBits(got.o!, want.o!, `${name}: packed`);
        packed.dispose();
      });
  }
});

test('a method is linearAttn behind its map', async () => {
  const random = randomFrom(74);
  const { q, k, v } = qkv(random, SIZES);
  const maps: Record<string, (x: Tensor) => Promise<{ o: Tensor }>> = {
    dpfp: (x) => features.dpfp(x),
    focused: (x) => features.focused(x),
    sana: (x) => features.relu(x),
    qtVit: (x) => features.qtVit(x),
  };
  for (const on of runtimes)
    for (const [name, map] of Object.entries(maps))
      await on.scope(async () => {
        const tensors = { q: on.tensor(q.data, q.shape), k: on.tensor(k.data, k.shape), v: on.tensor(v.data, v.shape) };
        const mapped = { q: (await map(tensors.q)).o, k: (await map(tensors.k)).o, v: tensors.v };
        const want = await linearAttn(mapped, { scale: 1, normalize: true, eps: 1e-6, causal: false });
        const got = await exported<Op>(name)(tensors, { causal: false, eps: 1e-6 });
        assertSameBits(
          { shape: got.o!.shape, data: await got.o!.data() },
          { shape: want.o.shape, data: await want.o.data() },
          `${on.variant}: ${name}`,
        );
      });
});

/** The first of a batch. */
function firstOf({ shape, data }: FloatSample): FloatSample {
  return { shape: [1, ...shape.slice(1)], data: data.slice(0, data.length / shape[0]!) };
}

test('what is left out of a convolution, or does not fit it, is named', async () => {
  const random = randomFrom(75);
  const inputs: Record<string, FloatSample> = {
    ...qkv(random, SIZES),
    convWeight: normal(random, [3, 3, 7]),
    convBias: normal(random, [7]),
  };
  const image = { height: 3, width: 4 };
  const one = (name: string) => firstOf(inputs[name]!);
  const wrong: [change: CallInputs, options: object, error: typeof ShapeError, says: RegExp][] = [
    [{}, {}, OptionError, /height and width/],
    [{}, { height: 3 }, OptionError, /height and width/],
    [{}, { height: 3, width: 5 }, ShapeError, /15.*T = 12/],
    [{}, { height: 1.5, width: 8 }, OptionError, /height/],
    [{ q: one('q'), k: one('k'), v: one('v'), cuSeqlens: ints([0, 5, 12]) }, image, OptionError, /cuSeqlens/],
    [{ convWeight: undefined }, image, OptionError, /convBias/],
    [{ convWeight: normal(random, [3, 3, 6]) }, image, ShapeError, /convWeight.*\[3, 3, 6\]/],
    [{ convWeight: normal(random, [0, 3, 7]) }, image, ShapeError, /convWeight/],
    [{ convWeight: normal(random, [3, 3, 2, 7]), convBias: undefined }, image, ShapeError, /convWeight/],
    [{ convWeight: normal(random, [3, 3, 4, 7]) }, image, ShapeError, /convBias/],
    [{ convBias: normal(random, [8]) }, image, ShapeError, /convBias/],
    [{ convBias: { shape: [7], data: new Int32Array(7) } }, image, DTypeError, /convBias/],
  ];
  for (const name of ['focused', 'slab'])
    for (const [change, options, error, says] of wrong)
      await rt.scope(async () => {
        const tensors = Object.fromEntries(
          Object.entries({ ...inputs, ...change })
            .filter(([, x]) => x)
            .map(([key, x]) => [key, rt.tensor((x as FloatSample).data, (x as FloatSample).shape)]),
        );
        const { used } = rt.memory();
        const right = (thrown: unknown) =>
          thrown instanceof error && says.test(thrown.message) && thrown.message.includes(name);
        await assert.rejects(async () => exported<Op>(name)(tensors, options), right, `${name}: ${says}`);
        assert.equal(rt.memory().used, used);
      });
  for (const name of ['sana', 'hedgehog', 'qtVit'])
    await rt.scope(async () => {
      const tensors = Object.fromEntries(Object.entries(inputs).map(([key, x]) => [key, rt.tensor(x.data, x.shape)]));
      await assert.rejects(async () => exported<Op>(name)(tensors, {}), /no input 'convWeight'/, name);
    });
});

test('streaming needs what makes it stream', async () => {
  await rt.scope(async () => {
    const f32 = (...shape: number[]) => rt.tensor(new Float32Array(shape.reduce((x, y) => x * y, 1)).fill(1), shape);
    const [b, h, k, v, m] = [2, 3, 4, 5, 6];
    const tokens = { q: f32(b, 1, h, k), k: f32(b, 1, h, k), v: f32(b, 1, h, v), projection: f32(m, k) };
    const { projection, ...plain } = tokens;
    const token = { q: f32(b, h, k), k: f32(b, h, k), v: f32(b, h, v) };
    const states = { state: f32(b, h, m, v), normalizer: f32(b, h, m) };
    const { used } = rt.memory();
    const refused: [() => unknown, RegExp][] = [
      [() => performer({ ...tokens, initialState: states.state }), /initialState needs.*stabilizer/],
      [() => performer({ ...tokens, initialNormalizer: states.normalizer }), /initialNormalizer needs.*stabilizer/],
      [() => performer(tokens, { stabilizer: Number.NaN }), /stabilizer/],
      [() => performerStep({ ...token, projection, ...states }, {} as never), /step needs.*stabilizer/],
      [() => cosformer(plain, { maxLength: 8, offset: 8 }), /maxLength is 8.*9/],
      [() => cosformer(plain, { maxLength: 0 }), /maxLength/],
      [() => cosformer(plain, { offset: -1 }), /offset/],
      [() => cosformerStep({ ...token, ...states }, { maxLength: 8 } as never), /step needs.*offset/],
      [() => cosformerStep({ ...token, ...states }, { offset: 8 } as never), /step needs.*maxLength/],
      [() => cosformerStep({ ...token, ...states }, { offset: 8, maxLength: 8 }), /maxLength is 8/],
    ];
    for (const [attempt, says] of refused) {
      await assert.rejects(
        async () => attempt(),
        (thrown: unknown) => thrown instanceof OptionError && says.test(thrown.message),
        `${says}`,
      );
      assert.equal(rt.memory().used, used, `${says}: memory`);
    }
    assert.deepEqual(Object.keys(await performer(tokens)), ['o'], 'features of a running maximum leave no state');
  });
});

test('a fixed stabilizer is the running one where eps is 0', async () => {
  const random = randomFrom(76);
  const inputs = { ...qkv(random, SIZES), projection: normal(random, [9, 6]) };
  // without eps the factors e^-c cancel, but for the 1e-6 of the causal denominator
  const options = { eps: 0, causal: false };
  for (const on of runtimes) {
    const want = await run(on, 'performer', inputs, options);
    const got = await run(on, 'performer', inputs, { ...options, stabilizer: 1 });
    assertNear(got.o!, want.o!, 2e-5, on.variant);
  }
});

test('rodimus: gates and temperatures of zero, keys of any length', async () => {
  const random = randomFrom(77);
  const inputs = qkv(random, SIZES);
  const shape = inputs.k.shape;
  const gates = { g: floats(shape, () => 3 * random()), tau: floats(shape, random) };
  for (const size of [0, 1e-30, 1e-13, 1e-12, 1e-6, 1e15, 1e25]) {
    const k = floats(shape, (n) => size * inputs.k.data[n]!);
    // the reference's squares neither overflow nor vanish in float64; in float32 they do
    const { o, finalState } = rodimus({ ...inputs, k, ...gates });
    for (const on of runtimes) {
      const got = await run(on, 'rodimus', { ...inputs, k, ...gates });
      assertNear(got.o!, o, 1e-5, `${on.variant}: keys of ${size}`);
      assertNear(got.finalState!, finalState, 1e-5, `${on.variant}: keys of ${size}, state`);
    }
  }
  const some = (x: FloatSample) => floats(x.shape, (n) => (n % 3 === 0 ? 0 : x.data[n]!));
  for (const on of runtimes) {
    // 0^tau is 0 and g^0 is 1, as e^(tau ln g) at the limits
    const closed = await run(on, 'rodimus', { ...inputs, ...gates, g: some(gates.g) });
    const nearly = await run(on, 'rodimus', {
      ...inputs,
      ...gates,
      g: floats(shape, (n) => (n % 3 === 0 ? 1e-38 : gates.g.data[n]!)),
      tau: floats(shape, (n) => (n % 3 === 0 ? 0.9 : gates.tau.data[n]!)),
    });
    assertNear(closed.o!, nearly.o!, 1e-5, `${on.variant}: closed gates`);
    const cold = await run(on, 'rodimus', { ...inputs, g: floats(shape, () => 0), tau: floats(shape, () => 0) });
    const normed = floats(shape, (n) => {
      const row = Math.floor(n / 6) * 6;
      const norm = Math.hypot(...inputs.k.data.subarray(row, row + 6));
      return inputs.k.data[n]! / norm;
    });
    const want = await run(on, 'linearAttn', { ...inputs, k: normed });
    assertNear(cold.o!, want.o!, 1e-5, `${on.variant}: no gates`);
  }
});

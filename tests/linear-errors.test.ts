import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { DTypeError, OptionError, ShapeError, type Tensor } from '../src/index.ts';
import { deltaMethods } from './delta-methods.ts';
import { type Method, methods, opOf, syncOf } from './linear-methods.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, ints, randomFrom } from './samples.ts';

const [rt = assert.fail('no runtime')] = await variants();
after(() => rt.dispose());

type ErrorClass = abstract new (...args: never[]) => Error;
type Tensors = Record<string, Tensor>;

/** Every length differs from every other, so that a wrong one shows. */
const lengths = { b: 2, t: 7, h: 3, hv: 3, k: 5, v: 6, m: 4 };

function samplesOf({ tokens, constants }: Method): Record<string, FloatSample> {
  const random = randomFrom(55);
  return { ...tokens(random, lengths, 'mild', 1), ...constants?.(random, lengths, 'mild') };
}

const tensorOf = ({ shape, data }: FloatSample) => rt.tensor(data, shape);

function tensorsOf(samples: Record<string, FloatSample>): Tensors {
  return Object.fromEntries(Object.entries(samples).map(([name, sample]) => [name, tensorOf(sample)]));
}

/** The axis by which operands fit each other: batches or heads, but for the number of features, which is free. */
const fixedAxis = (name: string) => (name === 'projection' ? 1 : 0);

/** The sample with one more element on an axis. */
function longer({ shape }: FloatSample, axis: number): FloatSample {
  return floats(
    shape.map((n, i) => (i === axis ? n + 1 : n)),
    () => 1,
  );
}

/** Calls both forms, which must throw an error that matches, and leave memory as it was. */
async function assertThrows(
  method: Method,
  inputs: () => Tensors,
  options: object,
  error: ErrorClass,
  says: RegExp,
  what: string,
): Promise<void> {
  const { used } = rt.memory();
  const wrong = inputs();
  const given = rt.memory().used;
  const right = (thrown: unknown) => {
    assert.ok(thrown instanceof error, `${what}: ${thrown}`);
    assert.match(thrown.message, says, what);
    assert.match(thrown.message, new RegExp(method.name), what);
    return true;
  };
  await assert.rejects(async () => opOf(method)(wrong, options), right, what);
  assert.throws(() => syncOf(method)(wrong, options), right, what);
  assert.equal(rt.memory().used, given, `${what}: memory`);
  for (const tensor of Object.values(wrong)) tensor.dispose();
  assert.equal(rt.memory().used, used);
}

for (const method of [...methods, ...deltaMethods]) {
  test(`${method.label}: missing operands, wrong shapes and element types, unknown names`, async () => {
    const samples = samplesOf(method);
    const names = Object.keys(method.tokens(randomFrom(55), lengths, 'mild', 1));
    const wrong = (change: () => Tensors, error: ErrorClass, says: RegExp, what: string, options: object = {}) =>
      assertThrows(
        method,
        () => ({ ...tensorsOf(samples), ...change() }),
        { ...method.options, ...options },
        error,
        says,
        `${method.label}: ${what}`,
      );
    const optional = ['gk', 'gv', 'z', 'D', 'slopes', 'dtBias', 'bias', 'wK', 'biasK', 'logAtkScale'];
    for (const [name, sample] of Object.entries(samples)) {
      const needed = !optional.includes(name) || (method.name === 'dplr' && name === 'gk');
      if (needed && !(method.name === 'mom' && name === 'g')) {
        const without = Object.fromEntries(Object.entries(samples).filter(([other]) => other !== name));
        await assertThrows(
          method,
          () => tensorsOf(without),
          method.options,
          ShapeError,
          new RegExp(`\\b${name}\\b.*missing`),
          `${method.label}: without ${name}`,
        );
      }
      const nested = { shape: [1, ...sample.shape], data: sample.data };
      await wrongly(name, () => ({ [name]: tensorOf(nested) }), ShapeError, /has shape/, 'of one axis more');
      await wrongly(
        name,
        () => ({ [name]: tensorOf(longer(sample, fixedAxis(name))) }),
        ShapeError,
        /shape|axis|heads/,
        'with a longer axis',
      );
      if (names.includes(name))
        await wrongly(name, () => ({ [name]: tensorOf(longer(sample, 1)) }), ShapeError, /shape/, 'a longer T');
      const integers = { shape: sample.shape, data: Int32Array.from(sample.data) };
      await wrongly(
        name,
        () => ({ [name]: rt.tensor(integers.data, integers.shape, 'i32') }),
        DTypeError,
        /i32/,
        'of i32',
      );
    }
    async function wrongly(name: string, change: () => Tensors, error: ErrorClass, says: RegExp, what: string) {
      const samplesLeft = { ...samples };
      delete samplesLeft[name];
      await assertThrows(
        method,
        () => ({ ...tensorsOf(samplesLeft), ...change() }),
        method.options,
        error,
        says,
        `${method.label}: ${name} ${what}`,
      );
    }
    await wrong(() => ({ extra: tensorOf(floats([1], () => 0)) }), OptionError, /no input 'extra'/, 'an unknown input');
    await wrong(() => ({}), OptionError, /no option 'scales'/, 'an unknown option', { scales: 2 });
    if (method.scaled)
      for (const scale of [Number.NaN, Number.POSITIVE_INFINITY])
        await wrong(() => ({}), OptionError, /scale/, `scale ${scale}`, { scale });
    for (const { initial, shape } of method.states) {
      if (!shape) continue;
      const sample = floats(shape(lengths.b + 1, lengths), () => 1);
      await wrong(() => ({ [initial]: tensorOf(sample) }), ShapeError, new RegExp(initial), `${initial} of three`);
    }
    if (method.packed)
      await wrong(
        () => ({ cuSeqlens: rt.tensor(Int32Array.of(0, 3, 7), [3], 'i32') }),
        ShapeError,
        /cuSeqlens/,
        'cuSeqlens of a batch of two',
      );
  });
}

test('boundaries that do not fill T are refused', async () => {
  const alone = { ...lengths, b: 1 };
  for (const method of [...methods, ...deltaMethods].filter(({ packed }) => packed)) {
    const random = randomFrom(56);
    const samples = { ...method.tokens(random, alone, 'mild', 1), ...method.constants?.(random, alone, 'mild') };
    for (const bounds of [[0, 6], [1, 7], [0, 5, 3, 7], [0, 8], [7]]) {
      const cuSeqlens = ints(bounds);
      await assertThrows(
        method,
        () => ({ ...tensorsOf(samples), cuSeqlens: rt.tensor(cuSeqlens.data, cuSeqlens.shape) }),
        method.options,
        ShapeError,
        /cuSeqlens/,
        `${method.label}: ${bounds}`,
      );
    }
  }
});

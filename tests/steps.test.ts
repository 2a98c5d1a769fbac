// Every step of the package: what it does with states, outputs and names that do not fit.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as wattn from '../src/index.ts';
import { DTypeError, OptionError, ShapeError, type Tensor } from '../src/index.ts';
import { deltaMethods } from './delta-methods.ts';
import { type FastMethod, fastMethods } from './fast-weight-methods.ts';
import { exported, type Method, methods, optionsFrom, stepOf, syncOf } from './linear-methods.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, ints, normal, randomFrom, type Sample } from './samples.ts';
import { again, tokenOf } from './streaming.ts';

const [rt = assert.fail('no runtime')] = await variants();
after(() => rt.dispose());

type Tensors = Record<string, Tensor>;
type AnyStep = (inputs: Tensors, options?: object) => { o: Tensor };

/** A step with operands that fit. */
interface Step {
  readonly label: string;
  readonly step: AnyStep;
  readonly options?: object;
  readonly inputs: Readonly<Record<string, Sample>>;
  /** Names of the states, and what a prefill calls them. */
  readonly states: Readonly<Record<string, string>>;
}

const random = randomFrom(81);
const sample = (...shape: number[]) => normal(random, shape);
const [rows, channels] = [sample(2, 6), sample(6)];
const state = { state: 'initialState' };
const diagonal = { AReal: floats([6, 3], () => -1), AImag: sample(6, 3), C: sample(6, 3, 2), logDt: channels };
const diagonalRow = { u: rows, state: sample(2, 6, 3, 2) };

const others: Readonly<Record<string, Omit<Step, 'label' | 'step'>>> = {
  causalConv1d: { inputs: { x: rows, weight: sample(6, 4), state: sample(2, 6, 3) }, states: state },
  dss: { inputs: { ...diagonalRow, ...diagonal }, states: state },
  gatedDeltaProduct: {
    options: { numHouseholder: 3 },
    inputs: {
      q: sample(2, 1, 5),
      k: sample(2, 3, 1, 5),
      v: sample(2, 3, 2, 7),
      beta: floats([2, 3, 2], random),
      g: floats([2, 2], () => -1),
      state: sample(2, 2, 5, 7),
    },
    states: state,
  },
  hgrn: { inputs: { x: rows, g: rows, state: rows }, states: state },
  logLinearAttn: {
    inputs: {
      q: sample(2, 1, 5),
      k: sample(2, 1, 5),
      v: sample(2, 2, 7),
      g: floats([2, 2], () => -1),
      levelScales: sample(2, 2, 3),
      state: sample(2, 2, 2, 5, 7),
      position: ints([2, 2]),
    },
    states: { state: 'initialState', position: 'initialPosition' },
  },
  mesaNet: {
    inputs: {
      q: sample(2, 3, 5),
      k: sample(2, 3, 5),
      v: sample(2, 3, 7),
      g: floats([2, 3], () => -1),
      beta: floats([2, 3], () => 1),
      lamb: floats([3, 5], () => 1),
      hKk: floats([2, 3, 5, 5], () => 0),
      hKv: sample(2, 3, 5, 7),
    },
    states: { hKk: 'initialHKk', hKv: 'initialHKv' },
  },
  rgLru: {
    inputs: { x: rows, inputGate: rows, recurrentGate: rows, recurrentParam: channels, state: rows },
    states: state,
  },
  rwkv4: {
    inputs: { k: rows, v: rows, w: channels, u: channels, num: rows, den: rows, max: rows },
    states: { num: 'num', den: 'den', max: 'max' },
  },
  s4d: { inputs: { ...diagonalRow, ...diagonal }, states: state },
  's4d of a table': { inputs: { ...diagonalRow, table: sample(6, 1, 8, 4) }, states: state },
  selectiveScan: {
    inputs: { u: rows, delta: rows, A: sample(6, 3), B: sample(2, 3), C: sample(2, 3), state: sample(2, 6, 3) },
    states: state,
  },
};

/** A method's operands of one token, and the states that a prefill of it leaves. */
function stepOfMethod(method: Method): Step {
  const tokens = method.tokens(random, lengths, 'mild', 1);
  const constants = method.constants?.(random, lengths, 'mild') ?? {};
  const left = rt.scope(() => {
    const made = Object.entries({ ...tokens, ...constants }).map(([name, { data, shape }]) => [
      name,
      rt.tensor(data, shape),
    ]);
    const results = syncOf(method)(Object.fromEntries(made), method.options);
    return method.states.map(({ step, final }): [string, FloatSample] => {
      const { shape } = results[final]!;
      return [step, again({ shape, data: results[final]!.dataSync() })];
    });
  });
  return {
    label: method.label,
    step: stepOf(method) as AnyStep,
    options: optionsFrom(method, 0),
    inputs: { ...tokenOf(tokens, 0), ...constants, ...Object.fromEntries(left) },
    states: Object.fromEntries(method.states.map(({ step, initial }) => [step, initial])),
  };
}

const lengths = { b: 2, t: 1, h: 2, hv: 2, k: 5, v: 7, m: 3 };

/** A method of fast weights with its states in the middle of a mini-batch. */
function stepOfFast(method: FastMethod): Step {
  const sizes = { b: 2, t: 1, h: 3, d: 4, c: 4, m: 5 };
  const given = method.initial(random, sizes);
  const stateOf = ({ initial, shape }: FastMethod['states'][number]) => {
    const axes = shape(sizes);
    if (!axes) return ints([2, 0]);
    return given[initial] ?? sample(2, 3, ...axes);
  };
  return {
    label: method.label,
    step: method.step as AnyStep,
    options: method.options(sizes),
    inputs: {
      ...tokenOf(method.tokens(random, sizes), 0),
      ...method.constants(random, sizes),
      ...Object.fromEntries(method.states.map((state) => [state.step, stateOf(state)])),
    },
    states: Object.fromEntries(method.states.map(({ step, initial }) => [step, initial])),
  };
}

const steps: readonly Step[] = [
  ...Object.entries(others).map(([label, rest]) => ({
    label,
    step: exported<AnyStep>(`${label.split(' ')[0]}Step`),
    ...rest,
  })),
  ...[...methods, ...deltaMethods].filter(({ steps }) => steps).map(stepOfMethod),
  ...fastMethods.map(stepOfFast),
];

test('every step that wattn exports is here', () => {
  const known = new Set<unknown>(steps.map(({ step }) => step));
  const missing = Object.entries(wattn).filter(([name, value]) => name.endsWith('Step') && !known.has(value));
  assert.deepEqual(
    missing.map(([name]) => name),
    [],
  );
});

for (const { label, step, options, inputs, states } of steps) {
  test(`${label}: a step refuses states, outputs and names that do not fit, and leaves nothing behind`, () => {
    rt.scope(() => {
      const right = Object.fromEntries(
        Object.entries(inputs).map(([name, { data, shape }]) => [name, rt.tensor(data, shape)]),
      );
      const { o } = step(right, options);
      const refused = (change: Record<string, Tensor | undefined>, error: typeof ShapeError, says: RegExp) => {
        const given = Object.fromEntries(
          Object.entries({ ...right, ...change }).filter(([, tensor]) => tensor),
        ) as Tensors;
        const { used } = rt.memory();
        assert.throws(
          () => step(given, options),
          (thrown) => thrown instanceof error && says.test(thrown.message) && /^\w+Step/.test(thrown.message),
          `${label}: ${says}`,
        );
        assert.equal(rt.memory().used, used, `${label}: ${says}: memory`);
      };
      for (const [name, initial] of Object.entries(states)) {
        const { shape } = right[name]!;
        const named = new RegExp(`\\b(${name}|${initial})\\b`);
        refused({ [name]: undefined }, ShapeError, new RegExp(`${name} is missing`));
        refused({ [name]: rt.empty(shape, 'u8') }, DTypeError, named);
        refused({ [name]: rt.empty([1, ...shape.slice(1)]).broadcast(shape) }, ShapeError, named);
        if (name !== initial) refused({ [initial]: right[name] }, OptionError, new RegExp(initial));
      }
      for (const [name, { shape }] of Object.entries(right)) {
        const [n = 0, ...others] = shape;
        refused({ [name]: rt.empty([n + 1, ...others], right[name]!.dtype) }, ShapeError, /shape|heads/);
      }
      const [first = 0, ...rest] = o.shape;
      refused({ o: rt.empty([first + 1, ...rest]) }, ShapeError, /\bo has shape/);
      refused({ o: rt.empty([first, 1, ...rest]) }, ShapeError, /\bo has shape/);
      refused({ o: rt.empty(o.shape, 'i32') }, DTypeError, /\bo is i32/);
      const wide = rt.empty([...o.shape.slice(0, -1), o.shape.at(-1)! + 1]);
      refused({ o: wide.slice(wide.shape.length - 1, 0, o.shape.at(-1)!) }, ShapeError, /\bo .*contiguous/);
      for (const [name, tensor] of Object.entries(right)) {
        if (String(tensor.shape) === String(o.shape))
          refused({ o: tensor }, ShapeError, new RegExp(`o is ${name} itself`));
      }
      refused({ cuSeqlens: rt.tensor(Int32Array.of(0, 1), [2]) }, OptionError, /cuSeqlens/);
      refused({ extra: rt.empty([1]) }, OptionError, /no input 'extra'/);
    });
  });
}

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { DTypeError, OptionError, type Runtime, ShapeError, type Tensor } from '../src/index.ts';
import { FlexAttention, FlexAttentionSync } from '../src/onnx/index.ts';
import { GraphReader, type ModifierGraph } from '../src/onnx/modifier-graph.ts';
import { probFactor, scoreForm } from '../src/onnx/score-form.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { call } from './call.ts';
import { property, sometimes } from './property.ts';
import { flexAttention, type Graph } from './reference/flex-attention.ts';
import { variants } from './runtimes.ts';
import { normal, randomFrom } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

/** Writes a subgraph step by step; each method gives the name of what it computes. */
class Writer {
  readonly graph: Graph = { nodes: [], initializers: [], inputs: [{ name: 'x' }], outputs: [] };
  #count = 0;

  node(op: string, inputs: string[], attributes: Record<string, unknown> = {}): string {
    const name = `v${this.#count++}`;
    this.graph.nodes.push({ op, inputs, outputs: [name], attributes });
    return name;
  }

  constant(values: (number | string | boolean)[], dims: number[] = [], dtype = 'float32'): string {
    const name = `c${this.#count++}`;
    this.graph.initializers.push({ name, dtype, dims, values });
    return name;
  }

  int(value: number): string {
    return this.constant([value], [], 'int64');
  }

  float(value: number | string): string {
    return this.constant([value]);
  }

  /** Positions along an axis of the scores, laid along it. */
  positions(axis: 2 | 3): string {
    const length = this.node('Gather', [this.node('Shape', ['x']), this.int(axis)]);
    const range = this.node('Range', [this.int(0), length, this.int(1)]);
    const shape = axis === 2 ? [-1, 1] : [1, -1];
    return this.node('Reshape', [range, this.constant(shape, [2], 'int64')]);
  }

  /** i - j + shift */
  distance(shift = 0): string {
    return this.node('Add', [this.node('Sub', [this.positions(2), this.positions(3)]), this.int(shift)]);
  }

  result(name: string): Graph {
    this.graph.outputs.push({ name });
    return this.graph;
  }
}

type Step = (w: Writer, x: string, heads: number, random: () => number) => string;

const hide = (w: Writer, condition: string, x: string, low: number | string = '-Infinity') =>
  w.node('Where', [condition, x, w.float(low)]);

// What the flash engine takes.
const plain: Record<string, Step> = {
  scale: (w, x) => w.node('Mul', [x, w.float(0.7)]),
  divide: (w, x) => w.node('Div', [x, w.float(1.3)]),
  bias: (w, x) => w.node('Add', [w.float(0.4), x]),
  lessBias: (w, x) => w.node('Sub', [x, w.float(0.3)]),
  softcap: (w, x) => w.node('Mul', [w.node('Tanh', [w.node('Div', [x, w.float(3)])]), w.float(3)]),
  relative: (w, x) => w.node('Add', [x, w.node('Mul', [w.node('Cast', [w.distance()], { to: 1 }), w.float(-0.11)])]),
  perHead: (w, x, heads, random) => {
    const slopes = w.constant(
      Array.from({ length: heads }, () => Math.fround(random() - 0.5)),
      [heads, 1, 1],
    );
    return w.node('Add', [x, w.node('Mul', [slopes, w.node('Cast', [w.distance(3)], { to: 1 })])]);
  },
  alibi: (w, x, heads, random) => {
    const slopes = w.constant(
      Array.from({ length: heads }, () => Math.fround(random())),
      [heads, 1, 1],
    );
    const distance = w.node('Abs', [w.node('Cast', [w.distance()], { to: 1 })]);
    return w.node('Sub', [x, w.node('Mul', [distance, slopes])]);
  },
  causal: (w, x) => hide(w, w.node('GreaterOrEqual', [w.positions(2), w.positions(3)]), x),
  causalByLess: (w, x) => w.node('Where', [w.node('Less', [w.positions(2), w.positions(3)]), w.float('-Infinity'), x]),
  covered: (w, x) => hide(w, w.node('LessOrEqual', [w.positions(3), w.positions(2)]), x, -3e38),
  window: (w, x) => {
    const after = w.node('LessOrEqual', [w.distance(), w.int(5)]);
    return hide(w, w.node('And', [after, w.node('Greater', [w.distance(2), w.int(0)])]), x);
  },
  never: (w, x) => hide(w, w.node('Greater', [w.distance(-1000), w.int(0)]), x),
  notWindow: (w, x) => hide(w, w.node('Not', [w.node('Greater', [w.distance(), w.int(7)])]), x),
  dilated: (w, x) => {
    const rest = w.node('Mod', [w.distance(), w.int(3)]);
    return hide(w, w.node('Equal', [rest, w.int(0)]), x);
  },
  blocks: (w, x) => {
    const block = (axis: 2 | 3) => w.node('Div', [w.positions(axis), w.int(4)]);
    return hide(w, w.node('Equal', [block(2), block(3)]), x);
  },
};

// What needs the scores in memory.
const general: Record<string, Step> = {
  sigmoid: (w, x) => w.node('Sigmoid', [x]),
  square: (w, x) => w.node('Mul', [x, x]),
  negate: (w, x) => w.node('Neg', [w.node('Abs', [x])]),
  relu: (w, x) => w.node('Relu', [w.node('Sub', [x, w.float(0.2)])]),
  threshold: (w, x) => hide(w, w.node('Greater', [x, w.float(0)]), x),
  shown: (w, x) => hide(w, w.node('Equal', [w.node('Mod', [w.distance(), w.int(2)]), w.int(0)]), x, -2),
  between: (w, x) => w.node('Min', [w.node('Max', [x, w.float(-1)]), w.float(1)]),
  perElement: (w, x) =>
    w.node('Mul', [x, w.node('Exp', [w.node('Mul', [w.float(-0.02), w.node('Cast', [w.distance()], { to: 1 })])])]),
  sign: (w, x) => w.node('Add', [w.node('Sign', [x]), w.node('Sqrt', [w.node('Abs', [x])])]),
};

const probs: Record<string, Step> = {
  half: (w, x) => w.node('Mul', [x, w.float(0.5)]),
  third: (w, x) => w.node('Div', [x, w.float(3)]),
  heads: (w, x, heads) =>
    w.node('Mul', [
      x,
      w.constant(
        Array.from({ length: heads }, (_, h) => h + 1),
        [heads, 1, 1],
      ),
    ]),
  drop: (w, x) => w.node('Where', [w.node('Greater', [x, w.float(0.02)]), x, w.float(0)]),
  even: (w, x) =>
    w.node('Where', [w.node('Equal', [w.node('Mod', [w.distance(), w.int(2)]), w.int(0)]), x, w.float(0)]),
};

function graphOf(steps: readonly Step[], heads: number, random: () => number): Graph {
  const w = new Writer();
  return w.result(steps.reduce((x, step) => step(w, x, heads, random), w.node('Identity', ['x'])));
}

const shapes = fc.record({
  seed: fc.nat(),
  B: fc.integer({ min: 1, max: 2 }),
  Hkv: fc.integer({ min: 1, max: 2 }),
  group: fc.integer({ min: 1, max: 2 }),
  L: fc.constantFrom(0, 1, 2, 19, 33),
  S: fc.constantFrom(1, 7, 40, 65),
  E: fc.constantFrom(1, 3, 18),
  Ev: fc.constantFrom(1, 6, 20),
});

async function check(
  shape: { seed: number; B: number; Hkv: number; group: number; L: number; S: number; E: number; Ev: number },
  scoreSteps: readonly Step[] | undefined,
  probSteps: readonly Step[] | undefined,
  scale: number | undefined,
  what: string,
): Promise<void> {
  const { B, Hkv, group, L, S, E, Ev } = shape;
  const random = randomFrom(shape.seed);
  const inputs = {
    Q: normal(random, [B, Hkv * group, L, E], 2),
    K: normal(random, [B, Hkv, S, E]),
    V: normal(random, [B, Hkv, S, Ev]),
  };
  const attributes = {
    ...(scale !== undefined && { scale }),
    ...(scoreSteps && { score_mod: graphOf(scoreSteps, Hkv * group, random) }),
    ...(probSteps && { prob_mod: graphOf(probSteps, Hkv * group, random) }),
  };
  const wanted = expected((round) => flexAttention(inputs, attributes, round));
  for (const rt of runtimes) {
    const got = await call(rt, FlexAttention, inputs, attributes);
    assertAccurate(got, wanted, `${rt.variant} ${what}`);
    const sync = await call(rt, async (x: never, y) => FlexAttentionSync(x, y), inputs, attributes);
    assertSameBits(sync.Y, got.Y, `${what}: sync`);
  }
}

test('score_mods that the flash engine takes', () =>
  property(
    fc.record({
      shape: shapes,
      steps: fc.uniqueArray(fc.constantFrom(...Object.keys(plain)), { maxLength: 3 }),
      prob: sometimes(fc.constantFrom('half', 'third', 'heads')),
      scale: sometimes(fc.double({ min: 0.05, max: 1, noNaN: true })),
    }),
    40,
    ({ shape, steps, prob, scale }) =>
      check(
        shape,
        steps.map((name) => plain[name]!),
        prob === undefined ? undefined : [probs[prob]!],
        scale,
        `${steps}`,
      ),
  ));

test('score_mods and prob_mods on scores in memory', () =>
  property(
    fc.record({
      shape: shapes,
      before: fc.uniqueArray(fc.constantFrom(...Object.keys(plain)), { maxLength: 1 }),
      steps: fc.uniqueArray(fc.constantFrom(...Object.keys(general)), { minLength: 1, maxLength: 2 }),
      prob: sometimes(fc.constantFrom(...Object.keys(probs))),
    }),
    40,
    ({ shape, before, steps, prob }) => {
      const all = [...before.map((name) => plain[name]!), ...steps.map((name) => general[name]!)];
      return check(
        shape,
        all,
        prob === undefined ? undefined : [probs[prob]!],
        undefined,
        `${before} ${steps} ${prob}`,
      );
    },
  ));

test('scores that do not fit are computed some rows at a time', async () => {
  const [L, S] = [530, 1000];
  const random = randomFrom(5);
  const [Q, K, V] = [normal(random, [1, 2, L, 3]), normal(random, [1, 1, S, 3]), normal(random, [1, 1, S, 2])];
  const biases = normal(random, [L, 1]);
  /** Rows [begin, end), each with its own bias. */
  const rows = async (rt: Runtime, begin: number, end: number) => {
    const w = new Writer();
    const own = w.constant(Array.from(biases.data.subarray(begin, end)), [end - begin, 1]);
    const score_mod = w.result(w.node('Sigmoid', [w.node('Add', ['x', own])]));
    return rt.scope(async () => {
      const [q, k, v] = [Q, K, V].map(({ data, shape }) => rt.tensor(data, shape)) as [Tensor, Tensor, Tensor];
      const part = rt.tensor(q.slice(2, begin, end).dataSync(), [1, 2, end - begin, 3]);
      const { Y } = await FlexAttention({ Q: part, K: k, V: v }, { score_mod });
      return { shape: Y.shape, data: Y.dataSync() };
    });
  };
  for (const rt of runtimes) {
    const whole = await rows(rt, 0, L);
    for (const [begin, end] of [
      [0, 300],
      [300, L],
    ] as const) {
      const part = await rows(rt, begin, end);
      for (const h of [0, 1]) {
        const cut = (data: ArrayLike<number>, from: number) => Array.from(data).slice(from, from + 2 * (end - begin));
        const [got, want] = [cut(whole.data, 2 * (h * L + begin)), cut(part.data, 2 * h * (end - begin))];
        assertNear(
          { shape: [got.length], data: got },
          { shape: [want.length], data: want },
          1e-6,
          `${rt.variant} ${begin}`,
        );
      }
    }
  }
});

const SHAPE = [1, 2, 40, 50];
const read = (steps: readonly Step[]) => new GraphReader('score_mod').read(graphOf(steps, 2, randomFrom(1)), SHAPE);

test('what the flash engine takes, and how', () => {
  for (const [name, step] of Object.entries(plain)) assert.ok(scoreForm(read([step]), SHAPE), name);
  for (const [name, step] of Object.entries(general)) assert.equal(scoreForm(read([step]), SHAPE), undefined, name);
  const form = (...names: string[]) => scoreForm(read(names.map((name) => plain[name]!)), SHAPE);
  assert.deepEqual(form('causal'), { ...form(), high: 0 });
  assert.deepEqual(form('causalByLess'), { ...form(), high: 0 });
  assert.deepEqual(form('covered'), { ...form(), high: 0, covered: true });
  assert.deepEqual(form('window'), { ...form(), low: -5, high: 1 });
  assert.deepEqual(form('notWindow'), { ...form(), low: -7 });
  assert.deepEqual(form('softcap'), { ...form(), scale: 1, softcap: 3 });
  assert.ok(Math.abs(form('scale', 'softcap', 'scale')!.softcap - 2.1) < 1e-6);
  // none of these may change places
  for (const names of [
    ['bias', 'softcap'],
    ['causal', 'softcap'],
    ['softcap', 'softcap'],
    ['covered', 'bias'],
  ]) {
    assert.equal(form(...names), undefined, `${names}`);
  }
  // more rows than a finite cover leaves keys for
  const w = new Writer();
  const cut = w.result(hide(w, w.node('Greater', [w.distance(-5), w.int(0)]), 'x', -3e38));
  assert.equal(scoreForm(new GraphReader('score_mod').read(cut, SHAPE), SHAPE), undefined);
  for (const name of ['half', 'third', 'heads']) assert.ok(probFactor(read([probs[name]!])), name);
  for (const name of ['drop', 'even']) assert.equal(probFactor(read([probs[name]!])), undefined, name);
});

test('the other nodes that give constants', async () => {
  const nodes: Record<string, (w: Writer) => string> = {
    Constant: (w) => w.node('Constant', [], { value: { dtype: 'float32', dims: [], values: [0.5] } }),
    value_float: (w) => w.node('Constant', [], { value_float: 0.5 }),
    Size: (w) => w.node('Cast', [w.node('Size', [w.constant([1, 2, 3], [3])])], { to: 1 }),
    Concat: (w) =>
      w.node('Gather', [w.node('Concat', [w.constant([1], [1]), w.constant([0.5, 3], [2])], { axis: 0 }), w.int(1)]),
    Slice: (w) =>
      w.node('Slice', [
        w.constant([9, 8, 0.5, 7], [4]),
        w.constant([-1], [1], 'int64'),
        w.constant([0], [1], 'int64'),
        w.constant([0], [1], 'int64'),
        w.constant([-2], [1], 'int64'),
      ]),
    Transpose: (w) => w.node('Transpose', [w.constant([1, 2, 3, 4, 5, 6], [2, 3])], { perm: [1, 0] }),
    Squeeze: (w) => w.node('Squeeze', [w.constant([0.5], [1, 1])]),
    Expand: (w) => w.node('Expand', [w.constant([1, 2], [2, 1]), w.constant([2, 3], [2], 'int64')]),
    ConstantOfShape: (w) => w.node('ConstantOfShape', [w.constant([3], [1], 'int64')]),
    Unsqueeze: (w) => w.node('Unsqueeze', [w.constant([1, 2], [2]), w.constant([0, -1], [2], 'int64')]),
    Clip: (w) => w.node('Clip', [w.float(7), '', w.float(3)]),
    Pow: (w) => w.node('Pow', [w.float(3), w.float(2)]),
  };
  const want: Record<string, [number[], number[]]> = {
    Constant: [[], [0.5]],
    value_float: [[], [0.5]],
    Size: [[], [3]],
    Concat: [[], [0.5]],
    Slice: [[2], [7, 8]],
    Transpose: [
      [3, 2],
      [1, 4, 2, 5, 3, 6],
    ],
    Squeeze: [[], [0.5]],
    Expand: [
      [2, 3],
      [1, 1, 1, 2, 2, 2],
    ],
    ConstantOfShape: [[3], [0, 0, 0]],
    Unsqueeze: [
      [1, 2, 1],
      [1, 2],
    ],
    Clip: [[], [3]],
    Pow: [[], [9]],
  };
  for (const [name, write] of Object.entries(nodes)) {
    const w = new Writer();
    const made = write(w);
    // the constant as the scores of a row
    const [dims, values] = want[name]!;
    const shape = [1, ...[1, 1, 1, ...dims].slice(-3)];
    const term = new GraphReader(name).read(w.result(w.node('Add', [w.node('Mul', ['x', w.float(0)]), made])), shape);
    assert.ok(term.kind === 'apply', name);
    const constant = term.operands[1]!;
    assert.deepEqual(constant.shape, dims, name);
    if (constant.kind === 'constant') assert.deepEqual(Array.from(constant.data), values, name);
    else assert.equal(name, 'Expand');
  }
});

const [first = assert.fail('no runtime')] = runtimes;
const rt: Runtime = first;
const f32 = (...shape: number[]) => rt.zeros(shape);
const qkv = () => ({ Q: f32(2, 4, 5, 8), K: f32(2, 2, 7, 8), V: f32(2, 2, 7, 6) });
const graph = (write: (w: Writer) => string) => {
  const w = new Writer();
  return w.result(write(w));
};

const wrong: [string, () => Record<string, unknown>, object, abstract new (...args: never[]) => Error, RegExp[]][] = [
  ['no V', () => ({ ...qkv(), V: undefined }), {}, ShapeError, [/V/]],
  ['heads that do not group', () => ({ ...qkv(), Q: f32(2, 3, 5, 8) }), {}, ShapeError, [/3/, /2/]],
  ['three axes', () => ({ ...qkv(), Q: f32(2, 5, 32) }), {}, ShapeError, [/Q/, /4 axes/]],
  ['two types', () => ({ ...qkv(), K: rt.empty([2, 2, 7, 8], 'f16') }), {}, DTypeError, [/K/, /f16/]],
  ['a misspelt attribute', qkv, { scoreMod: {} }, OptionError, [/scoreMod/, /score_mod/]],
  ['no graph', qkv, { score_mod: 'causal' }, OptionError, [/score_mod/, /causal/, /nodes/]],
  ['an infinite scale', qkv, { scale: Number.POSITIVE_INFINITY }, OptionError, [/scale/]],
  ['two outputs', qkv, { score_mod: { nodes: [], inputs: [{ name: 'x' }], outputs: [] } }, OptionError, [/0 outputs/]],
  [
    'a node that is none',
    qkv,
    { score_mod: graph((w) => w.node('ReduceMax', ['x'])) },
    OptionError,
    [/ReduceMax/, /Tanh/],
  ],
  [
    'another domain',
    qkv,
    {
      prob_mod: {
        ...graph((w) => w.node('Add', ['x', 'x'])),
        nodes: [{ op: 'Add', domain: 'com.acme', inputs: ['x', 'x'], outputs: ['v0'] }],
      },
    },
    OptionError,
    [/prob_mod/, /com\.acme/],
  ],
  ['an unknown value', qkv, { score_mod: graph((w) => w.node('Add', ['x', 'y'])) }, OptionError, [/'y'/]],
  [
    'all of the scores',
    qkv,
    { score_mod: graph((w) => w.node('Transpose', ['x'])) },
    OptionError,
    [/Transpose/, /scores/],
  ],
  [
    'types that differ',
    qkv,
    { score_mod: graph((w) => w.node('Add', ['x', w.int(1)])) },
    OptionError,
    [/float and int/, /Cast/],
  ],
  [
    'shapes that do not broadcast',
    qkv,
    { score_mod: graph((w) => w.node('Add', ['x', w.constant([1, 2], [2])])) },
    OptionError,
    [/\[2,4,5,7\]/, /\[2\]/],
  ],
  [
    'a result of another shape',
    qkv,
    { score_mod: graph((w) => w.node('Add', ['x', w.constant([1, 2], [2, 1, 1, 1, 1])])) },
    ShapeError,
    [/2,2,4,5,7/],
  ],
  [
    'a result of another type',
    qkv,
    { score_mod: graph((w) => w.node('Greater', ['x', w.float(0)])) },
    ShapeError,
    [/bool/],
  ],
  [
    'an exponent',
    qkv,
    { score_mod: graph((w) => w.node('Pow', ['x', w.float(1.7)])) },
    OptionError,
    [/Pow/, /exponent/],
  ],
  [
    'values for another shape',
    qkv,
    { score_mod: graph((w) => w.node('Add', ['x', w.constant([1], [2])])) },
    ShapeError,
    [/1 values/, /\[2\]/],
  ],
];

test('FlexAttention names what is wrong', async () => {
  for (const [what, inputs, attributes, error, says] of wrong) {
    await rt.scope(async () => {
      const given = inputs() as never;
      const blocks = rt.memory().blocks;
      const seen = (thrown: unknown) => {
        assert.ok(thrown instanceof error, `${what}: ${thrown}`);
        for (const word of [/FlexAttention/, ...says]) assert.match(thrown.message, word, what);
        return true;
      };
      await assert.rejects(async () => FlexAttention(given, attributes as { score_mod?: ModifierGraph }), seen, what);
      assert.throws(() => FlexAttentionSync(given, attributes), seen, what);
      assert.equal(rt.memory().blocks, blocks, `${what}: blocks are left behind`);
    });
  }
});

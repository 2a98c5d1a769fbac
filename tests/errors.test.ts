import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import {
  attention,
  attentionSync,
  createRuntime,
  DisposedError,
  DTypeError,
  differentialAttention,
  differentialAttentionSync,
  forgettingAttn,
  forgettingAttnSync,
  layerNorm,
  layerNormSync,
  MemoryLimitError,
  matmul,
  matmulSync,
  mergeState,
  mergeStateSync,
  mla,
  mlaSync,
  OptionError,
  pagedAttention,
  pagedAttentionSync,
  parallax,
  parallaxSync,
  RuntimeMismatchError,
  rmsNorm,
  rmsNormSync,
  rope,
  ropeSync,
  ShapeError,
  type Tensor,
  WattnError,
} from '../src/index.ts';
import { variants } from './runtimes.ts';

const [rt = assert.fail('no runtime')] = await variants();
const other = await createRuntime({ variant: 'simd', threads: 1 });
after(() => {
  rt.dispose();
  other.dispose();
});

const f32 = (...shape: number[]): Tensor =>
  rt.tensor(
    new Float32Array(shape.reduce((a, b) => a * b, 1)).map((_, n) => Math.sin(n)),
    shape,
  );
const i32 = (...values: number[]): Tensor => rt.tensor(Int32Array.from(values), [values.length]);
const u8 = (...shape: number[]): Tensor => rt.tensor(new Uint8Array(shape.reduce((a, b) => a * b, 1)).fill(1), shape);

// biome-ignore lint/suspicious/noExplicitAny: the inputs are wrong on purpose
type AnyOp = (inputs: any, options?: any) => unknown;
type ErrorClass = abstract new (...args: never[]) => Error;

interface WrongCall {
  what: string;
  op: AnyOp;
  sync: AnyOp;
  inputs: () => Record<string, unknown>;
  options?: object;
  error: ErrorClass;
  /** What the message must name: what was given and what was expected. */
  says: RegExp[];
}

function wrongCalls(
  op: AnyOp,
  sync: AnyOp,
  right: () => Record<string, Tensor>,
  wrongs: [what: string, wrong: () => Record<string, unknown>, error: ErrorClass, says: RegExp[], options?: object][],
): WrongCall[] {
  return wrongs.map(([what, wrong, error, says, options]) => ({
    what: `${op.name}: ${what}`,
    op,
    sync,
    inputs: () => ({ ...right(), ...wrong() }),
    error,
    says,
    ...(options && { options }),
  }));
}

const qkv = () => ({ q: f32(2, 5, 4, 8), k: f32(2, 7, 2, 8), v: f32(2, 7, 2, 6) });
const one = () => ({ q: f32(1, 5, 4, 8), k: f32(1, 5, 2, 8), v: f32(1, 5, 2, 6) });
const none = () => ({});

const calls: WrongCall[] = [
  ...wrongCalls(attention, attentionSync, qkv, [
    ['q of three axes', () => ({ q: f32(2, 5, 32) }), ShapeError, [/\bq\b/, /2, ?5, ?32/]],
    ['k of another head dimension', () => ({ k: f32(2, 7, 2, 9) }), ShapeError, [/\bk\b/, /9/, /8/]],
    ['k of another batch', () => ({ k: f32(3, 7, 2, 8) }), ShapeError, [/\bk\b/, /3/, /2/]],
    ['v of another length', () => ({ v: f32(2, 6, 2, 6) }), ShapeError, [/\bv\b/, /6/, /7/]],
    ['v of other heads', () => ({ v: f32(2, 7, 1, 6) }), ShapeError, [/\bv\b/, /1/, /2/]],
    ['heads that do not group', () => ({ q: f32(2, 5, 3, 8) }), ShapeError, [/3/, /2/]],
    ['a bias of another key length', () => ({ bias: f32(1, 1, 1, 6) }), ShapeError, [/bias/, /6/, /7/]],
    ['a bias of another batch', () => ({ bias: f32(3, 1, 1, 7) }), ShapeError, [/bias/, /3/, /2/]],
    ['a mask of another query length', () => ({ mask: u8(1, 1, 4, 7) }), ShapeError, [/mask/, /4/, /5/]],
    ['kvLens of another batch', () => ({ kvLens: i32(1, 2, 3) }), ShapeError, [/kvLens/, /3/, /2/]],
    ['sinks for other heads', () => ({ sinks: f32(2) }), ShapeError, [/sinks/, /2/, /4/]],
    ['slopes for other heads', () => ({ alibiSlopes: f32(5) }), ShapeError, [/alibiSlopes/, /5/, /4/]],
    ['colBias of another length', () => ({ colBias: f32(2, 5, 4) }), ShapeError, [/colBias/, /5/, /7/]],
    ['cuSeqlens with two batches', () => ({ cuSeqlens: i32(0, 5) }), ShapeError, [/cuSeqlens/, /2/, /1/]],
    ['a mask of floats', () => ({ mask: f32(1, 1, 5, 7) }), DTypeError, [/mask/, /f32/, /u8/]],
    [
      'queries of integers',
      () => ({ q: rt.tensor(new Int32Array(320), [2, 5, 4, 8]) }),
      DTypeError,
      [/\bq\b/, /i32/, /f32/],
    ],
    ['lengths of floats', () => ({ kvLens: f32(2) }), DTypeError, [/kvLens/, /f32/, /i32/]],
    ['i8 keys without scales', () => ({ k: rt.empty([2, 7, 2, 8], 'i8') }), DTypeError, [/kScale/]],
    ['a scale that is NaN', none, OptionError, [/scale/, /NaN/], { scale: Number.NaN }],
    ['an infinite scale', none, OptionError, [/scale/, /Infinity/], { scale: Number.POSITIVE_INFINITY }],
    ['a negative softcap', none, OptionError, [/softcap/, /-1/], { softcap: -1 }],
    ['a window of one number', none, OptionError, [/window/], { window: [3] }],
    ['a fractional window', none, OptionError, [/window/, /1\.5/], { window: [1.5, 0] }],
    ['a window that is NaN', none, OptionError, [/window/, /NaN/], { window: [Number.NaN, 0] }],
    ['a misspelt option', none, OptionError, [/casual/, /causal/], { casual: true }],
    ['a misspelt input', () => ({ kvlens: i32(1, 2) }), OptionError, [/kvlens/, /kvLens/]],
    ['no v', () => ({ v: undefined }), ShapeError, [/\bv\b/]],
  ]),
  ...wrongCalls(attention, attentionSync, one, [
    ['cuSeqlens that end early', () => ({ cuSeqlens: i32(0, 2, 4) }), ShapeError, [/cuSeqlens/, /4/, /5/]],
    ['cuSeqlens that start late', () => ({ cuSeqlens: i32(1, 5) }), ShapeError, [/cuSeqlens/, /1/, /0/]],
    ['cuSeqlens that fall', () => ({ cuSeqlens: i32(0, 4, 3, 5) }), ShapeError, [/cuSeqlens/]],
    [
      'cuSeqlensK of another count',
      () => ({ cuSeqlens: i32(0, 2, 5), cuSeqlensK: i32(0, 5) }),
      ShapeError,
      [/cuSeqlensK/],
    ],
    ['a length beyond the keys', () => ({ kvLens: i32(6) }), ShapeError, [/kvLens/, /6/, /5/]],
    ['a negative length', () => ({ kvLens: i32(-1) }), ShapeError, [/kvLens/, /-1/]],
  ]),
  ...wrongCalls(
    pagedAttention,
    pagedAttentionSync,
    () => ({
      q: f32(2, 1, 4, 8),
      kCache: f32(6, 4, 2, 8),
      vCache: f32(6, 4, 2, 8),
      blockTable: rt.tensor(Int32Array.of(0, 1, 2, 3, 4, 5), [2, 3]),
      seqLens: i32(9, 4),
    }),
    [
      [
        'a page outside the cache',
        () => ({ blockTable: rt.tensor(Int32Array.of(0, 1, 6, 3, 4, 5), [2, 3]) }),
        ShapeError,
        [/blockTable/, /6/],
      ],
      [
        'a negative page',
        () => ({ blockTable: rt.tensor(Int32Array.of(0, -1, 2, 3, 4, 5), [2, 3]) }),
        ShapeError,
        [/blockTable/, /-1/],
      ],
      ['a length beyond its table', () => ({ seqLens: i32(13, 4) }), ShapeError, [/seqLens/, /13/, /12/]],
      ['a negative length', () => ({ seqLens: i32(9, -4) }), ShapeError, [/seqLens/, /-4/]],
      [
        'a table of another batch',
        () => ({ blockTable: rt.tensor(Int32Array.of(0, 1, 2), [1, 3]) }),
        ShapeError,
        [/blockTable/, /1/, /2/],
      ],
      ['a table of floats', () => ({ blockTable: f32(2, 3) }), DTypeError, [/blockTable/, /f32/, /i32/]],
      ['caches of other pages', () => ({ vCache: f32(5, 4, 2, 8) }), ShapeError, [/vCache/, /5/, /6/]],
    ],
  ),
  ...wrongCalls(
    mla,
    mlaSync,
    () => ({
      qNope: f32(1, 3, 2, 8),
      qRope: f32(1, 3, 2, 4),
      cKv: f32(1, 5, 6),
      kRope: f32(1, 5, 4),
      wUk: f32(2, 6, 8),
      wUv: f32(2, 6, 10),
    }),
    [
      ['wUk of another rank', () => ({ wUk: f32(2, 7, 8) }), ShapeError, [/wUk/, /7/, /6/]],
      ['wUv of other heads', () => ({ wUv: f32(3, 6, 10) }), ShapeError, [/wUv/, /3/, /2/]],
      ['kRope of another width', () => ({ kRope: f32(1, 5, 2) }), ShapeError, [/kRope/, /2/, /4/]],
    ],
  ),
  ...wrongCalls(
    differentialAttention,
    differentialAttentionSync,
    () => ({
      q1: f32(1, 3, 2, 8),
      k1: f32(1, 3, 2, 8),
      q2: f32(1, 3, 2, 8),
      k2: f32(1, 3, 2, 8),
      v: f32(1, 3, 2, 6),
      lambda: f32(2),
    }),
    [
      ['lambda for other heads', () => ({ lambda: f32(3) }), ShapeError, [/lambda/, /3/, /2/]],
      ['k2 of another width', () => ({ k2: f32(1, 3, 2, 9) }), ShapeError, [/k2/, /9/, /8/]],
    ],
  ),
  ...wrongCalls(
    forgettingAttn,
    forgettingAttnSync,
    () => ({ q: f32(1, 3, 2, 8), k: f32(1, 3, 2, 8), v: f32(1, 3, 2, 6), g: f32(1, 3, 2) }),
    [
      ['gates of other heads', () => ({ g: f32(1, 3, 1) }), ShapeError, [/\bg\b/, /1/, /2/]],
      ['an empty window', none, OptionError, [/windowSize/, /0/], { windowSize: 0 }],
    ],
  ),
  ...wrongCalls(
    parallax,
    parallaxSync,
    () => ({ q: f32(1, 3, 2, 8), k: f32(1, 3, 2, 8), v: f32(1, 3, 2, 6), r: f32(1, 3, 2, 8) }),
    [['r unlike q', () => ({ r: f32(1, 3, 2, 4) }), ShapeError, [/\br\b/, /4/, /8/]]],
  ),
  ...wrongCalls(
    mergeState,
    mergeStateSync,
    () => ({ oA: f32(1, 3, 2, 8), lseA: f32(1, 3, 2), oB: f32(1, 3, 2, 8), lseB: f32(1, 3, 2) }),
    [
      ['sides of different shapes', () => ({ oB: f32(1, 4, 2, 8) }), ShapeError, [/oB/, /4/, /3/]],
      ['lse of another shape', () => ({ lseB: f32(1, 3, 3) }), ShapeError, [/lseB/, /3/, /2/]],
    ],
  ),
  ...wrongCalls(rope, ropeSync, () => ({ x: f32(2, 3, 2, 8) }), [
    ['an odd dimension', () => ({ x: f32(2, 3, 2, 7) }), ShapeError, [/7/, /even/]],
    ['rotaryDim beyond the dimension', none, OptionError, [/rotaryDim/, /10/, /8/], { rotaryDim: 10 }],
    ['an odd rotaryDim', none, OptionError, [/rotaryDim/, /3/, /even/], { rotaryDim: 3 }],
    ['a base of zero', none, OptionError, [/base/, /0/], { base: 0 }],
    ['an offset that is NaN', none, OptionError, [/offset/, /NaN/], { offset: Number.NaN }],
    ['positions of another length', () => ({ positions: i32(0, 1) }), ShapeError, [/positions/, /2/, /3/]],
    ['positions of floats', () => ({ positions: f32(3) }), DTypeError, [/positions/, /f32/, /i32/]],
  ]),
  ...wrongCalls(rmsNorm, rmsNormSync, () => ({ x: f32(2, 8) }), [
    ['a weight of another width', () => ({ weight: f32(7) }), ShapeError, [/weight/, /7/, /8/]],
    ['a negative eps', none, OptionError, [/eps/, /-1/], { eps: -1 }],
  ]),
  ...wrongCalls(layerNorm, layerNormSync, () => ({ x: f32(2, 8) }), [
    ['a bias of another width', () => ({ bias: f32(9) }), ShapeError, [/bias/, /9/, /8/]],
    ['integers', () => ({ x: rt.tensor(new Int32Array(16), [2, 8]) }), DTypeError, [/\bx\b/, /i32/, /f32/]],
  ]),
  ...wrongCalls(matmul, matmulSync, () => ({ a: f32(3, 4), b: f32(4, 5) }), [
    ['an inner size that differs', () => ({ b: f32(5, 4) }), ShapeError, [/5/, /4/]],
    ['b that should be transposed', none, ShapeError, [/5/, /4/], { transposeB: true }],
    ['a bias of another width', () => ({ bias: f32(4) }), ShapeError, [/bias/, /4/, /5/]],
    ['an unknown activation', none, OptionError, [/activation/, /tanh/, /geluTanh/], { activation: 'tanh' }],
  ]),
];

function isNamed(error: unknown, { error: expected, says }: WrongCall): true {
  assert.ok(error instanceof expected, `${expected.name} expected, got ${error}`);
  assert.ok(error instanceof WattnError);
  assert.equal(error.name, expected.name);
  for (const part of says) assert.match(error.message, part);
  return true;
}

for (const wrong of calls) {
  test(`${wrong.what} throws ${wrong.error.name}, from both twins, and leaks nothing`, async () => {
    await rt.scope(async () => {
      const inputs = wrong.inputs();
      const { used } = rt.memory();
      await assert.rejects(
        async () => wrong.op(inputs, wrong.options),
        (error) => isNamed(error, wrong),
      );
      assert.throws(
        () => wrong.sync(inputs, wrong.options),
        (error) => isNamed(error, wrong),
      );
      assert.equal(rt.memory().used, used);
    });
  });
}

test('an op fails by rejecting, never by throwing before it returns its promise', async () => {
  await rt.scope(async () => {
    const promise = attention({ ...qkv(), k: f32(2, 7, 2, 9) });
    assert.ok(promise instanceof Promise);
    await assert.rejects(promise, ShapeError);
  });
});

test('a disposed tensor', async () => {
  const inputs = qkv();
  inputs.k.dispose();
  const { used } = rt.memory();
  await assert.rejects(
    attention(inputs),
    (error: Error) => error instanceof DisposedError && /\bk\b/.test(error.message),
  );
  assert.throws(() => inputs.k.view(), DisposedError);
  assert.throws(() => inputs.k.dataSync(), DisposedError);
  assert.throws(() => inputs.k.reshape([224]), DisposedError);
  assert.throws(() => inputs.k.slice(0, 0, 1), DisposedError);
  await assert.rejects(async () => inputs.k.data(), DisposedError);
  assert.throws(() => inputs.k.dispose(), DisposedError);
  assert.equal(rt.memory().used, used);
  inputs.q.dispose();
  inputs.v.dispose();
});

test('tensors of two runtimes', async () => {
  const inputs = qkv();
  const stranger = other.tensor(new Float32Array(224), [2, 7, 2, 8]);
  const before = [rt.memory().used, other.memory().used];
  await assert.rejects(attention({ ...inputs, k: stranger }), RuntimeMismatchError);
  assert.throws(() => attentionSync({ ...inputs, k: stranger }), RuntimeMismatchError);
  assert.deepEqual([rt.memory().used, other.memory().used], before);
  for (const tensor of [...Object.values(inputs), stranger]) tensor.dispose();
});

test('a disposed runtime', async () => {
  const gone = await createRuntime({ variant: 'simd', threads: 1 });
  const q = gone.tensor(new Float32Array(8), [1, 1, 1, 8]);
  gone.dispose();
  assert.throws(() => gone.tensor([1], [1]), DisposedError);
  assert.throws(() => gone.empty([1]), DisposedError);
  await assert.rejects(attention({ q, k: q, v: q }), DisposedError);
  assert.throws(() => q.view(), DisposedError);
});

test('wrong tensors are not made', () => {
  const { used } = rt.memory();
  assert.throws(
    () => rt.tensor(new Float32Array(5), [2, 3]),
    (error: Error) => error instanceof ShapeError && /5/.test(error.message) && /6/.test(error.message),
  );
  assert.throws(() => rt.tensor(new Float32Array(5), [-5]), ShapeError);
  assert.throws(() => rt.tensor(new Float32Array(1), [0.5]), ShapeError);
  assert.throws(() => rt.empty([Number.NaN]), ShapeError);
  assert.throws(() => rt.empty([2], 'f8' as 'f32'), DTypeError);
  assert.equal(rt.memory().used, used);
});

test('wrong views are not made', async () => {
  await rt.scope(async () => {
    const x = f32(2, 3, 4);
    assert.throws(
      () => x.reshape([5, 5]),
      (error: Error) => error instanceof ShapeError && /25|5, ?5/.test(error.message),
    );
    assert.throws(() => x.slice(3, 0, 1), OptionError);
    assert.throws(() => x.slice(0, 0, 3), OptionError);
    assert.throws(() => x.slice(0, 2, 1), OptionError);
    assert.throws(() => x.permute([0, 1]), OptionError);
    assert.throws(() => x.permute([0, 1, 1]), OptionError);
    assert.throws(() => x.permute([2, 1, 0]).view(), WattnError);
  });
});

test('the memory limit stops tensors and calls, and what was there stays sound', async () => {
  const small = await createRuntime({ variant: 'simd', threads: 1, memory: 3 * 2 ** 20 });
  const limited = (error: Error) => error instanceof MemoryLimitError && /limit/.test(error.message);
  assert.throws(() => small.empty([2 ** 21]), limited);
  const values = Float32Array.from({ length: 700 * 2 * 128 }, (_, n) => Math.sin(n));
  const q = small.tensor(values, [1, 700, 2, 128]);
  const k = small.tensor(values, [1, 700, 2, 128]);
  const { used } = small.memory();
  await assert.rejects(attention({ q, k, v: k }), limited);
  assert.throws(() => attentionSync({ q, k, v: k }), limited);
  assert.equal(small.memory().used, used);
  assert.deepEqual(q.dataSync(), values);
  const head = k.slice(1, 0, 5);
  const { o } = await attention({ q: q.slice(1, 0, 5), k: head, v: head });
  assert.ok(Array.from(await o.data()).every(Number.isFinite));
  small.dispose();
});

test('after all of this, a right call gives what it gave before', async () => {
  await rt.scope(async () => {
    const inputs = qkv();
    const fresh = await createRuntime({ variant: rt.variant, threads: 1 });
    const copies = Object.fromEntries(
      await Promise.all(
        Object.entries(inputs).map(async ([name, x]) => [
          name,
          fresh.tensor((await x.data()) as Float32Array, x.shape),
        ]),
      ),
    );
    const [{ o }, want] = [await attention(inputs), await attention(copies)];
    assert.deepEqual(await o.data(), await want.o.data());
    fresh.dispose();
  });
});

test('the options of a runtime', async () => {
  for (const [options, says] of [
    [{ variant: 'fast' }, /variant.*fast.*simd/],
    [{ threads: 0 }, /threads.*0/],
    [{ threads: 1.5 }, /threads.*1\.5/],
    [{ memory: -1 }, /memory.*-1/],
    [{ treads: 2 }, /treads.*threads/],
  ] as const) {
    await assert.rejects(
      createRuntime(options as object),
      (error: Error) => error instanceof OptionError && says.test(error.message),
      JSON.stringify(options),
    );
  }
});

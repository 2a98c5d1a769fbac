import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as wattn from '../src/index.ts';
import { DTypeError, OptionError, ShapeError, type Tensor } from '../src/index.ts';
import { variants } from './runtimes.ts';

const [rt = assert.fail('no runtime')] = await variants();
after(() => rt.dispose());

type ErrorClass = abstract new (...args: never[]) => Error;
type Make = () => Tensor;

const [B, T, H, Hkv, D, Dv] = [2, 12, 4, 2, 8, 6];
const zeros =
  (...shape: number[]): Make =>
  () =>
    rt.zeros(shape);
const typed =
  (dtype: 'i8' | 'i32' | 'f16', ...shape: number[]): Make =>
  () =>
    rt.zeros(shape, dtype);
/** A tensor whose last axis has gaps. */
const gaps =
  (...shape: number[]): Make =>
  () =>
    rt.zeros([...shape.slice(0, -1), 2 * shape.at(-1)!]).restride(shape, [...strides(shape).map((x) => 2 * x)]);

function strides(shape: readonly number[]): number[] {
  return shape.map((_, axis) => shape.slice(axis + 1).reduce((product, n) => product * n, 1));
}

const qkv = { q: zeros(B, T, H, D), k: zeros(B, T, Hkv, D), v: zeros(B, T, Hkv, Dv) };
const gate = zeros(B, T, H);
const shape = [2, 2, 3] as const;
const index = { qIdx: zeros(B, T, 3, 4), kIdx: zeros(B, T, 4), wIdx: zeros(B, T, 3) };

/** Per method a call that works. */
const methods: Record<string, { inputs: Record<string, Make>; options: object }> = {
  topKAttention: { inputs: qkv, options: { k: 3 } },
  topPAttention: { inputs: qkv, options: { p: 0.5 } },
  nsa: { inputs: { ...qkv, gCmp: gate, gSlc: gate, gSwa: gate }, options: { blockSize: 4, windowSize: 3 } },
  moba: { inputs: qkv, options: { chunkSize: 4, topk: 2 } },
  vmoba: { inputs: qkv, options: { shape, chunk: 1 } },
  dsa: { inputs: { ...qkv, ...index }, options: { topk: 4 } },
  vsa: { inputs: { ...qkv, gate: zeros(B, T, H, Dv) }, options: { shape, topk: 1 } },
  sla: { inputs: { ...qkv, proj: zeros(Dv, Dv), projBias: zeros(Dv) }, options: {} },
  draftAttention: { inputs: qkv, options: { shape } },
};

/** What is wrong with a call: changed inputs (absent where undefined) and options. */
interface Wrong {
  inputs?: Record<string, Make | undefined>;
  options?: object;
  error: ErrorClass;
  says: RegExp;
}

const gridWrongs: Wrong[] = [
  { options: { shape: undefined }, error: OptionError, says: /shape is missing, expected 3 whole numbers/ },
  { options: { shape: [2, 6] }, error: OptionError, says: /shape is \[2,6\], expected 3 whole numbers/ },
  { options: { shape: [2, 0, 6] }, error: OptionError, says: /shape is \[2,0,6\]/ },
  { options: { shape: [2, 2, 4] }, error: ShapeError, says: /q has 12 and k 12 tokens, expected 16/ },
  { inputs: { q: zeros(B, T - 1, H, D) }, error: ShapeError, says: /q has 11 and k 12 tokens/ },
];
const flagWrong: Wrong = { options: { returnSelection: 1 }, error: OptionError, says: /returnSelection is 1/ };

const wrongs: Record<string, Wrong[]> = {
  topKAttention: [
    { options: { k: undefined }, error: OptionError, says: /k is missing, expected how many keys/ },
    { options: { k: -1 }, error: OptionError, says: /k is -1/ },
    { options: { k: 1.5 }, error: OptionError, says: /k is 1.5, expected a whole number/ },
    { options: { causal: 1 }, error: OptionError, says: /causal is 1/ },
  ],
  topPAttention: [
    { options: { p: undefined }, error: OptionError, says: /p is missing, expected a share/ },
    { options: { p: 1.1 }, error: OptionError, says: /p is 1.1, expected a finite number from 0 to 1/ },
    { options: { p: Number.NaN }, error: OptionError, says: /p is NaN/ },
  ],
  nsa: [
    {
      inputs: { gCmp: undefined, gSlc: undefined, gSwa: undefined },
      options: { windowSize: 0 },
      error: OptionError,
      says: /there is no gate/,
    },
    { options: { windowSize: 0 }, error: OptionError, says: /windowSize is 0 and gSwa is given/ },
    { inputs: { gSwa: undefined }, error: OptionError, says: /windowSize is 3 and gSwa is missing/ },
    {
      inputs: { gSlc: zeros(B, T, Hkv) },
      error: ShapeError,
      says: /gSlc has shape \[2, 12, 2\], expected \[2, 12, 4\]/,
    },
    { inputs: { gCmp: typed('f16', B, T, H) }, error: DTypeError, says: /gCmp is f16/ },
    { inputs: { gCmp: gaps(B, T, H) }, error: ShapeError, says: /gCmp .* must be contiguous/ },
    {
      inputs: { kCmp: zeros(B, 4, Hkv, D) },
      error: ShapeError,
      says: /kCmp has shape \[2, 4, 2, 8\], expected \[2, 3, 2, 8\]/,
    },
    { inputs: { vCmp: zeros(B, 3, Hkv, D) }, error: ShapeError, says: /vCmp has shape/ },
    { options: { blockSize: 0 }, error: OptionError, says: /blockSize is 0/ },
    { options: { blockCounts: 0 }, error: OptionError, says: /blockCounts is 0/ },
  ],
  moba: [
    {
      inputs: { kMean: zeros(B, 4, Hkv, D) },
      error: ShapeError,
      says: /kMean has shape \[2, 4, 2, 8\], expected \[2, 3, 2, 8\]/,
    },
    { options: { chunkSize: undefined }, error: OptionError, says: /chunkSize is missing/ },
    { options: { topk: undefined }, error: OptionError, says: /topk is missing/ },
    { options: { chunkSize: 0 }, error: OptionError, says: /chunkSize is 0/ },
    { options: { topk: 0 }, error: OptionError, says: /topk is 0/ },
  ],
  vmoba: [
    ...gridWrongs,
    { options: { chunk: undefined }, error: OptionError, says: /chunk is missing/ },
    { options: { chunk: 0 }, error: OptionError, says: /chunk is 0/ },
    { options: { chunk: [2, 0] }, error: OptionError, says: /chunk is \[2,0\], expected 2 whole numbers/ },
    { options: { threshold: 2 }, error: OptionError, says: /threshold is 2/ },
    { options: { topk: 0 }, error: OptionError, says: /topk is 0/ },
    { options: { topk: 1, threshold: 0.5 }, error: OptionError, says: /threshold and topk were both given/ },
  ],
  dsa: [
    { inputs: { qIdx: undefined }, error: ShapeError, says: /qIdx is missing/ },
    {
      inputs: { kIdx: zeros(B, T, 5) },
      error: ShapeError,
      says: /kIdx has shape \[2, 12, 5\], expected \[2, 12, DI\] with DI = 4/,
    },
    { inputs: { wIdx: zeros(B, T, 4) }, error: ShapeError, says: /wIdx has shape/ },
    { inputs: { wIdx: typed('f16', B, T, 3) }, error: DTypeError, says: /wIdx is f16/ },
    { inputs: { qIdx: gaps(B, T, 3, 4) }, error: ShapeError, says: /qIdx .* must be contiguous along its last axis/ },
    { inputs: { k: typed('i8', B, T, Hkv, D) }, error: DTypeError, says: /k is i8 without kScale/ },
    { options: { topk: -1 }, error: OptionError, says: /topk is -1/ },
  ],
  vsa: [
    ...gridWrongs,
    { options: { topk: undefined }, error: OptionError, says: /topk is missing/ },
    { options: { cube: [1, 2] }, error: OptionError, says: /cube is \[1,2\]/ },
    { inputs: { gate: zeros(B, T, H, D) }, error: ShapeError, says: /gate has shape/ },
    { inputs: { gate: gaps(B, T, H, Dv) }, error: ShapeError, says: /gate .* must be contiguous/ },
  ],
  sla: [
    { options: { topk: 1.5 }, error: OptionError, says: /topk is 1.5/ },
    {
      options: { featureMap: 'exp' },
      error: OptionError,
      says: /featureMap is "exp", expected softmax or elu or relu/,
    },
    { options: { linear: 'none' }, error: OptionError, says: /linear is "none", expected rest or all/ },
    { options: { blockQ: 0 }, error: OptionError, says: /blockQ is 0/ },
    { options: { eps: -1 }, error: OptionError, says: /eps is -1/ },
    { inputs: { proj: undefined }, error: OptionError, says: /projBias was given without proj/ },
    { inputs: { proj: zeros(D, D) }, error: ShapeError, says: /proj has shape/ },
    { inputs: { projBias: zeros(D) }, error: ShapeError, says: /projBias has shape/ },
  ],
  draftAttention: [
    ...gridWrongs,
    { options: { pool: [2] }, error: OptionError, says: /pool is \[2\], expected 2 whole numbers/ },
    { options: { keep: -0.1 }, error: OptionError, says: /keep is -0.1/ },
  ],
};

const common: Wrong[] = [
  flagWrong,
  { inputs: { q: undefined }, error: ShapeError, says: /q is missing, expected a tensor/ },
  { inputs: { k: zeros(B, T, 3, D), v: zeros(B, T, 3, Dv) }, error: ShapeError, says: /4 query heads cannot share 3/ },
  { inputs: { v: zeros(B, T - 1, Hkv, Dv) }, error: ShapeError, says: /v has shape/ },
  { inputs: { q: typed('i32', B, T, H, D) }, error: DTypeError, says: /q is i32/ },
  { inputs: { extra: gate }, error: OptionError, says: /has no input 'extra'/ },
  { options: { extra: 1 }, error: OptionError, says: /has no option 'extra'/ },
  { options: { scale: Number.POSITIVE_INFINITY }, error: OptionError, says: /scale is Infinity/ },
];

type Op = (inputs: object, options: object) => unknown;

for (const [name, { inputs, options }] of Object.entries(methods)) {
  test(`${name}: every wrong call is named, and leaves memory as it was`, async () => {
    const [op, sync] = [name, `${name}Sync`].map((key) => (wattn as unknown as Record<string, Op>)[key]!);
    for (const wrong of [...common, ...wrongs[name]!]) {
      await rt.scope(async () => {
        const made: Record<string, Tensor> = {};
        for (const [input, make] of Object.entries({ ...inputs, ...wrong.inputs })) if (make) made[input] = make();
        const given = rt.memory().used;
        const all = { ...options, ...wrong.options };
        const right = (thrown: unknown) => {
          assert.ok(thrown instanceof wrong.error, `${name}, ${wrong.says}: ${thrown}`);
          assert.match(thrown.message, wrong.says);
          assert.ok(thrown.message.startsWith(name), thrown.message);
          return true;
        };
        assert.throws(() => sync!(made, all), right, `${name}: ${wrong.says}`);
        await assert.rejects(async () => op!(made, all), right, `${name}: ${wrong.says}`);
        assert.equal(rt.memory().used, given, `${name}, ${wrong.says}: memory`);
      });
    }
  });

  test(`${name}: sync gives the same bits; no tokens, no batch`, async () => {
    const [op, sync] = [name, `${name}Sync`].map((key) => (wattn as unknown as Record<string, Op>)[key]!);
    await rt.scope(async () => {
      const made: Record<string, Tensor> = {};
      for (const [input, make] of Object.entries(inputs)) {
        const tensor = make();
        tensor.view().forEach((_, i, all) => {
          all[i] = Math.sin(i * 12.9898 + input.length);
        });
        made[input] = tensor;
      }
      const a = (await op!(made, options)) as Record<string, Tensor>;
      const b = sync!(made, options) as Record<string, Tensor>;
      assert.deepEqual(Object.keys(a), Object.keys(b));
      for (const [output, tensor] of Object.entries(a)) {
        assert.deepEqual(tensor.dataSync(), b[output]!.dataSync(), output);
        assert.ok(
          tensor.dataSync().every((x) => !Number.isNaN(x)),
          output,
        );
      }
      const empty: Record<string, Tensor> = {};
      for (const [input, tensor] of Object.entries(made)) {
        empty[input] = tensor.shape[0] === B ? tensor.slice(0, 0, 0) : tensor;
      }
      const { o } = sync!(empty, options) as { o: Tensor };
      assert.deepEqual([...o.shape], [0, T, H, Dv]);
    });
  });
}

test('no queries, and no keys: zeros and lse = -Infinity', async () => {
  for (const [name, extra, options] of [
    ['topKAttention', {}, { k: 3 }],
    ['topPAttention', {}, { p: 0.5 }],
    ['moba', {}, { chunkSize: 4, topk: 2 }],
    ['nsa', { gSlc: true, gCmp: true }, { blockSize: 4 }],
    ['dsa', { index: true }, { topk: 4 }],
    ['sla', {}, {}],
  ] as const) {
    const sync = (wattn as unknown as Record<string, Op>)[`${name}Sync`]!;
    await rt.scope(async () => {
      for (const [Tq, Tk] of [
        [0, 5],
        [0, 0],
        [5, 0],
      ] as const) {
        const inputs: Record<string, Tensor> = {
          q: rt.zeros([B, Tq, H, D]),
          k: rt.zeros([B, Tk, Hkv, D]),
          v: rt.zeros([B, Tk, Hkv, Dv]),
        };
        if ('gSlc' in extra) Object.assign(inputs, { gSlc: rt.zeros([B, Tq, H]), gCmp: rt.zeros([B, Tq, H]) });
        if ('index' in extra) {
          Object.assign(inputs, {
            qIdx: rt.zeros([B, Tq, 3, 4]),
            kIdx: rt.zeros([B, Tk, 4]),
            wIdx: rt.zeros([B, Tq, 3]),
          });
        }
        rt.poison();
        const { o, lse } = sync(inputs, options) as { o: Tensor; lse?: Tensor };
        assert.deepEqual([...o.shape], [B, Tq, H, Dv], name);
        assert.ok(
          o.dataSync().every((x) => x === 0),
          `${name}: o of ${Tq} queries and ${Tk} keys`,
        );
        if (lse) assert.ok(lse.dataSync().every((x) => x === Number.NEGATIVE_INFINITY));
      }
    });
  }
});

// Bad input to the pattern methods: a named error that says what was given and what was expected, and nothing left behind.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { explain } from '../src/explain.ts';
import * as wattn from '../src/index.ts';
import { blockMask, DTypeError, OptionError, patterns, ShapeError, type Tensor } from '../src/index.ts';
import { variants } from './runtimes.ts';

const [rt = assert.fail('no runtime'), ...others] = await variants();
after(() => {
  for (const each of [rt, ...others]) each.dispose();
});

const tensor = (dtype: 'f32' | 'i32' | 'u8', ...shape: number[]): Tensor => {
  const n = shape.reduce((a, b) => a * b, 1);
  const data = { f32: new Float32Array(n), i32: new Int32Array(n), u8: new Uint8Array(n) }[dtype];
  return rt.tensor(data, shape);
};
const f32 = (...shape: number[]) => tensor('f32', ...shape);
const i32 = (values: number[], ...shape: number[]) => rt.tensor(Int32Array.from(values), shape);

const [B, T, H, KV, D] = [1, 24, 4, 2, 8];
const q = f32(B, T, H, D);
const k = f32(B, T, KV, D);
const v = f32(B, T, KV, D);
const image = { q: f32(1, 4, 6, 2, D), k: f32(1, 4, 6, 2, D), v: f32(1, 4, 6, 2, D) };
const ints = tensor('i32', B, T, H, D);
const shared = { k: f32(B, T, D), v: f32(B, T, D) };
const weights = f32(B, T, 3);
const video = { frames: 3, tokensPerFrame: 8, width: 1 };

// biome-ignore lint/suspicious/noExplicitAny: the calls are wrong on purpose
type Any = any;
type Wrong = [name: string, inputs: object, options: object, type: Any, message: RegExp];

const wrong: Wrong[] = [
  ['stridedAttention', { q, k, v }, {}, OptionError, /stride is missing/],
  ['stridedAttention', { q, k, v }, { stride: 0 }, OptionError, /stride is 0, expected .* from 1/],
  ['stridedAttention', { q, k, v }, { stride: 2.5 }, OptionError, /stride is 2.5, expected a whole number/],
  ['stridedAttention', { q, k, v }, { stride: 4, window: 2 }, OptionError, /no option 'window'/],
  ['stridedAttention', { q, k, v }, { stride: 4, causal: 1 }, OptionError, /causal is 1, expected true or false/],
  ['stridedAttention', { q, k, v }, { stride: 4, scale: Number.NaN }, OptionError, /scale is NaN/],
  ['stridedAttention', { q, k, v, mask: q }, { stride: 4 }, OptionError, /no input 'mask'/],
  ['stridedAttention', { q, k }, { stride: 4 }, ShapeError, /v is missing/],
  [
    'stridedAttention',
    { q, k: f32(B, T - 1, KV, D), v },
    { stride: 4 },
    ShapeError,
    /k has shape .* T = 24 \(from q\)/,
  ],
  ['stridedAttention', { q, k: f32(B, T, 3, D), v: f32(B, T, 3, D) }, { stride: 4 }, ShapeError, /4 query heads .* 3/],
  ['stridedAttention', { q: ints, k, v }, { stride: 4 }, DTypeError, /q is i32, expected f32/],
  ['fixedAttention', { q, k, v }, { stride: 4, summary: 5 }, OptionError, /summary is 5, expected at most .* 4/],
  ['fixedAttention', { q, k, v }, { stride: 4 }, OptionError, /summary is missing/],
  ['dilatedAttention', { q, k, v }, { window: 0 }, OptionError, /window is 0/],
  ['dilatedAttention', { q, k, v }, { window: 4, dilation: -1 }, OptionError, /dilation is -1/],
  ['blockwiseAttention', { q, k, v }, {}, OptionError, /blockSize is missing/],
  [
    'blockwiseAttention',
    { q, k, v, permutation: i32([0, 1], 1, 2) },
    { blockSize: 8 },
    ShapeError,
    /shape \[1,2\], expected \[4\|1, 3\]/,
  ],
  [
    'blockwiseAttention',
    { q, k, v, permutation: i32([0, 3, 1], 1, 3) },
    { blockSize: 8 },
    ShapeError,
    /permutation holds 3, expected 0 to 2/,
  ],
  ['logsparseAttention', { q, k, v }, { window: 0 }, OptionError, /window is 0/],
  ['streamingLlm', { q, k, v }, { sinks: 2 }, OptionError, /window is missing/],
  ['streamingLlm', { q, k, v }, { sinks: -1, window: 3 }, OptionError, /sinks is -1/],
  ['longformer', { q, k, v, globalMask: f32(B, T) }, { window: 2 }, DTypeError, /globalMask is f32, expected u8/],
  ['longformer', { q, k, v, qGlobal: q }, { window: 2 }, ShapeError, /qGlobal was given without a globalMask/],
  ['longformer', { q, k, v }, { window: 2, dilation: [1, 2] }, OptionError, /one for each of 4 heads/],
  [
    'longformer',
    { q, k, v, globalMask: tensor('u8', B, T), vGlobal: f32(B, T, 1, D) },
    { window: 2 },
    ShapeError,
    /vGlobal/,
  ],
  ['bigbird', { q, k, v }, { blockSize: 0 }, OptionError, /blockSize is 0/],
  [
    'bigbird',
    { q, k, v, randBlocks: i32([1, 1, 1, 1], 4, 1, 1) },
    { blockSize: 8, seed: 2 },
    OptionError,
    /seed was given with randBlocks/,
  ],
  [
    'bigbird',
    { q, k, v, randBlocks: i32(new Array(8).fill(1), 4, 2, 1) },
    { blockSize: 8 },
    ShapeError,
    /expected \[4, 1, r\]/,
  ],
  ['bigbird', { q, k, v, randBlocks: i32([1, 1, 9, 1], 4, 1, 1) }, { blockSize: 8 }, ShapeError, /randBlocks holds 9/],
  ['swinAttention', image, { windowSize: 3 }, ShapeError, /windows of 3 x 3 do not cut an image of 4 x 6/],
  ['swinAttention', image, { windowSize: 2, shiftSize: 2 }, OptionError, /shiftSize is 2, expected less than .* 2/],
  ['swinAttention', { ...image, biasTable: f32(8, 2) }, { windowSize: 2 }, ShapeError, /expected \[9, 2\]/],
  ['swinAttention', { q, k, v }, { windowSize: 2 }, ShapeError, /q has shape/],
  ['neighborhoodAttention', { q: f32(T, D), k, v }, { kernelSize: 3 }, ShapeError, /one to three axes/],
  ['neighborhoodAttention', image, { kernelSize: [3] }, OptionError, /kernelSize is \[3\], expected .* 2 axes/],
  [
    'neighborhoodAttention',
    image,
    { kernelSize: 3, stride: 4 },
    OptionError,
    /stride\[0\] is 4, expected at most .* 3/,
  ],
  ['neighborhoodAttention', image, { kernelSize: 3, causal: [true] }, OptionError, /causal is \[true\]/],
  [
    'slidingTileAttention',
    { q, k, v },
    { grid: [5, 5], tile: [2, 2], window: [1, 1] },
    ShapeError,
    /25 tokens, but T is 24/,
  ],
  ['slidingTileAttention', { q, k, v }, { grid: [4, 5], tile: [2], window: [1, 1] }, OptionError, /tile is \[2\]/],
  ['slidingTileAttention', { q, k, v }, { tile: [2], window: [1] }, OptionError, /grid is undefined/],
  ['radialAttention', { q, k, v }, { frames: 5, tokensPerFrame: 5 }, ShapeError, /25 tokens, but T is 24/],
  ['radialAttention', { q, k, v }, { frames: 5 }, OptionError, /tokensPerFrame is missing/],
  [
    'sparseVideoGen',
    { q, k, v },
    { ...video, heads: ['spatial'] },
    OptionError,
    /expected 'spatial' or 'temporal' for 4 heads/,
  ],
  ['sparseVideoGen', { q, k, v }, { ...video, frames: 4, heads: [] }, ShapeError, /32 tokens, but T is 24/],
  ['sparseVideoGenHeads', { q, k, v }, { ...video, rows: 0 }, OptionError, /rows is 0/],
  ['paroAttention', { q, k, v }, { grid: [2, 3, 4], orders: 'fhx' }, OptionError, /an order is 'fhx'/],
  ['paroAttention', { q, k, v }, { grid: [2, 3, 4], orders: ['fhw'] }, OptionError, /1 orders, expected .* 4 heads/],
  ['paroAttention', { q, k, v }, { grid: [2, 3, 5], orders: 'fhw' }, ShapeError, /30 tokens, but T is 24/],
  [
    'paroAttention',
    { q, k, v },
    { grid: [2, 3, 4], orders: 'fhw', blockMasks: 1 },
    OptionError,
    /expected one made by blockMask/,
  ],
  [
    'paroAttention',
    { q, k, v },
    { grid: [2, 3, 4], orders: 'fhw', blockMasks: blockMask(patterns.causal(), { Tq: 9, Tk: 9 }) },
    ShapeError,
    /9/,
  ],
  ['duoAttention', { q, k, v }, {}, OptionError, /neither a gate nor full/],
  ['duoAttention', { q, k, v }, { full: [true] }, OptionError, /expected true or false for 2 heads/],
  ['duoAttention', { q, k, v, gate: f32(KV) }, { threshold: 1, sparsity: 0.5 }, OptionError, /give one/],
  ['duoAttention', { q, k, v, gate: f32(KV) }, { sparsity: 2 }, OptionError, /sparsity is 2/],
  ['duoAttention', { q, k, v, gate: f32(H) }, {}, ShapeError, /gate has shape \[4\]/],
  ['duoAttention', { q, k, v }, { blend: true }, OptionError, /blend needs a gate/],
  ['moaAttention', { q, k, v }, { alpha: [1, 2], beta: 0 }, OptionError, /alpha is \[1,2\], expected .* 4 heads/],
  ['moaAttention', { q, k, v }, { alpha: 1, beta: -1 }, OptionError, /beta\[0\] is -1/],
  ['mixtureOfHeads', { ...shared, weights }, {}, OptionError, /nothing was given for the queries/],
  [
    'mixtureOfHeads',
    { ...shared, weights, x: f32(B, T, 5) },
    {},
    OptionError,
    /x was given for the queries, expected q, or x and wq/,
  ],
  ['mixtureOfHeads', { ...shared, weights, q: f32(B, T, 2, D) }, {}, ShapeError, /weights has shape/],
  [
    'mixtureOfHeads',
    { ...shared, weights, q: f32(B, T, 2, D), indices: i32(new Array(T * 3).fill(2), B, T, 3) },
    {},
    ShapeError,
    /indices holds 2, expected 0 to 1/,
  ],
  ['ditFastAttention', { q, k, v, residual: f32(B, T, KV, D) }, { window: 2 }, ShapeError, /residual has shape/],
  ['ditFastAttention', { q, k, v }, {}, OptionError, /window is missing/],
];

for (const [n, [name, inputs, options, type, message]] of wrong.entries()) {
  test(`${name}, wrong ${n}: ${message.source}`, async () => {
    const before = rt.memory().blocks;
    const names = (error: Error) =>
      error instanceof type && error.message.startsWith(name) && message.test(error.message);
    const isOwn = (error: Error) => {
      // a mask that does not fit is the engine's to refuse
      if (message.source === '9') return error instanceof type && message.test(error.message);
      if (!names(error)) throw error;
      return true;
    };
    await assert.rejects(async () => (wattn as Any)[name](inputs, options), isOwn);
    assert.throws(() => (wattn as Any)[`${name}Sync`](inputs, options), isOwn);
    assert.equal(rt.memory().blocks, before);
  });
}

test('the pattern methods explain themselves', () => {
  const strided = explain('stridedAttention', { q, k, v }, { stride: 4 });
  assert.deepEqual(
    strided.steps.map(({ kernel }) => kernel),
    ['flashPack', 'flash', 'flashPack', 'flash', 'flashPack', 'flash'],
  );
  const bigbird = explain('bigbird', { q, k, v }, { blockSize: 4 });
  assert.ok(bigbird.notes.some((note) => /density .* blocks kept, \d+ flops saved/.test(note)));
});

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { blockMask, type Runtime } from '../src/index.ts';
import { mixtureOfHeads } from '../src/ops/mixture-of-heads.ts';
import { neighborhoodAttention } from '../src/ops/neighborhood.ts';
import { paroAttention } from '../src/ops/paro.ts';
import { radialAttention } from '../src/ops/radial.ts';
import { slidingTileAttention } from '../src/ops/sliding-tile.ts';
import { sparseVideoGen, sparseVideoGenHeads, sparseVideoGenHeadsSync } from '../src/ops/sparse-video-gen.ts';
import { swinAttention } from '../src/ops/swin.ts';
import { assertAccurate, expected } from './accuracy.ts';
import { call } from './call.ts';
import { property } from './property.ts';
import { mixtureOfHeads as mixtureReference } from './reference/mixture-of-heads.ts';
import { neighborhoodAttention as neighborhoodReference } from './reference/neighborhood.ts';
import { swinAttention as swinReference } from './reference/swin.ts';
import * as video from './reference/video.ts';
import { variants } from './runtimes.ts';
import { floats, ints, normal, randomFrom } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

// biome-ignore lint/suspicious/noExplicitAny: every method's inputs and options are its own
type Any = any;

/** `call` for options that a method must be given. */
const run = (rt: Runtime, op: Any, inputs: Any, options: Any): Promise<Any> => call(rt, op, inputs, options);

const heads = fc.record({
  seed: fc.nat(),
  batch: fc.constantFrom(1, 1, 2),
  hkv: fc.integer({ min: 1, max: 2 }),
  group: fc.constantFrom(1, 1, 2),
  d: fc.constantFrom(1, 3, 18, 32),
  dv: fc.constantFrom(1, 20, 32),
});

type Heads = typeof heads extends fc.Arbitrary<infer T> ? T : never;

/** q, k and v over a grid of tokens. */
function operands(random: () => number, { batch, hkv, group, d, dv }: Heads, grid: readonly number[]) {
  return {
    q: normal(random, [batch, ...grid, hkv * group, d]),
    k: normal(random, [batch, ...grid, hkv, d]),
    v: normal(random, [batch, ...grid, hkv, dv]),
  };
}

const side = (most: number) => fc.integer({ min: 1, max: most });

test('swin, shifted and not, with and without biases', () =>
  property(
    fc.record({
      heads,
      windowSize: fc.constantFrom(1, 2, 4, 7),
      shift: fc.double({ min: 0, max: 0.99, noNaN: true }),
      windows: fc.tuple(side(3), side(3)),
      biased: fc.boolean(),
    }),
    15,
    async ({ heads, windowSize, shift, windows, biased }) => {
      const random = randomFrom(heads.seed);
      const grid = windows.map((n) => Math.min(n, windowSize === 7 ? 2 : 3) * windowSize);
      const table = normal(random, [(2 * windowSize - 1) ** 2, heads.hkv * heads.group]);
      const inputs = { ...operands(random, heads, grid), ...(biased && { biasTable: table }) };
      const options = { windowSize, shiftSize: Math.floor(shift * windowSize) };
      const wanted = expected((round) => swinReference(inputs, options, round));
      for (const rt of runtimes) assertAccurate(await run(rt, swinAttention, inputs, options), wanted, rt.variant);
    },
  ));

const axis = fc.record({
  length: fc.constantFrom(1, 2, 5, 9, 12),
  kernelSize: fc.constantFrom(1, 2, 3, 4, 5),
  dilation: fc.constantFrom(1, 1, 2, 3),
  stride: fc.constantFrom(1, 1, 2, 3),
  causal: fc.constantFrom(false, false, true),
});

test('neighborhood attention in one to three dimensions', () =>
  property(
    fc.record({ heads, axes: fc.array(axis, { minLength: 1, maxLength: 3 }), long: fc.constantFrom(1, 10) }),
    30,
    async ({ heads, axes, long }) => {
      const random = randomFrom(heads.seed);
      const most = axes.length === 3 ? 5 : 12;
      const grid = axes.map(({ length }) => (axes.length === 1 ? length * long : Math.min(most, length)));
      const inputs = operands(random, heads, grid);
      const options = {
        kernelSize: axes.map(({ kernelSize }) => kernelSize),
        dilation: axes.map(({ dilation }) => dilation),
        stride: axes.map(({ stride, kernelSize }) => Math.min(stride, kernelSize)),
        causal: axes.map(({ causal }) => causal),
      };
      const wanted = expected((round) => neighborhoodReference(inputs, options, round));
      for (const rt of runtimes)
        assertAccurate(await run(rt, neighborhoodAttention, inputs, options), wanted, rt.variant);
    },
  ));

test('sliding tiles, with tiles cut off and text behind', () =>
  property(
    fc.record({
      heads,
      grid: fc.tuple(side(4), side(6), side(6)),
      tile: fc.tuple(side(2), side(3), side(4)),
      window: fc.tuple(side(3), side(3), side(3)),
      text: fc.constantFrom(0, 0, 5),
    }),
    15,
    async ({ heads, grid, tile, window, text }) => {
      const random = randomFrom(heads.seed);
      const inputs = operands(random, heads, [grid[0] * grid[1] * grid[2] + text]);
      const options = { grid, tile, window };
      const wanted = expected((round) => video.slidingTileAttention(inputs, options, round));
      for (const rt of runtimes)
        assertAccurate(await run(rt, slidingTileAttention, inputs, options), wanted, rt.variant);
    },
  ));

test('radial attention, with text behind', () =>
  property(
    fc.record({
      heads,
      frames: side(9),
      tokensPerFrame: fc.constantFrom(1, 5, 16, 21),
      blockSize: fc.constantFrom(1, 4, 8, 60),
      decay: fc.constantFrom(undefined, 0.5),
      neighbor: fc.constantFrom(undefined, 0.5),
      text: fc.constantFrom(0, 7),
    }),
    15,
    async ({ heads, frames, tokensPerFrame, blockSize, decay, neighbor, text }) => {
      const random = randomFrom(heads.seed);
      const inputs = operands(random, heads, [frames * tokensPerFrame + text]);
      const options = {
        frames,
        tokensPerFrame,
        blockSize,
        ...(decay !== undefined && { decay }),
        ...(neighbor !== undefined && { neighbor }),
      };
      const wanted = expected((round) => video.radialAttention(inputs, options, round));
      for (const rt of runtimes) assertAccurate(await run(rt, radialAttention, inputs, options), wanted, rt.variant);
    },
  ));

test('Sparse VideoGen, with text behind', () =>
  property(
    fc.record({
      heads,
      frames: side(6),
      tokensPerFrame: fc.constantFrom(1, 5, 16, 21),
      width: fc.constantFrom(0, 0.3, 1, 1.5, 9),
      text: fc.constantFrom(0, 7),
    }),
    15,
    async ({ heads, frames, tokensPerFrame, width, text }) => {
      const random = randomFrom(heads.seed);
      const inputs = operands(random, heads, [frames * tokensPerFrame + text]);
      const kinds = Array.from({ length: heads.hkv * heads.group }, () => (random() < 0.5 ? 'spatial' : 'temporal'));
      const options = { frames, tokensPerFrame, width, heads: kinds as ('spatial' | 'temporal')[] };
      const wanted = expected((round) => video.sparseVideoGen(inputs, options, round));
      for (const rt of runtimes) assertAccurate(await run(rt, sparseVideoGen, inputs, options), wanted, rt.variant);
    },
  ));

test('Sparse VideoGen finds the kind of each head', async () => {
  const random = randomFrom(5);
  const [frames, tokensPerFrame, d] = [8, 12, 16];
  const length = frames * tokensPerFrame;
  const kinds = ['temporal', 'spatial', 'spatial', 'temporal'];
  const ofFrame = normal(random, [frames, d], 2);
  const ofPlace = normal(random, [tokensPerFrame, d], 2);
  // tokens of a head are alike within frames, or at equal places of all frames
  const like = floats([1, length, 4, d], (n) => {
    const [token, h, c] = [Math.floor(n / d / 4), Math.floor(n / d) % 4, n % d];
    const at = kinds[h] === 'spatial' ? Math.floor(token / tokensPerFrame) : token % tokensPerFrame;
    return (kinds[h] === 'spatial' ? ofFrame : ofPlace).data[at * d + c]!;
  });
  const value = normal(random, [1, length, 4, 9]);
  const options = { frames, tokensPerFrame, width: 1, rows: 30 };
  for (const rt of runtimes) {
    const q = rt.tensor(like.data, like.shape);
    const v = rt.tensor(value.data, value.shape);
    rt.poison();
    assert.deepEqual(await sparseVideoGenHeads({ q, k: q, v }, options), kinds, rt.variant);
    assert.deepEqual(sparseVideoGenHeadsSync({ q, k: q, v }, { ...options, seed: 1 }), kinds, rt.variant);
    q.dispose();
    v.dispose();
  }
});

test('PARO attention: orders and masks of each head, tokens behind the grid', () =>
  property(
    fc.record({ heads, grid: fc.tuple(side(3), side(5), side(6)), masked: fc.boolean(), text: fc.constantFrom(0, 4) }),
    15,
    async ({ heads, grid, masked, text }) => {
      const random = randomFrom(heads.seed);
      const length = grid[0] * grid[1] * grid[2] + text;
      const inputs = operands(random, heads, [length]);
      const all = ['fhw', 'fwh', 'hfw', 'hwf', 'wfh', 'whf'];
      const count = heads.hkv * heads.group;
      const orders = Array.from({ length: count }, () => all[Math.floor(6 * random())]!);
      const reach = Array.from({ length: count }, () => Math.floor(10 * random()));
      const visible = (i: number, j: number, h: number) => !masked || Math.abs(i - j) <= reach[h]!;
      // text is in place as the reference sees it: only the grid's tokens are reordered
      const place = { grid, orders, visible };
      const wanted = expected((round) => video.paroAttention(inputs, place, round));
      const blockMasks = reach.map((n) =>
        blockMask((_b, _h, i, j) => Math.abs(i - j) <= n, { Tq: length, Tk: length, blockQ: 32 }),
      );
      const options = { grid, orders, ...(masked && { blockMasks }) };
      for (const rt of runtimes) assertAccurate(await run(rt, paroAttention, inputs, options), wanted, rt.variant);
      for (const mask of blockMasks) mask.dispose();
    },
  ));

test('mixture of heads: chosen by weights or by indices, from queries or from tokens', () =>
  property(
    fc.record({
      seed: fc.nat(),
      batch: fc.constantFrom(1, 2),
      t: fc.constantFrom(1, 5, 17, 40),
      experts: fc.integer({ min: 1, max: 5 }),
      d: fc.constantFrom(1, 3, 16),
      dv: fc.constantFrom(1, 12),
      m: fc.constantFrom(undefined, 1, 10),
      n: fc.constantFrom(undefined, 7),
      causal: fc.boolean(),
      indexed: fc.boolean(),
    }),
    25,
    async ({ seed, batch, t, experts, d, dv, m, n, causal, indexed }) => {
      const random = randomFrom(seed);
      const chosen = Math.min(2, experts);
      const weights = floats([batch, t, indexed ? chosen : experts], () => (random() < 0.5 ? 0 : random()));
      const indices = ints(
        Array.from({ length: batch * t * chosen }, (_, i) => (i + Math.floor(random() * (experts - 1))) % experts),
        [batch, t, chosen],
      );
      const inputs = {
        ...(m === undefined && { q: normal(random, [batch, t, experts, d]) }),
        ...(m !== undefined && { x: normal(random, [batch, t, m]), wq: normal(random, [experts, m, d]) }),
        k: normal(random, [batch, t, d]),
        v: normal(random, [batch, t, dv]),
        weights,
        ...(n !== undefined && { wo: normal(random, [experts, dv, n]) }),
        ...(indexed && { indices }),
      };
      const wanted = expected((round) => mixtureReference(inputs, { causal }, round));
      for (const rt of runtimes) assertAccurate(await run(rt, mixtureOfHeads, inputs, { causal }), wanted, rt.variant);
    },
  ));

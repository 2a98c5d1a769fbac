import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type BitIndicesInputs,
  bitIndices,
  DTypeError,
  kMeans,
  lshBuckets,
  OptionError,
  poolBlocks,
  type ScoresInputs,
  ShapeError,
  type Tensor,
  topK,
  topKSync,
  topP,
} from '../src/index.ts';
import { assertAccurate, assertSameBits, expected } from './accuracy.ts';
import { call } from './call.ts';
import * as reference from './reference/select.ts';
import { variants } from './runtimes.ts';
import { floats, normal, randomFrom, type Sample } from './samples.ts';

const rts = await variants();
const random = randomFrom(23);

test('topK, topP and bitIndices choose as their definitions', async () => {
  const scores = normal(random, [2, 3, 20, 77]);
  const shares = floats(scores.shape, (n) => Math.round(50 * Math.abs(scores.data[n]!)));
  const choice = { visible: { mul: 4, add: 2, div: 1 }, first: 1, last: 2 };
  const wantK = reference.selectTopK(scores, 9, choice);
  const wantP = reference.selectTopP(shares, 0.7, { ...choice, scope: 'head', forced: 'union' });
  const lists = Array.from({ length: 2 * 3 * 20 }, (_, row) =>
    Array.from({ length: 77 }, (_, j) => j).filter((j) => wantK.data[row * 77 + j] === 1),
  );
  for (const rt of rts) {
    const { bits } = await call(rt, (t: ScoresInputs) => topK(t, { k: 9, ...choice }), { scores });
    assertSameBits(bits, reference.bitsOf(wantK), `${rt.variant} topK`);
    const got = await call(rt, (t: ScoresInputs) => topP(t, { p: 0.7, ...choice, scope: 'head', forced: 'union' }), {
      scores: shares,
    });
    assertSameBits(got.bits, reference.bitsOf(wantP), `${rt.variant} topP`);
    const { indices, counts } = await call(rt, (t: BitIndicesInputs) => bitIndices(t, { capacity: 9 }), {
      bits: bits as Sample,
    });
    assertSameBits(counts, { shape: [2, 3, 20], data: lists.map((list) => list.length) }, 'counts');
    const want = lists.flatMap((list) => Array.from({ length: 9 }, (_, i) => list[i] ?? -1));
    assertSameBits(indices, { shape: [2, 3, 20, 9], data: want }, 'indices');
  }
});

test('poolBlocks, lshBuckets and kMeans are as their definitions, of any storage and strides', async () => {
  const whole = (most: number) => () => Math.floor(random() * (2 * most + 1)) - most;
  const x = floats([2, 3, 50, 8], whole(3));
  const rotations = floats([3, 8, 2, 5], whole(3));
  // [B, H, T, D] as [B, T, H, D]
  const turned = floats([2, 50, 3, 8], (n) => {
    const [d, h, t, b] = [n % 8, Math.floor(n / 8) % 3, Math.floor(n / 24) % 50, Math.floor(n / 1200)];
    return x.data[((b * 3 + h) * 50 + t) * 8 + d]!;
  });
  const wantPool = expected((round) => ({ o: reference.poolBlocks(turned, 16, 'mean', round) }));
  const wantClusters = reference.kMeans(turned, 1, 1);
  for (const rt of rts) {
    for (const type of ['f32', 'f16', 'bf16'] as const) {
      const view = (tensor: Tensor) => rt.tensor(tensor.dataSync(), tensor.shape, type).permute([0, 2, 1, 3]);
      const pooled = await call(rt, ({ x: t }: { x: Tensor }) => poolBlocks({ x: view(t) }, { block: 16 }), { x });
      assertAccurate(pooled, wantPool, `${rt.variant} ${type}`);
      const hashed = await call(rt, (t: { x: Tensor; rotations: Tensor }) => lshBuckets({ ...t, x: view(t.x) }), {
        x,
        rotations,
      });
      const want = reference.hash(turned, rotations, false);
      assertSameBits(hashed.buckets, { shape: [2, 3, 2, 50], data: want.data }, `${rt.variant} ${type} buckets`);
      const found = await call(
        rt,
        ({ x: t }: { x: Tensor }) => kMeans({ x: view(t) }, { clusters: 1, iterations: 1 }),
        { x },
      );
      assertSameBits(found.labels, wantClusters.labels, 'labels');
      assertAccurate({ c: found.centroids }, { want: { c: wantClusters.centroids }, limit: { c: 1e-6 } }, 'centroids');
      assert.deepEqual([...(found.counts.data as Int32Array)], [50, 50, 50, 50, 50, 50]);
    }
  }
});

test('operands and options that do not fit are named', async () => {
  for (const rt of rts) {
    const blocks = rt.memory().blocks;
    await rt.scope(async () => {
      const scores = rt.zeros([1, 2, 3, 40]);
      const x = rt.zeros([1, 10, 2, 4]);
      const rejects = (run: () => Promise<unknown>, kind: new (...given: never[]) => Error, message: RegExp) =>
        assert.rejects(
          async () => run(),
          (error: Error) => error instanceof kind && message.test(error.message),
        );
      await rejects(() => topK({ scores }, {} as never), OptionError, /topK: k is missing/);
      await rejects(() => topK({ scores }, { k: -1 }), OptionError, /topK: k is -1, expected .* from 0/);
      await rejects(() => topK({ scores }, { k: 1.5 }), OptionError, /whole number/);
      await rejects(() => topK({ scores }, { k: 1, frist: 1 } as never), OptionError, /no option 'frist'/);
      await rejects(() => topK({ scores }, { k: 1, scope: 'all' as never }), OptionError, /row or head/);
      await rejects(
        () => topK({ scores }, { k: 1, visible: { mul: 1, add: 1, div: 0 } }),
        OptionError,
        /visible.div is 0/,
      );
      await rejects(() => topK({ scores }, { k: 1, visible: { mul: 1 } as never }), OptionError, /visible has no add/);
      await rejects(() => topK({ scores: scores.permute([0, 1, 3, 2]) }, { k: 1 }), ShapeError, /contiguous/);
      await rejects(() => topK({ scores: x.reshape([20, 4]) }, { k: 1 }), ShapeError, /B, L, R, C/);
      await rejects(() => topP({ scores }, { p: 1.1 }), OptionError, /p is 1.1/);
      await rejects(() => topP({ scores: rt.zeros([1, 1, 1, 4], 'i32') }, { p: 1 }), DTypeError, /scores is i32/);
      await rejects(() => bitIndices({ bits: scores }, { capacity: 1 }), DTypeError, /bits is f32/);
      await rejects(() => poolBlocks({ x }, { block: 0 }), OptionError, /block is 0/);
      await rejects(() => poolBlocks({ x }, { block: 1, kind: 'median' as never }), OptionError, /kind is median/);
      await rejects(() => lshBuckets({ x, rotations: rt.zeros([3, 4, 1, 2]) }), ShapeError, /rotations/);
      await rejects(() => kMeans({ x }, { clusters: 11 }), OptionError, /at most T = 10/);
      await rejects(() => kMeans({ x, initial: rt.zeros([1, 3, 2, 4]) }, { clusters: 4 }), ShapeError, /initial/);
      assert.throws(() => topKSync({ scores }, { k: Number.NaN }), OptionError);
    });
    assert.ok(rt.memory().blocks <= blocks + 1);
  }
});

// The cache layer whose heads share softmaxes.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { type ChaiLayerOptions, chaiLayer, restoreChaiLayer } from '../src/cache/index.ts';
import type { LayerCache } from '../src/cache/layer-cache.ts';
import { CacheDataError, CacheFullError, OptionError, ShapeError } from '../src/index.ts';
import { runSync } from '../src/runtime/program.ts';
import { assertAccurate, assertSameBits, expected } from './accuracy.ts';
import { feed, feedParts, leavingNothing, promptOf, sizeFor } from './layer-feed.ts';
import { assertMet, property } from './property.ts';
import { attention } from './reference/attention.ts';
import { chai, chaiClusters } from './reference/chai.ts';
import type { NdArray, Round } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, mapped, roundToBfloat, roundToHalf } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

const stored: Record<string, (x: FloatSample) => FloatSample> = {
  f32: (x) => x,
  f16: (x) => mapped(x, roundToHalf),
  bf16: (x) => mapped(x, roundToBfloat),
};

test('calls attend with all heads until the first tokens have told which are alike, then by clusters', async () => {
  const met = { f16: 0, joined: 0, later: 0 };
  await property(
    fc.record({
      seed: fc.nat(),
      ends: fc.constantFrom([1, 2, 3], [3, 5, 6, 20, 21], [40, 41, 80], [5, 90], [4, 70, 71]),
      heads: fc.constantFrom(2, 5),
      d: fc.constantFrom(3, 18, 64),
      left: fc.nat(4),
      tokens: fc.constantFrom(undefined, 2, 7),
      causal: fc.boolean(),
      dtype: fc.constantFrom('f32' as const, 'f16' as const, 'bf16' as const),
    }),
    25,
    async ({ seed, ends, heads, d, left, tokens = 5, causal, dtype }) => {
      const length = ends.at(-1)!;
      const prompt = promptOf(seed, length, heads, 1, d, 2);
      const kept = { q: prompt.q, k: stored[dtype]!(prompt.k), v: stored[dtype]!(prompt.v) };
      const clusters = 1 + (left % heads);
      const labels = chaiClusters(kept, { clusters, tokens, causal });
      if (labels.gap < 1e-5) return;
      const known = ends.find((end) => end >= tokens) ?? length;
      const reference = (round: Round): { o: NdArray } => {
        const dense = attention(kept, { causal: true }, round).o;
        const shared = chai({ ...kept, clusters: labels.clusters }, { causal: true }, round).o;
        const from = known * heads * d;
        return {
          o: { shape: dense.shape, data: [...Array.from(dense.data).slice(0, from), ...shared.data.slice(from)] },
        };
      };
      const wanted = expected(reference);
      for (const rt of runtimes) {
        leavingNothing(rt, () => {
          const layer = chaiLayer(rt, sizeFor(prompt, 100), { clusters, tokens, causal, dtype });
          const got = feedParts(rt, layer, prompt, ends);
          assertAccurate({ o: got }, wanted, `${rt.variant} ${dtype}`);
          const found = (layer as LayerCache & { clusters?: number[] }).clusters;
          assert.deepEqual(found, length >= tokens ? Array.from(labels.clusters.data) : undefined);
          layer.dispose();
        });
      }
      if (known < length && dtype === 'f16') ++met.f16;
      if (known < length && clusters < heads) ++met.joined;
      if (known < length && ends[0]! < tokens) ++met.later;
    },
  );
  for (const [name, count] of Object.entries(met)) assertMet(count >= 2, `${count} cases of ${name}`);
});

const options: ChaiLayerOptions = { clusters: 2, dtype: 'f16' };

test('forks, saved layers and tokens taken back go on alike, at every stage', () => {
  const prompt = promptOf(3, 60, 4, 1, 18);
  for (const rt of runtimes) {
    for (const at of [3, 5, 6, 30]) {
      leavingNothing(rt, () => {
        const size = sizeFor(prompt, 64);
        const make = () => chaiLayer(rt, size, options);
        const [layer, straight] = [make(), make()];
        for (const each of [layer, straight]) feedParts(rt, each, prompt, at > 6 ? [6, at] : [2, at]);
        const fork = layer.fork();
        const saved = layer.save();
        const restored = restoreChaiLayer(rt, size, options, saved);
        assert.deepEqual(restored.save(), saved);
        const ends = [at + 3, at + 4, at + 20];
        const want = feedParts(rt, straight, prompt, ends, at);
        for (const [name, each] of Object.entries({ fork, layer, restored })) {
          assertSameBits(feedParts(rt, each, prompt, ends, at), want, `${name} at ${at}`);
        }
        fork.truncate(at + 4);
        const rest = feed(rt, fork, prompt, at + 4, at + 20);
        assertSameBits(rest, { ...rest, data: Array.from(want.data).slice(4 * 72) }, `taken back at ${at}`);
        layer.truncate(0);
        const again = make();
        assertSameBits(feedParts(rt, layer, prompt, [4, 9, 30]), feedParts(rt, again, prompt, [4, 9, 30]), 'anew');
        for (const each of [fork, layer, restored, straight, again]) each.dispose();
      });
    }
  }
});

test('only the keys of the clusters stay', () => {
  const prompt = promptOf(4, 60, 4, 1, 16);
  const [rt] = runtimes;
  const layer = chaiLayer(rt!, sizeFor(prompt, 64), { clusters: 1 });
  feedParts(rt!, layer, prompt, [4]);
  assert.equal(layer.bytes, 64 * 16 * 4 * (4 + 4) + 4 * (4 + 4 + 4) + 5 * 4 * 16 * 4);
  feedParts(rt!, layer, prompt, [5, 6], 4);
  assert.equal(layer.bytes, 64 * 16 * 4 * (1 + 4) + 4 * (1 + 4 + 4));
  layer.dispose();
});

test('what does not fit is named, and changes nothing', () => {
  const prompt = promptOf(5, 60, 4, 1, 18);
  const [rt] = runtimes;
  const size = sizeFor(prompt, 20);
  const layer = chaiLayer(rt!, size, options);
  feedParts(rt!, layer, prompt, [5, 20]);
  const saved = layer.save();
  assert.throws(() => layer.reserve(1), CacheFullError);
  assert.throws(() => layer.truncate(3), /length is 3, but the first 5 tokens/);
  assert.throws(() => layer.truncate(21), OptionError);
  rt!.scope(() => {
    const attend = (shape: number[]) => {
      const query = { q: rt!.zeros(shape), scale: 1, softcap: 0 };
      return () => runSync('attend', query, (b) => layer.attend(b, query));
    };
    assert.throws(attend([1, 1, 8, 18]), ShapeError);
    assert.throws(attend([1, 21, 4, 18]), OptionError);
  });
  assert.deepEqual(layer.save(), saved);
  layer.dispose();
  leavingNothing(rt!, () => {
    for (const length of [0, 20, saved.length - 1]) {
      assert.throws(() => restoreChaiLayer(rt!, size, options, saved.slice(0, length)), CacheDataError);
    }
    for (let at = 0; at < saved.length; at += 101) {
      const changed = saved.slice();
      changed[at]! ^= 4;
      assert.throws(() => restoreChaiLayer(rt!, size, options, changed), CacheDataError);
    }
    assert.throws(() => restoreChaiLayer(rt!, size, { clusters: 3 }, saved), CacheDataError);
  });
  assert.throws(() => chaiLayer(rt!, size, { clusters: 5 }), /clusters is 5/);
  assert.throws(() => chaiLayer(rt!, size, { clusters: 2, dtype: 'i8' as never }), /dtype is i8/);
});

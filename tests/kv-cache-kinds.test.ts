import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import {
  type CachePolicy,
  choosingLayer,
  codeLayer,
  int4Plan,
  KVCache,
  type KVCacheOptions,
  PagePool,
  restoreCodeLayer,
} from '../src/cache/index.ts';
import {
  attentionSync,
  CacheStateError,
  createRuntime,
  OptionError,
  type Runtime,
  UnsupportedError,
} from '../src/index.ts';
import { normal, randomFrom } from './samples.ts';

const rt = await createRuntime({ threads: 1 });
after(() => rt.dispose());

const LAYERS = 2;
const HEADS = 2;
const D = 18;
const T = 37;

const random = randomFrom(11);
const [q, k, v] = Array.from({ length: 3 }, () =>
  rt.tensor(normal(random, [1, T, HEADS, D]).data, [1, T, HEADS, D]),
) as [ReturnType<Runtime['tensor']>, ReturnType<Runtime['tensor']>, ReturnType<Runtime['tensor']>];
const full = attentionSync({ q, k, v }, { causal: true }).o.dataSync() as Float32Array;

const sizes = { layers: LAYERS, kvHeads: HEADS, headDim: D, capacity: 64 };

/** Layers of the caller's own. */
const custom: CachePolicy = {
  kind: 'custom',
  create: (runtime, size) => choosingLayer(runtime, size, { kind: 'sparq', topk: T, r: D }),
};

/** Kinds beside those in pages, whose budget is at least the length; and how far their storage may be off. */
const KINDS: readonly (readonly [string, Partial<KVCacheOptions>, number])[] = [
  ['h2o', { policy: { kind: 'h2o', heavy: 20, recent: 20 } }, 1e-5],
  ['h2o, int8', { dtype: 'int8', policy: { kind: 'h2o', heavy: 20, recent: 20 } }, 0.05],
  ['tova, f16', { dtype: 'f16', policy: { kind: 'tova', budget: 40 } }, 5e-3],
  ['snapkv', { policy: { kind: 'snapkv', capacity: 40, window: 4 } }, 1e-5],
  ['pyramidkv', { policy: { kind: 'pyramidkv', capacity: 40, window: 4, beta: 1 } }, 1e-5],
  ['chai', { policy: { kind: 'chai', clusters: HEADS } }, 1e-5],
  ['quest', { policy: { kind: 'quest', topk: 10, pageSize: 4 } }, 1e-5],
  ['sparq', { policy: { kind: 'sparq', topk: 40, r: 4 } }, 1e-5],
  ['int4', { dtype: 'int4' }, 0.5],
  ['kivi4', { dtype: 'kivi4' }, 0.5],
  ['kivi2', { dtype: 'kivi2' }, 1.5],
  ['custom', { policy: custom }, 1e-5],
];

/** Feeds tokens [from, to) to all layers; the output of the last one. */
function feed(cache: KVCache, from: number, to: number): Float32Array {
  const part = (x: typeof q) => x.slice(1, from, to);
  let out: Float32Array | undefined;
  for (let layer = 0; layer < LAYERS; ++layer) {
    const { o } = cache.extendSync(layer, { q: part(q), k: part(k), v: part(v) });
    out = o.dataSync() as Float32Array;
    o.dispose();
  }
  return out!;
}

function assertFull(got: Float32Array, from: number, bound: number, what: string): void {
  const row = HEADS * D;
  for (let i = 0; i < got.length; ++i) {
    const error = Math.abs(got[i]! - full[from * row + i]!);
    assert.ok(
      error <= bound,
      `${what}: token ${from + Math.floor(i / row)}: ${got[i]}, attention gives ${full[from * row + i]}`,
    );
  }
}

test('every kind with room for all tokens is attention: in parts, forked, taken back, saved and restored', () => {
  const used = new Set<string>();
  // scratch of a runtime grows when a kind is first used
  for (const [name, options, bound] of [...KINDS, ...KINDS]) {
    const before = used.has(name) ? rt.memory().used : undefined;
    {
      using cache = new KVCache(rt, { ...sizes, ...options });
      assertFull(feed(cache, 0, 20), 0, bound, `${name}, prompt`);
      for (let t = 20; t < 25; ++t) assertFull(feed(cache, t, t + 1), t, bound, name);
      assert.equal(cache.length, 25);
      using other = cache.fork();
      assertFull(feed(other, 25, 30), 25, bound, `${name}, fork`);
      cache.truncate(24);
      assertFull(feed(cache, 24, 26), 24, bound, `${name}, taken back`);
      assertFull(feed(other, 30, 31), 30, bound, `${name}, fork`);
      assert.ok(cache.bytes > 0 && cache.bytesPerToken > 0);
      if (options.policy === custom) {
        assert.throws(() => KVCache.restore(rt, cache.save(), { policy: custom }), UnsupportedError);
      } else {
        using same = KVCache.restore(rt, cache.save());
        assert.deepEqual(same.policy, cache.policy, name);
        const [a, b] = [feed(cache, 26, T), feed(same, 26, T)];
        assert.deepEqual(b, a, `${name}, restored`);
        assertFull(a, 26, bound, `${name}, restored`);
      }
      cache.clear();
      assertFull(feed(cache, 0, 9), 0, bound, `${name}, cleared`);
    }
    if (before !== undefined) assert.equal(rt.memory().used, before, `${name}: memory`);
    used.add(name);
  }
});

test('kinds that are not in pages refuse pools; layers that cannot go back say so together', () => {
  using pool = new PagePool(rt, { pages: 8, headDim: D });
  assert.throws(() => new KVCache(rt, { ...sizes, policy: { kind: 'quest', topk: 4 }, pool }), {
    name: 'OptionError',
    message: /takes no pages/,
  });
  assert.throws(
    () => new KVCache(rt, { ...sizes, dtype: 'int4', policy: { kind: 'window', window: 4 } }),
    UnsupportedError,
  );
  assert.throws(() => new KVCache(rt, { ...sizes, policy: { kind: 'h2o', heavy: 0, recent: 0 } }), OptionError);
  assert.throws(() => new KVCache(rt, { ...sizes, policy: { kind: 'custom' } as never }), OptionError);

  using cache = new KVCache(rt, { ...sizes, policy: { kind: 'h2o', heavy: 4, recent: 4 } });
  feed(cache, 0, 12);
  assert.throws(() => cache.truncate(6), { name: 'OptionError', message: /from 12 to 12/ });
  assert.equal(cache.length, 12);
  cache.appendSync(0, { k: k.slice(1, 12, 13), v: v.slice(1, 12, 13) });
  assert.throws(() => cache.save(), CacheStateError);
});

test('layers of the caller are restored by the policy that is given again', () => {
  const plan = int4Plan({ group: 16 });
  const policy: CachePolicy = {
    kind: 'custom',
    create: (runtime, size) => codeLayer(runtime, size, plan),
    restore: (runtime, size, bytes) => restoreCodeLayer(runtime, size, plan, bytes),
    bytesPerToken: () => 1,
  };
  using cache = new KVCache(rt, { ...sizes, policy });
  assert.equal(cache.bytesPerToken, LAYERS);
  feed(cache, 0, 20);
  const saved = cache.save();
  using same = KVCache.restore(rt, saved, { policy });
  assert.deepEqual(feed(same, 20, 23), feed(cache, 20, 23));
  assert.throws(() => KVCache.restore(rt, saved), /policy/);
});

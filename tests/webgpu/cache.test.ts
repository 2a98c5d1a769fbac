import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { KVCache, type KVCacheOptions, LatentCache, PagePool } from '../../src/cache/index.ts';
import { HostAccessError, type Runtime, UnsupportedError } from '../../src/index.ts';
import { normal, randomFrom } from '../samples.ts';
import { bothRuntimes } from './both.ts';

after(async () => (await bothRuntimes()).gpu.dispose());

const [HEADS, KV_HEADS, D] = [4, 2, 16];

/** Outputs of a cache by what was done to it. */
type Story = Map<string, Float32Array>;

/** Feeds tokens, takes some back, goes on in a fork, and saves. */
async function told(rt: Runtime, options: Partial<KVCacheOptions>): Promise<{ story: Story; saved: Uint8Array }> {
  const random = randomFrom(5);
  const story: Story = new Map();
  const size = { layers: 1, kvHeads: KV_HEADS, headDim: D, capacity: 64, pageSize: 8 };
  using cache = new KVCache(rt, { ...size, ...options });
  rt.poison();
  const extend = async (name: string, to: KVCache, T: number) => {
    const rows = (heads: number) => rt.tensor(normal(random, [1, T, heads, D]).data, [1, T, heads, D]);
    await rt.scope(async () => {
      const { o } = await to.extend(0, { q: rows(HEADS), k: rows(KV_HEADS), v: rows(KV_HEADS) });
      story.set(name, Float32Array.from((await o.data()) as Float32Array));
    });
  };
  await extend('prompt', cache, 21);
  await extend('token', cache, 1);
  await extend('three', cache, 3);
  cache.truncate(23);
  using fork = cache.fork();
  await extend('after truncation', cache, 1);
  await extend('fork', fork, 2);
  await extend('past the fork', cache, 9);
  const saved = await cache.saveAsync();
  using restored = KVCache.restore(rt, saved);
  await extend('restored', restored, 1);
  return { story, saved };
}

function near(name: string, got: Float32Array, want: Float32Array, tolerance: number): void {
  assert.equal(got.length, want.length);
  const most = want.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
  got.forEach((x, i) => {
    assert.ok(Math.abs(x - want[i]!) <= tolerance * most, `${name}[${i}] is ${x}, expected ${want[i]}`);
  });
}

const caches: readonly (readonly [name: string, options: Partial<KVCacheOptions>, tolerance: number])[] = [
  ['all keys', {}, 1e-5],
  ['all keys less the first, int8', { dtype: 'int8', smoothKeys: true }, 1e-3],
  ['a window, f16', { dtype: 'f16', policy: { kind: 'window', window: 10 } }, 1e-5],
  [
    'sinks and a window, bf16, turned by place',
    { dtype: 'bf16', policy: { kind: 'streaming', sinks: 3, window: 9, rope: {} } },
    1e-4,
  ],
  ['heads of both kinds', { policy: { kind: 'duo', heads: [['full', 'streaming']], sinks: 2, window: 7 } }, 1e-5],
];

for (const [name, options, tolerance] of caches) {
  test(`${name}: as on WebAssembly, saved bytes that either restores`, async () => {
    const { wasm, gpu } = await bothRuntimes();
    const want = await told(wasm, options);
    const got = await told(gpu, options);
    for (const [what, values] of want.story) near(what, got.story.get(what)!, values, tolerance);
    assert.equal(got.saved.length, want.saved.length);
    // bytes go from one backend to the other and back
    using there = KVCache.restore(gpu, want.saved);
    assert.deepEqual(await there.saveAsync(), want.saved);
    using back = KVCache.restore(wasm, got.saved);
    assert.deepEqual(back.save(), got.saved);
    assert.deepEqual(await back.saveAsync(), got.saved);
  });
}

test('a GPU cache says what it cannot do, and stays as it was', async () => {
  const { gpu } = await bothRuntimes();
  using cache = new KVCache(gpu, { layers: 1, kvHeads: 1, headDim: 8, capacity: 16 });
  assert.throws(
    () => cache.save(),
    (e: Error) => e instanceof HostAccessError && /saveAsync/.test(e.message),
  );
  assert.equal((await cache.saveAsync()).length > 0, true);
  assert.throws(() => new PagePool(gpu, { pages: 1, headDim: 18, dtype: 'int8' }), UnsupportedError);
  assert.throws(() => new PagePool(gpu, { pages: 1, headDim: 3, dtype: 'bf16' }), /whole words of 4/);
  const chai = { kind: 'chai', clusters: 1 } as const;
  assert.throws(
    () => new KVCache(gpu, { layers: 1, kvHeads: 2, headDim: 8, capacity: 16, policy: chai }),
    UnsupportedError,
  );
});

test('rows of a compact form are saved from a GPU', async () => {
  const { wasm, gpu } = await bothRuntimes();
  const random = randomFrom(3);
  const [latents, rope] = [normal(random, [1, 5, 8]).data, normal(random, [1, 5, 4]).data];
  const saved = await Promise.all(
    [wasm, gpu].map(async (rt) => {
      using cache = new LatentCache(rt, { capacity: 9, latentDim: 8, ropeDim: 4 });
      await rt.scope(() => cache.append({ cKv: rt.tensor(latents, [1, 5, 8]), kRope: rt.tensor(rope, [1, 5, 4]) }));
      using fork = cache.fork();
      return fork.saveAsync();
    }),
  );
  assert.deepEqual(saved[1], saved[0]);
});

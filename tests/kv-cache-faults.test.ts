import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type CachePolicy, KVCache, type KVCacheOptions, PagePool, type PageType } from '../src/cache/index.ts';
import { SavedReader, SavedWriter, sealed, unsealed } from '../src/cache/saved.ts';
import { attentionSync, createRuntime, type Runtime, type Tensor, WattnError } from '../src/index.ts';
import { randomFrom } from './samples.ts';

const rt = await createRuntime({ variant: 'simd', threads: 1 });
const other = await createRuntime({ variant: 'simd', threads: 1 });
after(() => {
  rt.dispose();
  other.dispose();
});

/** Blocks and bytes in use, once the runtime has its scratch. */
function inUse(): [number, number] {
  const { used, blocks } = rt.memory();
  return [used, blocks];
}

/** Scratch is one block that stays, as large as the largest call wants it. */
function warm(): void {
  using x = rt.zeros([1, 400, 2, 64]);
  for (const T of [1, 4, 400]) {
    const q = x.slice(1, 0, T);
    const { o, lse } = attentionSync({ q, k: x, v: x });
    o.dispose();
    lse.dispose();
  }
}
warm();

/** Rows of f32 heads as `save` wrote them: per layer the first position, and keys and values head by head. */
function savedRows(cache: KVCache): { length: number; first: number; rows: Float32Array }[] {
  const reader = new SavedReader(unsealed(cache.save()));
  reader.block('settings');
  return Array.from({ length: cache.layers }, () => {
    const layer = new SavedReader(reader.block('layer'));
    const length = layer.count('length');
    const first = layer.count('first');
    const bytes = layer.take((length - first) * cache.kvHeads * cache.headDim * 2 * 4, 'rows');
    layer.end();
    return { length, first, rows: new Float32Array(bytes.slice().buffer) };
  });
}

for (const policy of ['full', { kind: 'window', window: 7 }] as const) {
  const name = policy === 'full' ? 'all keys' : 'a window';
  test(`forks, appends and frees in a storm leave no page behind and never touch another's rows: ${name}`, () => {
    const random = randomFrom(policy === 'full' ? 1 : 2);
    const below = (n: number) => Math.floor(random() * n);
    const [layers, kvHeads, headDim, capacity, pageSize] = [2, 2, 1, 24, 3];
    const before = inUse();
    const pool = new PagePool(rt, { pages: 150, headDim, pageSize });
    const options: KVCacheOptions = { layers, kvHeads, headDim, capacity, pool, policy };
    const k = rt.empty([1, 9, kvHeads, headDim]);
    const v = rt.empty([1, 9, kvHeads, headDim]);
    /** A cache, and the numbers that its tokens were made of. */
    const live: { cache: KVCache; tokens: number[] }[] = [];
    const window = policy === 'full' ? Number.POSITIVE_INFINITY : policy.window;
    let marks = 0;
    const counts = { append: 0, fork: 0, full: 0, refused: 0, checked: 0 };
    const check = ({ cache, tokens }: (typeof live)[number]) => {
      counts.checked += 1;
      for (const [layer, { length, first, rows }] of savedRows(cache).entries()) {
        assert.equal(length, tokens.length);
        assert.equal(first, Math.max(0, tokens.length - window + 1));
        const held = length - first;
        for (let h = 0; h < kvHeads; ++h) {
          for (let i = 0; i < held; ++i) {
            const token = tokens[first + i]! + layer / 8 + h / 4;
            assert.equal(rows[2 * h * held + i], token);
            assert.equal(rows[(2 * h + 1) * held + i], -token);
          }
        }
      }
    };
    for (let i = 0; i < (policy === 'full' ? 100_000 : 40_000); ++i) {
      const at = below(live.length);
      const one = live[at];
      const what = random();
      if (!one || (what < 0.02 && live.length < 20)) {
        live.push({ cache: new KVCache(rt, options), tokens: [] });
      } else if (what < 0.2) {
        if (live.length < 20) {
          live.push({ cache: one.cache.fork(), tokens: [...one.tokens] });
          counts.fork += 1;
        }
      } else if (what < 0.35) {
        one.cache.dispose();
        live.splice(at, 1);
      } else if (what < 0.45) {
        const length = below(one.tokens.length + 1);
        try {
          one.cache.truncate(length);
          one.tokens.length = length;
        } catch (error) {
          assert.ok(policy !== 'full' && /let go of/.test((error as Error).message), `${error}`);
          counts.refused += 1;
        }
      } else if (what < 0.46) {
        one.cache.clear();
        one.tokens.length = 0;
      } else if (what < 0.48) {
        check(one);
      } else {
        const n = 1 + below(below(2) ? 2 : 9);
        try {
          one.cache.reserve(n);
        } catch (error) {
          assert.equal((error as Error).name, 'CacheFullError');
          counts.full += 1;
          continue;
        }
        const tokens = Array.from({ length: n }, () => ++marks % 1_000_000);
        for (let layer = 0; layer < layers; ++layer) {
          const keys = k.view() as Float32Array;
          const values = v.view() as Float32Array;
          tokens.forEach((token, t) => {
            for (let h = 0; h < kvHeads; ++h) {
              keys[t * kvHeads + h] = token + layer / 8 + h / 4;
              values[t * kvHeads + h] = -keys[t * kvHeads + h]!;
            }
          });
          one.cache.appendSync(layer, { k: k.slice(1, 0, n), v: v.slice(1, 0, n) });
        }
        one.tokens.push(...tokens);
        counts.append += 1;
      }
    }
    for (const each of live) check(each);
    for (const { cache } of live) cache.dispose();
    assert.equal(pool.free, pool.pages);
    for (const each of [pool, k, v]) each.dispose();
    assert.deepEqual(inUse(), before);
    assert.ok(
      counts.fork > 2000 && counts.append > 10000 && counts.full > 200 && counts.checked > 500,
      `${JSON.stringify(counts)}`,
    );
    assert.equal(counts.refused > 100, policy !== 'full');
  });
}

/** A small cache with tokens in it. */
function filled(options: Partial<KVCacheOptions>, T: number): KVCache {
  const cache = new KVCache(rt, { layers: 2, kvHeads: 2, headDim: 6, capacity: 32, pageSize: 4, ...options });
  if (T > 0) feed(cache, T, 0);
  return cache;
}

/** Feeds T tokens; gives the output of the last of them. */
function feed(cache: KVCache, T: number, seed: number): Float32Array {
  return rt.scope(() => {
    const random = randomFrom(seed + 1);
    const x = () =>
      rt.tensor(
        Float32Array.from({ length: T * 12 }, () => random() - 0.5),
        [1, T, 2, 6],
      );
    let o: Tensor | undefined;
    for (let layer = 0; layer < cache.layers; ++layer) ({ o } = cache.extendSync(layer, { q: x(), k: x(), v: x() }));
    return o!.slice(1, T - 1, T).dataSync() as Float32Array;
  });
}

const saved: (readonly [name: string, options: Partial<KVCacheOptions>, T: number])[] = [
  ['nothing', {}, 0],
  ...(['f32', 'f16', 'bf16', 'int8'] as const).map((dtype) => [dtype, { dtype }, 9] as const),
  ['window', { policy: { kind: 'window', window: 5 } }, 21],
  ['streaming', { policy: { kind: 'streaming', sinks: 2, window: 5, rope: {} }, dtype: 'int8' }, 21],
  [
    'duo',
    {
      policy: {
        kind: 'duo',
        heads: [
          ['full', 'streaming'],
          ['streaming', 'streaming'],
        ],
        sinks: 3,
        window: 4,
      },
    },
    21,
  ],
];

test('a restored cache goes on as the saved one does, in pages of any size and in a pool', () => {
  const before = inUse();
  for (const [name, options, T] of saved) {
    using cache = filled(options, 0);
    for (let t = 0; t < T; ++t) feed(cache, 1, t);
    const bytes = cache.save();
    using pool = new PagePool(rt, { pages: 100, headDim: 6, dtype: (options.dtype ?? 'f32') as PageType, pageSize: 5 });
    using same = KVCache.restore(rt, bytes);
    using finer = KVCache.restore(rt, bytes, { pageSize: 1, capacity: 40 });
    using pooled = KVCache.restore(rt, bytes, { pool });
    assert.deepEqual(same.policy, cache.policy);
    assert.equal(finer.capacity, 40);
    assert.deepEqual(same.save(), bytes, name);
    for (const n of [1, 4, 1]) {
      const want = feed(cache, n, 100 + n);
      for (const each of [same, finer, pooled]) {
        assert.equal(each.length, cache.length - n);
        const got = feed(each, n, 100 + n);
        // single rows of int8 are rounded page run by page run
        got.forEach((x, i) => {
          assert.ok(Math.abs(x - want[i]!) < 1e-6, `${name}: ${x}, not ${want[i]}`);
        });
      }
    }
  }
  assert.deepEqual(inUse(), before);
});

test('bytes that are cut, changed or of another cache give CacheDataError and leave nothing in memory', () => {
  const random = randomFrom(4);
  for (const [name, options, T] of saved) {
    using cache = filled(options, T);
    const bytes = cache.save();
    const before = inUse();
    const fails = (given: Uint8Array, what: string) => {
      assert.throws(() => KVCache.restore(rt, given), { name: 'CacheDataError' }, `${name}: ${what}`);
      assert.deepEqual(inUse(), before, `${name}: ${what}`);
    };
    for (let length = 0; length < bytes.length; length += length < 400 ? 1 : 37) {
      fails(bytes.subarray(0, length), `${length} of ${bytes.length} bytes`);
    }
    fails(Uint8Array.of(...bytes, 0), 'a byte more');
    for (let i = 0; i < 300; ++i) {
      const changed = bytes.slice();
      changed[Math.floor(random() ** 2 * bytes.length)]! ^= 1 << Math.floor(random() * 8);
      fails(changed, 'a bit changed');
    }
    // a right checksum over wrong bytes: whatever comes of it, it is named and leaves nothing
    const body = unsealed(bytes);
    for (let i = 0; i < 300; ++i) {
      const changed = body.slice();
      const at = Math.floor(random() ** 2 * changed.length);
      changed[at] = Math.floor(random() * 256);
      if (random() < 0.3) changed[at + 1] = Math.floor(random() * 256);
      const cut = random() < 0.3 ? changed.subarray(0, Math.floor(random() * changed.length)) : changed;
      try {
        using restored = KVCache.restore(rt, sealed(cut));
        restored.save();
      } catch (error) {
        assert.ok(error instanceof WattnError, `${name}: ${(error as Error).stack}`);
      }
      assert.deepEqual(inUse(), before, `${name}: sealed anew`);
    }
  }
});

test('a cache is only restored as what it is expected to be, and where there is room', () => {
  using cache = filled({ dtype: 'f16' }, 9);
  const bytes = cache.save();
  const before = inUse();
  const rejects = (options: object, name: string, message: RegExp) =>
    assert.throws(() => KVCache.restore(rt, bytes, options), { name, message });
  rejects({ headDim: 8 }, 'CacheDataError', /headDim of the saved cache is 6, expected 8/);
  rejects({ dtype: 'f32' }, 'CacheDataError', /dtype of the saved cache is "f16", expected "f32"/);
  rejects({ policy: { kind: 'window', window: 4 } }, 'CacheDataError', /policy of the saved cache is/);
  rejects({ capacity: 8 }, 'CacheDataError', /9 tokens of a head do not fit in a cache of at most 8/);
  rejects({ size: 8 }, 'OptionError', /no option 'size'/);
  {
    using pool = new PagePool(rt, { pages: 11, headDim: 6, dtype: 'f16', pageSize: 4 });
    rejects({ pool }, 'CacheFullError', /9 tokens need 6 pages \(layer 1\), but 5 of the pool's 11 are free/);
    assert.equal(pool.free, 11);
    using wide = new PagePool(rt, { pages: 11, headDim: 8, dtype: 'f16' });
    rejects({ pool: wide }, 'OptionError', /headDim is 6, but the pool was made for 8/);
    using exact = new PagePool(rt, { pages: 11, headDim: 6 });
    rejects({ pool: exact }, 'CacheDataError', /dtype of the saved cache is "f16", expected "f32"/);
  }
  const version = bytes.slice();
  version[4] = 2;
  assert.throws(() => KVCache.restore(rt, version), { name: 'CacheDataError', message: /version 2, expected 1/ });
  const odd = new SavedReader(unsealed(bytes));
  const writer = new SavedWriter();
  writer.block(odd.block('settings'));
  writer.block(odd.block('layer 0'));
  using shorter = filled({ dtype: 'f16' }, 8);
  const less = new SavedReader(unsealed(shorter.save()));
  less.block('settings');
  writer.block(less.block('layer 0'));
  const kept = inUse();
  assert.throws(() => KVCache.restore(rt, sealed(writer.bytes())), {
    name: 'CacheDataError',
    message: /different numbers of tokens/,
  });
  assert.deepEqual(inUse(), kept);
  shorter.dispose();
  assert.deepEqual(inUse(), before);
});

test('forks go their own ways, and what was taken back is written anew', () => {
  using cache = filled({}, 10);
  const free = cache.pool!.free;
  const single = (fork: KVCache, seed: number) => feed(fork, 1, seed);
  using fork = cache.fork();
  assert.equal(cache.pool!.free, free);
  const mine = single(cache, 50);
  // the last page of two heads in two layers was partly filled, and is copied when the first of the two writes
  assert.equal(cache.pool!.free, free - 4);
  const its = single(fork, 51);
  assert.equal(cache.pool!.free, free - 4);
  assert.notDeepEqual(mine, its);
  cache.truncate(10);
  assert.deepEqual(single(cache, 51), its);
  cache.truncate(3);
  fork.truncate(3);
  assert.deepEqual(feed(cache, 6, 60), feed(fork, 6, 60));
  using alone = filled({}, 10);
  alone.truncate(3);
  cache.truncate(3);
  assert.deepEqual(feed(alone, 1, 7), feed(cache, 1, 7));
});

test('every misuse is a named error that changes nothing', async () => {
  const size = { layers: 2, kvHeads: 2, headDim: 6, capacity: 8 };
  const tensor = (shape: number[], dtype: 'f32' | 'f16' = 'f32', runtime: Runtime = rt) => {
    const x = runtime.empty(shape, dtype);
    made.push(x);
    return x;
  };
  const made: Tensor[] = [];
  const options: [object, string, RegExp][] = [
    [{ ...size, layers: undefined }, 'OptionError', /layers is missing/],
    [{ ...size, kvHeads: 0 }, 'OptionError', /kvHeads is 0/],
    [{ ...size, capacity: 1.5 }, 'OptionError', /capacity is 1.5/],
    [{ ...size, headDim: 5000 }, 'OptionError', /headDim is 5000/],
    [{ ...size, dtype: 'f8' }, 'OptionError', /dtype is 'f8', expected one of f32, f16, bf16, int8/],
    [{ ...size, pages: 3 }, 'OptionError', /no option 'pages'/],
    [{ ...size, policy: 'window' }, 'OptionError', /policy is "window"/],
    [
      { ...size, policy: { kind: 'half' } },
      'OptionError',
      /policy is 'half', expected one of full, window, streaming, duo/,
    ],
    [{ ...size, policy: { kind: 'window' } }, 'OptionError', /policy.window is missing/],
    [{ ...size, policy: { kind: 'window', window: 0 } }, 'OptionError', /policy.window is 0/],
    [{ ...size, policy: { kind: 'streaming', window: 2, sink: 1 } }, 'OptionError', /no option 'sink'/],
    [{ ...size, headDim: 5, policy: { kind: 'streaming', window: 2, rope: {} } }, 'OptionError', /even headDim, 5/],
    [{ ...size, policy: { kind: 'duo', heads: [['full', 'full']] } }, 'OptionError', /for 2 heads of 2 layers/],
    [{ ...size, capacity: 2 ** 31 - 1 }, 'MemoryLimitError', /cannot allocate/],
    [{ ...size, pool: {} }, 'OptionError', /expected a PagePool/],
  ];
  const before = inUse();
  for (const [given, name, message] of options) {
    assert.throws(() => new KVCache(rt, given as KVCacheOptions), { name, message });
    assert.deepEqual(inUse(), before);
  }
  assert.throws(() => new PagePool(rt, { pages: 0, headDim: 4 }), { name: 'OptionError', message: /pages is 0/ });
  using foreign = new PagePool(other, { pages: 4, headDim: 6 });
  assert.throws(() => new KVCache(rt, { ...size, pool: foreign }), { name: 'RuntimeMismatchError' });

  const cache = new KVCache(rt, size);
  const kv = (T: number) => ({ k: tensor([1, T, 2, 6]), v: tensor([1, T, 2, 6]) });
  const q = tensor([1, 2, 4, 6]);
  cache.appendSync(0, kv(3));
  cache.appendSync(1, kv(3));
  const gone = tensor([1, 2, 4, 6]);
  gone.dispose();
  made.pop();
  const calls: [() => unknown, string, RegExp][] = [
    [() => cache.appendSync(2, kv(1)), 'OptionError', /layer is 2, expected a whole number from 0 to 1/],
    [() => cache.appendSync(-1, kv(1)), 'OptionError', /layer is -1/],
    [() => cache.appendSync(0, { k: tensor([1, 1, 2, 5]), v: kv(1).v }), 'ShapeError', /k has shape \[1, 1, 2, 5\]/],
    [() => cache.appendSync(0, { k: kv(1).k, v: kv(2).v }), 'ShapeError', /v has shape \[1, 2, 2, 6\].*T = 1/],
    [() => cache.appendSync(0, { k: tensor([2, 1, 2, 6]), v: kv(1).v }), 'ShapeError', /k has shape/],
    [() => cache.appendSync(0, { k: tensor([1, 1, 2, 6], 'f16'), v: kv(1).v }), 'DTypeError', /k is f16/],
    [() => cache.appendSync(0, { k: kv(1).k } as never), 'ShapeError', /v is missing/],
    [() => cache.appendSync(0, { ...kv(1), q } as never), 'OptionError', /no input 'q'/],
    [
      () => cache.appendSync(0, { k: tensor([1, 1, 2, 6], 'f32', other), v: tensor([1, 1, 2, 6], 'f32', other) }),
      'RuntimeMismatchError',
      /another runtime than the cache/,
    ],
    [() => cache.appendSync(0, kv(6)), 'CacheFullError', /6 tokens do not fit in a cache that holds 3 of at most 8/],
    [() => cache.attendSync(0, { q: tensor([1, 4, 4, 6]) }), 'ShapeError', /q has 4 tokens, layer 0 holds 3/],
    [() => cache.attendSync(0, { q: tensor([1, 1, 3, 6]) }), 'ShapeError', /3 query heads cannot share 2/],
    [() => cache.attendSync(0, { q: gone }), 'DisposedError', /q .* was disposed/],
    [() => cache.attendSync(0, { q, o: q }), 'ShapeError', /o is q itself/],
    [() => cache.attendSync(0, { q, o: tensor([1, 1, 4, 6]) }), 'ShapeError', /o has shape/],
    [() => cache.attendSync(0, { q }, { scale: Number.NaN }), 'OptionError', /scale is NaN/],
    [() => cache.attendSync(0, { q }, { causal: true } as never), 'OptionError', /no option 'causal'/],
    [() => cache.truncate(4), 'OptionError', /length is 4, expected a whole number from 0 to 3/],
    [() => cache.truncate(0.5), 'OptionError', /length is 0.5/],
    [() => cache.reserve(-1), 'OptionError', /count is -1/],
    [() => cache.reserve(6), 'CacheFullError', /6 tokens do not fit/],
  ];
  const bytes = cache.save();
  for (const [misuse, name, message] of calls) {
    assert.throws(misuse, { name, message });
    assert.deepEqual(cache.save(), bytes);
  }
  cache.appendSync(1, kv(2));
  const uneven: [() => unknown, RegExp][] = [
    [() => cache.appendSync(1, kv(2)), /layer 1 has 5 tokens and would get 2, while layer 0 has 3/],
    [() => cache.appendSync(0, kv(1)), /layer 0 has 3 tokens and would get 1/],
    [() => cache.fork(), /layer 0 has 3 tokens and layer 1 has 5/],
    [() => cache.save(), /layer 0 has 3 tokens and layer 1 has 5/],
  ];
  for (const [misuse, message] of uneven) assert.throws(misuse, { name: 'CacheStateError', message });
  assert.equal(cache.length, 3);
  cache.truncate(cache.length);
  assert.deepEqual(cache.save(), bytes);
  const policy: CachePolicy = { kind: 'window', window: 2 };
  using windowed = new KVCache(rt, { ...size, layers: 1, pageSize: 1, policy });
  for (let i = 0; i < 4; ++i) windowed.appendSync(0, kv(2));
  assert.throws(() => windowed.truncate(5), { name: 'OptionError', message: /from 6 to 8: what a query at 5 sees/ });
  windowed.truncate(6);
  assert.throws(() => windowed.appendSync(0, kv(8)), {
    name: 'CacheFullError',
    message: /8 tokens do not fit in a cache that holds 1 of at most 8.*Append at most 7 at a time/,
  });
  await assert.rejects(cache.append(5, kv(1)), { name: 'OptionError' });
  cache.dispose();
  cache.dispose();
  assert.throws(() => cache.attendSync(0, { q }), { name: 'DisposedError', message: /this cache was disposed/ });
  assert.throws(() => cache.fork(), { name: 'DisposedError' });
  await assert.rejects(cache.append(0, kv(1)), { name: 'DisposedError' });
  const pool = new PagePool(rt, { pages: 4, headDim: 6 });
  using pooled = new KVCache(rt, { ...size, pool });
  pool.dispose();
  assert.throws(() => pooled.appendSync(0, kv(1)), { name: 'DisposedError', message: /pool of 4 pages was disposed/ });
  windowed.dispose();
  pooled.dispose();
  for (const x of made) x.dispose();
  assert.deepEqual(inUse(), before);
});

test('a call that fails for want of memory leaves the cache as it was', async () => {
  using small = await createRuntime({ variant: 'simd', threads: 1, memory: 2.5 * 2 ** 20 });
  using cache = new KVCache(small, { layers: 1, kvHeads: 1, headDim: 64, capacity: 2048 });
  using x = small.zeros([1, 1500, 1, 64]);
  using one = small.zeros([1, 1, 1, 64]);
  cache.extendSync(0, { q: one, k: one, v: one }).o.dispose();
  const bytes = cache.save();
  const free = cache.pool!.free;
  const { used } = small.memory();
  assert.throws(() => cache.extendSync(0, { q: x, k: x, v: x }), { name: 'MemoryLimitError' });
  assert.deepEqual([cache.length, cache.pool!.free], [1, free]);
  // the runtime's scratch may be gone too
  assert.ok(small.memory().used <= used);
  assert.deepEqual(cache.save(), bytes);
});

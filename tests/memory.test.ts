import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  add,
  attentionSync,
  createRuntime,
  DisposedError,
  MemoryLimitError,
  ShapeError,
  type Tensor,
} from '../src/index.ts';

test('memory is accounted for exactly, whatever the order of allocation and release', async () => {
  using rt = await createRuntime({ threads: 1, memory: 2 ** 26 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ size: fc.integer({ min: 0, max: 50000 }), drop: fc.nat() }), { maxLength: 60 }),
      async (steps) => {
        const held: { tensor: Tensor; mark: number; size: number }[] = [];
        for (const [mark, { size, drop }] of steps.entries()) {
          const tensor = rt.empty([size]);
          (tensor.view() as Float32Array).fill(mark);
          held.push({ tensor, mark, size });
          if (drop % 3 === 0) held.splice(drop % held.length, 1)[0]!.tensor.dispose();
          const expected = held.reduce((sum, { size: n }) => sum + Math.max(64, Math.ceil((n * 4) / 64) * 64), 0);
          assert.equal(rt.memory().used, expected);
          assert.equal(rt.memory().blocks, held.length);
        }
        for (const { tensor, mark, size } of held) {
          const view = tensor.view() as Float32Array;
          assert.equal(view.length, size);
          assert.ok(
            view.every((x) => x === mark),
            'no two tensors overlap',
          );
          tensor.dispose();
        }
        assert.equal(rt.memory().used, 0);
      },
    ),
    { numRuns: 50, seed: 7 },
  );
});

test('the limit is kept, its error says what to do, and nothing is lost', async () => {
  using rt = await createRuntime({ threads: 1, memory: 4 * 2 ** 20 });
  const a = rt.empty([1 << 18]);
  const used = rt.memory().used;
  assert.throws(
    () => rt.empty([1 << 20]),
    (error: Error) => {
      assert.ok(error instanceof MemoryLimitError);
      assert.match(error.message, /4194304 bytes.*limit 4194304.*Dispose/s);
      return true;
    },
  );
  const q = rt.zeros([1, 300, 8, 100]);
  const before = rt.memory().used;
  assert.throws(() => attentionSync({ q, k: q, v: q }), MemoryLimitError);
  assert.equal(rt.memory().used, before);
  q.dispose();
  assert.equal(rt.memory().used, used);
  a.dispose();
});

test('views are taken anew after growth, for private and for shared memory', async () => {
  for (const threads of [1, 2]) {
    using rt = await createRuntime({ threads });
    const small = rt.tensor([1, 2, 3], [3]);
    const reserved = rt.memory().reserved;
    rt.empty([1 << 22]);
    assert.ok(rt.memory().reserved > reserved);
    assert.deepEqual(small.dataSync(), Float32Array.of(1, 2, 3));
    assert.deepEqual((await add({ a: small, b: small })).o.dataSync(), Float32Array.of(2, 4, 6));
  }
});

test('a scope frees what it made but its result, also when it throws', async () => {
  using rt = await createRuntime({ threads: 1 });
  const x = rt.tensor([1, 2], [2]);
  const used = rt.memory().used;
  const { o } = await rt.scope(async () => {
    const { o: twice } = await add({ a: x, b: x });
    return add({ a: twice, b: x });
  });
  assert.deepEqual(o.dataSync(), Float32Array.of(3, 6));
  o.dispose();
  assert.equal(rt.memory().used, used);
  assert.throws(() =>
    rt.scope(() => {
      rt.empty([1000]);
      throw new Error('inside');
    }),
  );
  await assert.rejects(
    rt.scope(async () => {
      rt.empty([1000]);
      await Promise.resolve();
      throw new Error('inside');
    }),
  );
  assert.equal(rt.memory().used, used);
  const view = rt.scope(() => rt.tensor([7, 8], [2]).slice(0, 1, 2));
  assert.deepEqual(view.dataSync(), Float32Array.of(8));
  const outer = rt.scope(() => {
    const inner = rt.scope(() => rt.tensor([5], [1]));
    assert.equal(inner.disposed, false);
    return [inner];
  });
  assert.deepEqual(outer[0]!.dataSync(), Float32Array.of(5));
});

test('use after dispose and double dispose are named errors, for views and after the runtime', async () => {
  const rt = await createRuntime({ threads: 1 });
  const x = rt.tensor([1, 2, 3, 4], [2, 2]);
  const view = x.slice(0, 1, 2);
  assert.deepEqual(view.dataSync(), Float32Array.of(3, 4));
  assert.deepEqual(x.permute([1, 0]).dataSync(), Float32Array.of(1, 3, 2, 4));
  assert.throws(() => x.permute([1, 0]).view(), ShapeError);
  x.dispose();
  assert.throws(() => x.dispose(), DisposedError);
  assert.throws(() => view.dataSync(), DisposedError);
  const y = rt.tensor([1], [1]);
  rt.dispose();
  assert.throws(() => y.dataSync(), DisposedError);
  assert.throws(() => rt.empty([1]), DisposedError);
});

test('16-bit floats round to nearest even and widen exactly', async () => {
  using rt = await createRuntime({ threads: 1 });
  const values = [
    0,
    -0,
    1,
    -1.5,
    65504,
    65519,
    65520,
    1e9,
    2 ** -24,
    2 ** -25,
    1.5 * 2 ** -24,
    6e-5,
    0.1,
    2049,
    2051,
    Number.NaN,
    -Infinity,
  ];
  const want = [
    0,
    -0,
    1,
    -1.5,
    65504,
    65504,
    Infinity,
    Infinity,
    2 ** -24,
    0,
    2 ** -23,
    0.00006002187728881836,
    0.0999755859375,
    2048,
    2052,
    Number.NaN,
    -Infinity,
  ];
  assert.deepEqual(rt.tensor(values, [values.length], 'f16').dataSync(), Float32Array.from(want));
  const bf = rt.tensor([1, 1.00390625, 1.01171875, 3.4e38, Number.NaN], [5], 'bf16').dataSync();
  assert.deepEqual(bf, Float32Array.of(1, 1, 1.015625, Infinity, Number.NaN));
});

test('a tensor can be made from a live view, even when that makes the memory grow', async () => {
  for (const dtype of ['f32', 'f16'] as const) {
    using rt = await createRuntime({ threads: 1 });
    const a = rt.tensor(new Float32Array(200_000).fill(3), [200_000]);
    const copy = rt.tensor(a.view() as Float32Array, [200_000], dtype);
    assert.ok(copy.dataSync().every((x) => x === 3));
  }
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explain } from '../src/explain.ts';
import { createRuntime, OptionError, ShapeError } from '../src/index.ts';
import { OPS } from '../src/ops/registry.ts';

test('explain tells kernels, threads, operations and reasons, and leaves nothing behind', async () => {
  using rt = await createRuntime({ threads: 2, variant: 'simd' });
  const q = rt.zeros([1, 1024, 4, 64]);
  const used = rt.memory().used;
  const full = explain('attention', { q, k: q, v: q });
  const causal = explain('attention', { q, k: q, v: q }, { causal: true });
  assert.deepEqual(
    full.steps.map((step) => step.kernel),
    ['flashPack', 'flash'],
  );
  assert.equal(full.variant, 'simd');
  assert.equal(full.steps[1]!.threads, 2);
  assert.equal(full.steps[1]!.flops, 4 * 4 * 1024 * 1024 * 64);
  assert.equal(causal.steps[1]!.flops, 4 * 4 * ((1024 * 1025) / 2) * 64);
  assert.match(causal.notes.join('\n'), /50\.0 % of the query-key pairs/);
  const step = q.slice(1, 0, 1);
  const decode = explain('attention', { q: step, k: q, v: q });
  assert.deepEqual(
    decode.steps.map(({ kernel }) => kernel),
    ['decode', 'decodeMerge'],
  );
  assert.equal(rt.memory().used, used);
  assert.throws(() => explain('attend', { q }), OptionError);
  assert.throws(() => explain('attention', { q, k: q }), ShapeError);
  assert.equal(rt.memory().used, used);
});

test('one thread is explained', async () => {
  using rt = await createRuntime({ threads: 1 });
  const q = rt.zeros([1, 512, 4, 64]);
  assert.match(explain('attention', { q, k: q, v: q }).notes.join('\n'), /1 threads: asked for/);
});

test('every operation is listed once', () => {
  const names = OPS.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
});

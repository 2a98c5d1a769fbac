import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { add, addSync, createRuntime, HostAccessError, UnsupportedError } from '../../src/index.ts';
import { bothRuntimes, sameOnBoth } from './both.ts';

after(async () => {
  const { gpu, wasm } = await bothRuntimes();
  gpu.dispose();
  wasm.dispose();
});

const wave = (n: number, seed: number) => Float32Array.from({ length: n }, (_, i) => Math.sin(i * 12.9898 + seed));

test('a call on the GPU gives what it gives on WebAssembly', async () => {
  for (const n of [1, 63, 1000, 70_001]) {
    await sameOnBoth(
      (rt) => ({ a: rt.tensor(wave(n, 1), [n]), b: rt.tensor(wave(n, 2), [n]) }),
      (operands) => add(operands),
      0,
    );
  }
});

test('a synchronous call runs, and its result is read when asked for', async () => {
  const { gpu } = await bothRuntimes();
  await gpu.scope(async () => {
    const a = gpu.tensor([1, 2, 3], [3]);
    const { o } = addSync({ a, b: gpu.tensor([10, 20, 30], [3]) });
    assert.throws(() => o.dataSync(), HostAccessError);
    assert.throws(() => o.view(), HostAccessError);
    assert.deepEqual([...(await o.data())], [11, 22, 33]);
  });
});

test('what gives no device is named', async () => {
  const refused = (gpu: unknown, message: RegExp) =>
    assert.rejects(
      createRuntime({ backend: 'webgpu', gpu: gpu as never }),
      (error: Error) => error instanceof UnsupportedError && message.test(error.message),
    );
  await refused({ requestAdapter: async () => null }, /no adapter/);
  await refused({}, /requestAdapter/);
});

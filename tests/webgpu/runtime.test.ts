import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import {
  add,
  addSync,
  BusyError,
  createRuntime,
  DeviceLostError,
  DisposedError,
  GpuError,
  HostAccessError,
  MemoryLimitError,
  mul,
  OptionError,
  ShapeError,
  type Tensor,
  UnsupportedError,
} from '../../src/index.ts';
import { bothRuntimes, sameOnBoth } from './both.ts';
import { testGpu } from './dawn.ts';
import { watched } from './devices.ts';

after(async () => {
  const { gpu, wasm } = await bothRuntimes();
  gpu.dispose();
  wasm.dispose();
});

const wave = (n: number, seed: number) => Float32Array.from({ length: n }, (_, i) => Math.sin(i * 12.9898 + seed));
const turns = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A runtime of its own, whose device can be reached. */
async function ownRuntime(options: { memory?: number; limits?: Record<string, number> } = {}) {
  const gpu = watched(await testGpu());
  gpu.limits = options.limits ?? {};
  const { memory } = options;
  const rt = await createRuntime({ backend: 'webgpu', gpu, ...(memory === undefined ? {} : { memory }) });
  return { rt, gpu, device: () => gpu.devices.at(-1)! };
}

/** Elements of a + b. */
async function sumOf(a: Tensor, b: Tensor): Promise<number[]> {
  const { o } = await add({ a, b });
  const values = [...(await o.data())];
  o.dispose();
  return values;
}

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
    assert.throws(() => gpu.buffer, HostAccessError);
    assert.deepEqual([...(await o.data())], [11, 22, 33]);
  });
});

test('what gives no device is named', async () => {
  const refused = (gpu: unknown, message: RegExp) =>
    assert.rejects(
      createRuntime({ backend: 'webgpu', ...(gpu ? { gpu: gpu as never } : {}) }),
      (error: Error) => error instanceof UnsupportedError && message.test(error.message),
    );
  await refused(undefined, /no navigator\.gpu/);
  await refused({ requestAdapter: async () => null }, /no adapter/);
  await refused({}, /requestAdapter/);
  const gpu = watched(await testGpu());
  gpu.refusal = 'out of devices';
  await refused(gpu, /gave no device: out of devices/);
  await assert.rejects(createRuntime({ backend: 'webgpu', gpu, threads: 2 }), OptionError);
});

test('10,000 calls leave no buffer and no block behind', async () => {
  const { rt } = await ownRuntime();
  const a = rt.tensor(wave(300, 1), [300]);
  const call = async () => {
    const { o } = await add({ a, b: a });
    o.dispose();
  };
  await call();
  await sumOf(a, a);
  const before = { blocks: rt.memory().blocks, used: rt.memory().used, ...rt.info() };
  for (let i = 0; i < 10_000; ++i) {
    await call();
    if (i % 1000 === 0) await sumOf(a, a);
  }
  await rt.ready();
  assert.equal(rt.memory().blocks, before.blocks);
  assert.equal(rt.memory().used, before.used);
  assert.equal(rt.info().buffers, before.buffers);
  assert.equal(rt.info().pipelines, before.pipelines);
  assert.equal(rt.memory().reserved, before.memory.reserved);
  rt.dispose();
});

test('transfers are counted, and nothing else goes over', async () => {
  const { rt } = await ownRuntime();
  const none = { uploads: 0, uploadedBytes: 0, readbacks: 0, readBytes: 0 };
  assert.deepEqual(rt.info().transfers, none);
  const a = rt.tensor(wave(300, 1), [300]);
  const bytes = rt.tensor(new Uint8Array(7), [7]);
  assert.deepEqual(rt.info().transfers, { ...none, uploads: 2, uploadedBytes: 1207 });
  const { o } = await add({ a, b: a });
  const { o: p } = addSync({ a: o, b: a });
  await rt.ready();
  assert.deepEqual(rt.info().transfers, { ...none, uploads: 2, uploadedBytes: 1207 });
  await p.data();
  await bytes.data();
  assert.deepEqual(rt.info().transfers, { uploads: 2, uploadedBytes: 1207, readbacks: 2, readBytes: 1207 });
  // a view reads what it spans
  await p.slice(0, 10, 20).data();
  assert.equal(rt.info().transfers.readBytes, 1247);
  rt.dispose();
});

test('a lost device is named by every call, and rebuild() takes another', async () => {
  const { rt, device } = await ownRuntime();
  const a = rt.tensor([1, 2, 3], [3]);
  const view = a.slice(0, 1, 3);
  const { o } = await add({ a, b: a });
  device().destroy();
  await assert.rejects(o.data(), DeviceLostError);
  await assert.rejects(add({ a, b: a }), DeviceLostError);
  assert.throws(() => addSync({ a, b: a }), DeviceLostError);
  assert.throws(() => rt.tensor([1], [1]), DeviceLostError);
  assert.throws(() => a.write([1, 2, 3]), DeviceLostError);
  await assert.rejects(rt.ready(), /DeviceLostError|lost: .*Call rebuild\(\)/);
  await rt.rebuild();
  for (const old of [a, view, o]) {
    await assert.rejects(old.data(), DeviceLostError);
    assert.throws(() => addSync({ a: old, b: old }), DeviceLostError);
    await assert.rejects(add({ a: old, b: old }), DeviceLostError);
    assert.throws(() => old.write([1, 2, 3].slice(0, old.size)), DeviceLostError);
  }
  const b = rt.tensor([4, 5, 6], [3]);
  assert.deepEqual(await sumOf(b, b), [8, 10, 12]);
  // they give their room back as any others
  const { blocks } = rt.memory();
  a.dispose();
  o.dispose();
  assert.equal(rt.memory().blocks, blocks - 2);
  assert.throws(() => a.dispose(), DisposedError);
  await assert.rejects(view.data(), DisposedError);
  const c = rt.tensor([7, 8, 9], [3]);
  assert.deepEqual(await sumOf(b, c), [11, 13, 15]);
  rt.dispose();
  assert.throws(() => rt.tensor([1], [1]), DisposedError);
});

test('a device that is lost while calls wait fails all of them, once, and leaves no block', async () => {
  const { rt, device } = await ownRuntime();
  const a = rt.tensor(wave(50, 1), [50]);
  const { blocks } = rt.memory();
  const calls = [add({ a, b: a }), mul({ a, b: a }), add({ a, b: a })];
  device().destroy();
  for (const result of await Promise.allSettled(calls)) {
    if (result.status === 'fulfilled') await assert.rejects(result.value.o.data(), DeviceLostError);
    else assert.ok(result.reason instanceof DeviceLostError, String(result.reason));
    if (result.status === 'fulfilled') result.value.o.dispose();
  }
  assert.equal(rt.memory().blocks, blocks);
  rt.dispose();
});

test('rebuild() while calls are in flight fails them, and two rebuilds are one', async () => {
  const { rt, gpu } = await ownRuntime();
  const a = rt.tensor(wave(50, 1), [50]);
  const call = add({ a, b: a });
  const again = [rt.rebuild(), rt.rebuild()];
  await assert.rejects(call, DeviceLostError);
  await Promise.all(again);
  assert.equal(gpu.devices.length, 2);
  const b = rt.tensor([1, 2], [2]);
  assert.deepEqual(await sumOf(b, b), [2, 4]);
  gpu.refusal = 'none left';
  await assert.rejects(rt.rebuild(), UnsupportedError);
  await assert.rejects(sumOf(b, b), DeviceLostError);
  gpu.refusal = '';
  await rt.rebuild();
  const c = rt.tensor([1, 2], [2]);
  assert.deepEqual(await sumOf(c, c), [2, 4]);
  rt.dispose();
  await assert.rejects(rt.rebuild(), DisposedError);
});

test('the device that gives no memory is a lost one', async () => {
  const { rt, device } = await ownRuntime();
  const real = device();
  // what a device without room says, which this one has
  real.popErrorScope = async () => ({ message: 'no room' }) as GPUError;
  rt.empty([2 ** 22]);
  await turns(1);
  await assert.rejects(rt.ready(), /DeviceLostError|the GPU has no room for \d+ bytes \(no room\)/);
  rt.dispose();
});

test('a memory limit is an error that leaves everything as it was', async () => {
  const { rt } = await ownRuntime({ memory: 2 ** 20 });
  const a = rt.tensor(wave(1000, 1), [1000]);
  const before = rt.memory();
  assert.throws(() => rt.empty([2 ** 20]), MemoryLimitError);
  assert.throws(() => rt.zeros([2 ** 18]), MemoryLimitError);
  const large = rt.empty([120_000]);
  const { o: sum } = await add({ a: large, b: large });
  await assert.rejects(add({ a: sum, b: sum }), MemoryLimitError);
  large.dispose();
  sum.dispose();
  assert.equal(rt.memory().limit, 2 ** 20);
  const { o } = await add({ a, b: a });
  assert.deepEqual(
    await o.data(),
    wave(1000, 1).map((x) => 2 * x),
  );
  o.dispose();
  assert.deepEqual({ ...rt.memory(), peak: 0 }, { ...before, peak: 0 });
  rt.dispose();
});

test('a memory that grows keeps what it holds', async () => {
  const { rt } = await ownRuntime();
  const held: { tensor: Tensor; want: Float32Array }[] = [];
  for (let seed = 0; seed < 6; ++seed) {
    const want = wave(2 ** 19 + seed, seed);
    held.push({ tensor: rt.tensor(want, [want.length]), want });
  }
  assert.ok(rt.memory().reserved > 2 ** 23);
  assert.equal(rt.info().buffers, 2);
  for (const { tensor, want } of held) assert.deepEqual(await tensor.data(), want);
  rt.dispose();
});

test('dispose frees the buffers, and what is used afterwards is refused', async () => {
  const { rt, device } = await ownRuntime();
  const a = rt.tensor([1, 2], [2]);
  const pending = add({ a, b: a });
  const lost = device().lost;
  rt.dispose();
  assert.equal((await lost).reason, 'destroyed');
  await assert.rejects(pending, DisposedError);
  await assert.rejects(a.data(), DisposedError);
  await assert.rejects(rt.ready(), DisposedError);
  rt.dispose();
});

test('writes begin and end anywhere', async () => {
  const { rt } = await ownRuntime();
  for (const dtype of ['u8', 'i8', 'f16'] as const) {
    const width = dtype === 'f16' ? 2 : 1;
    const start = Array.from({ length: 23 }, (_, i) => i + 1);
    for (let from = 0; from < 9; ++from) {
      for (const length of [0, 1, 2, 3, 4, 5, 9, 23 - from]) {
        const tensor = rt.tensor(start, [23], dtype);
        const want = [...start];
        const values = Array.from({ length }, (_, i) => 100 + i);
        want.splice(from, length, ...values);
        tensor.slice(0, from, from + length).write(values);
        assert.deepEqual([...(await tensor.data())], want, `${length} of ${dtype} from byte ${from * width}`);
        tensor.dispose();
      }
    }
  }
  await rt.ready();
  rt.dispose();
});

test('what the host knows of integers follows what is written', async () => {
  const { rt } = await ownRuntime();
  const tensor = rt.tensor(Int32Array.of(1, 2, 3, 4), [4]);
  assert.deepEqual([...tensor.dataSync()], [1, 2, 3, 4]);
  tensor.slice(0, 1, 3).write(Int32Array.of(8, 9));
  assert.deepEqual([...tensor.dataSync()], [1, 8, 9, 4]);
  assert.deepEqual([...(await tensor.data())], [1, 8, 9, 4]);
  // what was written in part only is read on the GPU
  const empty = rt.zeros([4], 'i32');
  empty.slice(0, 0, 2).write(Int32Array.of(5, 6));
  assert.throws(() => empty.dataSync(), HostAccessError);
  assert.deepEqual([...(await empty.data())], [5, 6, 0, 0]);
  assert.throws(() => empty.write([1, 2]), ShapeError);
  rt.dispose();
});

test('calls end in the order of their starts, those that need no compiler too', async () => {
  const { rt } = await ownRuntime();
  const a = rt.tensor([1, 2], [2]);
  const ended: number[] = [];
  const calls = [add, mul, add, add].map((op, i) =>
    op({ a, b: a }).then((result) => {
      ended.push(i);
      return result;
    }),
  );
  assert.throws(() => addSync({ a, b: a }), BusyError);
  const results = await Promise.all(calls.map(async (call) => [...(await (await call).o.data())]));
  assert.deepEqual(results, [
    [2, 4],
    [1, 4],
    [2, 4],
    [2, 4],
  ]);
  assert.deepEqual(ended, [0, 1, 2, 3]);
  rt.dispose();
});

test('what the GPU refuses is an error of the next call, once', async () => {
  const { rt, device } = await ownRuntime();
  const a = rt.tensor([1, 2], [2]);
  await sumOf(a, a);
  device().createBuffer({ size: 16, usage: 0x8000 });
  await turns(20);
  await assert.rejects(rt.ready(), GpuError);
  assert.deepEqual(await sumOf(a, a), [2, 4]);
  rt.dispose();
});

test('a call that cannot be laid out leaves no blocks', async () => {
  const { rt } = await ownRuntime();
  const a = rt.tensor([1, 2], [2]);
  const b = rt.tensor([1, 2, 3], [3]);
  const { blocks } = rt.memory();
  await assert.rejects(add({ a, b }), ShapeError);
  assert.throws(() => addSync({ a, b }), ShapeError);
  assert.equal(rt.memory().blocks, blocks);
  rt.dispose();
});

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { replay } from '../../src/cli/replay.ts';
import { add, createRuntime, MemoryLimitError, type Tensor } from '../../src/index.ts';
import { GOLDEN_CASES } from '../portable/cases.ts';
import { testGpu } from './dawn.ts';
import { watched } from './devices.ts';

const KIB = 2 ** 10;

/** A runtime on a device that shows a kernel `bytes` of a buffer. */
async function narrow(bytes: number, bindings = 8) {
  const gpu = watched(await testGpu());
  gpu.limits = { maxStorageBufferBindingSize: bytes, maxStorageBuffersPerShaderStage: bindings };
  const rt = await createRuntime({ backend: 'webgpu', gpu });
  return { rt, device: () => gpu.devices.at(-1)! };
}

const wave = (n: number, seed: number) => Float32Array.from({ length: n }, (_, i) => Math.fround(Math.sin(i + seed)));

test('a memory larger than a binding is of several buffers, which kernels see as one', async () => {
  const { rt } = await narrow(256 * KIB);
  assert.equal(rt.memory().limit, 2048 * KIB);
  const n = 40_003;
  const [x, y] = [wave(n, 1), wave(n, 2)];
  const [a, b] = [rt.tensor(x, [n]), rt.tensor(y, [n])];
  const { o } = await add({ a, b });
  assert.equal(rt.memory().reserved, 512 * KIB);
  const want = x.map((value, i) => value + y[i]!);
  assert.deepEqual(await o.data(), want);
  assert.deepEqual(await a.data(), x);
  // and back to one another, from where buffers meet
  for (const begin of [0, 1, 25_000, 39_999]) {
    assert.deepEqual(await o.slice(0, begin, n).data(), want.slice(begin), `from ${begin}`);
  }
  await rt.ready();
  rt.dispose();
});

test('writes, zeros and moves over the borders of buffers', async () => {
  const { rt } = await narrow(64 * KIB);
  const room = rt.tensor(new Uint8Array(250 * KIB).fill(7), [250 * KIB]);
  const want = new Uint8Array(250 * KIB).fill(7);
  const border = 64 * KIB - room.address;
  for (const [from, length] of [
    [-3, 6],
    [-1, 1],
    [-2, 2],
    [0, 3],
    [-4, 5],
    [64 * KIB - 1, 2],
    [-7, 64 * KIB + 15],
  ] as const) {
    const values = Uint8Array.from({ length }, (_, i) => (i * 31 + from) & 255);
    room.slice(0, border + from, border + from + length).write(values);
    want.set(values, border + from);
  }
  assert.deepEqual(await room.data(), want);
  rt.clear(room.address + border - 8, 16);
  want.fill(0, border - 8, border + 8);
  rt.move(room.address + border + 100 * KIB - 64, room.address + border - 64, 70 * KIB);
  want.copyWithin(border + 100 * KIB - 64, border - 64, border - 64 + 70 * KIB);
  assert.deepEqual(await room.data(), want);
  await rt.ready();
  rt.dispose();
});

test('what no number of buffers holds is a memory limit', async () => {
  const { rt } = await narrow(64 * KIB);
  const held: Tensor[] = [];
  assert.throws(() => {
    for (;;) held.push(rt.empty([5000]));
  }, MemoryLimitError);
  assert.equal(rt.memory().reserved, 512 * KIB);
  const last = held.at(-1)!;
  last.write(wave(5000, 1));
  assert.deepEqual(await last.data(), wave(5000, 1));
  rt.dispose();
  const { rt: few } = await narrow(100 * KIB, 3);
  // two buffers of 64 KiB hold more than one of 100, four would be more than there may be
  assert.equal(few.memory().limit, 128 * KIB);
  few.dispose();
});

test('a lost memory of several buffers comes back as one of as many', async () => {
  const { rt, device } = await narrow(128 * KIB);
  const large = rt.empty([40_000]);
  const { reserved } = rt.memory();
  device().destroy();
  await assert.rejects(large.data());
  await rt.rebuild();
  assert.equal(rt.memory().reserved, reserved);
  large.dispose();
  const x = wave(20_000, 1);
  const a = rt.tensor(x, [20_000]);
  const { o } = await add({ a, b: a });
  assert.deepEqual(
    await o.data(),
    x.map((value) => 2 * value),
  );
  rt.dispose();
});

/** A few: the software driver takes a second and more for a shader that chooses among buffers. */
const CASES = ['rope--half-b', 'hgrn--plain-a'];

test('golden cases on a memory of several buffers', async (t) => {
  for (const { name, path } of GOLDEN_CASES.filter(({ name }) => CASES.includes(name))) {
    await t.test(name, async () => {
      const { rt } = await narrow(128 * KIB);
      // what the case makes lies around the first border
      const spacer = rt.empty([31 * KIB]);
      const { passed, reason } = await replay(rt, readFileSync(path));
      await rt.ready();
      assert.ok(passed, reason);
      assert.ok(rt.memory().reserved > 128 * KIB);
      spacer.dispose();
      rt.dispose();
    });
  }
});

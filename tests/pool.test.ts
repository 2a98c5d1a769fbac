import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type * as threads from 'node:worker_threads';
import {
  attention,
  attentionSync,
  BusyError,
  createRuntime,
  KernelTrapError,
  type Runtime,
  WorkerLostError,
} from '../src/index.ts';

const ENTRY = fileURLToPath(new URL('../src/index.ts', import.meta.url));

/** Large enough that threads are used. */
function problem(rt: Runtime) {
  const random = (n: number, seed: number) => Float32Array.from({ length: n }, (_, i) => Math.sin(i * 12.9898 + seed));
  const make = (seed: number) => rt.tensor(random(700 * 4 * 32, seed), [1, 700, 4, 32]);
  return { q: make(1), k: make(2), v: make(3) };
}

/** A dispatch whose kernel traps on every item, large enough for the workers to take part. */
const trap = { kernel: 'probeTrap', params: new Int32Array(2), items: 1000, flops: 1e9 } as const;

test('a kernel that traps gives a named error, and the pool stays usable', async () => {
  using rt = await createRuntime({ threads: 2 });
  await rt.ready();
  const inputs = problem(rt);
  const before = attentionSync(inputs).o.dataSync();
  for (let i = 0; i < 5; ++i) {
    assert.throws(() => rt.runSync([trap]), KernelTrapError);
    await assert.rejects(rt.run([trap]), KernelTrapError);
  }
  assert.deepEqual((await attention(inputs)).o.dataSync(), before);
});

test('a trap on a worker reaches the caller with the engine’s message', async () => {
  using rt = await createRuntime({ threads: 2 });
  await rt.ready();
  // the calling thread traps too, so ask often enough to see a message from either side
  for (let i = 0; i < 20; ++i) assert.throws(() => rt.runSync([trap]), /probeTrap.*(unreachable|Unreachable)/s);
});

test('threads run: the workers of a pool take items', async () => {
  using rt = await createRuntime({ threads: 3 });
  await rt.ready();
  assert.equal(rt.info().threads, 3);
  const inputs = problem(rt);
  const alone = await createRuntime({ threads: 1 });
  const expected = attentionSync(problem(alone)).o.dataSync();
  for (let i = 0; i < 20; ++i) assert.deepEqual(attentionSync(inputs).o.dataSync(), expected);
  alone.dispose();
});

test('a worker that dies between calls is replaced; one that dies in a call gives WorkerLostError', async (t) => {
  const module = process.getBuiltinModule('node:worker_threads');
  const made: threads.Worker[] = [];
  const Original = module.Worker;
  module.Worker = class extends Original {
    constructor(...args: ConstructorParameters<typeof Original>) {
      super(...args);
      made.push(this);
    }
  };
  t.after(() => {
    module.Worker = Original;
  });
  using rt = await createRuntime({ threads: 2 });
  await rt.ready();
  const inputs = problem(rt);
  const expected = attentionSync(inputs).o.dataSync();
  assert.equal(made.length, 1);
  await made[0]!.terminate();
  assert.deepEqual((await attention(inputs)).o.dataSync(), expected);
  assert.equal(made.length, 2, 'a new worker was started');
  await rt.ready();
  // a long dispatch during which the worker is killed
  const busy = rt.run([
    { kernel: 'probeFma', params: new Int32Array([0, 3_000_000]), items: 400, scratchBytes: 64, flops: 1e10 },
  ]);
  await new Promise((resolve) => setTimeout(resolve, 30));
  void made[1]!.terminate();
  await assert.rejects(busy, WorkerLostError);
  assert.deepEqual((await attention(inputs)).o.dataSync(), expected);
});

test('a synchronous call during an asynchronous one is refused, and overlapping asynchronous calls wait their turn', async () => {
  using rt = await createRuntime({ threads: 2 });
  const inputs = problem(rt);
  const expected = attentionSync(inputs).o.dataSync();
  const long = rt.run([
    { kernel: 'probeFma', params: new Int32Array([0, 500_000]), items: 40, scratchBytes: 64, flops: 1e10 },
  ]);
  const calls = [attention(inputs), attention(inputs), attention(inputs)];
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.throws(() => attentionSync(inputs), BusyError);
  await long;
  for (const call of calls) assert.deepEqual((await call).o.dataSync(), expected);
});

test('a long asynchronous call leaves the event loop its turns', async () => {
  using rt = await createRuntime({ threads: 1 });
  let ticks = 0;
  const timer = setInterval(() => {
    ticks += 1;
  }, 1);
  await rt.run([
    { kernel: 'probeFma', params: new Int32Array([0, 100_000]), items: 400, scratchBytes: 64, flops: 1e10 },
  ]);
  clearInterval(timer);
  assert.ok(ticks > 3, `${ticks} ticks`);
});

test('tensors disposed during an asynchronous call keep their memory until it ends', async () => {
  using rt = await createRuntime({ threads: 2 });
  const inputs = problem(rt);
  const expected = attentionSync(inputs).o.dataSync();
  const call = attention(inputs);
  for (const tensor of Object.values(inputs)) tensor.dispose();
  const { o } = await call;
  assert.deepEqual(o.dataSync(), expected);
});

test('a process that used threads ends by itself, with and without dispose', () => {
  for (const end of ['rt.dispose()', '']) {
    const script = `
      import { createRuntime, attention } from ${JSON.stringify(ENTRY)};
      const rt = await createRuntime({ threads: 2 });
      await rt.ready();
      const x = rt.tensor(new Float32Array(400 * 4 * 32).fill(0.5), [1, 400, 4, 32]);
      await attention({ q: x, k: x, v: x });
      ${end}
      console.log('done');`;
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', script],
      { encoding: 'utf8', timeout: 30000, cwd: fileURLToPath(new URL('..', import.meta.url)) },
    );
    assert.equal(status, 0, stderr);
    assert.match(stdout, /done/);
  }
});

// The wasm builds as a host finds them: what they export, and what instantiating one does to a memory.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { instantiateSync } from '@assemblyscript/loader';
import { ARENA_START, KERNELS, SCRATCH_MEASURES } from '../src/generated/kernels.ts';
import { MEASURE, MEASURE_ROOM } from '../src/runtime/control.ts';
import { availableVariants } from './runtimes.ts';

const PAGE = 65536;
const root = new URL('../', import.meta.url);
/** Where the compiler puts the constant table; below it the host keeps its control words. */
const tableStart: number = JSON.parse(readFileSync(new URL('asconfig.json', root), 'utf8')).options.memoryBase;

/** A memory as the runtime makes it, every byte `fill`. */
function filledMemory(shared: boolean, fill: number): WebAssembly.Memory {
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 65536, shared });
  new Uint8Array(memory.buffer).fill(fill);
  return memory;
}

/** A copy of what a memory holds. */
function contents(memory: WebAssembly.Memory): Uint8Array {
  return new Uint8Array(memory.buffer).slice();
}

for (const variant of availableVariants()) {
  for (const shared of [false, true]) {
    const build = shared ? `${variant}-shared` : variant;
    const binary = readFileSync(new URL(`build/wasm/${build}.wasm`, root));
    const instantiate = (memory: WebAssembly.Memory) => instantiateSync(binary, { env: { memory } });

    test(`${build}.wasm exports the kernels and scratch measures, and nothing else`, () => {
      const { instance, module } = instantiate(filledMemory(shared, 0));
      assert.deepEqual(Object.keys(instance.exports).sort(), [...KERNELS, ...SCRATCH_MEASURES].sort());
      for (const name of KERNELS) {
        const kernel = instance.exports[name] as (...operands: number[]) => void;
        assert.equal(kernel.length, 4, `${name} takes params, begin, end, scratch`);
      }
      assert.deepEqual(WebAssembly.Module.imports(module), [{ module: 'env', name: 'memory', kind: 'memory' }]);
    });

    test(`${build}.wasm writes only its constant table`, () => {
      const zeros = filledMemory(shared, 0);
      const ones = filledMemory(shared, 0xff);
      instantiate(zeros);
      instantiate(ones);
      const [a, b] = [contents(zeros), contents(ones)];
      assert.equal(a.length, 2 * PAGE, 'the memory does not grow');
      // a byte that was written is the same in both; one that was not still differs
      const start = a.findIndex((byte, i) => byte === b[i]);
      const end = a.findLastIndex((byte, i) => byte === b[i]) + 1;
      assert.ok(start >= tableStart, `first byte written is ${start}, the table starts at ${tableStart}`);
      assert.ok(
        end > start && end <= ARENA_START,
        `last byte written is ${end - 1}, the arena starts at ${ARENA_START}`,
      );
    });

    test(`${build}.wasm answers how much scratch it needs within the room for that`, () => {
      const memory = filledMemory(shared, 0xa5);
      const { exports } = instantiate(memory).instance;
      new Uint8Array(memory.buffer, MEASURE, MEASURE_ROOM - MEASURE).fill(0);
      const before = contents(memory);
      for (const name of SCRATCH_MEASURES) {
        (exports[name] as (params: number, scratch: number) => number)(MEASURE, MEASURE_ROOM);
        const now = contents(memory);
        const wrong = now.findIndex((byte, at) => byte !== before[at] && (at < MEASURE_ROOM || at >= tableStart));
        assert.equal(wrong, -1, `${name} writes byte ${wrong}, the room is ${MEASURE_ROOM} to ${tableStart - 1}`);
      }
    });

    test(`${build}.wasm, instantiated twice on one memory, leaves it as it was`, () => {
      const memory = filledMemory(shared, 0xa5);
      instantiate(memory);
      const before = contents(memory);
      instantiate(memory);
      assert.deepEqual(contents(memory), before);
    });
  }
}

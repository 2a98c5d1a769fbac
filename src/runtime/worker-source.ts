/**
 * The program of a worker thread, as text: it needs no file of its own, in any bundle or runtime.
 *
 * @module
 */
import { KERNELS } from '../generated/kernels.ts';
import { CONTROL, PARAMS, TRAP_TEXT, TRAP_TEXT_BYTES } from './control.ts';

/** Turns of the loop that looks for new work before a worker sleeps: about 30 microseconds. */
const SPINS = 3000;

/** What a worker is started with. */
export interface WorkerStart {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly id: number;
  readonly generation: number;
}

/** Source of the worker; the host's way of receiving the first message is the only difference between hosts. */
export function workerSource(node: boolean): string {
  return `
const C = ${JSON.stringify(CONTROL)};
const KERNELS = ${JSON.stringify(KERNELS)};
function start({ module, memory, id, generation }) {
  const kernels = new WebAssembly.Instance(module, { env: { memory } }).exports;
  const table = KERNELS.map((name) => kernels[name]);
  const words = new Int32Array(memory.buffer, 0, 256);
  let go = 0;
  Atomics.add(words, C.ready, 1);
  Atomics.notify(words, C.ready);
  for (;;) {
    let spins = 0;
    while (Atomics.load(words, C.go + id) === go && ++spins < ${SPINS});
    Atomics.wait(words, C.go + id, go);
    go = Atomics.load(words, C.go + id);
    if (Atomics.load(words, C.generation) !== generation) return;
    try {
      const kernel = table[words[C.kernel]];
      const items = words[C.items];
      const grain = words[C.grain];
      const scratch = words[C.scratch] + (id + 1) * words[C.scratchStride];
      for (let at; (at = Atomics.add(words, C.next, grain)) < items; ) {
        kernel(${PARAMS}, at, Math.min(at + grain, items), scratch);
      }
    } catch (error) {
      if (Atomics.compareExchange(words, C.trapped, 0, id + 1) === 0) {
        const text = String(error && error.message || error).slice(0, ${TRAP_TEXT_BYTES / 2 - 4});
        const units = new Uint16Array(memory.buffer, ${TRAP_TEXT} + 4, text.length);
        for (let i = 0; i < text.length; ++i) units[i] = text.charCodeAt(i);
        words[${TRAP_TEXT / 4}] = text.length;
      }
      Atomics.store(words, C.next, words[C.items]);
    }
    Atomics.add(words, C.done, 1);
    Atomics.notify(words, C.done);
  }
}
${
  node
    ? "start(process.getBuiltinModule('node:worker_threads').workerData);"
    : 'onmessage = (event) => { start(event.data); close(); };'
}
`;
}

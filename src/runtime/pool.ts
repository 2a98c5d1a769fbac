/**
 * Worker threads that share the arena and pull items of one dispatch at a time.
 *
 * @module
 */
import { KernelTrapError, WorkerLostError } from '../errors.ts';
import { CONTROL, MAX_WORKERS, TRAP_TEXT } from './control.ts';
import { detectHost, nodeModule } from './features.ts';
import { type WorkerStart, workerSource } from './worker-source.ts';

/** One started worker, whatever the host calls it. */
interface Thread {
  readonly id: number;
  alive: boolean;
  terminate(): void;
}

/** What a page's policy may lack; no engine says so itself. */
const POLICY = "a Content-Security-Policy must allow 'worker-src blob:'";
/** Spins on `done` before the calling thread sleeps or yields: about 100 microseconds. */
const SPINS = 10000;
/** A worker that holds an item for longer than this is taken for dead. */
const PATIENCE_MS = 20000;

/** Workers 0..count-1 beside the calling thread. They start on the first dispatch that wants them. */
export class Pool {
  readonly #module: WebAssembly.Module;
  readonly #memory: WebAssembly.Memory;
  readonly #count: number;
  readonly #words: Int32Array;
  readonly #host = detectHost();
  #threads: Thread[] = [];
  #failure = '';

  /** @param count workers beside the calling thread. */
  constructor(module: WebAssembly.Module, memory: WebAssembly.Memory, count: number) {
    this.#module = module;
    this.#memory = memory;
    this.#count = Math.min(count, MAX_WORKERS);
    this.#words = new Int32Array(memory.buffer, 0, 256);
  }

  /** Why workers that were wanted do not run; empty if nothing went wrong. */
  get failure(): string {
    return this.#failure;
  }

  /** Workers that run now. */
  get running(): number {
    return this.#threads.length === 0 ? 0 : Atomics.load(this.#words, CONTROL.ready);
  }

  /** Starts the workers if none run. They report for work by themselves, some milliseconds later. */
  start(): void {
    if (this.#threads.length > 0 && this.#threads.some((thread) => !thread.alive)) this.stop();
    if (this.#threads.length > 0 || this.#failure !== '') return;
    Atomics.store(this.#words, CONTROL.ready, 0);
    for (let id = 0; id < this.#count; ++id) Atomics.store(this.#words, CONTROL.go + id, 0);
    try {
      for (let id = 0; id < this.#count; ++id) this.#threads.push(this.#startThread(id));
    } catch (error) {
      this.stop();
      const { name, message } = error as Error;
      this.#failure = `workers could not be started: ${message}${name === 'SecurityError' ? ` (${POLICY})` : ''}`;
    }
  }

  /** Waits until the workers have reported, at most `ms` milliseconds. */
  async ready(ms: number): Promise<void> {
    this.start();
    const end = performance.now() + ms;
    while (this.#failure === '' && this.running < this.#threads.length && performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** Lets ready workers that do not take part yet join the dispatch in flight; returns how many take part. */
  enlist(taking: number, most: number): number {
    const ready = Math.min(this.running, most);
    for (let id = taking; id < ready; ++id) {
      Atomics.add(this.#words, CONTROL.go + id, 1);
      Atomics.notify(this.#words, CONTROL.go + id);
    }
    return Math.max(taking, ready);
  }

  /** Waits for `taking` workers without leaving the call. */
  waitSync(taking: number): void {
    const words = this.#words;
    const end = performance.now() + PATIENCE_MS;
    for (let spins = 0; Atomics.load(words, CONTROL.done) < taking; ++spins) {
      if (spins < SPINS) continue;
      if (this.#host.canBlock) Atomics.wait(words, CONTROL.done, Atomics.load(words, CONTROL.done), 10);
      if (performance.now() > end) throw this.#lost();
    }
  }

  /** Waits for `taking` workers; between short spins the event loop runs, so that a worker's end is noticed. */
  async wait(taking: number): Promise<void> {
    const words = this.#words;
    const end = performance.now() + PATIENCE_MS;
    for (let spins = 0; Atomics.load(words, CONTROL.done) < taking; ++spins) {
      if (spins < SPINS) continue;
      await new Promise((resolve) => setTimeout(resolve, 0));
      const dead = this.#threads.some((thread) => !thread.alive);
      if ((dead && Atomics.load(words, CONTROL.done) < taking) || performance.now() > end) throw this.#lost();
    }
  }

  /** Throws what a worker's kernel threw during the last dispatch, if one did. */
  throwTrap(kernel: string): void {
    const trapped = Atomics.load(this.#words, CONTROL.trapped);
    if (trapped === 0) return;
    const length = this.#words[TRAP_TEXT / 4]!;
    const text = String.fromCharCode(...new Uint16Array(this.#memory.buffer, TRAP_TEXT + 4, length));
    throw new KernelTrapError(
      `kernel '${kernel}' trapped on worker ${trapped - 1}: ${text}. The outputs of this call hold no result; the ` +
        'runtime stays usable. Please report it with the shapes and options of the call.',
    );
  }

  /** Ends all workers; the next dispatch that wants them starts new ones. */
  stop(): void {
    Atomics.add(this.#words, CONTROL.generation, 1);
    for (const thread of this.#threads) {
      Atomics.add(this.#words, CONTROL.go + thread.id, 1);
      Atomics.notify(this.#words, CONTROL.go + thread.id);
      thread.alive = false;
      thread.terminate();
    }
    this.#threads = [];
  }

  #lost(): WorkerLostError {
    this.stop();
    return new WorkerLostError(
      'a worker thread ended or stopped answering during a call, whose outputs hold no result. The next call starts ' +
        'new workers; if it happens again, create the runtime with { threads: 1 }.',
    );
  }

  #startThread(id: number): Thread {
    const generation = Atomics.load(this.#words, CONTROL.generation);
    const start: WorkerStart = { module: this.#module, memory: this.#memory, id, generation };
    const threads = nodeModule<typeof import('node:worker_threads')>('node:worker_threads');
    // a parked worker must not keep the process alive: Deno's own Worker has no unref
    if (threads && (this.#host.runtime === 'node' || this.#host.runtime === 'deno')) {
      const worker = new threads.Worker(workerSource(true), { eval: true, workerData: start });
      worker.unref();
      const thread: Thread = { id, alive: true, terminate: () => void worker.terminate() };
      worker.on('error', () => {
        thread.alive = false;
      });
      worker.on('exit', () => {
        thread.alive = false;
      });
      return thread;
    }
    const url = URL.createObjectURL(new Blob([workerSource(false)], { type: 'text/javascript' }));
    const worker = new Worker(url, { name: `wattn ${id}`, type: 'module' });
    const terminate = () => {
      worker.terminate();
      URL.revokeObjectURL(url);
    };
    const thread: Thread = { id, alive: true, terminate };
    worker.onerror = (event) => {
      event.preventDefault?.();
      thread.alive = false;
      // a worker that the page's policy forbids fails without a message
      const reason = event.message || `it was not loaded; ${POLICY}`;
      this.#failure = `a worker could not run: ${reason}`;
    };
    worker.postMessage(start);
    (worker as unknown as { unref?: () => void }).unref?.();
    return thread;
  }
}

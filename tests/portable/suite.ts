/**
 * What the built package must do in every runtime. It imports nothing: a host hands in the package, the golden cases and
 * what that host is expected to be.
 *
 * @module
 */
import type * as Cache from '../../src/cache/index.ts';
import type { CaseResult } from '../../src/cli/replay.ts';
import type * as Wattn from '../../src/index.ts';
import type { CONTROL } from '../../src/runtime/control.ts';

/** The built package, as the host imported it. */
export interface Package {
  readonly wattn: Omit<typeof Wattn, 'createRuntime'> & {
    createRuntime(options?: Wattn.RuntimeOptions & { backend?: 'wasm' }): Promise<Wattn.WasmRuntime>;
  };
  readonly cache: Pick<typeof Cache, 'KVCache'>;
  readonly replay: (rt: Wattn.Runtime, bytes: Uint8Array) => Promise<CaseResult>;
  /** Words through which threads agree on work: the only outside proof that a worker took part. */
  readonly control: typeof CONTROL;
}

/** What a host is expected to be. */
export interface Expectation {
  readonly runtime: Wattn.Host['runtime'];
  readonly variants: readonly Wattn.Variant[];
  /** Words that the reason for the variant must contain. */
  readonly variantReason?: string;
  /** true, or words that the reason for one thread must contain. */
  readonly threads: true | string;
  /** Whether it shows only when workers are started that one thread is all there is. */
  readonly late?: boolean;
  /** Whether the calling thread may block; if not, synchronous calls spin. */
  readonly canBlock: boolean;
}

/** A golden case: its name and the bytes of its safetensors file. */
export interface GoldenCase {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** What a runtime turned out to be. */
export interface Seen {
  readonly build: string;
  readonly variant: 'simd' | 'relaxed' | 'wgsl';
  readonly variantReason: string;
  readonly threads: number;
  /** Why it has as many; on a GPU which one it is. */
  readonly threadsReason: string;
}

/** What the suite found. */
export interface Report {
  /** undefined where no runtime could be made. */
  readonly seen: Seen | undefined;
  readonly checks: readonly Check[];
}

/** How one check went. */
export interface Check {
  readonly name: string;
  /** Why it failed; empty if it passed. */
  readonly failure: string;
  /** What was seen. */
  readonly detail: string;
}

/** Runs every check that applies to the host; a check that fails does not stop the others. */
export async function runSuite(
  { wattn, cache, replay, control }: Package,
  cases: readonly GoldenCase[],
  expected: Expectation,
): Promise<Report> {
  const { attention, attentionSync, createRuntime } = wattn;
  const counts = expected.threads === true || expected.late ? [1, 2] : [1];
  const checks: Check[] = [];
  let seen: Seen | undefined;
  // not every engine has Symbol.dispose, which `using` needs even when compiled
  const held: { dispose(): void }[] = [];
  const hold = <T extends { dispose(): void }>(one: T): T => {
    held.push(one);
    return one;
  };
  const check = async (name: string, body: () => Promise<string>) => {
    try {
      checks.push({ name, failure: '', detail: await body() });
    } catch (error) {
      const { name: kind, message } = error as Error;
      checks.push({ name, failure: `${kind}: ${message}`, detail: '' });
    } finally {
      for (const one of held.splice(0).reverse()) one.dispose();
    }
  };

  await check('says what the host is', async () => {
    const rt = hold(await createRuntime());
    if (expected.late) await rt.ready();
    const { host, build, variant, variantReason, threads, threadsReason } = rt.info();
    seen = { build, variant, variantReason, threads, threadsReason };
    expectEqual('runtime', host.runtime, expected.runtime);
    expectEqual('simd', host.simd, true);
    expectEqual('canBlock', host.canBlock, expected.canBlock);
    expectEqual('variant', variant, expected.variants.at(-1));
    expectWords('variantReason', variantReason, expected.variantReason ?? '');
    if (expected.threads === true) {
      expectEqual('threads', threads, Math.min(8, host.processors));
    } else {
      expectEqual('threads', threads, 1);
      expectWords('threadsReason', threadsReason, expected.threads);
    }
    return `${variant}, ${threads} threads: ${threadsReason}`;
  });

  for (const variant of expected.variants) {
    for (const threads of counts) {
      await check(`replays ${cases.length} golden cases, ${variant}, ${threads} threads`, async () => {
        const rt = hold(await createRuntime({ variant, threads }));
        const failures: string[] = [];
        for (const { name, bytes } of cases) {
          const before = rt.memory().blocks;
          const { passed, reason } = await replay(rt, bytes);
          if (!passed) failures.push(`${name}: ${reason}`);
          const { blocks } = rt.memory();
          if (blocks === before) continue;
          // the kernels' scratch stays, and lists of blocks do: a second call takes nothing more
          await replay(rt, bytes);
          if (rt.memory().blocks > blocks) failures.push(`${name}: every call leaves memory in use`);
        }
        if (failures.length > 0) throw new Error(failures.join('\n'));
        return '';
      });
    }
  }

  const variant = expected.variants.at(-1);
  const long = [1, 1024, 4, 64];

  await check('a synchronous call gives the bits of an asynchronous one', async () => {
    const rt = hold(await createRuntime({ variant, threads: counts.at(-1) }));
    await rt.ready();
    const inputs = operands(rt, [1, 512, 4, 64]);
    const { o } = await attention(inputs, { causal: true });
    sameBits(attentionSync(inputs, { causal: true }).o, o);
    return '';
  });

  await check('the event loop turns during a long call', async () => {
    const rt = hold(await createRuntime({ variant, threads: 1 }));
    const inputs = operands(rt, [1, 2048, 4, 64]);
    let ticks = 0;
    const timer = setInterval(() => {
      ticks += 1;
    }, 1);
    const start = performance.now();
    await attention(inputs).finally(() => clearInterval(timer));
    const milliseconds = performance.now() - start;
    // the call yields every 12 ms or after an item of work, which a slow machine takes longer for
    const wanted = Math.max(2, Math.floor(milliseconds / 100));
    if (ticks < wanted) {
      throw new Error(`a timer ticked ${ticks} times in ${milliseconds.toFixed(0)} ms, expected at least ${wanted}`);
    }
    return `${ticks} ticks in ${milliseconds.toFixed(0)} ms`;
  });

  await check('a cache of keys and values gives what attention gives, and is restored from its bytes', async () => {
    const rt = hold(await createRuntime({ variant, threads: 1 }));
    const [T, heads, headDim] = [40, 4, 32];
    const { q, k, v } = operands(rt, [1, T + 1, heads, headDim]);
    const want = (await attention({ q, k, v }, { causal: true })).o.dataSync() as Float32Array;
    const kept = hold(new cache.KVCache(rt, { layers: 1, kvHeads: heads, headDim, capacity: 64 }));
    const rows = (x: Wattn.Tensor, from: number, to: number) => x.slice(1, from, to);
    const part = (from: number, to: number) => ({ q: rows(q, from, to), k: rows(k, from, to), v: rows(v, from, to) });
    const prompt = await kept.extend(0, part(0, T));
    const again = hold(cache.KVCache.restore(rt, kept.save()));
    const next = await kept.extend(0, part(T, T + 1));
    sameBits((await again.extend(0, part(T, T + 1))).o, next.o);
    expectClose([...prompt.o.dataSync(), ...next.o.dataSync()], want);
    return `${kept.bytes} bytes for ${kept.length} tokens`;
  });

  await check('errors are named and say what to do', async () => {
    const rt = hold(await createRuntime({ variant, threads: 1 }));
    const { q, k } = operands(rt, [1, 8, 4, 16]);
    const v = rt.zeros([1, 9, 4, 16]);
    await refused('ShapeError', wattn.ShapeError, () => attention({ q, k, v }));
    await refused('OptionError', wattn.OptionError, () => createRuntime({ threads: 0 }));
    v.dispose();
    return refused('DisposedError', wattn.DisposedError, () => attention({ q, k, v }));
  });

  if (!expected.variants.includes('relaxed')) {
    await check("asking for 'relaxed' is refused", () =>
      refused('UnsupportedError', wattn.UnsupportedError, () => createRuntime({ variant: 'relaxed' })),
    );
  }

  if (expected.threads !== true) {
    if (expected.late) return { seen, checks };
    await check('asking for 2 threads is refused', () =>
      refused('OptionError', wattn.OptionError, () => createRuntime({ threads: 2 })),
    );
    return { seen, checks };
  }

  await check('a worker takes part, and two threads give the bits of one', async () => {
    const one = hold(await createRuntime({ variant, threads: 1 }));
    const two = hold(await createRuntime({ variant, threads: 2 }));
    const want = await attention(operands(one, long), { causal: true });
    await allReady(two);
    const got = await attention(operands(two, long), { causal: true });
    expectEqual('info().threads', two.info().threads, 2);
    expectEqual('workers in the last dispatch', new Int32Array(two.buffer)[control.done], 1);
    sameBits(got.o, want.o);
    sameBits(got.lse, want.lse);
    return two.info().threadsReason;
  });

  await check('workers see memory that grew after they started', async () => {
    const one = hold(await createRuntime({ variant, threads: 1 }));
    const two = hold(await createRuntime({ variant, threads: 2 }));
    await allReady(two);
    const before = two.memory().reserved;
    two.zeros([2 ** 24]);
    const want = await attention(operands(one, long));
    const got = await attention(operands(two, long));
    expectEqual('workers in the last dispatch', new Int32Array(two.buffer)[control.done], 1);
    sameBits(got.o, want.o);
    return `${before} bytes, then ${two.memory().reserved}`;
  });

  await check('a synchronous first call does not wait for workers', async () => {
    const one = hold(await createRuntime({ variant, threads: 1 }));
    const two = hold(await createRuntime({ variant, threads: 2 }));
    const want = attentionSync(operands(one, long));
    const got = attentionSync(operands(two, long));
    sameBits(got.o, want.o);
    return `${new Int32Array(two.buffer)[control.done]} workers joined`;
  });

  return { seen, checks };
}

/** Waits longer than a loaded machine needs to start workers; returns at once when they run. */
async function allReady(rt: Wattn.Runtime): Promise<void> {
  for (let i = 0; i < 10; ++i) await rt.ready();
}

/** The same q, k and v for the same shape, in any runtime. */
function operands(rt: Wattn.Runtime, shape: number[]): { q: Wattn.Tensor; k: Wattn.Tensor; v: Wattn.Tensor } {
  const size = shape.reduce((product, n) => product * n, 1);
  let state = 1;
  const next = () => {
    const data = new Float32Array(size);
    for (let i = 0; i < size; ++i) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      data[i] = state / 2 ** 31 - 1;
    }
    return rt.tensor(data, shape);
  };
  return { q: next(), k: next(), v: next() };
}

function expectEqual<T>(what: string, got: T, want: T): void {
  if (got !== want) throw new Error(`${what} is ${got}, expected ${want}`);
}

function expectWords(what: string, got: string, want: string): void {
  if (!got.includes(want)) throw new Error(`${what} is '${got}', expected it to say '${want}'`);
}

function expectClose(got: readonly number[], want: Float32Array): void {
  expectEqual('size', got.length, want.length);
  const at = got.findIndex((x, i) => !(Math.abs(x - want[i]!) < 1e-5));
  if (at >= 0) throw new Error(`element ${at} is ${got[at]}, expected ${want[at]}`);
}

function sameBits(got: Wattn.Tensor, want: Wattn.Tensor): void {
  const bits = (tensor: Wattn.Tensor) => new Int32Array((tensor.dataSync() as Float32Array).buffer);
  const [a, b] = [bits(got), bits(want)];
  expectEqual('size', a.length, b.length);
  const at = a.findIndex((word, i) => word !== b[i]);
  if (at >= 0) throw new Error(`element ${at} is ${got.dataSync()[at]}, expected the bits of ${want.dataSync()[at]}`);
}

/** The message of the error that `body` must throw. */
async function refused(name: string, kind: new (message: string) => Error, body: () => Promise<unknown>) {
  try {
    await body();
  } catch (error) {
    if (!(error instanceof kind)) throw error;
    expectEqual('error.name', error.name, name);
    return error.message;
  }
  throw new Error(`nothing was thrown, expected ${name}`);
}

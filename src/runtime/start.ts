/**
 * From options to a runtime: which build, how many threads, and why.
 *
 * @module
 */
import { OptionError, UnsupportedError } from '../errors.ts';
import type { Gpu } from '../webgpu/device.ts';
import { Arena } from './arena.ts';
import type { Builds } from './builds.ts';
import { detectHost, type Host } from './features.ts';
import { Pool } from './pool.ts';
import type { Runtime } from './runtime.ts';
import { selfTest } from './self-test.ts';
import { type Build, type KernelFunction, type Variant, variantsToTry } from './variant.ts';
import { WasmRuntime } from './wasm-runtime.ts';

const DEFAULT_MEMORY = 4 * 2 ** 30;
const MOST_THREADS = 8;

/** Options of `createRuntime`. */
export interface StartOptions {
  /**
   * What computes: WebAssembly, the default; the GPU through WebGPU, where tensors lie on the GPU and are read with `await data()`;
   * or 'auto', which measures both and takes the faster.
   */
  readonly backend?: 'auto' | 'wasm' | 'webgpu';
  /** WebGPU to use in place of `navigator.gpu`, such as Dawn's in Node. */
  readonly gpu?: Gpu;
  /** Instruction set of the build; by default relaxed SIMD where the engine has it. */
  readonly variant?: Variant;
  /** Threads, the calling one counted; by default one per processor, at most 8. */
  readonly threads?: number | 'auto';
  /** Most bytes of memory, at most 4 GiB (the default). */
  readonly memory?: number;
}

const OPTIONS = ['backend', 'gpu', 'variant', 'threads', 'memory', 'modules'];

/** The options, checked and complete. @throws as `createRuntime`. */
function checked(options: StartOptions) {
  const unknown = Object.keys(options).find((name) => !OPTIONS.includes(name));
  if (unknown !== undefined) {
    throw new OptionError(`createRuntime has no option '${unknown}'; it has ${OPTIONS.join(', ')}`);
  }
  const { backend = 'wasm', gpu, variant, threads = 'auto', memory = DEFAULT_MEMORY } = options;
  if (backend !== 'auto' && backend !== 'wasm' && backend !== 'webgpu') {
    throw new OptionError(`backend is '${backend}', expected 'auto', 'wasm' or 'webgpu'`);
  }
  if (backend === 'wasm' && gpu) throw new OptionError("gpu is for the backends 'webgpu' and 'auto'");
  const idle = Object.entries({ variant, modules: (options as { modules?: object }).modules }).find(([, x]) => x);
  if (backend === 'webgpu' && (idle || threads !== 'auto')) {
    throw new OptionError(
      `${idle?.[0] ?? 'threads'} is for the backend 'wasm', which the backend 'webgpu' does not use`,
    );
  }
  if (variant !== undefined && variant !== 'simd' && variant !== 'relaxed') {
    throw new OptionError(`variant is '${variant}', expected 'simd' or 'relaxed'`);
  }
  if (!(memory >= 2 ** 20 && memory <= DEFAULT_MEMORY)) {
    throw new OptionError(`memory is ${memory}, expected bytes from 1 MiB to 4 GiB`);
  }
  return { backend, gpu, variant, threads, memory };
}

/**
 * Compiles the best of `builds` for this device, proves it on a small problem and returns a runtime; or a runtime on the GPU.
 *
 * @throws as `createRuntime`.
 */
export async function startRuntime(options: StartOptions, builds: Builds): Promise<Runtime> {
  const { backend, gpu, memory } = checked(options);
  if (backend === 'wasm') return startWasm(options, builds);
  // a chunk of its own: whoever stays on WebAssembly does not load the shaders
  const { startGpu, fasterOf } = await import('../webgpu/start-gpu.ts');
  if (backend === 'webgpu') return startGpu({ gpu, memory, reason: 'asked for' });
  return fasterOf(await startWasm(options, builds), { gpu, memory });
}

async function startWasm(options: StartOptions, builds: Builds): Promise<WasmRuntime> {
  const { variant, threads, memory } = checked(options);
  const host = detectHost();
  const choice = chooseThreads(host, threads);
  const tried: string[] = [];
  for (const candidate of variantsToTry(host, variant)) {
    let { count, reason: threadsReason } = choice;
    let build: Build = count > 1 ? `${candidate}-shared` : candidate;
    try {
      let module = await builds.compile(build);
      if (!module && count > 1) {
        const lack = `the modules given have no '${build}'`;
        if (threads !== 'auto') throw new OptionError(`${threads} threads were asked for, but ${lack}`);
        [count, threadsReason, build] = [1, lack, candidate];
        module = await builds.compile(build);
      }
      if (!module) throw new OptionError(`the modules given have no '${build}'`);
      const arena = new Arena(memory, count > 1);
      const instance = await WebAssembly.instantiate(module, { env: { memory: arena.memory } });
      const kernels = instance.exports as unknown as Record<string, KernelFunction>;
      const dots = selfTest(kernels, arena.memory, candidate);
      const pool = count > 1 ? new Pool(module, arena.memory, count - 1) : undefined;
      const found = candidate === 'relaxed' ? 'the engine has relaxed SIMD' : 'the engine has no relaxed SIMD';
      const variantReason = variant ? 'asked for' : tried.length > 0 ? tried.join('; ') : found;
      return new WasmRuntime({
        arena,
        kernels,
        pool,
        host,
        build,
        variantReason,
        threadsReason,
        variant: candidate,
        ...dots,
        threads: count,
      });
    } catch (error) {
      // an engine may have some of the relaxed instructions
      if (variant || candidate === 'simd')
        throw error instanceof WebAssembly.CompileError ? refused(build, error) : error;
      tried.push(`'${candidate}' failed: ${(error as Error).message}`);
    }
  }
  throw new OptionError('no variant to try');
}

/** What an engine means that does not compile a build. */
function refused(build: Build, { message }: Error): UnsupportedError {
  let hint = build.startsWith('relaxed') ? "Ask for 'simd', or leave the variant to wattn." : '';
  if (/content security policy|\bCSP\b/i.test(message)) {
    hint = "The page's Content-Security-Policy must allow script-src 'wasm-unsafe-eval'.";
  } else if (/disallowed by embedder/.test(message)) {
    hint = "This platform takes precompiled modules only: give { modules } to the createRuntime of 'wattn/external'.";
  }
  return new UnsupportedError(`the engine refuses the build '${build}': ${message.trim()}. ${hint}`);
}

/** Number of threads and why. @throws as `createRuntime`. */
function chooseThreads(host: Host, asked: number | 'auto'): { count: number; reason: string } {
  // headers would not help where there are no workers
  const obstacle = host.workers !== true ? host.workers : host.sharedMemory !== true ? host.sharedMemory : undefined;
  if (asked !== 'auto') {
    if (!Number.isInteger(asked) || asked < 1 || asked > 64) {
      throw new OptionError(`threads is ${asked}, expected 'auto' or a whole number from 1 to 64`);
    }
    if (asked > 1 && obstacle) {
      throw new OptionError(`${asked} threads were asked for, but ${obstacle}. Ask for 1, or leave threads to wattn.`);
    }
    return { count: asked, reason: 'asked for' };
  }
  if (obstacle) return { count: 1, reason: obstacle };
  const count = Math.min(host.processors, MOST_THREADS);
  return { count, reason: `${host.processors} processors, at most ${MOST_THREADS} are used unless more are asked for` };
}

/**
 * What the host JavaScript engine and page can do.
 *
 * @module
 */

/** The host environment, found by what is there rather than by name where possible. */
export interface Host {
  readonly runtime: 'node' | 'deno' | 'bun' | 'workerd' | 'browser' | 'unknown';
  /** Logical processors that the host admits to. */
  readonly processors: number;
  /** Whether memory can be shared with workers; if not, why. */
  readonly sharedMemory: true | string;
  /** Whether workers can be started; if not, why. */
  readonly workers: true | string;
  /** Whether the calling thread may block in Atomics.wait. */
  readonly canBlock: boolean;
  readonly simd: boolean;
  readonly relaxedSimd: boolean;
}

// (func (result v128) i32.const 0 i8x16.splat)
const SIMD_PROBE = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11,
];
// (func (result v128) three splats, f32x4.relaxed_madd)
const RELAXED_PROBE = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 19, 1, 17, 0, 65, 0, 253, 15, 65, 0, 253, 15, 65,
  0, 253, 15, 253, 133, 2, 11,
];

interface Globals {
  process?: {
    versions?: { node?: string };
    getBuiltinModule?: (name: string) => unknown;
  };
  Deno?: unknown;
  Bun?: unknown;
  navigator?: { hardwareConcurrency?: number; userAgent?: string };
  crossOriginIsolated?: boolean;
  Worker?: unknown;
  SharedArrayBuffer?: unknown;
  document?: unknown;
  window?: unknown;
  ServiceWorkerGlobalScope?: unknown;
}

const host = globalThis as unknown as Globals;

/** A Node built-in module, without a static import that bundlers would follow; undefined elsewhere. */
export function nodeModule<T>(name: string): T | undefined {
  return host.process?.getBuiltinModule?.(name) as T | undefined;
}

/** Deno and Bun set process.versions.node too, so they are asked for first. */
function runtimeName(): Host['runtime'] {
  if (host.Deno !== undefined) return 'deno';
  if (host.Bun !== undefined) return 'bun';
  if (host.navigator?.userAgent === 'Cloudflare-Workers') return 'workerd';
  if (host.process?.versions?.node !== undefined) return 'node';
  if (host.document !== undefined || host.crossOriginIsolated !== undefined) return 'browser';
  return 'unknown';
}

function processors(runtime: Host['runtime']): number {
  if (runtime === 'node') {
    const os = nodeModule<{ availableParallelism?: () => number }>('node:os');
    if (os?.availableParallelism) return os.availableParallelism();
  }
  return host.navigator?.hardwareConcurrency ?? 1;
}

/** Looks at the host; nothing is started. */
export function detectHost(): Host {
  const runtime = runtimeName();
  const onPage = runtime === 'browser';
  const inServiceWorker = onPage && host.ServiceWorkerGlobalScope !== undefined;
  let sharedMemory: true | string = true;
  // an unisolated page can still construct a shared memory, but not post it to a worker
  if (onPage && host.crossOriginIsolated !== true) {
    sharedMemory =
      'the page is not cross-origin isolated: serve it with Cross-Origin-Opener-Policy: same-origin and ' +
      'Cross-Origin-Embedder-Policy: require-corp';
  } else if (host.SharedArrayBuffer === undefined) {
    sharedMemory = 'SharedArrayBuffer is not available here';
  }
  let workers: true | string = true;
  if (runtime === 'workerd') workers = 'this platform has no workers';
  else if (inServiceWorker) workers = 'a service worker cannot start workers';
  else if (host.Worker === undefined && nodeModule('node:worker_threads') === undefined) {
    workers = 'neither Worker nor node:worker_threads is available here';
  }
  return {
    runtime,
    processors: Math.max(1, processors(runtime)),
    sharedMemory,
    workers,
    canBlock: !(onPage && (host.document !== undefined || inServiceWorker)),
    simd: WebAssembly.validate(new Uint8Array(SIMD_PROBE)),
    relaxedSimd: WebAssembly.validate(new Uint8Array(RELAXED_PROBE)),
  };
}

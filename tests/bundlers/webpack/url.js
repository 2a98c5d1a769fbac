import { KVCache } from 'wattn/cache';
import { attention, blockMask, createRuntime } from 'wattn/external';
import { report } from './report.js';

// a form that needs no rule in the configuration
const modules = {
  simd: () => fetch(new URL('wattn/simd.wasm', import.meta.url)),
  relaxed: () => fetch(new URL('wattn/relaxed.wasm', import.meta.url)),
};
globalThis.report = report({ attention, blockMask, createRuntime, KVCache }, { modules });

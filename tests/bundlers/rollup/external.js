import { KVCache } from 'wattn/cache';
import { attention, blockMask, createRuntime } from 'wattn/external';
import relaxed from 'wattn/relaxed.wasm';
import simd from 'wattn/simd.wasm';
import { report } from './report.js';

// only the build that this device takes is fetched
const modules = { simd: () => fetch(simd), relaxed: () => fetch(relaxed) };
globalThis.report = report({ attention, blockMask, createRuntime, KVCache }, { modules });

import { KVCache } from 'wattn/cache';
import { attention, blockMask, createRuntime } from 'wattn/external';
import simd from 'wattn/simd.wasm';
import { report } from './report.js';

// one build inside the script: half of what 'wattn' would hold
globalThis.report = report({ attention, blockMask, createRuntime, KVCache }, { modules: { simd } });

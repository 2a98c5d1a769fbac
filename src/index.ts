/**
 * Attention kernels for the edge: exact methods, one function each, on WebAssembly SIMD.
 *
 * @module wattn
 */
export * from './external.ts';
export { createRuntime, type RuntimeOptions } from './runtime/create.ts';

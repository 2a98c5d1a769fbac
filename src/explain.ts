/**
 * What a call would do, and every operation by name.
 *
 * @module
 */
export { explain } from './ops/explain.ts';
export { OPS } from './ops/registry.ts';
export type { Explanation } from './runtime/program.ts';

/**
 * What a call would do, and every operation by name.
 *
 * @module wattn/explain
 */
export { explain } from './ops/explain.ts';
export { OPS, type OpEntry, type PlannedOpEntry, type Tensors } from './ops/registry.ts';
export type { Explanation } from './runtime/program.ts';

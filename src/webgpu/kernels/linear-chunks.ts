/**
 * Chunks of the linear engine, and of log-linear attention.
 *
 * @module
 */
import type { PlanCall } from '../kernel.ts';

/** Positions of a chunk, rows and columns of a tile. */
export const CHUNK = 64;
export const TILE = 64;
/** Bits of `mode`. */
export const READ = 1;
export const WRITE = 2;
/** Bytes of scratch for what chunks are made of, of as many as are done at once. */
const MANY_BYTES = 2 ** 28;
const LESS_BYTES = 2 ** 26;
const ROOMY = 2 ** 30;

/** Chunks that are done at once, of `count` of which each takes so many bytes. */
export function chunksAtOnce({ facts }: Pick<PlanCall, 'facts'>, count: number, bytes: number): number {
  const most = facts.bindingBytes >= ROOMY ? MANY_BYTES : LESS_BYTES;
  return Math.max(1, Math.min(count, Math.floor(most / Math.max(1, bytes))));
}

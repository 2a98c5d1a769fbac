/**
 * Words below the arena through which the calling thread and the workers agree on work.
 *
 * Worker `id` sleeps on its own word GO + id: it acts exactly once for each change of it, so a worker that
 * starts or wakes late can never take part in a dispatch that did not count it.
 *
 * @module
 */

/** Indices of 32-bit words. */
export const CONTROL = {
  /** Next item that nobody has taken. */
  next: 16,
  items: 17,
  grain: 18,
  kernel: 19,
  scratch: 20,
  scratchStride: 21,
  /** Workers that finished the dispatch. */
  done: 22,
  /** Workers that run and wait for work. */
  ready: 23,
  /** 1 + id of the worker whose kernel trapped, 0 if none did. */
  trapped: 24,
  /** A worker ends when it finds another number here than it was started with. */
  generation: 25,
  go: 32,
} as const;

/** Most workers: their GO words end where the trap's message begins. */
export const MAX_WORKERS = 64;
/** Byte address and size of a trap's message: UTF-16 units after a length word. */
export const TRAP_TEXT = 512;
export const TRAP_TEXT_BYTES = 512;
/** Byte address of the params of the dispatch in flight. */
export const PARAMS = 1024;
export const PARAMS_BYTES = 512;
/** Byte address of params, and of 1024 bytes of scratch behind them, for questions that are asked while a dispatch is in flight. */
export const MEASURE = 1536;
export const MEASURE_ROOM = 2048;

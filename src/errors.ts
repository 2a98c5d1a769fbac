/**
 * The errors that wattn throws. Each message says what was given, what was expected and what to do.
 *
 * @module
 */

/** Base of every error that wattn throws on purpose. */
export class WattnError extends Error {
  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }
}

/** A tensor's shape does not fit the operation. */
export class ShapeError extends WattnError {}

/** A tensor's element type does not fit the operation. */
export class DTypeError extends WattnError {}

/** An option is unknown, not finite or out of range. */
export class OptionError extends WattnError {}

/** A tensor or runtime is used after it was disposed. */
export class DisposedError extends WattnError {}

/** Tensors of two runtimes meet in one call. */
export class RuntimeMismatchError extends WattnError {}

/** An allocation would pass the memory limit, or the engine refused to grow the memory. */
export class MemoryLimitError extends WattnError {}

/** A kernel trapped; the runtime stays usable, the call's outputs are not. */
export class KernelTrapError extends WattnError {}

/** A worker thread ended or stopped answering; the next call starts a new one. */
export class WorkerLostError extends WattnError {}

/** A synchronous call is made while an asynchronous one of the same runtime is in flight. */
export class BusyError extends WattnError {}

/** The device or runtime lacks what was asked for explicitly. */
export class UnsupportedError extends WattnError {}

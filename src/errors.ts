/**
 * The errors that wattn throws. Each message says what was given, what was expected and what to do.
 *
 * @module
 */

/** Base of every error that wattn throws on purpose. */
export class WattnError extends Error {
  // a literal: a bundler that minifies renames the class
  override name = 'WattnError';
}

/** A tensor's shape does not fit the operation. */
export class ShapeError extends WattnError {
  override name = 'ShapeError';
}

/** A tensor's element type does not fit the operation. */
export class DTypeError extends WattnError {
  override name = 'DTypeError';
}

/** An option is unknown, not finite or out of range. */
export class OptionError extends WattnError {
  override name = 'OptionError';
}

/** A tensor or runtime is used after it was disposed. */
export class DisposedError extends WattnError {
  override name = 'DisposedError';
}

/** Tensors of two runtimes meet in one call. */
export class RuntimeMismatchError extends WattnError {
  override name = 'RuntimeMismatchError';
}

/** An allocation would pass the memory limit, or the engine refused to grow the memory. */
export class MemoryLimitError extends WattnError {
  override name = 'MemoryLimitError';
}

/** A kernel trapped; the runtime stays usable, the call's outputs are not. */
export class KernelTrapError extends WattnError {
  override name = 'KernelTrapError';
}

/** A worker thread ended or stopped answering; the next call starts a new one. */
export class WorkerLostError extends WattnError {
  override name = 'WorkerLostError';
}

/** A synchronous call is made while an asynchronous one of the same runtime is in flight. */
export class BusyError extends WattnError {
  override name = 'BusyError';
}

/** The host asks for elements that lie on a GPU, without waiting for them. */
export class HostAccessError extends WattnError {
  override name = 'HostAccessError';
  /** @internal The tensor that was asked for. */
  readonly tensor: unknown;

  constructor(message: string, tensor?: unknown) {
    super(message);
    this.tensor = tensor;
  }
}

/** The GPU device was lost, and with it what lay on it. */
export class DeviceLostError extends WattnError {
  override name = 'DeviceLostError';
}

/** The GPU refused work that it was given. */
export class GpuError extends WattnError {
  override name = 'GpuError';
}

/** The device or runtime lacks what was asked for explicitly. */
export class UnsupportedError extends WattnError {
  override name = 'UnsupportedError';
}

/** A cache has no room for more tokens, and its policy lets none go. */
export class CacheFullError extends WattnError {
  override name = 'CacheFullError';
}

/** A model's file, or a plan for a model, is not what was expected. */
export class ModelError extends WattnError {
  override name = 'ModelError';
}

/** Bytes that a cache is to be restored from are not what a cache saved. */
export class CacheDataError extends WattnError {
  override name = 'CacheDataError';
}

/** A call does not fit what a cache holds: its layers have different numbers of tokens. */
export class CacheStateError extends WattnError {
  override name = 'CacheStateError';
}

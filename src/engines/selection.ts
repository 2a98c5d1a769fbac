/**
 * Selections: which key blocks rows of queries see, as bits that kernels of the same program made.
 *
 * @module
 */
import { DTypeError, OptionError, ShapeError } from '../errors.ts';
import type { Tensor } from '../tensor.ts';
import { type AttentionCall, keysOf } from './attention-call.ts';

/** Which keys the queries see. All tensors are contiguous but for their first axis, which may be 1 for all of the batch. */
export interface Selection {
  /**
   * i32 [B, L, R, W]: bit j (word j >> 5, bit j & 31) of row r shows the keys of bit j to the queries of row r. L lists
   * serve Hq heads: head h uses list floor(h * L / Hq). Unused bits are 0.
   */
  readonly bits: Tensor;
  /** Queries of a row: query i is of row floor(i / queryBlock); any whole number >= 1. */
  readonly queryBlock: number;
  /** Keys of a bit: key j is of bit floor(j / keyBlock); any whole number >= 1 (1: single tokens). */
  readonly keyBlock: number;
  /** i32 [B, L, Tq] in place of queryBlock: the row of each query; none has that of a label outside [0, R). */
  readonly queryLabels?: Tensor | undefined;
  /** i32 [B, L, Tk] in place of keyBlock: the bit of each key. Keys of one bit should lie together. */
  readonly keyLabels?: Tensor | undefined;
  /** Expected share of the visible pairs, if known: for explain and the choice of threads. */
  readonly density?: number | undefined;
}

/** Number of i32 words that hold `bits` bits. */
export function wordsOf(bits: number): number {
  return Math.ceil(bits / 32);
}

/** @throws ShapeError, DTypeError, OptionError if a selection does not fit the call. */
function check(call: AttentionCall, selection: Selection): void {
  const { bits, queryBlock, keyBlock, queryLabels, keyLabels } = selection;
  const [B, Tq, heads] = call.q.shape as [number, number, number];
  const Tk = keysOf(call);
  for (const [name, tensor] of Object.entries({ bits, queryLabels, keyLabels })) {
    if (!tensor) continue;
    if (tensor.dtype !== 'i32') throw new DTypeError(`selection: ${name} is ${tensor.dtype}, expected i32`);
    if (tensor.shape.length === 0 || (tensor.shape[0] !== B && tensor.shape[0] !== 1)) {
      throw new ShapeError(`selection: ${name} has shape [${tensor.shape}], expected a batch of ${B} or 1`);
    }
    if (tensor.shape[0]! > 0 && !tensor.slice(0, 0, 1).contiguous) {
      throw new ShapeError(`selection: the rows of ${name} must lie in order; its strides are [${tensor.strides}]`);
    }
  }
  const [, lists, rows, words] = bits.shape as [number, number, number, number];
  if (bits.shape.length !== 4 || lists < 1 || lists > heads || heads % lists !== 0) {
    throw new ShapeError(`selection: bits has shape [${bits.shape}], expected [B, L, R, W], L a divisor of ${heads}`);
  }
  for (const [name, size] of Object.entries({ queryBlock, keyBlock })) {
    if (!Number.isInteger(size) || size < 1) {
      throw new OptionError(`selection: ${name} is ${size}, expected a whole number >= 1`);
    }
  }
  for (const [name, tensor, T] of [
    ['queryLabels', queryLabels, Tq],
    ['keyLabels', keyLabels, Tk],
  ] as const) {
    if (tensor && (tensor.shape.length !== 3 || tensor.shape[1] !== lists || tensor.shape[2] !== T)) {
      throw new ShapeError(`selection: ${name} has shape [${tensor.shape}], expected [${B}, ${lists}, ${T}]`);
    }
  }
  if (!queryLabels && rows < Math.ceil(Tq / queryBlock)) {
    throw new ShapeError(`selection: ${rows} rows of bits are too few for ${Tq} queries, ${queryBlock} a row`);
  }
  if (!keyLabels && words < wordsOf(Math.ceil(Tk / keyBlock))) {
    throw new ShapeError(`selection: ${words} words a row are too few for ${Tk} keys, ${keyBlock} a bit`);
  }
}

/** Elements between the entries of a batch, 0 where one serves all. */
function batchStride(tensor: Tensor | undefined): number {
  return tensor && tensor.shape[0]! > 1 ? tensor.strides[0]! : 0;
}

/**
 * Params that say which keys a selection shows.
 *
 * @throws ShapeError, DTypeError, OptionError if it does not fit the call.
 */
export function selectionParams(call: AttentionCall, selection: Selection) {
  check(call, selection);
  const { bits, queryBlock, keyBlock, queryLabels, keyLabels } = selection;
  return {
    selected: bits.address,
    selectedStrideB: batchStride(bits),
    selectedLists: bits.shape[1]!,
    selectedRows: bits.shape[2]!,
    selectedWords: bits.shape[3]!,
    queryBlock,
    keyBlock,
    queryLabels: queryLabels?.address ?? 0,
    queryLabelsStrideB: batchStride(queryLabels),
    queryLabelsStrideL: queryLabels?.shape[2] ?? 0,
    keyLabels: keyLabels?.address ?? 0,
    keyLabelsStrideB: batchStride(keyLabels),
    keyLabelsStrideL: keyLabels?.shape[2] ?? 0,
  };
}

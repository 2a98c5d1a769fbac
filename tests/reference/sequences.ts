import { at, type NdArray } from './ndarray.ts';

/** Rows [begin, end) of batch `batch`: one sequence for each of the batch, or those that cuSeqlens packs along T. */
export interface Span {
  batch: number;
  begin: number;
  end: number;
}

/** The sequences of a tensor [B, T, ...]. */
export function spansOf(x: NdArray, cuSeqlens?: NdArray): Span[] {
  const [batches = 0, t = 0] = x.shape;
  if (!cuSeqlens) return Array.from({ length: batches }, (_, batch) => ({ batch, begin: 0, end: t }));
  return Array.from({ length: cuSeqlens.shape[0]! - 1 }, (_, n) => ({
    batch: 0,
    begin: at(cuSeqlens, n),
    end: at(cuSeqlens, n + 1),
  }));
}

/**
 * Sets of bits: joined, counted and listed.
 *
 * @module
 */
import { BitsParams } from '../../generated/params.ts';
import { encode, type Values } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import type { Tensor } from '../../tensor.ts';

/** The order is that of assembly/select/bits.ts. */
const OPERATIONS = ['and', 'or', 'andNot'] as const;

export type BitOperation = (typeof OPERATIONS)[number];

/** Words of one turn at the work counter. */
const SPAN = 2048;

function fields(bits: Tensor): Values<typeof BitsParams> {
  const [, lists, rows, words] = bits.shape as [number, number, number, number];
  const [aStrideB, aStrideH, aStrideR] = bits.strides as [number, number, number, number];
  return { a: bits.address, aStrideB, aStrideH, aStrideR, lists, rows, words };
}

function rowsOf({ shape }: Tensor): { readonly items: number; readonly grain: number } {
  const [batch, lists, rows, words] = shape as [number, number, number, number];
  return { items: batch * lists * rows, grain: Math.max(1, Math.ceil(SPAN / Math.max(1, words))) };
}

/** Adds x and y, x or y, or x and not y, of bits i32 [B, L, R, W]; axes of y of length 1 repeat. */
export function combineBits(b: Builder, x: Tensor, y: Tensor, operation: BitOperation): Tensor {
  const o = b.temporary(x.shape, 'i32');
  const [bStrideB, bStrideH, bStrideR] = y.broadcast(x.shape).strides as [number, number, number, number];
  b.dispatch({
    kernel: 'combineBits',
    params: encode(BitsParams, fields(x), {
      b: y.address,
      bStrideB,
      bStrideH,
      bStrideR,
      operation: OPERATIONS.indexOf(operation),
      o: o.address,
    }),
    ...rowsOf(x),
    flops: x.size,
  });
  return o;
}

/** Adds i32 [B, L, R]: how many bits of each row are set. */
export function countBits(b: Builder, bits: Tensor): Tensor {
  const counts = b.temporary(bits.shape.slice(0, 3), 'i32');
  b.dispatch({
    kernel: 'countBits',
    params: encode(BitsParams, fields(bits), { counts: counts.address }),
    ...rowsOf(bits),
    flops: bits.size,
  });
  return counts;
}

/** What rows chose, as lists. */
export interface IndexLists {
  /** i32 [B, L, R, capacity]: in ascending order, -1 behind the last. */
  readonly indices: Tensor;
  /** i32 [B, L, R]: how many each row has. */
  readonly counts: Tensor;
}

/** Adds the numbers of the bits i32 [B, L, R, W] that are set: the first `capacity` of each row. */
export function selectIndices(b: Builder, bits: Tensor, capacity: number): IndexLists {
  const rows = bits.shape.slice(0, 3);
  const indices = b.temporary([...rows, capacity], 'i32');
  const counts = b.temporary(rows, 'i32');
  b.dispatch({
    kernel: 'bitIndices',
    params: encode(BitsParams, fields(bits), { o: indices.address, capacity, counts: counts.address }),
    ...rowsOf(bits),
    flops: bits.size + indices.size,
  });
  return { indices, counts };
}

/**
 * Host side of what puts keys and values into the pages of a cache.
 *
 * @module
 */
import { StorePagesParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import { storageOf, type Tensor } from '../tensor.ts';

/** Rows of one head each: pages apart by the first stride, rows without gaps. */
export interface PagedStorage {
  /** f32, f16, bf16 or i8 [pages, pageSize, 1, D] */
  readonly k: Tensor;
  readonly v: Tensor;
  /** f32 [pages, pageSize, 1], for i8. */
  readonly kScale?: Tensor | undefined;
  readonly vScale?: Tensor | undefined;
}

/** Adds that k, less `shift` f32 [H, D], and v f32 [1, T, H, D] go to the slots from `first` on of table i32 [H, width]. */
export function storePages(
  b: Builder,
  rows: { readonly k: Tensor; readonly v: Tensor },
  storage: PagedStorage,
  table: Tensor,
  first: number,
  shift?: Tensor,
): void {
  const { k, v } = rows;
  const [, T, heads, d] = k.shape as [number, number, number, number];
  b.dispatch({
    kernel: 'storePages',
    params: encode(StorePagesParams, {
      k: k.address,
      kStrideT: k.strides[1]!,
      kStrideH: k.strides[2]!,
      v: v.address,
      vStrideT: v.strides[1]!,
      vStrideH: v.strides[2]!,
      heads,
      d,
      type: storageOf(storage.k),
      kRows: storage.k.address,
      vRows: storage.v.address,
      rowStride: storage.k.strides[0]!,
      kScale: storage.kScale?.address ?? 0,
      vScale: storage.vScale?.address ?? 0,
      scaleStride: storage.kScale?.strides[0] ?? 0,
      table: table.address,
      tableStrideH: table.strides[0]!,
      pageSize: storage.k.shape[1]!,
      first,
      shift: shift?.address ?? 0,
    }),
    scratchBytes: shift ? 4 * d + 16 : 0,
    items: T,
    grain: Math.max(1, Math.ceil(4096 / Math.max(1, heads * d))),
    flops: 4 * k.size,
  });
}

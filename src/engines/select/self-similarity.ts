/**
 * How alike the rows of blocks of tokens are, and what follows for a choice of blocks.
 *
 * @module
 */
import { DissimilarParams, SelfSimilarityParams } from '../../generated/params.ts';
import { encode, encodePlaces } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import { storageOf, type Tensor } from '../../tensor.ts';
import { mapFields, type Visible } from './map.ts';

/** Elements of one turn at the work counter. */
const SPAN = 8192;

/** Adds f32 [B, blocks, H]: the mean cosine between the rows of each block of x [B, T, H, D], less a mean [B, 1, H, D]. */
export function selfSimilarity(b: Builder, x: Tensor, block: number, mean?: Tensor): Tensor {
  const [batch, length, heads, d] = x.shape as [number, number, number, number];
  const blocks = Math.ceil(length / block);
  const o = b.temporary([batch, blocks, heads]);
  const params = encode(SelfSimilarityParams, {
    xType: storageOf(x),
    mean: mean?.address ?? 0,
    o: o.address,
    length,
    heads,
    d,
    block,
  });
  encodePlaces(SelfSimilarityParams, params, { x });
  b.dispatch({
    kernel: 'selfSimilarity',
    params,
    items: batch * blocks,
    grain: Math.max(1, Math.ceil(SPAN / Math.max(1, heads * d * block))),
    scratchBytes: 2 * (d + 4) * 4,
    flops: 4 * x.size,
  });
  return o;
}

/** What makes blocks dissimilar. */
export interface Similarity {
  /** f32 [B, R, Hq] and [B, C, Hkv], of selfSimilarity. */
  readonly q: Tensor;
  readonly k: Tensor;
  /** One number a query head: blocks at or below it are not alike. */
  readonly theta: readonly number[];
  readonly visible?: Visible | undefined;
}

function fields(b: Builder, { q, k, theta }: Similarity) {
  const bits = new Int32Array(Float32Array.from(theta).buffer);
  return { alikeQ: q.address, alikeK: k.address, theta: b.table(bits), group: theta.length / k.shape[2]! };
}

/** Adds: scores of map [B, Hq, R, C] become -Infinity in columns whose block is not alike. */
export function hideDissimilar(b: Builder, map: Tensor, similarity: Similarity): void {
  const [batch, lists, rows, columns] = map.shape as [number, number, number, number];
  b.dispatch({
    kernel: 'hideDissimilar',
    params: encode(DissimilarParams, mapFields(map, similarity.visible), fields(b, similarity)),
    items: batch * lists * rows,
    grain: Math.max(1, Math.ceil(SPAN / Math.max(1, columns))),
    flops: map.size,
  });
}

/** Adds: bits of map [B, Hq, R, C] are set in columns and rows whose block is not alike, and with `sink` in column 0. */
export function showDissimilar(b: Builder, map: Tensor, bits: Tensor, similarity: Similarity, sink: boolean): void {
  const [batch, lists, rows, columns] = map.shape as [number, number, number, number];
  b.dispatch({
    kernel: 'showDissimilar',
    params: encode(DissimilarParams, mapFields(map, similarity.visible), fields(b, similarity), {
      bits: bits.address,
      words: bits.shape[3]!,
      sink: sink ? 1 : 0,
    }),
    items: batch * lists * rows,
    grain: Math.max(1, Math.ceil(SPAN / Math.max(1, columns))),
    flops: map.size,
  });
}

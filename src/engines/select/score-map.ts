/**
 * Scores of rows of queries and rows of keys as a map.
 *
 * @module
 */
import { ScoreMapParams, ScorePackParams } from '../../generated/params.ts';
import { encode, encodePlaces } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import { storageOf, type Tensor } from '../../tensor.ts';
import { mapFields, type Visible, visibleCells } from './map.ts';
import { scoreFew, suitsFew } from './score-few.ts';

/** Rows of an item: whole groups of both builds' tiles. An indexer has those of all heads at hand. */
const BLOCK_ROWS = 96;
const SMALL_BLOCK_ROWS = 24;
/** With fewer items than this, smaller blocks keep all threads busy. */
const FEW_ITEMS = 32;

/** What is scored. Float storage of any kind and any strides, last axes contiguous. */
export interface ScoreCall {
  /** [B, N, Hq, D] */
  readonly q: Tensor;
  /** [B, M, Hkv, D]; Hkv divides Hq. */
  readonly k: Tensor;
  readonly scale: number;
  /** Scores beyond it may be left unmade. */
  readonly visible?: Visible | undefined;
  /** f32 [B, N, Hq]: with it one map, sum over heads of weight * max(0, score), instead of one for every head. */
  readonly weights?: Tensor | undefined;
  /** f32 [B, Hq]: heads whose share is 0 are left unmade. */
  readonly shares?: Tensor | undefined;
}

/** Adds k [B, M, Hkv, D] as panels f32 [B, Hkv, ceil(M / 8), D, 8]. */
export function packKeys(b: Builder, k: Tensor): Tensor {
  const [batch, columns, kvHeads, d] = k.shape as [number, number, number, number];
  const panels = Math.ceil(columns / 8);
  const kPack = b.temporary([batch, kvHeads, panels, d, 8]);
  const params = encode(ScorePackParams, { kType: storageOf(k), kPack: kPack.address, kvHeads, columns, d });
  encodePlaces(ScorePackParams, params, { k });
  b.dispatch({
    kernel: 'scorePack',
    params,
    items: batch * kvHeads * panels,
    grain: 8,
    scratchBytes: 8 * d * 4,
    flops: k.size,
  });
  return kPack;
}

/** Adds map [B, Hq, N, M] = scale q k, or with weights [B, 1, N, M]. */
export function scoreMap(b: Builder, call: ScoreCall): Tensor {
  const { q, k, weights } = call;
  const [batch, rows, heads] = q.shape as [number, number, number, number];
  const map = b.temporary([batch, weights ? 1 : heads, rows, k.shape[1]!]);
  if (map.size > 0 && suitsFew(call)) scoreFew(b, call, map);
  else if (map.size > 0) scoreRows(b, call, packKeys(b, k), map);
  return map;
}

/** Adds a map of queries and packed keys; both must have elements. */
export function scoreRows(
  b: Builder,
  { q, k, scale, visible, weights, shares }: ScoreCall,
  kPack: Tensor,
  map: Tensor,
): void {
  const [batch, rows, heads, d] = q.shape as [number, number, number, number];
  const lists = map.shape[1]!;
  const many = !weights && batch * lists * Math.ceil(rows / BLOCK_ROWS) >= FEW_ITEMS;
  const blockRows = many ? BLOCK_ROWS : SMALL_BLOCK_ROWS;
  const params = encode(ScoreMapParams, mapFields(map, visible), {
    qType: storageOf(q),
    kPack: kPack.address,
    heads,
    group: heads / k.shape[2]!,
    d,
    scale,
    blockRows,
    shares: shares?.address ?? 0,
    sharesStrideB: shares?.strides[0] ?? 0,
  });
  encodePlaces(ScoreMapParams, params, { q, weights });
  b.dispatch({
    kernel: weights ? 'indexMap' : 'scoreMap',
    params,
    items: batch * lists * Math.ceil(rows / blockRows),
    scratchBytes: b.runtime.scratchBytes(weights ? 'indexMapScratchBytes' : 'scoreMapScratchBytes', params),
    flops: 2 * batch * heads * d * visibleCells(visible, rows, k.shape[1]!),
  });
}

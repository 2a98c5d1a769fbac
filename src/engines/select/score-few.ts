/**
 * Scores of few queries: keys are not packed for them.
 *
 * @module
 */
import { ScoreFewParams } from '../../generated/params.ts';
import { encode, encodePlaces } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import { storageOf, type Tensor } from '../../tensor.ts';
import { mapFields, visibleCells } from './map.ts';
import type { ScoreCall } from './score-map.ts';

/** Most queries, and most query rows of a key head, for which reading keys where they are is faster. */
const MOST_QUERIES = 16;
const MOST_ROWS = 64;
/** Columns of an item. */
const BLOCK_COLUMNS = 256;

/** Whether a call has few queries. */
export function suitsFew({ q, k, weights }: ScoreCall): boolean {
  const [, rows, heads] = q.shape as [number, number, number];
  return !weights && rows <= MOST_QUERIES && (rows * heads) / k.shape[2]! <= MOST_ROWS;
}

/** Adds map [B, Hq, N, M] = scale q k for few queries; there must be elements. */
export function scoreFew(b: Builder, { q, k, scale, visible }: ScoreCall, map: Tensor): void {
  const [batch, rows, heads, d] = q.shape as [number, number, number, number];
  const [columns, kvHeads] = [k.shape[1]!, k.shape[2]!];
  const params = encode(ScoreFewParams, mapFields(map, visible), {
    qType: storageOf(q),
    kType: storageOf(k),
    heads,
    group: heads / kvHeads,
    d,
    scale,
    blockColumns: BLOCK_COLUMNS,
  });
  encodePlaces(ScoreFewParams, params, { q, k });
  b.dispatch({
    kernel: 'scoreFew',
    params,
    items: batch * kvHeads * Math.ceil(columns / BLOCK_COLUMNS),
    scratchBytes: b.runtime.scratchBytes('scoreFewScratchBytes', params),
    flops: 2 * batch * heads * d * visibleCells(visible, rows, columns),
  });
}

/**
 * Host side of PaTH attention: causal softmax attention whose scores pass through products of I - beta w w^T.
 *
 * @module
 */
import { FlashPackParams, PathBlocksParams, PathParams } from '../generated/params.ts';
import { encode, encodePlaces } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import { storageOf, type Tensor } from '../tensor.ts';
import { type AttentionCall, attentionParams, cacheParams, visiblePairs } from './attention-call.ts';
import { BLOCK_K } from './block-list.ts';
import { sequenceTable } from './sequences.ts';

/** Operands are checked by the op. */
export interface PathCall extends AttentionCall {
  /** As k. */
  readonly w: Tensor;
  /** f32 [B, T, Hkv] */
  readonly beta: Tensor;
}

/**
 * Blocks of a span. Queries are carried over the blocks of their own span one by one and over every earlier span at
 * once, so the carries of a sequence of n blocks are fewest near the square root of n.
 */
function spanBlocksOf(longest: number): number {
  return longest <= 64 ? 4 : 2 ** Math.round(Math.log2(longest) / 2);
}

/** Adds the dispatches of a causal call. */
export function pathAttend(b: Builder, call: PathCall): void {
  const { q, k, v, w, beta } = call;
  const [heads, kvHeads] = [q.shape[2]!, k.shape[2]!];
  const [dk, dv] = [q.shape[3]!, v.shape[3]!];
  const blocksOf = ({ kLength }: { kLength: number }) => Math.ceil(kLength / BLOCK_K);
  const spanBlocks = spanBlocksOf(Math.max(0, ...call.sequences.map(blocksOf)));
  const spansOf = (blocks: number) => Math.ceil(blocks / spanBlocks);
  const packing = sequenceTable(call.sequences, (s) => spansOf(blocksOf(s)) * kvHeads, BLOCK_K);
  const table = sequenceTable(call.sequences, (s) => blocksOf(s) * heads, BLOCK_K);
  const { blocks } = table;
  // a sequence's first span is numbered by its first block and how many sequences went before
  const spans = Math.floor(blocks / spanBlocks) + call.sequences.length;
  const [stripsK, stripsV] = [Math.ceil(dk / 8), Math.ceil(dv / 8)];
  const vPack = b.temporary([kvHeads, blocks, BLOCK_K, stripsV * 8]);
  const qCarried = b.temporary([heads, blocks, BLOCK_K, dk]);
  const local = b.temporary([heads, blocks, BLOCK_K, BLOCK_K]);
  const kBlock = b.temporary([kvHeads, blocks, BLOCK_K, dk]);
  const kSpan = b.temporary([kvHeads, blocks, BLOCK_K, dk]);
  const carryBlock = b.temporary([kvHeads, blocks, stripsK * 8, dk]);
  const carrySpan = b.temporary([kvHeads, spans, stripsK * 8, dk]);
  const sequences = b.table(table.words);
  const sequenceCount = call.sequences.length;
  b.dispatch({
    kernel: 'flashPack',
    params: encode(FlashPackParams, cacheParams(call), {
      vPack: vPack.address,
      sequences,
      sequenceCount,
      kvHeads,
      dk,
      dv,
      blocks,
    }),
    items: blocks * kvHeads,
    grain: 4,
    scratchBytes: BLOCK_K * (1 + Math.max(dk, dv)) * 4,
    flops: blocks * kvHeads * BLOCK_K * dv,
  });
  const prepared = {
    spanBlocks,
    spans,
    qCarried: qCarried.address,
    local: local.address,
    kBlock: kBlock.address,
    carryBlock: carryBlock.address,
    carrySpan: carrySpan.address,
  };
  const blocksParams = encode(PathBlocksParams, prepared, {
    qType: storageOf(q),
    kType: storageOf(k),
    wType: storageOf(w),
    sequences: b.table(packing.words),
    sequenceCount,
    kvHeads,
    group: heads / kvHeads,
    dk,
    blocks,
    scale: call.scale,
    kSpan: kSpan.address,
  });
  encodePlaces(PathBlocksParams, blocksParams, { q, k, w, beta });
  b.dispatch({
    kernel: 'pathBlocks',
    params: blocksParams,
    items: packing.items,
    scratchBytes: b.runtime.scratchBytes('pathBlocksScratchBytes', blocksParams),
    flops: blocks * BLOCK_K * (kvHeads * (10 * dk * BLOCK_K + 6 * dk * dk) + heads * 8 * dk * BLOCK_K),
  });
  const params = encode(PathParams, attentionParams(call, sequences), prepared, {
    kPack: kSpan.address,
    vPack: vPack.address,
    blocks,
    blockQ: BLOCK_K,
  });
  let carries = 0;
  for (const span of call.sequences) {
    for (let own = 0; own < blocksOf(span); ++own) carries += (own % spanBlocks) + Math.floor(own / spanBlocks);
  }
  b.dispatch({
    kernel: 'path',
    params,
    items: table.items,
    scratchBytes: b.runtime.scratchBytes('pathScratchBytes', params),
    flops: (visiblePairs(call) * 2 * (dk + dv) + carries * BLOCK_K * 2 * dk * dk) * heads,
  });
  b.note(
    () =>
      `PaTH engine: ${blocks} blocks of ${BLOCK_K} tokens a head in spans of ${spanBlocks}; a block of queries is carried ` +
      `${(carries / Math.max(1, blocks)).toFixed(1)} times on average`,
  );
}

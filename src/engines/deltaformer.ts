/**
 * Host side of DeltaFormer: attention over values that the delta rule has changed.
 *
 * @module
 */
import { DeltaformerParams, FlashPackParams } from '../generated/params.ts';
import { encode, encodePlaces } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type AttentionCall, attentionParams, cacheParams, visiblePairs } from './attention-call.ts';
import { BLOCK_K } from './block-list.ts';
import { sequenceTable } from './sequences.ts';

/** Adds the dispatches of a causal call; beta is f32 [B, T, Hq]. */
export function deltaformerAttend(b: Builder, call: AttentionCall & { readonly beta: Tensor }): void {
  const { q, k, v } = call;
  const [heads, kvHeads] = [q.shape[2]!, k.shape[2]!];
  const [dk, dv] = [q.shape[3]!, v.shape[3]!];
  // aligned one key back, a row does not see its own
  const strict = call.sequences.map((span) => ({ ...span, offset: -1 }));
  const table = sequenceTable(strict, () => heads, BLOCK_K);
  const sequences = b.table(table.words);
  const sequenceCount = strict.length;
  const { blocks } = table;
  const kPack = b.temporary([kvHeads, blocks, BLOCK_K, dk]);
  const kNorms = b.temporary([kvHeads, blocks]);
  const u = b.temporary([heads, blocks, BLOCK_K, Math.ceil(dv / 8) * 8]);
  b.dispatch({
    kernel: 'flashPack',
    params: encode(FlashPackParams, cacheParams(call), {
      kPack: kPack.address,
      kNorms: kNorms.address,
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
    flops: blocks * kvHeads * BLOCK_K * dk,
  });
  const params = encode(DeltaformerParams, attentionParams(call, sequences), cacheParams(call), {
    kPack: kPack.address,
    kNorms: kNorms.address,
    vPack: u.address,
    blocks,
    blockQ: BLOCK_K,
  });
  encodePlaces(DeltaformerParams, params, { beta: call.beta });
  b.dispatch({
    kernel: 'deltaformer',
    params,
    items: table.items,
    scratchBytes: b.runtime.scratchBytes('deltaformerScratchBytes', params),
    flops: (visiblePairs(call) * 2 * (dk + dv) + blocks * BLOCK_K * BLOCK_K * dv) * heads,
  });
  b.note(() => `DeltaFormer engine: ${table.items} items, each a head's ${BLOCK_K}-row blocks one after another`);
}

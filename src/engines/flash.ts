/**
 * Host side of the flash engine: tiled online-softmax attention for many queries.
 *
 * @module
 */
import { OptionError } from '../errors.ts';
import { FlashPackParams, FlashParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type AttentionCall, attentionParams, cacheParams, visiblePairs } from './attention-call.ts';
import { sequenceTable } from './sequences.ts';

/** Keys of one block. */
export const BLOCK_K = 64;
/** Query rows of an item: a multiple of both builds' tile rows, long enough to amortise the block's loads. */
const BLOCK_Q = 96;
const SMALL_BLOCK_Q = 24;
/** With fewer items than this, smaller blocks keep all threads busy. */
const FEW_ITEMS = 32;

/** Which key blocks each query block attends to. Blocks that are not listed cost nothing. */
export interface BlockList {
  /** Query rows of a block. */
  readonly blockQ: number;
  /**
   * Per work item (sequence, head, query block from last to first) the first of its entries; one more number closes it.
   */
  readonly rows: Int32Array;
  /** Key block * 2, plus 1 where every key of the block is visible to every row. */
  readonly entries: Int32Array;
  /** Two words per entry and row of the block: bit j of the pair shows key j. Unused for full entries. */
  readonly bits: Int32Array;
}

/** What only flash can do. */
export interface FlashExtras {
  readonly blocks?: BlockList;
  /** f32, as q: the second query of parallax attention. */
  readonly r?: Tensor;
}

/** Adds the dispatches of a flash call. */
export function flashAttend(b: Builder, call: AttentionCall, extras: FlashExtras = {}): void {
  const { q, k, v } = call;
  const [heads, kvHeads] = [q.shape[2]!, k.shape[2]!];
  const [dk, dv] = [q.shape[3]!, v.shape[3]!];
  const list = extras.blocks;
  const longest = Math.max(0, ...call.sequences.map((s) => s.qLength));
  const items = (rows: number) => call.sequences.reduce((n, s) => n + Math.ceil(s.qLength / rows) * heads, 0);
  const blockQ = list?.blockQ ?? (longest <= SMALL_BLOCK_Q || items(BLOCK_Q) < FEW_ITEMS ? SMALL_BLOCK_Q : BLOCK_Q);
  const table = sequenceTable(call.sequences, (s) => Math.ceil(s.qLength / blockQ) * heads, BLOCK_K);
  if (list && list.rows.length !== table.items + 1) {
    throw new OptionError(`block list: ${list.rows.length - 1} rows of entries for ${table.items} query blocks`);
  }
  const sequences = b.table(table.words);
  const stripsV = Math.ceil(dv / 8);
  const kPack = b.temporary([kvHeads, table.blocks, BLOCK_K, dk]);
  const kNorms = b.temporary([kvHeads, table.blocks]);
  const vPack = b.temporary([kvHeads, table.blocks, BLOCK_K, stripsV * 8]);
  b.dispatch({
    kernel: 'flashPack',
    params: encode(FlashPackParams, cacheParams(call), {
      kPack: kPack.address,
      vPack: vPack.address,
      kNorms: kNorms.address,
      sequences,
      sequenceCount: call.sequences.length,
      kvHeads,
      dk,
      dv,
      blocks: table.blocks,
    }),
    items: table.blocks * kvHeads,
    grain: 4,
    scratchBytes: BLOCK_K * (1 + Math.max(dk, dv)) * 4,
    flops: table.blocks * kvHeads * BLOCK_K * (dk + dv),
  });
  const params = encode(FlashParams, attentionParams(call, sequences), {
    kPack: kPack.address,
    vPack: vPack.address,
    kNorms: kNorms.address,
    blocks: table.blocks,
    blockQ,
    listRows: list ? b.table(list.rows) : 0,
    listEntries: list ? b.table(list.entries) : 0,
    listBits: list ? b.table(list.bits) : 0,
    r: extras.r?.address ?? 0,
  });
  const pairs = list ? list.entries.length * blockQ * BLOCK_K : visiblePairs(call) * heads;
  b.dispatch({
    kernel: 'flash',
    params,
    items: table.items,
    scratchBytes: b.runtime.scratchBytes('flashScratchBytes', params),
    flops: pairs * 2 * (dk + dv) * (extras.r ? 2 : 1),
  });
  b.note(() => {
    const all = call.sequences.reduce((n, s) => n + s.qLength * s.kLength, 0) * heads;
    const share = all === 0 ? 0 : ((100 * pairs) / all).toFixed(1);
    return (
      `flash engine: ${table.items} query blocks of ${blockQ} rows, ${table.blocks} key blocks of ${BLOCK_K}; ` +
      `${share} % of the query-key pairs are computed`
    );
  });
}

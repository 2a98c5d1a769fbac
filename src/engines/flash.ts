/**
 * Host side of the flash engine: tiled online-softmax attention for many queries.
 *
 * @module
 */
import { DTypeError, OptionError, ShapeError, UnsupportedError } from '../errors.ts';
import { FlashPackParams, FlashParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type AttentionCall, attentionParams, cacheParams, keysOf, visiblePairs } from './attention-call.ts';
import { BLOCK_K, type BlockList, countList, listParams, queryBlocks } from './block-list.ts';
import { packQuantised, quantisedRows } from './flash-quantised.ts';
import { type Selection, selectionParams } from './selection.ts';
import { sequenceTable } from './sequences.ts';

/** Query rows of an item: a multiple of both builds' tile rows, long enough to amortise the block's loads. */
const BLOCK_Q = 96;
const SMALL_BLOCK_Q = 24;
/** Those of a workgroup. */
const GPU_BLOCK_Q = 64;
/**
 * Where rows see different key blocks: of few rows in many a block, enough are alive to fill tiles and to repay its loads.
 * Queries, sums and bits of as many rows as stay in the second-level cache.
 */
const SELECTED_BLOCK_Q = [384, 192, 96];
const SELECTED_WORDS = 2 ** 16;
/** From as many queries of a row of bits on, rows fill tiles in smaller blocks too. */
const ALIKE_ROWS = 32;
/** With fewer items than this, smaller blocks keep all threads busy. */
const FEW_ITEMS = 32;

/** What only flash can do. */
export interface FlashExtras {
  /** In place of the call's own. */
  readonly blocks?: BlockList | undefined;
  /** Which pairs a selection shows that the same program made; not together with a list. */
  readonly selection?: Selection | undefined;
  /** i32 [B, Tq] and [B, Tk]: places by which the window decides, in any order. */
  readonly positions?: { readonly q: Tensor; readonly k: Tensor } | undefined;
  /** The score of a key at its query's own place. */
  readonly selfScore?: number | undefined;
  /**
   * A row passes over a block of 64 keys whose scores are all this much or more below the largest that it has seen before,
   * in powers of two: the keys add nothing to o and lse.
   */
  readonly skipBelow?: number | undefined;
  /** f32, as q: the second query of parallax attention. */
  readonly r?: Tensor | undefined;
}

/** @throws ShapeError if a list does not fit the call. */
function checkList(call: AttentionCall, list: BlockList): void {
  const [B, Tq, heads] = call.q.shape as [number, number, number];
  const Tk = keysOf(call);
  if (list.Tq !== Tq || list.Tk !== Tk) {
    throw new ShapeError(`block mask: made for ${list.Tq} queries and ${list.Tk} keys, the call has ${Tq} and ${Tk}`);
  }
  if ((list.batch !== 1 && list.batch !== B) || heads % list.heads !== 0) {
    throw new ShapeError(
      `block mask: made for a batch of ${list.batch} and ${list.heads} heads, the call has ${B} and ${heads}`,
    );
  }
  if (list.listOf.length !== list.batch * list.heads || list.rows.length % Math.max(1, queryBlocks(list)) > 1) {
    throw new OptionError(
      `block mask: ${list.listOf.length} lists and ${list.rows.length - 1} rows of entries do not fit its sizes`,
    );
  }
  if (call.sequences.some((span) => span.qLength !== Tq || span.qStart !== 0 || span.kStart !== 0)) {
    throw new UnsupportedError(
      'block mask: its blocks are those of whole sequences, so it does not go with cuSeqlens. Pad the sequences to a batch.',
    );
  }
}

function checkExtras(call: AttentionCall, extras: FlashExtras): void {
  const { blocks, selection, positions, selfScore, skipBelow } = extras;
  const { q } = call;
  if (blocks) checkList(call, blocks);
  if (blocks && selection) throw new OptionError('flash: blocks and a selection were both given, expected one of them');
  if (call.scores && (blocks || selection || positions || skipBelow !== undefined)) {
    throw new OptionError('flash: scores can be written out only where all of them are computed');
  }
  for (const [name, tensor, T] of [
    ['q', positions?.q, q.shape[1]],
    ['k', positions?.k, keysOf(call)],
  ] as const) {
    if (!tensor) continue;
    if (tensor.dtype !== 'i32') throw new DTypeError(`positions.${name} is ${tensor.dtype}, expected i32`);
    const [batch, length] = tensor.shape;
    if (tensor.shape.length !== 2 || (batch !== 1 && batch !== q.shape[0]) || length !== T || tensor.strides[1] !== 1) {
      throw new ShapeError(
        `positions.${name} has shape [${tensor.shape}], expected [${q.shape[0]}, ${T}], rows contiguous`,
      );
    }
  }
  for (const [name, value] of Object.entries({ selfScore, skipBelow })) {
    if (value !== undefined && (!Number.isFinite(value) || (name === 'skipBelow' && value < 0))) {
      throw new OptionError(
        `flash: ${name} is ${value}, expected a finite number${name === 'skipBelow' ? ' >= 0' : ''}`,
      );
    }
  }
}

/** Params of everything in `extras` that is there. */
function extraParams(b: Builder, call: AttentionCall, extras: FlashExtras) {
  const { blocks, selection, positions, selfScore, skipBelow } = extras;
  const stride = (tensor: Tensor | undefined) => (tensor && tensor.shape[0]! > 1 ? tensor.strides[0]! : 0);
  // places in any order leave no range of keys that a row sees
  const window = positions && {
    windowLeft: -1,
    windowRight: -1,
    placesLeft: call.window[0],
    placesRight: call.window[1],
    qPositions: positions.q.address,
    qPositionsStrideB: stride(positions.q),
    kPositions: positions.k.address,
    kPositionsStrideB: stride(positions.k),
  };
  if (blocks) b.hold(blocks);
  return {
    r: extras.r?.address ?? 0,
    hasSelfScore: selfScore === undefined ? 0 : 1,
    selfScore: selfScore ?? 0,
    hasSkip: skipBelow === undefined ? 0 : 1,
    skipBelow: skipBelow ?? 0,
    ...(blocks && listParams(b.runtime, blocks)),
    ...(selection && selectionParams(call, selection)),
    ...window,
  };
}

/** Query rows of an item. */
function blockRows(b: Builder, call: AttentionCall, extras: FlashExtras, heads: number): number {
  if (extras.blocks) return extras.blocks.blockQ;
  if (b.runtime.backend === 'webgpu') return GPU_BLOCK_Q;
  const quantised = call.quantization && quantisedRows(call.quantization);
  if (quantised) return quantised;
  const longest = Math.max(0, ...call.sequences.map((s) => s.qLength));
  const items = (rows: number) => call.sequences.reduce((n, s) => n + Math.ceil(s.qLength / rows) * heads, 0);
  const words = call.q.shape[3]! + call.v.shape[3]! + (extras.selection?.bits.shape[3] ?? 0);
  const alike = extras.selection && !extras.selection.queryLabels && extras.selection.queryBlock >= ALIKE_ROWS;
  const sizes = extras.selection ? SELECTED_BLOCK_Q.filter((rows) => rows * words <= SELECTED_WORDS) : [];
  if (alike) sizes.shift();
  const fits = [...sizes, BLOCK_Q].find((rows) => longest > SMALL_BLOCK_Q && items(rows) >= FEW_ITEMS);
  return fits ?? SMALL_BLOCK_Q;
}

/** Adds the dispatch that packs keys and values as they are. */
function packPlain(b: Builder, call: AttentionCall, sequences: number, blocks: number) {
  const { q, k, v } = call;
  const [dk, dv, kvHeads] = [q.shape[3]!, v.shape[3]!, k.shape[2]!];
  const kPack = b.temporary([kvHeads, blocks, BLOCK_K, dk]);
  const kNorms = b.temporary([kvHeads, blocks]);
  const vPack = b.temporary([kvHeads, blocks, BLOCK_K, Math.ceil(dv / 8) * 8]);
  const packed = { kPack: kPack.address, vPack: vPack.address, kNorms: kNorms.address };
  b.dispatch({
    kernel: 'flashPack',
    params: encode(FlashPackParams, cacheParams(call), packed, {
      sequences,
      sequenceCount: call.sequences.length,
      kvHeads,
      dk,
      dv,
      blocks,
    }),
    items: blocks * kvHeads,
    grain: 4,
    scratchBytes: BLOCK_K * (1 + Math.max(dk, dv)) * 4,
    flops: blocks * kvHeads * BLOCK_K * (dk + dv),
  });
  return packed;
}

/** Adds the dispatches of a flash call. */
export function flashAttend(b: Builder, call: AttentionCall, given: FlashExtras = {}): void {
  const extras = { ...given, blocks: given.blocks ?? call.blocks };
  const { q, v } = call;
  const heads = q.shape[2]!;
  const [dk, dv] = [q.shape[3]!, v.shape[3]!];
  checkExtras(call, extras);
  const list = extras.blocks;
  const blockQ = blockRows(b, call, extras, heads);
  const table = sequenceTable(call.sequences, (s) => Math.ceil(s.qLength / blockQ) * heads, BLOCK_K);
  const sequences = b.table(table.words);
  const packed = call.quantization
    ? packQuantised(b, call, call.quantization, sequences, table.blocks)
    : packPlain(b, call, sequences, table.blocks);
  const params = encode(FlashParams, attentionParams(call, sequences), extraParams(b, call, extras), {
    ...packed,
    blocks: table.blocks,
    blockQ,
  });
  const all = visiblePairs(call) * heads;
  const counts = list && countList(list, call.window);
  // keys behind a sequence's end are counted by a list, but not computed
  const pairs = counts
    ? Math.min(all, (counts.pairs * call.q.shape[0]! * heads) / (list.batch * list.heads))
    : all * (extras.selection?.density ?? 1);
  const flopsOf = (n: number) => n * 2 * (dk + dv) * (extras.r ? 2 : 1);
  b.dispatch({
    kernel: 'flash',
    params,
    items: table.items,
    scratchBytes: b.runtime.scratchBytes('flashScratchBytes', params),
    flops: flopsOf(pairs),
  });
  noteWork(b, call, extras, { items: table.items, blocks: table.blocks, blockQ, pairs, all, flopsOf });
}

/** What a call computes, and what it is saved, for explain. */
function noteWork(
  b: Builder,
  call: AttentionCall,
  { blocks: list, selection }: FlashExtras,
  work: {
    items: number;
    blocks: number;
    blockQ: number;
    /** Pairs that are computed, and those that the window shows. */
    pairs: number;
    all: number;
    flopsOf: (pairs: number) => number;
  },
): void {
  const percent = (of: number) => (of === 0 ? '0' : ((100 * work.pairs) / of).toFixed(1));
  const saved = () => `${Math.round(work.flopsOf(work.all - work.pairs))} flops saved`;
  b.note(() => {
    const total = call.sequences.reduce((n, s) => n + s.qLength * s.kLength, 0) * call.q.shape[2]!;
    return (
      `flash engine: ${work.items} query blocks of ${work.blockQ} rows, ${work.blocks} key blocks of ${BLOCK_K}; ` +
      `${percent(total)} % of the query-key pairs are computed`
    );
  });
  if (list) {
    b.note(() => {
      const { blocks } = countList(list, call.window);
      const visits = queryBlocks(list) * Math.ceil(list.Tk / BLOCK_K) * list.batch * list.heads;
      return (
        `block mask: density ${percent(work.all)} % of the pairs that the window shows, ` +
        `${blocks} of ${visits} blocks kept, ${saved()}`
      );
    });
  }
  if (selection) {
    b.note(() =>
      selection.density === undefined
        ? 'selection: which pairs are computed depends on the data; the stated share is the most'
        : `selection: about ${percent(work.all)} % of the pairs that the window shows are computed, ${saved()}`,
    );
  }
}

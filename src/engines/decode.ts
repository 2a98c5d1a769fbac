/**
 * Host side of the decode engine: a few queries against a long cache.
 *
 * @module
 */
import { DecodeParams, MergeStateParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';
import { type AttentionCall, attentionParams, cacheParams, visiblePairs } from './attention-call.ts';
import { BLOCK_K } from './block-list.ts';
import { sequenceTable } from './sequences.ts';

/** Most queries of a sequence, and most query rows that share a key/value head, for which decode is the faster engine. */
const MOST_QUERIES = 16;
const MOST_ROWS = 128;
/** Keys of one work item: K and V of all heads stay in the second-level cache, and caches of some thousands make items for all threads. */
const SPLIT_KEYS = 512;
/** Where there are items enough, long runs of keys: the memory's own read-ahead starts anew with each. */
const LONG_SPLIT_KEYS = 4096;
const ENOUGH_ITEMS = 64;

/** On a GPU an item is a workgroup: keys for so many of them, within what keeps their partial results few. */
const GPU_ITEMS = 4096;
const MOST_GPU_KEYS = 1024;

/** Keys of one work item over caches of so many keys. */
export function splitKeysOf(keys: number, kvHeads: number, backend: Runtime['backend']): number {
  if (backend === 'webgpu') {
    return Math.min(MOST_GPU_KEYS, Math.max(1, Math.floor((keys * kvHeads) / (GPU_ITEMS * BLOCK_K))) * BLOCK_K);
  }
  return keys * kvHeads < ENOUGH_ITEMS * LONG_SPLIT_KEYS ? SPLIT_KEYS : LONG_SPLIT_KEYS;
}

/** Whether a call is for the decode engine. */
export function suitsDecode(call: AttentionCall): boolean {
  const longest = Math.max(0, ...call.sequences.map((s) => s.qLength));
  const group = call.q.shape[2]! / call.k.shape[2]!;
  return longest <= MOST_QUERIES && longest * group <= MOST_ROWS && !call.scores && !call.blocks && !call.quantization;
}

/** Adds the dispatches of a decode call. */
export function decodeAttend(b: Builder, call: AttentionCall): void {
  const { q, k, v, pages } = call;
  const [heads, kvHeads] = [q.shape[2]!, k.shape[2]!];
  const [dk, dv] = [q.shape[3]!, v.shape[3]!];
  const longestK = Math.max(1, ...call.sequences.map((s) => s.kLength));
  const splitKeys = splitKeysOf(longestK, kvHeads, b.runtime.backend);
  const longestQ = Math.max(0, ...call.sequences.map((s) => s.qLength));
  const splits = Math.ceil(longestK / splitKeys);
  const rows = (longestQ * heads) / kvHeads;
  const count = call.sequences.length;
  if (rows === 0 || count === 0) return;
  const table = sequenceTable(call.sequences, () => 0, BLOCK_K);
  const partials = b.temporary([count, kvHeads, splits, rows, Math.ceil(dv / 8) * 8 + 8]);
  const params = encode(DecodeParams, attentionParams(call, b.table(table.words)), cacheParams(call), {
    kvHeads,
    splitKeys,
    splits,
    rows,
    relaxedDot: b.runtime.singleDot ? 1 : 0,
    partials: partials.address,
  });
  const flops = visiblePairs(call) * heads * 2 * (dk + dv);
  b.dispatch({
    kernel: 'decode',
    params,
    items: count * splits * kvHeads,
    scratchBytes: b.runtime.scratchBytes('decodeScratchBytes', params),
    flops,
  });
  mergeSplits(b, params, { count, kvHeads, rows, splits, dv });
  b.note(
    () =>
      `decode engine: ${splits} splits of ${splitKeys} keys, ${rows} query rows share each key/value head, ` +
      `${k.dtype} keys, ${v.dtype} values${pages ? `, pages of ${pages.size}` : ''}`,
  );
}

/** Adds the merge of the partial results of all splits. */
export function mergeSplits(
  b: Builder,
  params: Int32Array,
  { count, kvHeads, rows, splits, dv }: { count: number; kvHeads: number; rows: number; splits: number; dv: number },
): void {
  b.dispatch({
    kernel: 'decodeMerge',
    params,
    items: count * kvHeads * rows,
    scratchBytes: Math.ceil(dv / 8) * 32 + 16,
    flops: count * kvHeads * rows * splits * dv * 2,
  });
}

/** Adds the merge of two results over disjoint keys. */
export function mergeStates(
  b: Builder,
  oA: Tensor,
  lseA: Tensor,
  oB: Tensor,
  lseB: Tensor,
  o: Tensor,
  lse: Tensor,
): void {
  b.dispatch({
    kernel: 'mergeState',
    params: encode(MergeStateParams, {
      oA: oA.address,
      lseA: lseA.address,
      oB: oB.address,
      lseB: lseB.address,
      o: o.address,
      lse: lse.address,
      d: o.shape.at(-1)!,
    }),
    items: lse.size,
    grain: 64,
    flops: 3 * o.size,
  });
}

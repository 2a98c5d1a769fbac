/**
 * Host side of attention on lists of keys, one list for every query.
 *
 * @module
 */
import { OptionError } from '../errors.ts';
import { IndexAttendParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import { bytesOf, type Tensor } from '../tensor.ts';
import { type AttentionCall, attentionParams, cacheParams } from './attention-call.ts';
import { BLOCK_K } from './block-list.ts';
import { copyRows } from './copy.ts';
import { sequenceTable } from './sequences.ts';

/** Keys of each query. */
export interface IndexLists {
  /** i32 [B, L, Tq, K], each list ascending, without repeats; head h of Hq has list floor(h * L / Hq). */
  readonly indices: Tensor;
  /** i32 [B, L, Tq]: how many entries of each list count. */
  readonly counts: Tensor;
  /** f32 of the shape and strides of indices, added to the scores of the entries. */
  readonly bias?: Tensor | undefined;
}

/** Most heads of a work item, and bytes of the queries and sums of one. */
const MOST_ROWS = 16;
const STATE_BYTES = 2 ** 18;
const MOST_QUERIES = 128;
/** Bytes of keys and values that stay in the second-level cache beside what else is in use. */
const SPAN_BYTES = 2 ** 18;
/** Keys of a list in a span that are worth a turn of their own. */
const FEW_KEYS = 32;
/** Queries whose lists ask for most of a span: it is then read in one run first, which is faster than here and there. */
const READ_WHOLE = 32;
/** Items for each thread, where there are several. */
const ITEMS_EACH = 4;

/** Times that a key is read on average from which on a copy pays where it lies apart or is not f32. */
const READS_OF_COPY = 4;

/** x [B, T, H, D] with the rows of each head one after another, in f32. */
function headsApart(b: Builder, x: Tensor): Tensor {
  const [batch, length, heads, d] = x.shape as [number, number, number, number];
  const o = b.temporary([batch, heads, length, d]).permute([0, 2, 1, 3]);
  copyRows(b, x, o);
  return o;
}

/** The call, where lists have at most `most` keys, with keys and values that are read often copied to where it is quick. */
export function nearKeys(b: Builder, call: AttentionCall, most: number): AttentionCall {
  const { k, v, pages, kScale, vScale } = call;
  const reads = call.sequences.reduce((n, s) => n + s.qLength, 0) * most;
  if (pages || kScale || vScale || reads < READS_OF_COPY * k.shape[0]! * k.shape[1]!) return call;
  const near = (x: Tensor) => (x.dtype === 'f32' && x.strides[1] === x.shape[3] ? x : headsApart(b, x));
  return { ...call, k: near(k), v: near(v) };
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}

/** Adds attention of every query on its own list of keys; what the call hides otherwise must be out of the lists already. */
export function indexAttend(b: Builder, asked: AttentionCall, { indices, counts, bias: entryBias }: IndexLists): void {
  const { bias, mask, keyBias, alibiSlopes, scores } = asked;
  if (bias || mask || keyBias || alibiSlopes || scores) {
    throw new OptionError('attention on lists of keys takes no biases and masks: the lists say what is visible');
  }
  const most = indices.shape[3]!;
  const call = nearKeys(b, asked, most);
  const { q, k, v } = call;
  const [, length, heads, dk] = q.shape as [number, number, number, number];
  const [kvHeads, dv] = [k.shape[2]!, v.shape[3]!];
  const lists = indices.shape[1]!;
  const group = heads / kvHeads;
  const listGroup = heads / lists;
  // heads of an item share their list and their keys
  const common = greatestDivisor(group, listGroup);
  const rows = common <= MOST_ROWS ? common : largestPart(common);
  const tiles = heads / rows;
  const rowBytes = (Math.ceil(dk / 4) * 4 + Math.ceil(dv / 16) * 16 + 8) * 4;
  const total = call.sequences.reduce((n, s) => n + s.qLength, 0) * tiles;
  // the queries of an item share no arithmetic: their number changes no result, and so may depend on the number of threads
  const { threads } = b.runtime;
  const shared = threads === 1 ? total : Math.floor(total / (ITEMS_EACH * threads));
  const blockQ = Math.max(1, Math.min(MOST_QUERIES, Math.floor(STATE_BYTES / (rows * rowBytes)), shared));
  const keyBytes = dk * bytesOf(k.dtype) + dv * bytesOf(v.dtype);
  const longest = Math.max(1, ...call.sequences.map((s) => s.kLength));
  const cached = Math.max(BLOCK_K, Math.floor(SPAN_BYTES / keyBytes / BLOCK_K) * BLOCK_K);
  // lists with few keys in each span are gone through at once
  const spanKeys = (indices.shape[3]! * cached) / longest < FEW_KEYS ? longest : cached;
  const table = sequenceTable(call.sequences, (s) => Math.ceil(s.qLength / blockQ) * tiles, BLOCK_K);
  const params = encode(IndexAttendParams, attentionParams(call, b.table(table.words)), cacheParams(call), {
    indices: indices.address,
    indexStrideB: indices.strides[0]!,
    indexStrideL: indices.strides[1]!,
    indexStrideT: indices.strides[2]!,
    counts: counts.address,
    countStrideB: counts.strides[0]!,
    countStrideL: counts.strides[1]!,
    countStrideT: counts.strides[2]!,
    entryBias: entryBias?.address ?? 0,
    listGroup,
    rows,
    blockQ,
    spanKeys,
    readWhole: spanKeys === cached ? READ_WHOLE : 0,
  });
  const pairs = call.sequences.reduce((n, s) => n + s.qLength * Math.min(most, s.kLength), 0) * heads;
  b.dispatch({
    kernel: 'indexAttend',
    params,
    items: table.items,
    scratchBytes: b.runtime.scratchBytes('indexAttendScratchBytes', params),
    flops: pairs * 2 * (dk + dv),
  });
  b.note(
    () =>
      `lists of keys: at most ${most} of ${k.shape[1]} keys for each of ${length} queries, ${lists} lists for ${heads} heads; ` +
      `${rows} heads share each key that is read`,
  );
}

/** The largest divisor of n that is at most MOST_ROWS. */
function largestPart(n: number): number {
  let part = MOST_ROWS;
  while (n % part !== 0) --part;
  return part;
}

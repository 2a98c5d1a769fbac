import { LIST_BLOCK } from '../decode/list-block';
import { scoreListed } from '../decode/listed-score';
import { LabelTokensParams, ListScoreParams, PickParams } from '../params';
import { elementBytes, F32, widenRow } from '../simd/storage';
import { visibleColumns } from './visible';

/** Entries of a turn, with room for whole eights. */
const ROOM: i32 = LIST_BLOCK + 8;

// @ts-ignore: decorator
@inline
function widens(p: ListScoreParams): bool {
  return p.kType != F32 || (p.d & 3) != 0;
}

// @ts-ignore: decorator
@inline
function width(p: ListScoreParams): i32 {
  return (p.d + 3) & ~3;
}

/** Bytes of scratch: a query, addresses, scores, and keys where they are widened. */
export function listScoresScratchBytes(params: usize, _scratch: usize): i32 {
  const p = changetype<ListScoreParams>(params);
  return (width(p) + 2 * ROOM + (widens(p) ? ROOM * width(p) : 0)) << 2;
}

/** Entries below `first` and from `last` on, which are taken anyway, score nothing. */
export function hideForced(entries: usize, scores: usize, count: i32, first: i32, last: i32): void {
  for (let n: usize = 0; n < (<usize>count) << 2; n += 4) {
    const j = load<i32>(entries + n);
    if (j < first || j >= last) store<f32>(scores + n, -Infinity);
  }
}

/**
 * Scores of the keys of lists.
 *
 *   q        f32, f16 or bf16 [B, Tq, L, d]           any strides, last axis contiguous
 *   k        f32, f16 or bf16 [B, Tk, L / group, d]   likewise
 *   indices  i32 [B, L, Tq, width], counts i32 [B, L, Tq]   contiguous; entries from 0 to Tk - 1
 *   o        f32 [B, L, Tq, width]                    contiguous; -Infinity behind the last entry
 *
 *   o_in = scale q_i k_j, j entry n of list i; -Infinity too where j is taken in any case. Item: one row. Scratch: listScoresScratchBytes.
 */
export function listScores(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<ListScoreParams>(params);
  const d = width(p);
  const rowBytes = (<usize>d) << 2;
  const keys = scratch + rowBytes;
  const scores = keys + ((<usize>ROOM) << 2);
  const tile = scores + ((<usize>ROOM) << 2);
  const bytes = elementBytes(p.kType);
  for (let item = begin; item < end; ++item) {
    const list = item / p.rows;
    const i = item - list * p.rows;
    const batch = list / p.lists;
    const h = list - batch * p.lists;
    v128.store(scratch + rowBytes - 16, i32x4.splat(0));
    const qAt = batch * p.qStrideB + i * p.qStrideT + h * p.qStrideH;
    widenRow(p.q + <usize>qAt * elementBytes(p.qType), p.qType, scratch, p.d, p.scale);
    const count = min(p.width, load<i32>(p.counts + ((<usize>item) << 2)));
    const entries = p.indices + ((<usize>(item * p.width)) << 2);
    const o = p.o + ((<usize>(item * p.width)) << 2);
    const base = <usize>batch * <usize>p.kStrideB + <usize>(h / p.group) * <usize>p.kStrideH;
    for (let from = 0; from < count; from += LIST_BLOCK) {
      const n = min(LIST_BLOCK, count - from);
      for (let e = 0; e < n; ++e) {
        const j = max(0, min(p.columns - 1, load<i32>(entries + ((<usize>(from + e)) << 2))));
        let row = p.k + (base + <usize>j * <usize>p.kStrideT) * bytes;
        if (widens(p)) {
          const copy = tile + <usize>e * rowBytes;
          v128.store(copy + rowBytes - 16, i32x4.splat(0));
          widenRow(row, p.kType, copy, p.d, 1);
          row = copy;
        }
        store<u32>(keys + ((<usize>e) << 2), <u32>row);
      }
      for (let e = n; e < n + 8; ++e) store<u32>(keys + ((<usize>e) << 2), load<u32>(keys));
      scoreListed(scratch, keys, scores, (n + 7) & ~7, d);
      memory.copy(o + ((<usize>from) << 2), scores, (<usize>n) << 2);
    }
    hideForced(entries, o, count, p.first, p.columns - p.rows + i + 1 - p.last);
    for (let e = count; e < p.width; ++e) store<f32>(o + ((<usize>e) << 2), -Infinity);
  }
}

/**
 * The entries of lists whose bits are set, with the first and the last keys that a query sees.
 *
 *   indices  i32 [B, L, Tq, width]      contiguous, ascending; listCounts i32 [B, L, Tq]
 *   bits     i32 [B, L, Tq, words]      contiguous: bit n of entry n; those past the last entry say nothing
 *   o        i32 [B, L, Tq, capacity]   contiguous; -1 behind the last
 *   counts   i32 [B, L, Tq]             contiguous
 *
 * Query i sees keys [0, columns - rows + i + 1). Item: one row.
 */
export function pickListed(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<PickParams>(params);
  for (let item = begin; item < end; ++item) {
    const entries = p.indices + ((<usize>(item * p.width)) << 2);
    const listed = load<i32>(p.listCounts + ((<usize>item) << 2));
    const bits = p.bits + ((<usize>(item * p.words)) << 2);
    const o = p.o + ((<usize>(item * p.capacity)) << 2);
    const seen = max(0, p.columns - p.rows + (item % p.rows) + 1);
    const first = min(p.first, seen);
    const last = max(first, seen - p.last);
    const stop = o + ((<usize>p.capacity) << 2);
    let at = o;
    for (let j = 0; j < first && at < stop; ++j) {
      store<i32>(at, j);
      at += 4;
    }
    for (let w = 0; w < p.words; ++w) {
      for (let word = load<u32>(bits + ((<usize>w) << 2)); word != 0; word &= word - 1) {
        const n = (w << 5) + <i32>ctz<u32>(word);
        if (n >= listed || at >= stop) break;
        const j = load<i32>(entries + ((<usize>n) << 2));
        if (j < first || j >= last) continue;
        store<i32>(at, j);
        at += 4;
      }
    }
    for (let j = last; j < seen && at < stop; ++j) {
      store<i32>(at, j);
      at += 4;
    }
    store<i32>(p.counts + ((<usize>item) << 2), <i32>((at - o) >> 2));
    memory.fill(at, 0xff, stop - at);
  }
}

/**
 * The tokens of chosen labels, and the first and last ones of what a row sees.
 *
 *   map     no memory: rows and what they see of the tokens
 *   chosen  i32 [B, L, Tq, labelWords]   contiguous: bits of labels
 *   labels  i32 [B, L / group, Tk]       any strides, last axis contiguous
 *   bits    i32 [B, L, Tq, words]        contiguous
 *
 * Item: one row.
 */
export function labelTokens(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<LabelTokensParams>(params);
  for (let item = begin; item < end; ++item) {
    const list = item / p.rows;
    const i = item - list * p.rows;
    const batch = list / p.lists;
    const h = list - batch * p.lists;
    const chosen = p.chosen + ((<usize>(item * p.labelWords)) << 2);
    const labels = p.labels + ((<usize>(batch * p.labelsStrideB + (h / p.group) * p.labelsStrideH)) << 2);
    const bits = p.bits + ((<usize>(item * p.words)) << 2);
    const seen = visibleColumns(p, i);
    for (let w = 0; w < p.words; ++w) {
      let word: u32 = 0;
      for (let j = w << 5, stop = min(seen, (w + 1) << 5); j < stop; ++j) {
        const label = load<i32>(labels + ((<usize>j) << 2));
        const is = <u32>label < <u32>p.count && (load<u32>(chosen + ((<usize>(label >> 5)) << 2)) >> (label & 31)) & 1;
        word |= (<u32>(is || j < p.first || j >= seen - p.last)) << (j & 31);
      }
      store<u32>(bits + ((<usize>w) << 2), word);
    }
  }
}

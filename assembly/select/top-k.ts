import { SelectParams } from '../params';
import { bitsAt, eachAt, forcedColumns, gatherCandidates, mostCandidates } from './candidates';
import { Cut, cutCount, cutScratchBytes } from './cut';
import { COUNTED } from './forced';
import { Span, spanOf, writeCut, writeSpan } from './row-bits';
import { mapRow } from './visible';

/** Bytes of scratch: a span, a cut, the search's lists and, for whole lists, all candidates. */
export function selectScratchBytes(params: usize, _scratch: usize): i32 {
  const p = changetype<SelectParams>(params);
  const most = mostCandidates(p);
  return 64 + cutScratchBytes(most) + (p.whole ? (most + 4) * 4 : 0);
}

/**
 * The k columns of the highest scores of each row, or of a whole list.
 *
 *   map   f32 [B, L, R, C]        columns contiguous; what a row does not see is not read
 *   each  i32 [B, L, R]           any strides; k of each row, of a whole list that of row 0
 *   bits  i32 [B, L, R, words]    lists any distance apart; bit j & 31 of word j >> 5 for column j
 *
 * Equal scores are taken from the left (in a whole list from the first row on), NaN after all others. Item: one row, or one list.
 * Scratch: selectScratchBytes.
 */
export function selectTopK(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<SelectParams>(params);
  const span = changetype<Span>(scratch);
  const cut = changetype<Cut>(scratch + 32);
  const search = scratch + 64;
  const gathered = search + <usize>cutScratchBytes(mostCandidates(p));
  for (let item = begin; item < end; ++item) {
    const list = p.whole ? item : item / p.rows;
    const first = p.whole ? 0 : item - list * p.rows;
    const last = p.whole ? p.rows : first + 1;
    const each = eachAt(p, list, first);
    let k = each ? load<i32>(each) : p.k;
    let x = gathered;
    let n = 0;
    if (p.whole) {
      n = gatherCandidates(p, list, gathered, span);
      if (p.forced == COUNTED) k -= forcedColumns(p, span);
    } else {
      spanOf(p, first, span);
      x = mapRow(p, list, first) + ((<usize>span.from) << 2);
      n = span.to - span.from;
      if (p.forced == COUNTED) k -= span.first + span.end - span.last;
    }
    if (0 < k && k < n) cutCount(x, n, k, search, cut);
    for (let i = first; i < last; ++i) {
      if (p.whole) spanOf(p, i, span);
      if (0 < k && k < n) writeCut(mapRow(p, list, i), span, cut, bitsAt(p, list, i), p.words);
      else writeSpan(span, k > 0, bitsAt(p, list, i), p.words);
    }
  }
}

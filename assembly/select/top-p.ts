import { SelectParams } from '../params';
import { bitsAt, eachAt, forcedColumns, gatherCandidates, mostCandidates } from './candidates';
import { Cut, cutCount, cutMass, cutScratchBytes, massOf } from './cut';
import { COUNTED } from './forced';
import { Span, spanOf, writeCut, writeSpan } from './row-bits';
import { mapRow } from './visible';

/** Sum of a row's forced columns. */
function forcedMass(x: usize, span: Span): f64 {
  return massOf(x, span.first) + massOf(x + ((<usize>span.last) << 2), span.end - span.last);
}

/**
 * The fewest columns of the highest scores of each row, or of a whole list, that hold a share of the scores' sum.
 *
 *   map   f32 [B, L, R, C]        columns contiguous; what a row does not see is not read; below 0 and NaN weigh nothing
 *   each  f32 [B, L, R]           any strides; share of each row, of a whole list that of row 0
 *   bits  i32 [B, L, R, words]    lists any distance apart; bit j & 31 of word j >> 5 for column j
 *
 * A share of 1 takes all that is visible. At least p.k columns are taken where there are so many. Sums are f64; equal scores are
 * taken from the left (in a whole list from the first row on). Item: one row, or one list. Scratch: selectScratchBytes.
 */
export function selectTopP(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<SelectParams>(params);
  const span = changetype<Span>(scratch);
  const cut = changetype<Cut>(scratch + 32);
  const search = scratch + 64;
  const gathered = search + <usize>cutScratchBytes(mostCandidates(p));
  const counted = p.forced == COUNTED;
  for (let item = begin; item < end; ++item) {
    const list = p.whole ? item : item / p.rows;
    const first = p.whole ? 0 : item - list * p.rows;
    const last = p.whole ? p.rows : first + 1;
    const each = eachAt(p, list, first);
    const share: f32 = each ? load<f32>(each) : p.level;
    let x = gathered;
    let n = 0;
    let before: f64 = 0;
    let least = p.k;
    if (p.whole) {
      n = gatherCandidates(p, list, gathered, span);
      if (counted) {
        least -= forcedColumns(p, span);
        for (let i = first; i < last; ++i) {
          spanOf(p, i, span);
          before += forcedMass(mapRow(p, list, i), span);
        }
      }
    } else {
      spanOf(p, first, span);
      const row = mapRow(p, list, first);
      x = row + ((<usize>span.from) << 2);
      n = span.to - span.from;
      if (counted) {
        least -= span.first + span.end - span.last;
        before = forcedMass(row, span);
      }
    }
    const mass = massOf(x, n);
    const target = <f64>share * (before + mass);
    let taken = n;
    if (share < 1) {
      taken = before >= target ? 0 : cutMass(x, n, before, target, mass, search, cut);
      if (taken < least) {
        taken = min(n, least);
        if (taken < n) cutCount(x, n, taken, search, cut);
      }
    }
    for (let i = first; i < last; ++i) {
      if (p.whole) spanOf(p, i, span);
      if (0 < taken && taken < n) writeCut(mapRow(p, list, i), span, cut, bitsAt(p, list, i), p.words);
      else writeSpan(span, taken > 0, bitsAt(p, list, i), p.words);
    }
  }
}

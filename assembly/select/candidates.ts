import { SelectParams } from '../params';
import { Span, spanOf } from './row-bits';
import { mapRow } from './visible';

/** Most numbers that one search may have. */
export function mostCandidates(p: SelectParams): i32 {
  return p.whole ? p.rows * p.columns : p.columns;
}

/** Copies the candidates of all rows of a list to `to`, one row after another; returns how many they are. */
export function gatherCandidates(p: SelectParams, list: i32, to: usize, span: Span): i32 {
  let at = to;
  for (let i = 0; i < p.rows; ++i) {
    spanOf(p, i, span);
    const bytes = (<usize>max(0, span.to - span.from)) << 2;
    memory.copy(at, mapRow(p, list, i) + ((<usize>span.from) << 2), bytes);
    at += bytes;
  }
  return <i32>((at - to) >> 2);
}

/** Forced columns of all rows of a list. */
export function forcedColumns(p: SelectParams, span: Span): i32 {
  let count = 0;
  for (let i = 0; i < p.rows; ++i) {
    spanOf(p, i, span);
    count += span.first + span.end - span.last;
  }
  return count;
}

/** Where a row's (of a whole list: row 0's) value of `each` lies; 0 if all have the same. */
export function eachAt(p: SelectParams, list: i32, i: i32): usize {
  if (!p.each) return 0;
  const batch = list / p.lists;
  const head = list - batch * p.lists;
  return p.each + ((<usize>(batch * p.eachStrideB + head * p.eachStrideH + i * p.eachStrideR)) << 2);
}

/** Where the bits of a row lie. */
export function bitsAt(p: SelectParams, list: i32, i: i32): usize {
  return p.bits + ((<usize>(list * p.bitsStride + i * p.words)) << 2);
}

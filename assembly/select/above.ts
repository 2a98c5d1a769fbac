import { SelectParams } from '../params';
import { bitsAt, eachAt } from './candidates';
import { Cut } from './cut';
import { Span, spanOf, writeCut, writeSpan } from './row-bits';
import { mapRow } from './visible';

/**
 * The columns of each row whose scores are above a threshold.
 *
 *   map   f32 [B, L, R, C]        columns contiguous; what a row does not see is not read
 *   each  f32 [B, L, R]           any strides; threshold of each row
 *   bits  i32 [B, L, R, words]    lists any distance apart; bit j & 31 of word j >> 5 for column j
 *
 * Nothing is above NaN, and NaN above nothing. Item: one row. Scratch: 64 bytes.
 */
export function selectAbove(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<SelectParams>(params);
  const span = changetype<Span>(scratch);
  const cut = changetype<Cut>(scratch + 32);
  for (let item = begin; item < end; ++item) {
    const list = item / p.rows;
    const i = item - list * p.rows;
    const each = eachAt(p, list, i);
    spanOf(p, i, span);
    cut.value = each ? load<f32>(each) : p.level;
    cut.ties = 0;
    if (cut.value == cut.value) writeCut(mapRow(p, list, i), span, cut, bitsAt(p, list, i), p.words);
    else writeSpan(span, false, bitsAt(p, list, i), p.words);
  }
}

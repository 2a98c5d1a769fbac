import { FP8, mostOf, SAGE2, SAGE3 } from './quantization';
import { roundFp4, roundScaled } from './round';

/** Rounded numbers of a row: behind them SageAttention2 and 3 have as many that are not. */
// @ts-ignore: decorator
@inline
export function roundedWidth(quantization: i32, depth: i32): i32 {
  return quantization == FP8 ? depth : depth >> 1;
}

/** Rows that share a scale: of SageAttention2's queries four of 32, eight apart; of its keys pairs, eight apart; else all. */
// @ts-ignore: decorator
@inline
function groupOf(quantization: i32, keys: bool, i: i32): usize {
  if (quantization != SAGE2) return 0;
  return keys ? <usize>((i & 7) >> 1) : <usize>(((i >> 5) << 3) + (i & 7));
}

/**
 * Rounds a block of queries or keys in place, in SageAttention3 by its own groups of 16, else with the scale of its group of rows.
 *
 *   x      f32 [rows][width]   `stride` bytes apart; width a multiple of 8
 *   units  f32 [32]            scratch
 */
export function roundRows(kind: i32, keys: bool, rows: i32, x: usize, stride: usize, width: i32, units: usize): void {
  memory.fill(units, 0, 128);
  for (let i = 0; i < rows; ++i) {
    const at = units + (groupOf(kind, keys, i) << 2);
    store<f32>(at, max<f32>(load<f32>(at), mostOf(x + <usize>i * stride, width)));
  }
  for (let i = 0; i < rows; ++i) {
    const most = load<f32>(units + (groupOf(kind, keys, i) << 2));
    if (kind == SAGE3) roundFp4(x, width);
    else roundScaled(x, width, most, kind == SAGE2);
    x += stride;
  }
}

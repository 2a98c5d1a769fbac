import { rowAt } from '../linear/rows';
import { DeltaParams } from '../params';
import { DeltaScratch } from './workspace';

/** Row of q and o of a token, -1 where it has no output. */
export function outputOf(p: DeltaParams, w: DeltaScratch, token: i32): i32 {
  const row = w.start + token;
  if (p.substeps <= 1) return row;
  const output = row / p.substeps;
  return output * p.substeps + p.substeps - 1 == row ? output : -1;
}

/** Address of the item's columns of a token's output, 0 where it has none. */
function outputRow(p: DeltaParams, w: DeltaScratch, token: i32): usize {
  const row = token < w.length && p.o ? outputOf(p, w, token) : -1;
  if (row < 0) return 0;
  return rowAt(p.o, p.oStrideB, p.oStrideT, p.oStrideH, 4, w.batch, row, w.head) + ((<usize>w.column) << 2);
}

/** Where a token's output is computed: in place if it fills whole panels, else in row `slot` of the scratch. */
export function outputAt(p: DeltaParams, w: DeltaScratch, token: i32, slot: usize): usize {
  const row: usize = w.width & 7 ? 0 : outputRow(p, w, token);
  return row ? row : w.oRows + slot * ((<usize>w.panels) << 5);
}

/** Copies an output that was not computed in place. */
export function copyOutput(p: DeltaParams, w: DeltaScratch, token: i32, slot: usize): void {
  const row: usize = w.width & 7 ? outputRow(p, w, token) : 0;
  if (row) memory.copy(row, w.oRows + slot * ((<usize>w.panels) << 5), (<usize>w.width) << 2);
}

/** Copies what a token writes, row `slot` of each panel, to `written` [B, T, HV, V]. */
export function copyWritten(p: DeltaParams, w: DeltaScratch, token: i32, slot: usize): void {
  if (!p.written) return;
  const row = w.start + token;
  let to = rowAt(p.written, p.writtenStrideB, p.writtenStrideT, p.writtenStrideH, 4, w.batch, row, w.head);
  to += (<usize>w.column) << 2;
  let from = w.written + (slot << 5);
  for (let left = w.width; left > 0; left -= 8) {
    memory.copy(to, from, (<usize>min(left, 8)) << 2);
    to += 32;
    from += 64;
  }
}

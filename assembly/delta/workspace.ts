import { carveItem, ItemScratch } from '../linear/workspace';
import { DeltaParams } from '../params';

/** Tokens of one block: what its first and last pass over the state cost beside the others is shared by them. */
export const BLOCK: i32 = 64;
/** Rows of a record: what is written by two tokens, what reads the state for them; in order for one, with its two writes. */
export const ROWS: usize = 6;
/** Numbers behind the rows of a record, in two vectors. */
const SCALAR_BYTES: usize = 32;

/** Scratch of one thread: an item, and tokens folded by their decays. */
@unmanaged
export class DeltaScratch extends ItemScratch {
  /** f32 [2][6][K4], each with numbers behind it: two tokens, or one where the erase is apart from the write, and those before or after. */
  records: usize;
  recordBytes: usize;
  rowBytes: usize;
  /** f32 [K4]: what the decays of the block before have left. */
  prior: usize;
  /** f32 [K4]: widened rows. */
  aRow: usize;
  bRow: usize;
  /** f32 [K4]: ones. */
  ones: usize;
  /** f32 [panels][2][8]: what the two tokens in work write. */
  written: usize;
  /** f32 [2][V8]: outputs that cannot be written in place. */
  oRows: usize;
}

const DELTA_SCRATCH_BYTES: usize = (offsetof<DeltaScratch>() + 15) & ~15;

/** Lays the scratch out at `at`. */
export function carve(p: DeltaParams, at: usize): DeltaScratch {
  const w = changetype<DeltaScratch>(at);
  carveItem(p, w, at + DELTA_SCRATCH_BYTES, BLOCK);
  const columnBytes = (<usize>((min(p.blockV, p.dv) + 7) >> 3)) << 5;
  w.rowBytes = (<usize>((p.dk + 3) >> 2)) << 4;
  w.recordBytes = ROWS * w.rowBytes + SCALAR_BYTES;
  w.records = w.end;
  w.prior = w.records + 2 * w.recordBytes;
  w.aRow = w.prior + w.rowBytes;
  w.bRow = w.aRow + w.rowBytes;
  w.ones = w.bRow + w.rowBytes;
  w.written = w.ones + w.rowBytes;
  w.oRows = w.written + 2 * columnBytes;
  w.end = w.oRows + 2 * columnBytes;
  return w;
}

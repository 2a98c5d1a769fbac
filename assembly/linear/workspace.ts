import { MR } from '../gemm/panel';
import { LinearParams } from '../params';

/** Tokens of one block: the strips of all columns run over its folded rows while these are in the first-level cache. */
export const BLOCK: i32 = 32;
/** Bytes between the panels of a block: padded, so that neighbouring panels do not share cache sets. */
export const PANEL: usize = <usize>(BLOCK + MR) * 32;

export const READ: i32 = 1;
export const WRITE: i32 = 2;

/** Scratch of one thread: the state of the columns of an item, and one folded block of tokens. */
@unmanaged
export class Workspace {
  /** f32 [panels][K4][8]: the state, decayed up to the start of the current block. */
  state: usize;
  /** f32 [K4 / 4][BLOCK][8]: folded q and k; panels PANEL bytes apart. In read-only mode f32 [BLOCK + MR][K4]: q. */
  qk: usize;
  /** f32 [panels][BLOCK][8], panels PANEL bytes apart. */
  v: usize;
  o: usize;
  /** As o: factors of the outputs, where the columns decay. */
  post: usize;
  /** f32 [K4]: widened rows, zero behind K. */
  qRow: usize;
  kRow: usize;
  uRow: usize;
  gRow: usize;
  /** f32 [K4]: decay of a token; product of the block's decays so far, and with the next token's. */
  decay: usize;
  product: usize;
  next: usize;
  /** f32 [K4]: decay of the state before the block. */
  factor: usize;
  /** f32 [K4]: sum of keys, folded as the state is. */
  z: usize;
  /** f32 [V8]: the same four rows for the columns, and a widened row of v. */
  columnGate: usize;
  columnDecay: usize;
  columnProduct: usize;
  columnNext: usize;
  columnFactor: usize;
  vRow: usize;
  vRead: usize;
  /** f32 [BLOCK]: factor of each output row. */
  scale: usize;
  /** f32 [K4]: zeros. */
  zeros: usize;
  end: usize;

  // the item
  batch: i32;
  head: i32;
  keyHead: i32;
  gateHead: i32;
  sequence: i32;
  /** First token and count of the sequence. */
  start: i32;
  length: i32;
  /** First column and count. */
  column: i32;
  width: i32;
  panels: i32;
  groups: i32;
  /** Tokens by which reading lags behind writing. */
  lag: i32;
  /** Product of a scalar gate's decays, and with the next token's. */
  scalarProduct: f32;
  scalarNext: f32;
}

const WORKSPACE_BYTES: usize = (offsetof<Workspace>() + 15) & ~15;

/** Lays the workspace out at `at`. */
export function carve(p: LinearParams, at: usize): Workspace {
  const w = changetype<Workspace>(at);
  const groups = (p.dk + 3) >> 2;
  const panels = (min(p.blockV, p.dv) + 7) >> 3;
  const rowBytes = (<usize>groups) << 4;
  const columnBytes = (<usize>panels) << 5;
  w.state = at + WORKSPACE_BYTES;
  w.qk = w.state + (rowBytes * columnBytes) / 4;
  w.v = w.qk + <usize>(groups + 1) * PANEL;
  w.o = w.v + <usize>panels * PANEL;
  w.post = w.o + <usize>panels * PANEL;
  w.qRow = w.post + (p.gv ? <usize>panels * PANEL : 0);
  w.kRow = w.qRow + rowBytes;
  w.uRow = w.kRow + rowBytes;
  w.gRow = w.uRow + rowBytes;
  w.decay = w.gRow + rowBytes;
  w.product = w.decay + rowBytes;
  w.next = w.product + rowBytes;
  w.factor = w.next + rowBytes;
  w.z = w.factor + rowBytes;
  w.columnGate = w.z + rowBytes;
  w.columnDecay = w.columnGate + columnBytes;
  w.columnProduct = w.columnDecay + columnBytes;
  w.columnNext = w.columnProduct + columnBytes;
  w.columnFactor = w.columnNext + columnBytes;
  w.vRow = w.columnFactor + columnBytes;
  w.vRead = w.vRow + columnBytes;
  w.scale = w.vRead + columnBytes;
  w.zeros = w.scale + <usize>BLOCK * 4;
  w.end = w.zeros + rowBytes;
  return w;
}

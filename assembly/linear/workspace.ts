import { MR } from '../gemm/panel';
import { LinearParams } from '../params';
import { fillRow } from './decay';

/** Tokens of one block: the strips of all columns run over its folded rows while these are in the first-level cache. */
export const BLOCK: i32 = 32;
/** Tokens of a block that is taken in passes of three. */
export const SWEEP_BLOCK: i32 = 45;
/** Bytes of the record of three tokens. */
export const TRIPLE_BYTES: usize = 80;
/** Bytes between the panels of a block: padded, so that neighbouring panels do not share cache sets. */
export const PANEL: usize = <usize>(BLOCK + MR) * 32;

/** What a call does with the state. */
export const READ: i32 = 1;
export const WRITE: i32 = 2;

/** Gates over the rows of the state. */
export const GATE_SCALAR: i32 = 1;
export const GATE_ROWS: i32 = 2;

/** What the recurrences with matrix states share of a thread's scratch: the item in work, its states, the rows of a token, decays. */
@unmanaged
export class ItemScratch {
  /** Records of the item's heads, one of which is in work: its state, columnProduct, product, z, uRow, total and faded. */
  heads: usize;
  headBytes: usize;
  /** f32 [panels][K4][8]: the state, decayed up to the start of the current block. */
  state: usize;
  /** f32 [BLOCK][K4], or [BLOCK] for scalar gates: product of the decays since the block's first token. */
  products: usize;
  /** f32 [BLOCK][K4]: keys that are 1 - decay. */
  tiedKeys: usize;
  /** f32 [K4]: widened rows of two tokens, zero behind K. */
  qRow: usize;
  qRow2: usize;
  kRow: usize;
  kRow2: usize;
  gRow: usize;
  /** f32 [K4]: u. */
  uRow: usize;
  /** f32 [K4]: decays of a token; decay of the state before the block; product of the decays of the block before. */
  decay: usize;
  factor: usize;
  product: usize;
  /** f32 [K4]: decay of the rows up to the current block. */
  total: usize;
  /** f32: decay of the state since it was last flushed. */
  faded: usize;
  /** f32 [K4]: sum of keys, folded as the state is. */
  z: usize;
  /** f32 [K4]: zeros. */
  zeros: usize;
  /** f32 [V8]: the same for columns, and widened rows of v. */
  columnGate: usize;
  columnDecay: usize;
  columnFactor: usize;
  columnProduct: usize;
  vRow: usize;
  vRow2: usize;
  vZeros: usize;
  end: usize;

  // the item
  batch: i32;
  /** First head and count, and the one in work. */
  firstHead: i32;
  headCount: i32;
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
  /** Whether the state of the head in work decays by `factor` before the block in work. */
  opens: i32;
  /** Of the rows that were read ahead: what is written is not left out by a compiler. */
  touched: i32;

  // reading ahead
  /** Where the next lines of q, k, v and o lie. */
  qAhead: usize;
  kAhead: usize;
  vAhead: usize;
  oAhead: usize;
  /** Bytes from line to line, and from the end of a token's rows to those of the next. */
  qSpan: i32;
  kSpan: i32;
  vSpan: i32;
  oSpan: i32;
  qGap: i32;
  kGap: i32;
  vGap: i32;
  oGap: i32;
  /** Lines of a token, 0 where its rows lie far apart. */
  span: i32;
  /** Tokens left, line of the one at hand, and lines due in units of 1 / aheadPanels; aheadStep of these fall due with two panels. */
  aheadTokens: i32;
  aheadAt: i32;
  aheadDue: i32;
  aheadStep: i32;
  aheadPanels: i32;
}

/** Lays out what is common from `at` on, for blocks of at most `block` tokens; `end` is the first byte behind it. */
export function carveItem(p: LinearParams, w: ItemScratch, at: usize, block: i32): void {
  const groups = (p.dk + 3) >> 2;
  const panels = (min(p.blockV, p.dv) + 7) >> 3;
  const rowBytes = (<usize>groups) << 4;
  const columnBytes = (<usize>panels) << 5;
  const products = p.gateKind == GATE_ROWS ? <usize>block * rowBytes : <usize>block * 4;
  w.heads = at;
  w.headBytes = (rowBytes * columnBytes) / 4 + 4 * rowBytes + columnBytes + 16;
  w.products = w.heads + <usize>p.blockH * w.headBytes;
  w.tiedKeys = w.products + products;
  w.qRow = w.tiedKeys + (p.tied ? products : 0);
  w.qRow2 = w.qRow + rowBytes;
  w.kRow = w.qRow2 + rowBytes;
  w.kRow2 = w.kRow + rowBytes;
  w.gRow = w.kRow2 + rowBytes;
  w.decay = w.gRow + rowBytes;
  w.factor = w.decay + rowBytes;
  w.zeros = w.factor + rowBytes;
  w.columnGate = w.zeros + rowBytes;
  w.columnDecay = w.columnGate + columnBytes;
  w.columnFactor = w.columnDecay + columnBytes;
  w.vRow = w.columnFactor + columnBytes;
  w.vRow2 = w.vRow + columnBytes;
  w.vZeros = w.vRow2 + columnBytes;
  w.end = w.vZeros + max(columnBytes, 64);
}

/** Scratch of one thread: an item, and one folded block of tokens. */
@unmanaged
export class Workspace extends ItemScratch {
  /** f32 [K4 / 4][BLOCK][8]: folded q and k of four rows; panels PANEL bytes apart. In read-only mode f32 [BLOCK + MR][K4]: q. */
  qk: usize;
  /** f32 [panels][BLOCK][8], panels PANEL bytes apart. */
  v: usize;
  o: usize;
  /** As o: products of the decays of columns. */
  columnProducts: usize;
  /** f32 [BLOCK]: factor of each output row. */
  scale: usize;
  /** Three tokens of a pass, as `sweepTriple` has them, and f32 [6][K4]: rows with gates of their own. */
  record: usize;
  gated: usize;
  /** f32 [6][K4]: rows of k and q that are widened. */
  widened: usize;
  /** f32 [V8]: widened row of v of the third. */
  vRow3: usize;
  /** f32 [3][V8]: outputs that cannot be written in place. */
  oRows: usize;
  /** Tokens by which reading lags behind writing. */
  lag: i32;
  /** Whether the block's outputs start from own values. */
  owned: i32;
}

const WORKSPACE_BYTES: usize = (offsetof<Workspace>() + 15) & ~15;

/** Lays the workspace out at `at`. */
export function carve(p: LinearParams, at: usize): Workspace {
  const w = changetype<Workspace>(at);
  const groups = <usize>((p.dk + 3) >> 2);
  const panels = <usize>((min(p.blockV, p.dv) + 7) >> 3);
  carveItem(p, w, at + WORKSPACE_BYTES, max(BLOCK, SWEEP_BLOCK));
  w.qk = w.end;
  w.v = w.qk + (groups + 1) * PANEL;
  w.o = w.v + panels * PANEL;
  w.columnProducts = w.o + panels * PANEL;
  w.scale = w.columnProducts + (p.gv ? panels * PANEL : 0);
  w.record = w.scale + <usize>BLOCK * 4;
  w.gated = w.record + TRIPLE_BYTES;
  w.widened = w.gated + 6 * (groups << 4);
  w.oRows = w.widened + 6 * (groups << 4);
  w.vRow3 = w.oRows + 3 * (panels << 5);
  w.end = w.vRow3 + (panels << 5);
  return w;
}

/** A workspace at `at`, ready for items. */
export function openWorkspace(p: LinearParams, at: usize): Workspace {
  const w = carve(p, at);
  w.lag = p.exclusive ? 1 : 0;
  w.owned = p.bonus || p.bonusScalar || p.skip ? 1 : 0;
  fillRow(w.scale, 1, (BLOCK + 3) >> 2);
  return w;
}

/** Points the workspace at head i of the item. */
export function selectHead(p: LinearParams, w: ItemScratch, i: i32): void {
  const rowBytes = (<usize>w.groups) << 4;
  w.head = w.firstHead + i;
  w.keyHead = w.head / p.group;
  w.gateHead = w.head / p.gateGroup;
  w.state = w.heads + <usize>i * w.headBytes;
  w.columnProduct = w.state + <usize>w.panels * (rowBytes << 3);
  w.product = w.columnProduct + ((<usize>w.panels) << 5);
  w.z = w.product + rowBytes;
  w.uRow = w.z + rowBytes;
  w.total = w.uRow + rowBytes;
  w.faded = w.total + rowBytes;
}

import { MR } from '../gemm/panel';
import { LogLinearParams } from '../params';
import { STATE_FLUSH } from '../simd/constants';
import { flushedBelow } from '../simd/flush';
import { fma } from '../simd/fma';
import { decayOf } from './decay';

/** Tokens of a chunk: its own levels are one masked product, those before it states. */
export const CHUNK: i32 = 64;
/** Bytes between the panels of a chunk's outputs, between its rows of scores, and between its panels of values. */
export const OUT_PANEL: usize = <usize>(CHUNK + MR) * 32;
export const SCORE_ROW: usize = <usize>CHUNK * 4;
export const VALUE_PANEL: usize = <usize>CHUNK * 32;

/** Scratch of one thread: the slots of an item, and one chunk of tokens, each in the row of its place in the chunk. */
@unmanaged
export class Fenwick {
  /** f32 [slots][panels][K rounded up to MR][8]: slot s holds the 2^s tokens of the position's bit s. */
  slots: usize;
  /** f64 [slots]: log decay since the slot was written. */
  fades: usize;
  /** f32 [CHUNK + MR][K4] */
  q: usize;
  /** f32 [CHUNK][K4] keys, then queries times what a slot counts for them, or [CHUNK / 8][K][8] keys times their decays. */
  rows: usize;
  /** f32 [CHUNK / 8][K][8] */
  keys: usize;
  /** f32 [panels][CHUNK][8] */
  v: usize;
  /** f32 [CHUNK + MR][CHUNK] */
  scores: usize;
  /** f32 [panels][CHUNK + MR][8] */
  o: usize;
  /** f32 [CHUNK]: log decays since the chunk's first token in two parts; their exponentials; those of the rest of the chunk. */
  high: usize;
  low: usize;
  decays: usize;
  tails: usize;
  end: usize;

  // the item
  sequence: i32;
  batch: i32;
  head: i32;
  keyHead: i32;
  /** First token and count of the sequence. */
  start: i32;
  length: i32;
  /** Tokens before the next one: bit s tells whether slot s is in use. */
  position: i32;
  /** First column and count. */
  column: i32;
  width: i32;
  panels: i32;
  /** Bytes of a row of queries, of a panel of a slot, and of a slot. */
  rowBytes: usize;
  panelBytes: usize;
  slotBytes: usize;
}

const FENWICK_BYTES: usize = (offsetof<Fenwick>() + 15) & ~15;

/** Lays the scratch out at `at`. */
export function carveFenwick(p: LogLinearParams, at: usize): Fenwick {
  const w = changetype<Fenwick>(at);
  const panels = (<usize>(min(p.blockV, p.dv) + 7)) >> 3;
  const slots = <usize>max(p.slots, 1);
  w.rowBytes = (<usize>((p.dk + 3) >> 2)) << 4;
  w.panelBytes = <usize>((p.dk + MR - 1) / MR) * MR * 32;
  w.slotBytes = panels * w.panelBytes;
  w.fades = at + FENWICK_BYTES;
  w.slots = w.fades + ((slots * 8 + 15) & ~15);
  w.q = w.slots + slots * w.slotBytes;
  w.rows = w.q + <usize>(CHUNK + MR) * w.rowBytes;
  // a tile of MR rows may end past the last key
  w.keys = w.rows + <usize>(CHUNK + MR) * w.rowBytes + <usize>MR * 32;
  w.v = w.keys + <usize>CHUNK * w.rowBytes;
  w.scores = w.v + panels * VALUE_PANEL;
  w.o = w.scores + <usize>(CHUNK + MR) * SCORE_ROW;
  w.high = w.o + panels * OUT_PANEL;
  w.low = w.high + CHUNK * 4;
  w.decays = w.low + CHUNK * 4;
  w.tails = w.decays + CHUNK * 4;
  w.end = w.tails + CHUNK * 4;
  return w;
}

/** The slot that token `token` is in once `position` tokens are past. */
// @ts-ignore: decorator
@inline
export function slotOf(token: i32, position: i32): i32 {
  return 31 - clz<i32>(token ^ position);
}

/** The first token of slot s. */
// @ts-ignore: decorator
@inline
export function slotStart(s: i32, position: i32): i32 {
  return ((position >> s) ^ 1) << s;
}

/** Address of row i of slot s of an item's part of a state f32 [N, HV, slots, K, V]. */
// @ts-ignore: decorator
@inline
function stateRow(base: usize, slots: i32, p: LogLinearParams, w: Fenwick, s: i32, i: i32): usize {
  const row = <usize>((w.sequence * p.heads + w.head) * slots + s) * <usize>p.dk + <usize>i;
  return base + ((row * <usize>p.dv + <usize>w.column) << 2);
}

/** to = from for the first of `left` columns, at most eight. */
// @ts-ignore: decorator
@inline
export function copyColumns(from: usize, to: usize, left: i32): void {
  if (left >= 8) {
    v128.store(to, v128.load(from));
    v128.store(to, v128.load(from, 16), 16);
  } else {
    memory.copy(to, from, (<usize>left) << 2);
  }
}

/** Fills the slots in use from stateIn; columns that pad them are zero. */
export function loadSlots(p: LogLinearParams, w: Fenwick): void {
  for (let s = 0; w.position >> s; ++s) {
    if (!((w.position >> s) & 1)) continue;
    const slot = w.slots + <usize>s * w.slotBytes;
    if (w.width & 7) memory.fill(slot, 0, w.slotBytes);
    store<f64>(w.fades + ((<usize>s) << 3), 0);
    for (let i = 0; i < p.dk; ++i) {
      let from = stateRow(p.stateIn, p.slotsIn, p, w, s, i);
      let to = slot + ((<usize>i) << 5);
      for (let left = w.width; left > 0; left -= 8) {
        copyColumns(from, to, left);
        from += 32;
        to += w.panelBytes;
      }
    }
  }
}

/** Writes the slots in use, decayed up to now, and zeros for those that `before` used or, in a new tensor, for all others. */
export function storeSlots(p: LogLinearParams, w: Fenwick, before: i32): void {
  for (let s = 0; s < p.slotsOut; ++s) {
    if ((w.position >> s) & 1) storeSlot(p, w, s);
    else if (p.stateIn != p.stateOut || (before >> s) & 1) clearSlot(p, w, s);
  }
}

function storeSlot(p: LogLinearParams, w: Fenwick, s: i32): void {
  const flush = v128.load(STATE_FLUSH);
  const factor = f32x4.splat(decayOf(<f32>load<f64>(w.fades + ((<usize>s) << 3))));
  const slot = w.slots + <usize>s * w.slotBytes;
  for (let i = 0; i < p.dk; ++i) {
    let to = stateRow(p.stateOut, p.slotsOut, p, w, s, i);
    let from = slot + ((<usize>i) << 5);
    for (let left = w.width; left > 0; left -= 8) {
      v128.store(from, flushedBelow(f32x4.mul(v128.load(from), factor), flush));
      v128.store(from, flushedBelow(f32x4.mul(v128.load(from, 16), factor), flush), 16);
      copyColumns(from, to, left);
      to += 32;
      from += w.panelBytes;
    }
  }
}

function clearSlot(p: LogLinearParams, w: Fenwick, s: i32): void {
  for (let i = 0; i < p.dk; ++i) memory.fill(stateRow(p.stateOut, p.slotsOut, p, w, s, i), 0, (<usize>w.width) << 2);
}

/** Slot `to` += factor * slot `from`. */
export function mergeSlot(p: LogLinearParams, w: Fenwick, from: i32, to: i32, factor: f32): void {
  const f = f32x4.splat(factor);
  const flush = v128.load(STATE_FLUSH);
  for (let c: usize = 0; c < w.slotBytes; c += w.panelBytes) {
    let source = w.slots + <usize>from * w.slotBytes + c;
    let target = w.slots + <usize>to * w.slotBytes + c;
    for (let left = p.dk << 1; left > 0; --left) {
      v128.store(target, flushedBelow(fma(v128.load(source), f, v128.load(target)), flush));
      source += 16;
      target += 16;
    }
  }
}

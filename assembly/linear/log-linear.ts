import { sequenceAt, sequenceOfItem } from '../flash/sequence';
import { MR, panels } from '../gemm/panel';
import { transposePanel } from '../gemm/transpose';
import { LogLinearParams } from '../params';
import { EXP2_1, EXP2_2, EXP2_3, EXP2_4, EXP2_5, EXP2_FLUSH, STATE_FLUSH, LOG2E, ONE, ROUND } from '../simd/constants';
import { exp2With } from '../simd/exp2';
import { elementBytes, widenRow } from '../simd/storage';
import { decayOf, decayRow } from './decay';
import {
  carveFenwick,
  CHUNK,
  copyColumns,
  Fenwick,
  loadSlots,
  mergeSlot,
  OUT_PANEL,
  SCORE_ROW,
  slotOf,
  slotStart,
  storeSlots,
  VALUE_PANEL,
} from './fenwick';

/** A gate this strong leaves nothing of an f32; sums of it keep the small gates beside it. */
const STRONGEST: f32 = -1000;

/** Elements before token `token` of the item's sequence in a tensor [B, T, ...] at head `head`. */
// @ts-ignore: decorator
@inline
function elementAt(w: Fenwick, strideB: i32, strideT: i32, strideH: i32, token: i32, head: i32): usize {
  return <usize>w.batch * <usize>strideB + <usize>(w.start + token) * <usize>strideT + <usize>head * <usize>strideH;
}

/** Weights of the levels for a token. */
// @ts-ignore: decorator
@inline
function levelsAt(p: LogLinearParams, w: Fenwick, token: i32): usize {
  const element = elementAt(w, p.levelScalesStrideB, p.levelScalesStrideT, p.levelScalesStrideH, token, w.head);
  return p.levelScales + (element << 2);
}

/** Cumulative log gates of rows [r0, r1), zero in the rows up to whole panels around them; the sum. */
function sumGates(p: LogLinearParams, w: Fenwick, token: i32, r0: i32, r1: i32): f64 {
  memory.fill(w.high, 0, <usize>CHUNK * 4);
  memory.fill(w.low, 0, <usize>CHUNK * 4);
  let sum: f64 = 0;
  for (let r = r0; r < r1; ++r) {
    let g = load<f32>(p.g + (elementAt(w, p.gStrideB, p.gStrideT, p.gStrideH, token + r - r0, w.head) << 2));
    if (g < STRONGEST) g = STRONGEST;
    sum += <f64>g;
    const high = <f32>sum;
    store<f32>(w.high + ((<usize>r) << 2), high);
    store<f32>(w.low + ((<usize>r) << 2), <f32>(sum - <f64>high));
  }
  decayRow(w.high, w.decays, CHUNK >> 2);
  return sum;
}

/** Queries, keys and values of rows [r0, r1); keys and values are zero in the rows up to whole panels around them. */
function loadChunk(p: LogLinearParams, w: Fenwick, token: i32, r0: i32, r1: i32): void {
  const first = r0 & ~7;
  const last = (r1 + 7) & ~7;
  const qBytes = elementBytes(p.qType);
  const kBytes = elementBytes(p.kType);
  const vBytes = elementBytes(p.vType);
  for (let r = first; r < last; ++r) {
    const at = token + r - r0;
    const inside = r >= r0 && r < r1;
    const k = w.rows + <usize>r * w.rowBytes;
    let v = w.v + ((<usize>r) << 5);
    if (!inside) {
      memory.fill(k, 0, w.rowBytes);
      for (let c = w.panels; c > 0; --c) {
        memory.fill(v, 0, 32);
        v += VALUE_PANEL;
      }
      continue;
    }
    const q = p.q + elementAt(w, p.qStrideB, p.qStrideT, p.qStrideH, at, w.keyHead) * qBytes;
    widenRow(q, p.qType, w.q + <usize>r * w.rowBytes, p.dk, 1);
    widenRow(p.k + elementAt(w, p.kStrideB, p.kStrideT, p.kStrideH, at, w.keyHead) * kBytes, p.kType, k, p.dk, 1);
    let from = p.v + (elementAt(w, p.vStrideB, p.vStrideT, p.vStrideH, at, w.head) + <usize>w.column) * vBytes;
    for (let left = w.width; left > 0; left -= 8) {
      if (left < 8) memory.fill(v, 0, 32);
      widenRow(from, p.vType, v, min(left, 8), 1);
      from += vBytes << 3;
      v += VALUE_PANEL;
    }
  }
  for (let r = first; r < last; r += 8) {
    transposePanel(w.rows + <usize>r * w.rowBytes, w.rowBytes, w.keys + ((<usize>(r * p.dk)) << 2), p.dk);
  }
}

/**
 * Scores of row r with the keys of columns [first, last), whole groups of four: times their decays and the weights of their levels,
 * zero behind r. A group of four that r is not in is of one level.
 */
function weigh(w: Fenwick, levels: usize, r: i32, first: i32, last: i32): void {
  const log2e = f32x4.splat(LOG2E);
  const round = v128.load(ROUND);
  const e1 = v128.load(EXP2_1);
  const e2 = v128.load(EXP2_2);
  const e3 = v128.load(EXP2_3);
  const e4 = v128.load(EXP2_4);
  const e5 = v128.load(EXP2_5);
  const one = v128.load(ONE);
  const flush = v128.load(EXP2_FLUSH);
  const high = v128.load32_splat(w.high + ((<usize>r) << 2));
  const low = v128.load32_splat(w.low + ((<usize>r) << 2));
  const scores = w.scores + <usize>r * SCORE_ROW;
  const own = r & ~3;
  for (let c = first; c <= own; c += 4) {
    const at = (<usize>c) << 2;
    const rise = f32x4.add(f32x4.sub(high, v128.load(w.high + at)), f32x4.sub(low, v128.load(w.low + at)));
    let x = exp2With(f32x4.mul(rise, log2e), round, e1, e2, e3, e4, e5, one, flush);
    x = f32x4.mul(x, v128.load(scores + at));
    if (c < own) {
      x = f32x4.mul(x, v128.load32_splat(levels + ((<usize>(1 + slotOf(c, r))) << 2)));
    } else {
      const l0 = v128.load32_splat(levels);
      const l1 = r & 3 ? v128.load32_splat(levels, 4) : l0;
      const l2 = r & 2 ? v128.load32_splat(levels, 8) : l0;
      // place of r in its group: levels of the four columns up to it
      const place = r & 3;
      let l = l0;
      if (place == 1) l = i32x4.shuffle(l1, l0, 0, 4, 4, 4);
      else if (place == 2) l = i32x4.shuffle(l2, l0, 0, 0, 4, 4);
      else if (place == 3) l = i32x4.shuffle(l2, i32x4.shuffle(l1, l0, 0, 4, 4, 4), 0, 0, 4, 5);
      const inside = i32x4.ge_s(i32x4.splat(place), i32x4(0, 1, 2, 3));
      x = v128.and(f32x4.mul(x, l), inside);
    }
    v128.store(scores + at, x);
  }
  for (let c = own + 4; c < last; c += 4) v128.store(scores + ((<usize>c) << 2), i32x4.splat(0));
}

/** Outputs of rows [r0, r1) from the keys of the chunk. */
function readChunk(p: LogLinearParams, w: Fenwick, token: i32, r0: i32, r1: i32): void {
  const first = r0 & ~7;
  const keyPanel = (<usize>p.dk) << 5;
  for (let row = r0; row < r1; row += MR) {
    const rows = min(MR, r1 - row);
    const last = (row + rows + 3) & ~3;
    const scores = w.scores + <usize>row * SCORE_ROW + ((<usize>first) << 2);
    panels(
      (last - first + 7) >> 3,
      w.q + <usize>row * w.rowBytes,
      w.rowBytes,
      w.keys + <usize>(first >> 3) * keyPanel,
      keyPanel,
      scores,
      32,
      SCORE_ROW,
      p.dk,
      0,
    );
    for (let r = row; r < row + rows; ++r) weigh(w, levelsAt(p, w, token + r - r0), r, first, last);
    panels(
      w.panels,
      scores,
      SCORE_ROW,
      w.v + ((<usize>first) << 5),
      VALUE_PANEL,
      w.o + ((<usize>row) << 5),
      OUT_PANEL,
      32,
      last - first,
      0,
    );
  }
}

/** Adds what rows [r0, r1) read of slot s. */
function readSlot(p: LogLinearParams, w: Fenwick, s: i32, token: i32, r0: i32, r1: i32): void {
  const fade = decayOf(<f32>load<f64>(w.fades + ((<usize>s) << 3)));
  const start = slotStart(s, w.position);
  const flush = load<f32>(STATE_FLUSH);
  for (let r = r0; r < r1; ++r) {
    const level = 1 + slotOf(start, w.position + r - r0);
    const weight = load<f32>(levelsAt(p, w, token + r - r0) + ((<usize>level) << 2));
    let factor = weight * fade * load<f32>(w.decays + ((<usize>r) << 2));
    // products with less would be denormal
    if (abs<f32>(factor) < flush) factor = 0;
    widenRow(w.q + <usize>r * w.rowBytes, 0, w.rows + <usize>r * w.rowBytes, p.dk, factor);
  }
  const slot = w.slots + <usize>s * w.slotBytes;
  for (let row = r0; row < r1; row += MR) {
    panels(
      w.panels,
      w.rows + <usize>row * w.rowBytes,
      w.rowBytes,
      slot,
      w.panelBytes,
      w.o + ((<usize>row) << 5),
      OUT_PANEL,
      32,
      p.dk,
      1,
    );
  }
}

/** Slot s = sum of k v over rows [from, to), decayed up to row `now`. */
function writeSlot(p: LogLinearParams, w: Fenwick, s: i32, from: i32, to: i32, now: i32): void {
  const first = from >> 3;
  const last = (to + 7) >> 3;
  const high = v128.load32_splat(w.high + ((<usize>now) << 2));
  const low = v128.load32_splat(w.low + ((<usize>now) << 2));
  for (let c = first << 3; c < last << 3; c += 4) {
    const at = (<usize>c) << 2;
    v128.store(w.tails + at, f32x4.add(f32x4.sub(high, v128.load(w.high + at)), f32x4.sub(low, v128.load(w.low + at))));
  }
  decayRow(w.tails + ((<usize>first) << 5), w.tails + ((<usize>first) << 5), (last - first) << 1);
  for (let r = first << 3; r < from; ++r) store<f32>(w.tails + ((<usize>r) << 2), 0);
  for (let r = to; r < last << 3; ++r) store<f32>(w.tails + ((<usize>r) << 2), 0);
  const keyPanel = (<usize>p.dk) << 5;
  for (let c = first; c < last; ++c) {
    let source = w.keys + <usize>c * keyPanel;
    let target = w.rows + <usize>c * keyPanel;
    const t0 = v128.load(w.tails + ((<usize>c) << 5));
    const t1 = v128.load(w.tails + ((<usize>c) << 5), 16);
    for (let i = p.dk; i > 0; --i) {
      v128.store(target, f32x4.mul(v128.load(source), t0));
      v128.store(target, f32x4.mul(v128.load(source, 16), t1), 16);
      source += 32;
      target += 32;
    }
  }
  const slot = w.slots + <usize>s * w.slotBytes;
  for (let row: usize = 0; row < <usize>p.dk; row += MR) {
    for (let c = first; c < last; ++c) {
      panels(
        w.panels,
        w.rows + <usize>c * keyPanel + (row << 5),
        32,
        w.v + ((<usize>c) << 8),
        VALUE_PANEL,
        slot + (row << 5),
        w.panelBytes,
        32,
        8,
        c > first ? 1 : 0,
      );
    }
  }
}

/** Takes rows [r0, r1) into the slots, which merge as a binary counter carries. */
function advance(p: LogLinearParams, w: Fenwick, r0: i32, r1: i32, sum: f64): void {
  const before = w.position;
  const after = before + r1 - r0;
  for (let r = r0; r < r1;) {
    const s = slotOf(before + r - r0, after);
    const stop = min(r1, r0 + ((after >> s) << s) - before);
    writeSlot(p, w, s, r, stop, r1 - 1);
    r = stop;
  }
  for (let s = 0; before >> s; ++s) {
    if (!((before >> s) & 1)) continue;
    const fade = sum + load<f64>(w.fades + ((<usize>s) << 3));
    const target = slotOf(slotStart(s, before), after);
    if (target == s) store<f64>(w.fades + ((<usize>s) << 3), fade);
    else mergeSlot(p, w, s, target, decayOf(<f32>fade));
  }
  for (let s = 0; after >> s; ++s) {
    // slots whose bit was not set before, or that have merged and been written anew since, hold the present
    if (!((before >> s) & 1) || slotOf(slotStart(s, before), after) != s) {
      store<f64>(w.fades + ((<usize>s) << 3), 0);
    }
  }
  w.position = after;
}

function writeOutputs(p: LogLinearParams, w: Fenwick, token: i32, r0: i32, r1: i32): void {
  for (let r = r0; r < r1; ++r) {
    const element = elementAt(w, p.oStrideB, p.oStrideT, p.oStrideH, token + r - r0, w.head);
    let to = p.o + ((element + <usize>w.column) << 2);
    let from = w.o + ((<usize>r) << 5);
    for (let left = w.width; left > 0; left -= 8) {
      copyColumns(from, to, left);
      to += 32;
      from += OUT_PANEL;
    }
  }
}

function openItem(p: LogLinearParams, w: Fenwick, item: i32): void {
  const columnGroups = (p.dv + p.blockV - 1) / p.blockV;
  w.sequence = sequenceOfItem(p.sequences, p.sequenceCount, item);
  const sequence = sequenceAt(p.sequences, w.sequence);
  const within = item - sequence.firstItem;
  w.head = within / columnGroups;
  w.keyHead = w.head / p.group;
  w.batch = sequence.batch;
  w.start = sequence.qStart;
  w.length = sequence.qLength;
  w.position = sequence.offset;
  w.column = (within - w.head * columnGroups) * p.blockV;
  w.width = min(p.blockV, p.dv - w.column);
  w.panels = (w.width + 7) >> 3;
  w.slotBytes = <usize>w.panels * w.panelBytes;
}

/**
 * Log-linear attention: o_t = sum_l levelScales_t[l] q_t S_t^l, where S^0 is the token itself and S^l, l > 0, the state
 * S_t = e^g_t S_{t-1} + k_t v_t of the tokens of bit l - 1 of the position t, the highest bits first (a Fenwick tree).
 *
 *   q, k         any storage [B, T, H, K]   rows contiguous
 *   v            any storage [B, T, HV, V]  rows contiguous; value head h reads key head h / group
 *   g            f32 [B, T, HV]             natural log of the decay
 *   levelScales  f32 [B, T, HV, L]          rows contiguous; L > the highest level of a position
 *   o            f32 [B, T, HV, V]          rows contiguous; must not alias an input
 *   stateIn      f32 [N, HV, slotsIn, K, V] contiguous: slot s holds the tokens of bit s of the position
 *   stateOut     f32 [N, HV, slotsOut, K, V] contiguous; may be stateIn
 *   positionOut  i32 [N]                    tokens so far; those before the call are the sequence's `offset`
 *
 * Guo 2025. Within a chunk of 64 positions the weights of the levels mask q k; a slot is read by a whole chunk at once. Decays are
 * exponentials of differences, never divided by. Item: one sequence, head and group of columns. Scratch: logLinearScratchBytes.
 */
export function logLinear(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<LogLinearParams>(params);
  const w = carveFenwick(p, scratch);
  for (let item = begin; item < end; ++item) {
    openItem(p, w, item);
    const before = w.position;
    loadSlots(p, w);
    for (let token = 0; token < w.length;) {
      const r0 = w.position & (CHUNK - 1);
      const r1 = min(CHUNK, r0 + w.length - token);
      const sum = sumGates(p, w, token, r0, r1);
      loadChunk(p, w, token, r0, r1);
      readChunk(p, w, token, r0, r1);
      for (let s = 0; w.position >> s; ++s) {
        if ((w.position >> s) & 1) readSlot(p, w, s, token, r0, r1);
      }
      writeOutputs(p, w, token, r0, r1);
      advance(p, w, r0, r1, sum);
      token += r1 - r0;
    }
    storeSlots(p, w, before);
    if (w.head == 0 && w.column == 0) store<i32>(p.positionOut + ((<usize>w.sequence) << 2), w.position);
  }
}

/** Bytes of scratch that `logLinear` needs. */
export function logLinearScratchBytes(params: usize, scratch: usize): i32 {
  return <i32>(carveFenwick(changetype<LogLinearParams>(params), scratch).end - scratch);
}

import { scoreF32, scoreF32x4 } from '../decode/score';
import { mixF32, mixF32x4 } from '../decode/value';
import { capRow } from '../flash/scores';
import { SlotParams } from '../params';
import { LOG2E } from '../simd/constants';
import { elementBytes, F32, widenRow } from '../simd/storage';
import { keySlot, moveSlot, putToken, scaleOffset, valueSlot } from './put';
import { victimOf } from './victim';
import { BLOCK, BLOCK_ROW, softmaxBlocks } from './weights';

/** Scratch of one thread. */
@unmanaged
class Space {
  /** Rows of q, scores and acc: one, or a multiple of four. */
  rows: i32;
  /** f32 [rows, width of keys], scaled. */
  q: usize;
  /** f32 [blocks, rows, 64] */
  scores: usize;
  /** f32 [rows, width of values] */
  acc: usize;
  /** f32 [64, the wider width]: slots of a block that are not f32; its first row is room for a row that comes in. */
  tile: usize;
  end: usize;
}

const SPACE_BYTES: usize = 32;

function carve(p: SlotParams, at: usize): Space {
  const s = changetype<Space>(at);
  s.rows = p.group == 1 ? 1 : (p.group + 3) & ~3;
  const rows = <usize>s.rows;
  const blocks = <usize>((p.slots + BLOCK - 1) / BLOCK);
  const widened = p.kType != F32 || p.vType != F32;
  s.q = (at + SPACE_BYTES + 15) & ~15;
  s.scores = s.q + rows * ((<usize>p.kStrideT) << 2);
  s.acc = s.scores + blocks * rows * BLOCK_ROW;
  s.tile = s.acc + rows * ((<usize>p.vStrideT) << 2);
  s.end = s.tile + (widened ? <usize>BLOCK * ((<usize>max(p.kStrideT, p.vStrideT)) << 2) : 0);
  return s;
}

/** Bytes of scratch that one thread of `slotAttend` and `putTokens` needs; `scratch` has room for 64 bytes. */
export function slotScratchBytes(params: usize, scratch: usize): i32 {
  return <i32>(carve(changetype<SlotParams>(params), scratch).end - scratch);
}

/** Query i of the heads that share key/value head h, scaled; zeros up to whole rows and vectors. */
function loadQueries(p: SlotParams, s: Space, batch: i32, h: i32, i: i32): void {
  const rowBytes = (<usize>p.kStrideT) << 2;
  const factor = p.softcap != 0 ? p.scale / p.softcap : p.scale * LOG2E;
  memory.fill(s.q, 0, <usize>s.rows * rowBytes);
  for (let r = 0; r < p.group; ++r) {
    const at = batch * p.qStrideB + i * p.qStrideT + (h * p.group + r) * p.qStrideH;
    const q = p.q + <usize>at * elementBytes(p.qType);
    widenRow(q, p.qType, s.q + <usize>r * rowBytes, p.dk, factor);
  }
}

/** Slots [first, first + n) in f32: where they lie, or widened into the tile. */
// @ts-ignore: decorator
@inline
function rowsOf(p: SlotParams, s: Space, at: usize, type: i32, width: i32, scale: usize, n: i32): usize {
  if (type == F32) return at;
  const bytes = <usize>width * elementBytes(type);
  let to = s.tile;
  for (let j = 0; j < n; ++j) {
    widenRow(at, type, to, width, scale ? load<f32>(scale + <usize>j * ((<usize>p.scaleStrideT) << 2)) : 1);
    at += bytes;
    to += (<usize>width) << 2;
  }
  return s.tile;
}

/** Address of slot j of key/value head h among those in f32. */
// @ts-ignore: decorator
@inline
function wideSlot(p: SlotParams, wide: usize, width: i32, batch: i32, h: i32, j: i32): usize {
  return wide + <usize>((batch * p.kvHeads + h) * p.slots + j) * ((<usize>width) << 2);
}

/** Writes slots [from, to) of key/value head h in f32. */
function widenSlots(p: SlotParams, batch: i32, h: i32, from: i32, to: i32): void {
  for (let j = from; j < to; ++j) {
    const scale = scaleOffset(p, batch, h, j);
    const k = wideSlot(p, p.wideK, p.kStrideT, batch, h, j);
    widenRow(keySlot(p, batch, h, j), p.kType, k, p.kStrideT, p.kScale ? load<f32>(p.kScale + scale) : 1);
    const v = wideSlot(p, p.wideV, p.vStrideT, batch, h, j);
    widenRow(valueSlot(p, batch, h, j), p.vType, v, p.vStrideT, p.vScale ? load<f32>(p.vScale + scale) : 1);
  }
}

/** Keys of slots [first, first + n) in f32. */
function keysOf(p: SlotParams, s: Space, batch: i32, h: i32, first: i32, n: i32): usize {
  if (p.wideK) return wideSlot(p, p.wideK, p.kStrideT, batch, h, first);
  const scale = p.kScale ? p.kScale + scaleOffset(p, batch, h, first) : 0;
  return rowsOf(p, s, keySlot(p, batch, h, first), p.kType, p.kStrideT, scale, n);
}

/** Values of slots [first, first + n) in f32. */
function valuesOf(p: SlotParams, s: Space, batch: i32, h: i32, first: i32, n: i32): usize {
  if (p.wideV) return wideSlot(p, p.wideV, p.vStrideT, batch, h, first);
  const scale = p.vScale ? p.vScale + scaleOffset(p, batch, h, first) : 0;
  return rowsOf(p, s, valueSlot(p, batch, h, first), p.vType, p.vStrideT, scale, n);
}

/** Attention of query i of the heads that share key/value head h to the n slots that are held; weights are added to sums. */
function attendHead(p: SlotParams, s: Space, batch: i32, h: i32, i: i32, n: i32, sums: usize): void {
  const kBytes = (<usize>p.kStrideT) << 2;
  const vBytes = (<usize>p.vStrideT) << 2;
  const blockBytes = <usize>s.rows * BLOCK_ROW;
  loadQueries(p, s, batch, h, i);
  let scores = s.scores;
  for (let first = 0; first < n; first += BLOCK) {
    const count = min(BLOCK, n - first);
    const keys = keysOf(p, s, batch, h, first, count);
    if (s.rows == 1) {
      scoreF32(s.q, keys, kBytes, scores, count, p.kStrideT);
    } else {
      for (let r: usize = 0; r < <usize>s.rows; r += 4) {
        scoreF32x4(s.q + r * kBytes, keys, kBytes, scores + r * BLOCK_ROW, count, p.kStrideT);
      }
    }
    if (p.softcap != 0) {
      for (let r: usize = 0; r < <usize>p.group; ++r) {
        capRow(scores + r * BLOCK_ROW, (count + 3) & ~3, p.softcap * LOG2E);
      }
    }
    scores += blockBytes;
  }
  for (let r: usize = 0; r < <usize>p.group; ++r) softmaxBlocks(s.scores + r * BLOCK_ROW, blockBytes, n, sums);
  memory.fill(s.acc, 0, <usize>s.rows * vBytes);
  scores = s.scores;
  for (let first = 0; first < n; first += BLOCK) {
    const count = min(BLOCK, n - first);
    const values = valuesOf(p, s, batch, h, first, count);
    if (s.rows == 1) {
      mixF32(scores, values, vBytes, s.acc, count, p.vStrideT);
    } else {
      for (let r: usize = 0; r < <usize>s.rows; r += 4) {
        mixF32x4(scores + r * BLOCK_ROW, values, vBytes, s.acc + r * vBytes, vBytes, count, p.vStrideT);
      }
    }
    scores += blockBytes;
  }
  for (let r = 0; r < p.group; ++r) {
    const at = batch * p.oStrideB + i * p.oStrideT + (h * p.group + r) * p.oStrideH;
    memory.copy(p.o + ((<usize>at) << 2), s.acc + <usize>r * vBytes, (<usize>p.dv) << 2);
  }
}

/**
 * Causal attention over a bounded set of slots, token by token: a token is put into a slot, its query attends to all slots that are
 * held, and where they are then more than `budget`, one is let go.
 *
 *   q          f32, f16 or bf16 [B, queries, H, dk]   queries of the last new tokens; those before have none
 *   newK       f32, f16 or bf16 [B, tokens, Hkv, dk]  any strides, last axis contiguous, as for q and newV
 *   newV       f32, f16 or bf16 [B, tokens, Hkv, dv]
 *   k          f32, f16, bf16 or i8 [B, slots, Hkv, width]   width = kStrideT, dk rounded up to a multiple of 8: zeros behind dk
 *   v          likewise                                       width = vStrideT
 *   kScale, vScale  f32 [B, slots, Hkv]    i8 only
 *   wideK, wideV    f32 [B, Hkv, slots, width]   room for slots of another type, widened once for all tokens
 *   positions  i32 [B, units, slots]       of the tokens held; contiguous
 *   sums       f32 [B, units, slots]       weights that each has got; contiguous
 *   o          f32 [B, queries, H, dv]     any strides, last axis contiguous; nothing may alias
 *
 *   A unit is `unitHeads` key/value heads that let the same tokens go. p = softmax(scale q k) over the slots held, o = p v;
 *   sums_j += sum of p_j over the unit's query heads (H2O, Zhang 2023: addSums), or sums_j = that of the newest query (TOVA, Oren 2024).
 *   Let go: the least sum among tokens that are not the last `recent`, of equals the earliest. The newest token then takes its slot, so
 *   slots [0, held) stay filled.
 *
 * Item: one (batch, unit). Scratch: slotScratchBytes.
 */
export function slotAttend(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<SlotParams>(params);
  const s = carve(p, scratch);
  const units = p.kvHeads / p.unitHeads;
  for (let item = begin; item < end; ++item) {
    const batch = item / units;
    const firstHead = (item - batch * units) * p.unitHeads;
    const endHead = firstHead + p.unitHeads;
    const table = <usize>item * ((<usize>p.slots) << 2);
    const positions = p.positions + table;
    const sums = p.sums + table;
    let n = p.held;
    if (p.wideK) for (let h = firstHead; h < endHead; ++h) widenSlots(p, batch, h, 0, n);
    for (let t = 0; t < p.tokens; ++t) {
      // a row that comes in needs room in the tile only where slots are not f32
      for (let h = firstHead; h < endHead; ++h) {
        putToken(p, batch, h, t, n, s.tile);
        if (p.wideK) widenSlots(p, batch, h, n, n + 1);
      }
      store<i32>(positions + ((<usize>n) << 2), p.start + t);
      store<f32>(sums + ((<usize>n) << 2), 0);
      ++n;
      const i = t - (p.tokens - p.queries);
      if (i >= 0) {
        if (!p.addSums) memory.fill(sums, 0, (<usize>n) << 2);
        for (let h = firstHead; h < endHead; ++h) attendHead(p, s, batch, h, i, n, sums);
      }
      if (n <= p.budget) continue;
      const victim = victimOf(sums, positions, n, p.start + t - p.recent);
      --n;
      if (victim == n) continue;
      for (let h = firstHead; h < endHead; ++h) {
        moveSlot(p, batch, h, n, victim);
        if (p.wideK) widenSlots(p, batch, h, victim, victim + 1);
      }
      store<i32>(positions + ((<usize>victim) << 2), load<i32>(positions + ((<usize>n) << 2)));
      store<f32>(sums + ((<usize>victim) << 2), load<f32>(sums + ((<usize>n) << 2)));
    }
  }
}

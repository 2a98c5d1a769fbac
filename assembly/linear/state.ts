import { LinearParams } from '../params';
import { FOLDED_FLUSH } from '../simd/constants';
import { flushedBelow } from '../simd/flush';
import { leastOf } from './decay';
import { ItemScratch } from './workspace';

/** 2^-8: decay since the state was last flushed, beyond which it is flushed again. */
const FLUSH_DECAY: f32 = 0.00390625;

/** Address of an item's part of a state. */
// @ts-ignore: decorator
@inline
function part(base: usize, w: ItemScratch, strideN: i32, strideH: i32, strideV: i32): usize {
  const element =
    <usize>w.sequence * <usize>strideN + <usize>w.head * <usize>strideH + <usize>w.column * <usize>strideV;
  return base + (element << 2);
}

/** Fills the panels from stateIn, or with zeros; what pads them is zero. */
export function loadState(p: LinearParams, w: ItemScratch): void {
  const panelBytes = (<usize>w.groups) << 7;
  memory.fill(w.state, 0, <usize>w.panels * panelBytes);
  if (!p.stateIn) return;
  const step = (<usize>p.inStrideV) << 2;
  const first = part(p.stateIn, w, p.inStrideN, p.inStrideH, p.inStrideV);
  for (let i = 0; i < p.dk; ++i) {
    let from = first + ((<usize>i * <usize>p.inStrideK) << 2);
    let to = w.state + ((<usize>i) << 5);
    for (let left = w.width; left > 0; left -= 8) {
      if (left >= 8 && step == 4) {
        v128.store(to, v128.load(from));
        v128.store(to, v128.load(from, 16), 16);
      } else {
        for (let j: usize = 0; j < <usize>min(left, 8); ++j) store<f32>(to + (j << 2), load<f32>(from + j * step));
      }
      from += step << 3;
      to += panelBytes;
    }
  }
}

/** Writes product S to stateOut. */
export function storeState(p: LinearParams, w: ItemScratch): void {
  const to = part(p.stateOut, w, p.stateStrideN, p.stateStrideH, p.stateStrideV);
  writeState(p, w, to, p.stateStrideK, p.stateStrideV);
}

/** Writes product S to the matrix whose first element of the item is at `first`. */
export function writeState(p: LinearParams, w: ItemScratch, first: usize, strideK: i32, strideV: i32): void {
  const panelBytes = (<usize>w.groups) << 7;
  const step = (<usize>strideV) << 2;
  for (let i = 0; i < p.dk; ++i) {
    const factor = v128.load32_splat(w.product + ((<usize>i) << 2));
    let from = w.state + ((<usize>i) << 5);
    let to = first + ((<usize>i * <usize>strideK) << 2);
    for (let left = w.width; left > 0; left -= 8) {
      const low = f32x4.mul(v128.load(from), factor);
      const high = f32x4.mul(v128.load(from, 16), factor);
      if (left >= 8 && step == 4) {
        v128.store(to, low);
        v128.store(to, high, 16);
      } else {
        // lane by lane: the state itself goes on
        store<f32>(to, f32x4.extract_lane(low, 0));
        if (left > 1) store<f32>(to + step, f32x4.extract_lane(low, 1));
        if (left > 2) store<f32>(to + 2 * step, f32x4.extract_lane(low, 2));
        if (left > 3) store<f32>(to + 3 * step, f32x4.extract_lane(low, 3));
        if (left > 4) store<f32>(to + 4 * step, f32x4.extract_lane(high, 0));
        if (left > 5) store<f32>(to + 5 * step, f32x4.extract_lane(high, 1));
        if (left > 6) store<f32>(to + 6 * step, f32x4.extract_lane(high, 2));
        if (left > 7) store<f32>(to + 7 * step, f32x4.extract_lane(high, 3));
      }
      from += panelBytes;
      to += step << 3;
    }
  }
}

/** Multiplies the rows of the state by w.factor and flushes what has become too small. */
export function fadeState(w: ItemScratch): void {
  const flush = v128.load(FOLDED_FLUSH);
  let state = w.state;
  for (let c = w.panels; c > 0; --c) {
    let factor = w.factor;
    for (let i = w.groups << 2; i > 0; --i) {
      const f = v128.load32_splat(factor);
      v128.store(state, flushedBelow(f32x4.mul(v128.load(state), f), flush));
      v128.store(state, flushedBelow(f32x4.mul(v128.load(state, 16), f), flush), 16);
      state += 32;
      factor += 4;
    }
  }
}

/** Whether the first pass over the state multiplies it by its decay up to this block; where it has decayed far, it is done here, with a flush. */
export function fadesInPass(p: LinearParams, w: ItemScratch): i32 {
  if (!p.gateKind) return 0;
  const decay = load<f32>(w.faded) * leastOf(w.factor, w.groups);
  const near = decay > FLUSH_DECAY;
  store<f32>(w.faded, near ? decay : 1);
  if (!near) fadeState(w);
  return near ? 1 : 0;
}

/** Multiplies the sum of keys by w.factor, likewise. */
export function fadeKeySum(w: ItemScratch): void {
  const flush = v128.load(FOLDED_FLUSH);
  let z = w.z;
  let factor = w.factor;
  for (let left = w.groups; left > 0; --left) {
    v128.store(z, flushedBelow(f32x4.mul(v128.load(z), v128.load(factor)), flush));
    z += 16;
    factor += 16;
  }
}

/** Multiplies the columns of the state by `factor` [V8] and flushes what has become too small. */
export function scaleColumns(w: ItemScratch, factor: usize): void {
  const flush = v128.load(FOLDED_FLUSH);
  let state = w.state;
  for (let c = w.panels; c > 0; --c) {
    const low = v128.load(factor);
    const high = v128.load(factor, 16);
    for (let i = w.groups << 2; i > 0; --i) {
      v128.store(state, flushedBelow(f32x4.mul(v128.load(state), low), flush));
      v128.store(state, flushedBelow(f32x4.mul(v128.load(state, 16), high), flush), 16);
      state += 32;
    }
    factor += 32;
  }
}

/** Address of an item's sum of keys. */
// @ts-ignore: decorator
@inline
function keySum(base: usize, p: LinearParams, w: ItemScratch): usize {
  return base + ((<usize>((w.sequence * p.heads + w.head) * p.dk)) << 2);
}

/** Fills z from zIn, or with zeros. */
export function loadKeySum(p: LinearParams, w: ItemScratch): void {
  memory.fill(w.z, 0, (<usize>w.groups) << 4);
  if (p.zIn) memory.copy(w.z, keySum(p.zIn, p, w), (<usize>p.dk) << 2);
}

/** Writes a row of the item's head to `base` [N, HV, K]; the items of all column groups hold the same. */
export function storeRow(base: usize, row: usize, p: LinearParams, w: ItemScratch): void {
  if (w.column == 0) memory.copy(keySum(base, p, w), row, (<usize>p.dk) << 2);
}

/** Writes product z to zOut; the items of all column groups hold the same. */
export function storeKeySum(p: LinearParams, w: ItemScratch): void {
  if (w.column != 0) return;
  const to = keySum(p.zOut, p, w);
  for (let i: usize = 0; i < (<usize>p.dk) << 2; i += 4) {
    store<f32>(to + i, load<f32>(w.z + i) * load<f32>(w.product + i));
  }
}

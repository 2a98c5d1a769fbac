import { narrowRow } from '../elementwise/narrow';
import { SlotParams } from '../params';
import { maxAbsRow } from '../simd/row';
import { elementBytes, F32, I8, widenRow } from '../simd/storage';

/** Rows whose largest element is below this are taken for zeros: 127 / max |x| must be finite. */
const LEAST: f32 = 1e-35;

/** codes[n] = x[n] / scale to the nearest, ties to even; returns scale = max |x| / 127, NaN where x is not finite. */
function quantiseRow(x: usize, codes: usize, n: i32): f32 {
  let finite: f32 = 0;
  for (let i: usize = 0; i < <usize>n; ++i) finite += load<f32>(x + (i << 2)) * 0;
  const most = maxAbsRow(x, n);
  if (finite != 0 || most < LEAST) {
    memory.fill(codes, 0, <usize>n);
    return finite;
  }
  const factor: f32 = 127 / most;
  for (let i: usize = 0; i < <usize>n; ++i) {
    store<i8>(codes + i, <i8>nearest<f32>(load<f32>(x + (i << 2)) * factor));
  }
  return most / 127;
}

/**
 * One row into a slot: x[d] in the slot's type, zeros up to its width.
 *
 *   x      f32, f16, bf16 or i8 [d]
 *   slot   f32, f16, bf16 or i8 [width]   width a multiple of 8
 *   scale  f32 [1]                        i8 slots only: x is about code * scale
 *   row    f32 [width]                    scratch
 */
export function putRow(
  x: usize,
  xType: i32,
  slot: usize,
  type: i32,
  d: i32,
  width: i32,
  scale: usize,
  row: usize,
): void {
  const bytes = elementBytes(type);
  const used = <usize>d * bytes;
  memory.fill(slot + used, 0, <usize>width * bytes - used);
  if (type == F32) {
    widenRow(x, xType, slot, d, 1);
    return;
  }
  widenRow(x, xType, row, d, 1);
  if (type == I8) store<f32>(scale, quantiseRow(row, slot, d));
  else narrowRow(row, slot, type, d);
}

/** Address of slot j of the keys of key/value head h. */
// @ts-ignore: decorator
@inline
export function keySlot(p: SlotParams, batch: i32, h: i32, j: i32): usize {
  const at = <usize>batch * <usize>p.kStrideB + <usize>j * <usize>p.kStrideT + <usize>h * <usize>p.kStrideH;
  return p.k + at * elementBytes(p.kType);
}

/** Address of slot j of the values of key/value head h. */
// @ts-ignore: decorator
@inline
export function valueSlot(p: SlotParams, batch: i32, h: i32, j: i32): usize {
  const at = <usize>batch * <usize>p.vStrideB + <usize>j * <usize>p.vStrideT + <usize>h * <usize>p.vStrideH;
  return p.v + at * elementBytes(p.vType);
}

/** Byte offset of the scale of slot j, from kScale and from vScale. */
// @ts-ignore: decorator
@inline
export function scaleOffset(p: SlotParams, batch: i32, h: i32, j: i32): usize {
  return (<usize>(batch * p.scaleStrideB + j * p.scaleStrideT + h * p.scaleStrideH)) << 2;
}

/** Puts key and value t of the new tokens of key/value head h into slot j. */
export function putToken(p: SlotParams, batch: i32, h: i32, t: i32, j: i32, row: usize): void {
  const scale = scaleOffset(p, batch, h, j);
  const k = p.newK + <usize>(batch * p.newKStrideB + t * p.newKStrideT + h * p.newKStrideH) * elementBytes(p.newKType);
  putRow(k, p.newKType, keySlot(p, batch, h, j), p.kType, p.dk, p.kStrideT, p.kScale + scale, row);
  const v = p.newV + <usize>(batch * p.newVStrideB + t * p.newVStrideT + h * p.newVStrideH) * elementBytes(p.newVType);
  putRow(v, p.newVType, valueSlot(p, batch, h, j), p.vType, p.dv, p.vStrideT, p.vScale + scale, row);
}

/** Copies slot `from` of key/value head h over slot `to`. */
export function moveSlot(p: SlotParams, batch: i32, h: i32, from: i32, to: i32): void {
  const kBytes = <usize>p.kStrideT * elementBytes(p.kType);
  const vBytes = <usize>p.vStrideT * elementBytes(p.vType);
  memory.copy(keySlot(p, batch, h, to), keySlot(p, batch, h, from), kBytes);
  memory.copy(valueSlot(p, batch, h, to), valueSlot(p, batch, h, from), vBytes);
  if (!p.kScale) return;
  const source = scaleOffset(p, batch, h, from);
  const target = scaleOffset(p, batch, h, to);
  store<f32>(p.kScale + target, load<f32>(p.kScale + source));
  store<f32>(p.vScale + target, load<f32>(p.vScale + source));
}

/**
 * Puts new tokens into slots one after another, without attention.
 *
 *   newK, newV      as in slotAttend
 *   k, v, kScale, vScale, positions   as in slotAttend
 *
 * Item: one (token, batch, unit of heads). Scratch: slotScratchBytes.
 */
export function putTokens(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<SlotParams>(params);
  const units = p.kvHeads / p.unitHeads;
  for (let item = begin; item < end; ++item) {
    const unit = item % units;
    const rest = item / units;
    const batch = rest / p.tokens;
    const t = rest - batch * p.tokens;
    const j = p.held + t;
    for (let h = unit * p.unitHeads; h < (unit + 1) * p.unitHeads; ++h) putToken(p, batch, h, t, j, scratch);
    const at = (<usize>((batch * units + unit) * p.slots + j)) << 2;
    store<i32>(p.positions + at, p.start + t);
    if (p.sums) store<f32>(p.sums + at, 0);
  }
}

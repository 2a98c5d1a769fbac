import { PoolParams } from '../params';
import { elementBytes, F32, widenRow } from '../simd/storage';
import { emptyOf, fillRow, MEAN, multiplyBy, reduceRow } from './reduction';

/** One row of x in f32: where it lies, or widened into `row`. */
// @ts-ignore: decorator
@inline
function floatRow(p: PoolParams, batch: i32, t: i32, h: i32, row: usize): usize {
  const x = p.x + <usize>(batch * p.xStrideB + t * p.xStrideT + h * p.xStrideH) * elementBytes(p.xType);
  if (p.xType == F32) return x;
  widenRow(x, p.xType, row, p.d, 1);
  return row;
}

/**
 * Mean, sum, largest or least of the rows of each block of tokens; a last, shorter block is of its own rows only.
 *
 *   x  f32, f16, bf16 or i8 [B, T, H, d]        any strides, last axis contiguous
 *   o  f32 [B, ceil(T / block), H, d]           any strides, last axis contiguous; must not alias x
 *
 * Largest and least pass NaN over. Item: one (batch, block), all heads. Scratch: f32 [d].
 */
export function poolBlocks(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<PoolParams>(params);
  for (let item = begin; item < end; ++item) {
    const batch = item / p.count;
    const block = item - batch * p.count;
    const from = block * p.block;
    const to = min(from + p.block, p.length);
    const o = p.o + ((<usize>(batch * p.oStrideB + block * p.oStrideT)) << 2);
    for (let h = 0; h < p.heads; ++h) fillRow(o + ((<usize>(h * p.oStrideH)) << 2), p.d, emptyOf(p.kind));
    for (let t = from; t < to; ++t) {
      for (let h = 0; h < p.heads; ++h) {
        reduceRow(o + ((<usize>(h * p.oStrideH)) << 2), floatRow(p, batch, t, h, scratch), p.d, p.kind);
      }
    }
    if (p.kind != MEAN) continue;
    for (let h = 0; h < p.heads; ++h) multiplyBy(o + ((<usize>(h * p.oStrideH)) << 2), p.d, 1 / <f32>(to - from));
  }
}

/** What becomes of a label without rows. */
function emptyLabel(p: PoolParams, batch: i32, h: i32, label: i32, o: usize): void {
  if (!p.fallback) return fillRow(o, p.d, 0);
  const at = batch * p.fallbackStrideB + label * p.fallbackStrideT + h * p.fallbackStrideH;
  memory.copy(o, p.fallback + ((<usize>at) << 2), (<usize>p.d) << 2);
}

/**
 * Mean, sum, largest or least of the rows that share a label, and how many they are.
 *
 *   x       f32, f16, bf16 or i8 [B, T, H, d]   any strides, last axis contiguous
 *   labels  i32 [B, lists, T]                   last axis contiguous; head h reads list floor(h * lists / H); a label
 *                                               outside [0, count) belongs nowhere
 *   fallback  f32 [B, count, H, d]              any strides, last axis contiguous: o where no row is; absent: zeros
 *   o       f32 [B, count, H, d]                any strides, last axis contiguous; must not alias an input
 *   counts  i32 [B, H, count]                   contiguous
 *
 * Item: one (batch, head). Scratch: f32 [d].
 */
export function poolLabels(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<PoolParams>(params);
  for (let item = begin; item < end; ++item) {
    const batch = item / p.heads;
    const h = item - batch * p.heads;
    const list = (h * p.lists) / p.heads;
    const labels = p.labels + ((<usize>(batch * p.labelsStrideB + list * p.labelsStrideH)) << 2);
    const counts = p.counts + ((<usize>(item * p.count)) << 2);
    const o = p.o + ((<usize>(batch * p.oStrideB + h * p.oStrideH)) << 2);
    const step = (<usize>p.oStrideT) << 2;
    memory.fill(counts, 0, (<usize>p.count) << 2);
    for (let c = 0; c < p.count; ++c) fillRow(o + <usize>c * step, p.d, emptyOf(p.kind));
    for (let t = 0; t < p.length; ++t) {
      const label = load<i32>(labels + ((<usize>t) << 2));
      if (<u32>label >= <u32>p.count) continue;
      const seen = counts + ((<usize>label) << 2);
      store<i32>(seen, load<i32>(seen) + 1);
      reduceRow(o + <usize>label * step, floatRow(p, batch, t, h, scratch), p.d, p.kind);
    }
    for (let c = 0; c < p.count; ++c) {
      const seen = load<i32>(counts + ((<usize>c) << 2));
      if (seen == 0) emptyLabel(p, batch, h, c, o + <usize>c * step);
      else if (p.kind == MEAN) multiplyBy(o + <usize>c * step, p.d, 1 / <f32>seen);
    }
  }
}

import { GatherHeadsParams } from '../params';
import { elementBytes, widenRow } from '../simd/storage';
import { fillRow, multiplyBy, reduceRow, SUM } from './reduction';

/** What becomes of several rows of one token. */
const ASSIGN: i32 = 0;
const AVERAGE: i32 = 2;

/** The order of group g of a batch. */
// @ts-ignore: decorator
@inline
function orderOf(p: GatherHeadsParams, batch: i32, g: i32): usize {
  const list = (g * p.lists) / p.groups;
  return p.order + ((<usize>(batch * p.orderStrideB + list * p.orderStrideH)) << 2);
}

/**
 * Rows of each head in an order of its own, widened to f32.
 *
 *   x      f32, f16, bf16 or i8 [B, T, H, d]   any strides, last axis contiguous
 *   order  i32 [B, L, n]                       last axis contiguous; what is no token gives a row of zeros
 *   rows   f32 [B, G, n, d]                    contiguous; must not alias x
 *
 * Group g of G = max(H, L) is of head floor(g H / G) and list floor(g L / G). Item: one (batch, group, span of rows).
 */
export function gatherHeads(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<GatherHeadsParams>(params);
  const bytes = elementBytes(p.xType);
  const spans = (p.n + p.span - 1) / p.span;
  const rowBytes = (<usize>p.d) << 2;
  for (let item = begin; item < end; ++item) {
    const group = item / spans;
    const from = (item - group * spans) * p.span;
    const to = min(from + p.span, p.n);
    const batch = group / p.groups;
    const g = group - batch * p.groups;
    const head = (g * p.heads) / p.groups;
    const x = p.x + <usize>(batch * p.xStrideB + head * p.xStrideH) * bytes;
    const order = orderOf(p, batch, g);
    let out = p.rows + <usize>(group * p.n + from) * rowBytes;
    for (let i = from; i < to; ++i) {
      const t = load<i32>(order + ((<usize>i) << 2));
      if (<u32>t < <u32>p.length) widenRow(x + <usize>(t * p.xStrideT) * bytes, p.xType, out, p.d, 1);
      else fillRow(out, p.d, 0);
      out += rowBytes;
    }
  }
}

/**
 * The way back: rows of each group at their tokens, zeros where none is.
 *
 *   rows   f32 [B, G, n, d]   contiguous
 *   order  i32 [B, L, n]      last axis contiguous; rows of what is no token are left out
 *   x      f32 [B, T, G, d]   any strides, last axis contiguous; must not alias rows
 *
 * Several rows of one token: the last, their sum or their mean, in the order of the rows. Item: one (batch, group, span of
 * tokens). Scratch: i32 [span].
 */
export function scatterHeads(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<GatherHeadsParams>(params);
  const spans = (p.length + p.span - 1) / p.span;
  const rowBytes = (<usize>p.d) << 2;
  const step = (<usize>p.xStrideT) << 2;
  for (let item = begin; item < end; ++item) {
    const group = item / spans;
    const from = (item - group * spans) * p.span;
    const count = min(p.span, p.length - from);
    const batch = group / p.groups;
    const g = group - batch * p.groups;
    const x = p.x + ((<usize>(batch * p.xStrideB + from * p.xStrideT + g * p.xStrideH)) << 2);
    const order = orderOf(p, batch, g);
    let row = p.rows + <usize>(group * p.n) * rowBytes;
    memory.fill(scratch, 0, (<usize>count) << 2);
    for (let i = 0; i < p.n; ++i) {
      const t = load<i32>(order + ((<usize>i) << 2)) - from;
      if (<u32>t < <u32>count) {
        const seen = scratch + ((<usize>t) << 2);
        const before = load<i32>(seen);
        const out = x + <usize>t * step;
        if (before == 0 || p.combine == ASSIGN) memory.copy(out, row, rowBytes);
        else reduceRow(out, row, p.d, SUM);
        store<i32>(seen, before + 1);
      }
      row += rowBytes;
    }
    for (let t: usize = 0; t < <usize>count; ++t) {
      const seen = load<i32>(scratch + (t << 2));
      if (seen == 0) fillRow(x + t * step, p.d, 0);
      else if (p.combine == AVERAGE && seen > 1) multiplyBy(x + t * step, p.d, 1 / <f32>seen);
    }
  }
}

import { scoreBf16, scoreF32, scoreF32x4, splitEights } from '../decode/score';
import { ScoreFewParams } from '../params';
import { BF16, elementBytes, F32, widenRow } from '../simd/storage';
import { mapRow, visibleColumns } from './visible';

/** Keys that are scored at a time, and bytes of a row of their scores. */
const SPAN: i32 = 64;
const SPAN_ROW: usize = (<usize>SPAN) << 2;

/** Query rows in scratch: one, or a multiple of four. */
// @ts-ignore: decorator
@inline
function rowsOf(p: ScoreFewParams): i32 {
  const rows = p.rows * p.group;
  return rows == 1 ? 1 : (rows + 3) & ~3;
}

/** Elements of a row in scratch. */
// @ts-ignore: decorator
@inline
function width(p: ScoreFewParams): i32 {
  return (p.d + 3) & ~3;
}

/** Whether keys are read as they are in 16 bits. */
// @ts-ignore: decorator
@inline
function narrow(p: ScoreFewParams): bool {
  return p.kType == BF16 && p.rows * p.group == 1 && (p.d & 7) == 0;
}

/** Whether keys must be widened or filled up to whole vectors. */
// @ts-ignore: decorator
@inline
function widens(p: ScoreFewParams): bool {
  return (p.kType != F32 || (p.d & 3) != 0) && !narrow(p);
}

/** Bytes of scratch that one thread of `scoreFew` needs: queries, scores of four, and keys where they are widened. */
export function scoreFewScratchBytes(params: usize, _scratch: usize): i32 {
  const p = changetype<ScoreFewParams>(params);
  return (rowsOf(p) * width(p) + 4 * SPAN + (widens(p) ? SPAN * width(p) : 0)) << 2;
}

/**
 * Scores of few queries: keys are read once, where they are, for all queries that share them.
 *
 *   q    [B, rows, heads, d]            f32, f16 or bf16; any strides, last axis contiguous
 *   k    [B, columns, heads / group, d]  likewise
 *   map  f32 [B, heads, rows, columns]   columns contiguous; those that no row sees are left as they are
 *
 *   map_ij = scale q_i k_j. Item: one (batch, key head, blockColumns columns). Scratch: scoreFewScratchBytes.
 */
export function scoreFew(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<ScoreFewParams>(params);
  const kvHeads = p.heads / p.group;
  const spans = (p.columns + p.blockColumns - 1) / p.blockColumns;
  const rows = p.rows * p.group;
  const padded = rowsOf(p);
  const d = width(p);
  const rowBytes = (<usize>d) << 2;
  const bytes = elementBytes(p.kType);
  const scores = scratch + <usize>padded * rowBytes;
  const tile = scores + 4 * SPAN_ROW;
  let seen = 0;
  for (let i = 0; i < p.rows; ++i) seen = max(seen, visibleColumns(p, i));
  for (let item = begin; item < end; ++item) {
    // the heads of a span take turns: their rows lie side by side
    const h = item % kvHeads;
    const span = (item / kvHeads) % spans;
    const batch = item / (kvHeads * spans);
    const first = span * p.blockColumns;
    const last = min(seen, first + p.blockColumns);
    if (first >= last) continue;
    memory.fill(scratch, 0, <usize>padded * rowBytes);
    for (let r = 0; r < rows; ++r) {
      const i = r / p.group;
      const head = h * p.group + (r - i * p.group);
      const at = batch * p.qStrideB + i * p.qStrideT + head * p.qStrideH;
      widenRow(p.q + <usize>at * elementBytes(p.qType), p.qType, scratch + <usize>r * rowBytes, p.d, p.scale);
    }
    if (narrow(p)) splitEights(scratch, d);
    for (let j = first; j < last; j += SPAN) {
      const n = min(SPAN, last - j);
      const at = <usize>batch * <usize>p.kStrideB + <usize>j * <usize>p.kStrideT + <usize>h * <usize>p.kStrideH;
      let keys = p.k + at * bytes;
      let stride = <usize>p.kStrideT * bytes;
      if (widens(p)) {
        for (let c = 0; c < n; ++c) {
          const row = tile + <usize>c * rowBytes;
          v128.store(row + rowBytes - 16, i32x4.splat(0));
          widenRow(keys + <usize>c * stride, p.kType, row, p.d, 1);
        }
        keys = tile;
        stride = rowBytes;
      }
      for (let r = 0; r < rows; r += 4) {
        const q = scratch + <usize>r * rowBytes;
        if (narrow(p)) scoreBf16(q, keys, stride, scores, n, d);
        else if (padded == 1) scoreF32(q, keys, stride, scores, n, d);
        else scoreF32x4(q, keys, stride, scores, n, d);
        for (let live = r; live < min(rows, r + 4); ++live) {
          const i = live / p.group;
          const head = h * p.group + (live - i * p.group);
          const to = mapRow(p, batch * p.lists + head, i) + ((<usize>j) << 2);
          memory.copy(to, scores + <usize>(live - r) * SPAN_ROW, (<usize>n) << 2);
        }
      }
    }
  }
}

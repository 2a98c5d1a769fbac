import { MR, NR, panels } from '../gemm/panel';
import { WeightSumsParams } from '../params';
import { EXP2_1, EXP2_2, EXP2_3, EXP2_4, EXP2_5, EXP2_FLUSH, LOG2E, ONE, ROUND } from '../simd/constants';
import { exp2With } from '../simd/exp2';
import { fma } from '../simd/fma';
import { sum4 } from '../simd/reduce';
import { maxRow } from '../simd/row';
import { elementBytes, widenRow } from '../simd/storage';
import { visibleColumns } from './visible';

/** Panels worked on at a time: they stay in the second-level cache while rows pass. */
const SPAN_BYTES: usize = 1 << 17;

/** Scratch of one thread. */
@unmanaged
class Space {
  /** f32 [passRows, depth] */
  q: usize;
  /** f32 [passRows, ceil8(columns)] scores, then weights. */
  weights: usize;
  /** f32 [ceil8(columns)] sums of the rows so far. */
  columns: usize;
  /** f32 [ceil8(columns) + 4]; the sum of distance x is at columns - 1 - x, so that weights of a row are added as they lie. */
  diagonals: usize;
  end: usize;
}

const SPACE_BYTES: usize = 32;

// @ts-ignore: decorator
@inline
function width(p: WeightSumsParams): i32 {
  return (p.columns + NR - 1) & ~(NR - 1);
}

function carve(p: WeightSumsParams, at: usize): Space {
  const s = changetype<Space>(at);
  const rows = <usize>p.passRows;
  const row = (<usize>width(p)) << 2;
  s.q = (at + SPACE_BYTES + 15) & ~15;
  s.weights = (s.q + rows * ((<usize>(p.d * p.interleave)) << 2) + 15) & ~15;
  s.columns = s.weights + rows * row;
  s.diagonals = s.columns + row;
  s.end = p.diagonalSums ? s.diagonals + row + 16 : s.diagonals;
  return s;
}

/** Bytes of scratch that one thread of `weightSums` needs; `scratch` has room for 64 bytes. */
export function weightSumsScratchBytes(params: usize, scratch: usize): i32 {
  return <i32>(carve(changetype<WeightSumsParams>(params), scratch).end - scratch);
}

/** Rows q'_i = [q_iS+S-1, ..., q_iS] of one head, scaled for exp2; zeros where queries have ended and up to `padded` rows. */
function loadRows(p: WeightSumsParams, batch: i32, h: i32, first: i32, rows: i32, padded: i32, dst: usize): void {
  const bytes = elementBytes(p.qType);
  const rowBytes = (<usize>p.d) << 2;
  const at = batch * p.qStrideB + h * p.qStrideH;
  for (let i = first; i < first + rows; ++i) {
    for (let r = p.interleave - 1; r >= 0; --r) {
      const t = i * p.interleave + r;
      if (t < p.length) widenRow(p.q + <usize>(at + t * p.qStrideT) * bytes, p.qType, dst, p.d, p.scale * LOG2E);
      else memory.fill(dst, 0, rowBytes);
      dst += rowBytes;
    }
  }
  memory.fill(dst, 0, <usize>((padded - rows) * p.interleave) * rowBytes);
}

/** Scores of `rows` rows from `first` with the columns that they see. */
function scoreRows(p: WeightSumsParams, k: usize, first: i32, rows: i32, s: Space): void {
  const depth = p.d * p.interleave;
  const rowBytes = (<usize>depth) << 2;
  const panelBytes = rowBytes << 3;
  const stride = (<usize>width(p)) << 2;
  const span = max(1, <i32>(SPAN_BYTES / panelBytes));
  const all = (p.columns + NR - 1) / NR;
  for (let panel = 0; panel < all; panel += span) {
    for (let g = 0; g < rows; g += MR) {
      const end = first + min(g + MR, rows) - 1;
      // what rows see is linear in their number: one of the two ends sees most
      const seen = max(visibleColumns(p, first + g), visibleColumns(p, end));
      const count = min(span, (seen + NR - 1) / NR - panel);
      if (count <= 0) continue;
      const scores = s.weights + <usize>g * stride + <usize>panel * (NR << 2);
      const keys = k + <usize>panel * panelBytes;
      panels(count, s.q + <usize>g * rowBytes, rowBytes, keys, panelBytes, scores, NR << 2, stride, depth, 0);
    }
  }
}

/** row = 2^(row - most) over `bytes` of scores; returns the sum. */
function exponentiate(row: usize, bytes: usize, most: f32): f32 {
  const round = v128.load(ROUND);
  const e1 = v128.load(EXP2_1);
  const e2 = v128.load(EXP2_2);
  const e3 = v128.load(EXP2_3);
  const e4 = v128.load(EXP2_4);
  const e5 = v128.load(EXP2_5);
  const one = v128.load(ONE);
  const flush = v128.load(EXP2_FLUSH);
  const m = f32x4.splat(most);
  let sum = i32x4.splat(0);
  for (let at: usize = 0; at < bytes; at += 16) {
    const w = exp2With(f32x4.sub(v128.load(row + at), m), round, e1, e2, e3, e4, e5, one, flush);
    v128.store(row + at, w);
    sum = f32x4.add(sum, w);
  }
  return sum4(sum);
}

/** sums += factor * row. */
function addWeights(sums: usize, row: usize, bytes: usize, factor: f32): void {
  const f = f32x4.splat(factor);
  for (let at: usize = 0; at < bytes; at += 16) {
    v128.store(sums + at, fma(v128.load(row + at), f, v128.load(sums + at)));
  }
}

/** Softmax of the first `seen` scores of a row, added to the sums. */
function addRow(p: WeightSumsParams, row: usize, seen: i32, s: Space): void {
  if (seen == 0) return;
  const bytes = (<usize>((seen + 3) & ~3)) << 2;
  for (let at = (<usize>seen) << 2; at < bytes; at += 4) store<f32>(row + at, -Infinity);
  const most = maxRow(row, seen);
  if (most == -Infinity) return;
  const factor: f32 = <f32>1 / exponentiate(row, bytes, most);
  addWeights(s.columns, row, bytes, factor);
  if (p.diagonalSums) addWeights(s.diagonals + ((<usize>(p.columns - seen)) << 2), row, bytes, factor);
}

/** Infinity in place of the sums at the start of a row that come before all others. */
function putFirst(counts: usize, h: i32, sums: usize, n: i32): void {
  if (!counts) return;
  const end = sums + ((<usize>min(n, load<i32>(counts + ((<usize>h) << 2)))) << 2);
  for (; sums < end; sums += 4) store<f32>(sums, Infinity);
}

/** Writes the sums of row group `group` of list `list`, and empties them. */
function closeGroup(p: WeightSumsParams, list: i32, group: i32, s: Space): void {
  const groups = (p.rows + p.rowGroup - 1) / p.rowGroup;
  const outColumns = (p.columns + p.columnGroup - 1) / p.columnGroup;
  const out = p.columnSums + ((<usize>((list * groups + group) * outColumns)) << 2);
  const bytes = (<usize>p.columns) << 2;
  if (p.columnGroup == 1) {
    memory.copy(out, s.columns, bytes);
  } else {
    for (let c = 0; c < outColumns; ++c) {
      const end = min(p.columns, (c + 1) * p.columnGroup);
      let sum: f32 = 0;
      for (let j = c * p.columnGroup; j < end; ++j) sum += load<f32>(s.columns + ((<usize>j) << 2));
      store<f32>(out + ((<usize>c) << 2), sum);
    }
  }
  const h = list % p.lists;
  putFirst(p.firstColumns, h, out, outColumns);
  memory.fill(s.columns, 0, (<usize>width(p)) << 2);
  if (!p.diagonalSums) return;
  const to = p.diagonalSums + <usize>(list * groups + group) * bytes;
  for (let at: usize = 0; at < bytes; at += 4) store<f32>(to + at, load<f32>(s.diagonals + bytes - 4 - at));
  putFirst(p.firstDiagonals, h, to, p.columns);
  memory.fill(s.diagonals, 0, bytes + 16);
}

/**
 * Attention weights of groups of rows, added up over columns and over diagonals: softmax rows that are never written out.
 *
 *   q             f32, f16, bf16 or i8 [B, T, H, d]   any strides, last axis contiguous
 *   kPack         f32 [B, Hkv, ceil8(M) / 8, S d, 8]  as interleavedPack writes it
 *   columnSums    f32 [B, H, G, ceil(M / columnGroup)]   contiguous; must not alias an input
 *   diagonalSums  f32 [B, H, G, M]                    contiguous; by the distance from the last column that a row sees
 *
 *   Row i is of S queries in reversed order, column j of S keys: s_ij = scale sum_r q_{iS+S-1-r} k_{jS+r} is the sum of an antidiagonal
 *   of S x S scores (XAttention, Xu 2025); S = 1 gives plain scores. p_i = softmax over the columns that row i sees;
 *   columnSums_gc = sum_{i of g, j of c} p_ij, diagonalSums_gx = sum_{i of g} p_{i, seen(i) - 1 - x} (MInference, Jiang 2024). The
 *   first firstColumns, firstDiagonals i32 [H] of them are Infinity: a choice takes them before all others.
 *
 * Item: some groups of rows of one (batch, head). Scratch: weightSumsScratchBytes.
 */
export function weightSums(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<WeightSumsParams>(params);
  const s = carve(p, scratch);
  const groups = (p.rows + p.rowGroup - 1) / p.rowGroup;
  const items = (groups + p.itemGroups - 1) / p.itemGroups;
  const stride = (<usize>width(p)) << 2;
  const kBytes = <usize>((p.columns + NR - 1) / NR) * ((<usize>(p.d * p.interleave)) << 5);
  memory.fill(s.columns, 0, s.end - s.columns);
  for (let item = begin; item < end; ++item) {
    const list = item / items;
    const batch = list / p.lists;
    const h = list - batch * p.lists;
    const k = p.kPack + <usize>(batch * (p.lists / p.group) + h / p.group) * kBytes;
    let group = (item - list * items) * p.itemGroups;
    const last = min(p.rows, (group + p.itemGroups) * p.rowGroup);
    for (let first = group * p.rowGroup; first < last; first += p.passRows) {
      const rows = min(p.passRows, last - first);
      loadRows(p, batch, h, first, rows, ((rows + MR - 1) / MR) * MR, s.q);
      scoreRows(p, k, first, rows, s);
      for (let r = 0; r < rows; ++r) {
        if (first + r == (group + 1) * p.rowGroup) closeGroup(p, list, group++, s);
        addRow(p, s.weights + <usize>r * stride, visibleColumns(p, first + r), s);
      }
    }
    closeGroup(p, list, group, s);
  }
}

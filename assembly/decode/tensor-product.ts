import { keyOffset } from '../flash/cache';
import { scatterValueRow } from '../flash/pack';
import { endKey, firstKey, modifyRow, plainScores, scoreFactor } from '../flash/rows';
import { sequenceAt } from '../flash/sequence';
import { softmaxStep } from '../flash/softmax';
import { BLOCK_K, roundUpNR, SCORE_ROW } from '../flash/tile';
import { panelRow } from '../gemm/gemm';
import { ACCUMULATE, MR, panels } from '../gemm/panel';
import { Sequence, TensorProductParams } from '../params';
import { fma } from '../simd/fma';
import { sum4 } from '../simd/reduce';
import { elementBytes, F32, widenRow } from '../simd/storage';
import { scoreF32x4 } from './score';

/** Scratch of one thread. */
@unmanaged
class Tiles {
  /** Row factors of all queries, a multiple of four, and their floats. */
  rowsQ: i32;
  dk4: i32;
  dv8: i32;
  /** f32 [rowsQ, dk4] */
  q: usize;
  /** f32 [Tq, rankQ, H]: head factors of queries times scale / (rankQ rankK). */
  aQ: usize;
  /** f32 [rowsQ, 64]: products of row factors, of one rank of the keys. */
  g: usize;
  /** f32 [Tq H, 64]: scores, then weights. */
  s: usize;
  /** f32 [Tq H, 64]: weights times head factors of one rank of the values. */
  w: usize;
  /** f32 [H, 64]: head factors of one rank of 64 tokens. */
  a: usize;
  /** f32 [4, ceil4(H)]: those of four tokens, as they lie in memory. */
  four: usize;
  /** f32 [Tq H, dv8] */
  acc: usize;
  m: usize;
  l: usize;
  /** f32 [64, dk4], where row factors must be widened, and one row of those of values. */
  kTile: usize;
  vRow: usize;
  /** f32 [dv8 / 8, 64, 8] */
  vPack: usize;
  end: usize;
}

const TILES_BYTES: usize = 80;

/** Whether row factors of keys are read where they lie. */
// @ts-ignore: decorator
@inline
function direct(p: TensorProductParams): bool {
  return p.kType == F32 && !(p.dk & 3);
}

function carve(p: TensorProductParams, at: usize): Tiles {
  const t = changetype<Tiles>(at);
  const rows = <usize>p.rows;
  const heads4 = <usize>((p.heads + 3) & ~3);
  t.rowsQ = (p.queries * p.rankQ + 3) & ~3;
  t.dk4 = (p.dk + 3) & ~3;
  t.dv8 = roundUpNR(p.dv);
  t.q = at + TILES_BYTES;
  t.aQ = t.q + ((<usize>(t.rowsQ * t.dk4)) << 2);
  t.g = t.aQ + (p.aQ ? (<usize>(p.queries * p.rankQ) * heads4) << 2 : 0);
  t.s = t.g + <usize>t.rowsQ * SCORE_ROW;
  t.w = t.s + rows * SCORE_ROW;
  t.a = t.w + rows * SCORE_ROW;
  t.four = t.a + heads4 * SCORE_ROW;
  t.acc = t.four + (heads4 << 4);
  t.m = t.acc + rows * ((<usize>t.dv8) << 2);
  t.l = t.m + ((rows * 4 + 15) & ~15);
  t.kTile = t.l + rows * 16;
  t.vRow = t.kTile + (direct(p) ? 0 : (<usize>(BLOCK_K * t.dk4)) << 2);
  t.vPack = t.vRow + ((<usize>t.dv8) << 2);
  t.end = t.vPack + ((<usize>(BLOCK_K * t.dv8)) << 2);
  return t;
}

/** Bytes of scratch that one thread of `tensorProduct` needs; `scratch` has room for 128 bytes. */
export function tensorProductScratchBytes(params: usize, scratch: usize): i32 {
  return <i32>(carve(changetype<TensorProductParams>(params), scratch).end - scratch);
}

/** Both factors of all queries of a sequence. */
function loadQueries(p: TensorProductParams, s: Sequence, t: Tiles): void {
  const rowBytes = (<usize>t.dk4) << 2;
  const heads4 = <usize>((p.heads + 3) & ~3);
  memory.fill(t.q, 0, <usize>t.rowsQ * rowBytes);
  const factor = scoreFactor(p) / <f32>p.rankK;
  for (let i = 0; i < s.qLength; ++i) {
    for (let r = 0; r < p.rankQ; ++r) {
      const at = s.batch * p.qStrideB + (s.qStart + i) * p.qStrideT + r * p.qStrideH;
      const to = t.q + <usize>(i * p.rankQ + r) * rowBytes;
      widenRow(p.q + <usize>at * elementBytes(p.qType), p.qType, to, p.dk, p.aQ ? 1 : factor);
      if (!p.aQ) continue;
      const a = s.batch * p.aQStrideB + (s.qStart + i) * p.aQStrideT + r * p.aQStrideR;
      const row = t.aQ + ((<usize>(i * p.rankQ + r) * heads4) << 2);
      widenRow(p.aQ + <usize>a * elementBytes(p.aQType), p.aQType, row, p.heads, factor / <f32>p.rankQ);
    }
  }
}

/**
 * Head factors of n tokens by head: out[h][j] = scale x_j[h].
 *
 *   x    [n, H]        rows `stride` bytes apart
 *   out  f32 [H, 64]   columns up to the next multiple of four are written
 */
function turnFactors(
  x: usize,
  type: i32,
  stride: usize,
  n: i32,
  heads: i32,
  scale: f32,
  four: usize,
  out: usize,
): void {
  const rowBytes = (<usize>((heads + 3) & ~3)) << 2;
  for (let j = 0; j < n; j += 4) {
    const live = min(4, n - j);
    if (live < 4) memory.fill(four, 0, rowBytes << 2);
    for (let i = 0; i < live; ++i)
      widenRow(x + <usize>(j + i) * stride, type, four + <usize>i * rowBytes, heads, scale);
    let to = out + ((<usize>j) << 2);
    for (let c: usize = 0; c < rowBytes; c += 16) {
      const x0 = v128.load(four + c);
      const x1 = v128.load(four + rowBytes + c);
      const x2 = v128.load(four + rowBytes * 2 + c);
      const x3 = v128.load(four + rowBytes * 3 + c);
      const low01 = i32x4.shuffle(x0, x1, 0, 4, 1, 5);
      const low23 = i32x4.shuffle(x2, x3, 0, 4, 1, 5);
      const high01 = i32x4.shuffle(x0, x1, 2, 6, 3, 7);
      const high23 = i32x4.shuffle(x2, x3, 2, 6, 3, 7);
      v128.store(to, i64x2.shuffle(low01, low23, 0, 2));
      v128.store(to + SCORE_ROW, i64x2.shuffle(low01, low23, 1, 3));
      v128.store(to + SCORE_ROW * 2, i64x2.shuffle(high01, high23, 0, 2));
      v128.store(to + SCORE_ROW * 3, i64x2.shuffle(high01, high23, 1, 3));
      to += SCORE_ROW << 2;
    }
  }
}

/** Products of all queries' row factors with those of rank r of n keys from `first` on. */
function multiplyRows(p: TensorProductParams, s: Sequence, t: Tiles, first: i32, n: i32, r: i32): void {
  const bytes = elementBytes(p.kType);
  let rows = p.k + keyOffset(p, s, first, r, p.kStrideB, p.kStrideT, p.kStrideH) * bytes;
  let stride = <usize>p.kStrideT * bytes;
  if (!direct(p)) {
    const rowBytes = (<usize>t.dk4) << 2;
    for (let j = 0; j < n; ++j) {
      const to = t.kTile + <usize>j * rowBytes;
      v128.store(to + rowBytes - 16, i32x4.splat(0));
      widenRow(rows + <usize>j * stride, p.kType, to, p.dk, 1);
    }
    rows = t.kTile;
    stride = rowBytes;
  }
  const four = (<usize>t.dk4) << 4;
  for (let i = 0; i < t.rowsQ; i += 4) {
    scoreF32x4(t.q + <usize>(i >> 2) * four, rows, stride, t.g + <usize>i * SCORE_ROW, n, t.dk4);
  }
}

/**
 * s_h (+)= a_h sum_r aQ_r[h] g_r over sixteen keys at a time, for one query.
 *
 *   g   f32 [R, 64],  a, s  f32 [H, 64],  aQ  f32 [R, ceil4(H)], or absent: then sum_r is g_h
 */
function contract(g: usize, aQ: usize, rank: i32, heads: i32, a: usize, s: usize, n: i32, add: bool): void {
  const step = (<usize>((heads + 3) & ~3)) << 2;
  const bytes = (<usize>n) << 2;
  for (let h = 0; h < heads; ++h) {
    for (let j: usize = 0; j < bytes; j += 64) {
      let x0 = i32x4.splat(0);
      let x1 = x0;
      let x2 = x0;
      let x3 = x0;
      let from = g + j;
      if (aQ) {
        let weight = aQ + ((<usize>h) << 2);
        for (let r = rank; r > 0; --r) {
          const y = v128.load_splat<f32>(weight);
          x0 = fma(y, v128.load(from), x0);
          x1 = fma(y, v128.load(from, 16), x1);
          x2 = fma(y, v128.load(from, 32), x2);
          x3 = fma(y, v128.load(from, 48), x3);
          weight += step;
          from += SCORE_ROW;
        }
      } else {
        from += <usize>h * SCORE_ROW;
        x0 = v128.load(from);
        x1 = v128.load(from, 16);
        x2 = v128.load(from, 32);
        x3 = v128.load(from, 48);
      }
      x0 = f32x4.mul(x0, v128.load(a + j));
      x1 = f32x4.mul(x1, v128.load(a + j, 16));
      x2 = f32x4.mul(x2, v128.load(a + j, 32));
      x3 = f32x4.mul(x3, v128.load(a + j, 48));
      if (add) {
        x0 = f32x4.add(x0, v128.load(s + j));
        x1 = f32x4.add(x1, v128.load(s + j, 16));
        x2 = f32x4.add(x2, v128.load(s + j, 32));
        x3 = f32x4.add(x3, v128.load(s + j, 48));
      }
      v128.store(s + j, x0);
      v128.store(s + j, x1, 16);
      v128.store(s + j, x2, 32);
      v128.store(s + j, x3, 48);
    }
    a += SCORE_ROW;
    s += SCORE_ROW;
  }
}

/** w_h = s_h a_h for n keys, a multiple of four. */
function weigh(s: usize, a: usize, w: usize, heads: i32, n: i32): void {
  for (; heads > 0; --heads) {
    for (let j: usize = 0; j < (<usize>n) << 2; j += 16) {
      v128.store(w + j, f32x4.mul(v128.load(s + j), v128.load(a + j)));
    }
    s += SCORE_ROW;
    a += SCORE_ROW;
    w += SCORE_ROW;
  }
}

/** Adds the weighted row factors of rank r of n values from `first` on to all rows. */
function mixRows(p: TensorProductParams, s: Sequence, t: Tiles, first: i32, n: i32, r: i32, rows: i32): void {
  const bytes = elementBytes(p.vType);
  const from = p.v + keyOffset(p, s, first, r, p.vStrideB, p.vStrideT, p.vStrideH) * bytes;
  const stride = <usize>p.vStrideT * bytes;
  for (let j = 0; j < n; ++j) {
    let row = from + <usize>j * stride;
    if (p.vType != F32) {
      widenRow(row, p.vType, t.vRow, p.dv, 1);
      row = t.vRow;
    }
    scatterValueRow(row, t.vPack, j, p.dv);
  }
  const strips = t.dv8 >> 3;
  const accRow = (<usize>t.dv8) << 2;
  const strip = <usize>BLOCK_K * 32;
  let row = 0;
  for (; row + MR <= rows; row += MR) {
    const w = t.w + <usize>row * SCORE_ROW;
    panels(strips, w, SCORE_ROW, t.vPack, strip, t.acc + <usize>row * accRow, 32, accRow, n, ACCUMULATE);
  }
  for (; row < rows; ++row) {
    const w = t.w + <usize>row * SCORE_ROW;
    for (let c: usize = 0; c < <usize>strips; ++c) {
      panelRow(w, t.vPack + c * strip, t.acc + <usize>row * accRow + (c << 5), n, ACCUMULATE);
    }
  }
}

/** Keys [first, first + n), at most 64. */
function attendKeys(p: TensorProductParams, s: Sequence, t: Tiles, first: i32, n: i32): void {
  const heads = p.heads;
  const rows = s.qLength * heads;
  const headRows = <usize>heads * SCORE_ROW;
  const heads4 = <usize>((heads + 3) & ~3);
  const aKBytes = elementBytes(p.aKType);
  for (let r = 0; r < p.rankK; ++r) {
    multiplyRows(p, s, t, first, n, r);
    const a = s.batch * p.aKStrideB + (s.kStart + first) * p.aKStrideT + r * p.aKStrideR;
    turnFactors(p.aK + <usize>a * aKBytes, p.aKType, <usize>p.aKStrideT * aKBytes, n, heads, 1, t.four, t.a);
    for (let i = 0; i < s.qLength; ++i) {
      const own = <usize>(i * p.rankQ);
      const aQ = p.aQ ? t.aQ + ((own * heads4) << 2) : 0;
      contract(t.g + own * SCORE_ROW, aQ, p.rankQ, heads, t.a, t.s + <usize>i * headRows, n, r > 0);
    }
  }
  const padded = roundUpNR(n);
  const plain = plainScores(p);
  for (let row = 0; row < rows; ++row) {
    const i = row / heads;
    const scores = t.s + <usize>row * SCORE_ROW;
    for (let j = n; j < padded; ++j) store<f32>(scores + ((<usize>j) << 2), -Infinity);
    if (!plain || firstKey(p, s, i) > first || endKey(p, s, i) < first + n) {
      modifyRow(p, s, row - i * heads, i, first, scores, padded, 0, ~0);
    }
  }
  softmaxStep(rows, false, t.s, SCORE_ROW, padded, t.m, t.l, t.acc, (<usize>t.dv8) << 2, t.dv8 >> 3, 32);
  const aVBytes = elementBytes(p.aVType);
  for (let r = 0; r < p.rankV; ++r) {
    const a = s.batch * p.aVStrideB + (s.kStart + first) * p.aVStrideT + r * p.aVStrideR;
    const share: f32 = <f32>1 / <f32>p.rankV;
    turnFactors(p.aV + <usize>a * aVBytes, p.aVType, <usize>p.aVStrideT * aVBytes, n, heads, share, t.four, t.a);
    for (let i = 0; i < s.qLength; ++i) {
      weigh(t.s + <usize>i * headRows, t.a, t.w + <usize>i * headRows, heads, (n + 3) & ~3);
    }
    mixRows(p, s, t, first, n, r, rows);
  }
}

/**
 * Attention of a few queries over one span of a cache of factors, unnormalised: neither keys nor values are ever made.
 *
 *   aQ  [B, Tq, Rq, H], q = bQ [B, Tq, Rq, dk]   f32, f16 or bf16; any strides, last axis contiguous; without aQ q is [B, Tq, H, dk]
 *   aK  [B, Tk, Rk, H], k = bK [B, Tk, Rk, dk]   likewise
 *   aV  [B, Tk, Rv, H], v = bV [B, Tk, Rv, dv]   likewise
 *   partials  f32, see DecodeParams, one key/value head; must not alias an input
 *
 *   s_h(j) = scale / (Rq Rk) sum_r' aK_jr'[h] sum_r aQ_r[h] (bQ_r bK_jr'),  o_h = sum_j p_hj / Rv sum_r aV_jr[h] bV_jr.
 *   Tensor Product Attention (Zhang 2025): of a key Rq Rk dk products in place of H dk, and H Rv dv of a value, read from Rk (H + dk) and
 *   Rv (H + dv) numbers in place of H dk and H dv.
 *
 * Item: one (sequence, split). Scratch: tensorProductScratchBytes.
 */
export function tensorProduct(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<TensorProductParams>(params);
  const t = carve(p, scratch);
  for (let item = begin; item < end; ++item) {
    const sequence = item / p.splits;
    const split = item - sequence * p.splits;
    const s = sequenceAt(p.sequences, sequence);
    const rows = s.qLength * p.heads;
    if (rows == 0) continue;
    loadQueries(p, s, t);
    memory.fill(t.acc, 0, (<usize>(rows * t.dv8)) << 2);
    memory.fill(t.l, 0, (<usize>rows) << 4);
    for (let row = 0; row < rows; ++row) store<f32>(t.m + ((<usize>row) << 2), -Infinity);

    const low = max(split * p.splitKeys, firstKey(p, s, 0)) & ~3;
    const high = min((split + 1) * p.splitKeys, endKey(p, s, s.qLength - 1));
    for (let first = low; first < high; first += BLOCK_K) attendKeys(p, s, t, first, min(BLOCK_K, high - first));

    const bytes = (<usize>t.dv8) << 2;
    let out = p.partials + <usize>(item * p.rows) * (bytes + 32);
    for (let row = 0; row < rows; ++row) {
      memory.copy(out, t.acc + <usize>row * bytes, bytes);
      store<f32>(out + bytes, load<f32>(t.m + ((<usize>row) << 2)));
      store<f32>(out + bytes, sum4(v128.load(t.l + ((<usize>row) << 4))), 4);
      out += bytes + 32;
    }
  }
}

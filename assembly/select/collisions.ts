import { CentreParams, CollisionParams, SamplingBiasParams } from '../params';
import { ln } from '../simd/log';
import { elementBytes, widenRow } from '../simd/storage';
import { mapRow, visibleColumns } from './visible';

/** Columns whose counts stay in the first-level cache. */
const SPAN: i32 = 2048;

/**
 * In how many tables the hash of a query is that of a key.
 *
 *   q    i32 [B, L * tables, Tq]              contiguous
 *   k    i32 [B, L / group * tables, Tk]      any strides, last axis contiguous
 *   map  f32 [B, L, Tq, Tk]                   columns contiguous; what a row does not see is left as it is
 *
 * MagicPIG (Chen 2024). Item: one row.
 */
export function collisionScores(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<CollisionParams>(params);
  for (let item = begin; item < end; ++item) {
    const list = item / p.rows;
    const i = item - list * p.rows;
    const batch = list / p.lists;
    const h = list - batch * p.lists;
    const q = p.q + ((<usize>(list * p.tables * p.rows + i)) << 2);
    const k = p.k + ((<usize>(batch * p.kStrideB + (h / p.group) * p.tables * p.kStrideL)) << 2);
    const row = mapRow(p, list, i);
    const all = visibleColumns(p, i);
    for (let from = 0; from < all; from += SPAN) {
      const n = min(SPAN, all - from);
      const counts = row + ((<usize>from) << 2);
      memory.fill(counts, 0, (<usize>n) << 2);
      for (let t = 0; t < p.tables; ++t) {
        const hash = load<i32>(q + ((<usize>(t * p.rows)) << 2));
        const keys = k + ((<usize>(t * p.kStrideL + from)) << 2);
        const wanted = i32x4.splat(hash);
        let c: usize = 0;
        for (const whole = (<usize>(n & ~3)) << 2; c < whole; c += 16) {
          v128.store(counts + c, i32x4.sub(v128.load(counts + c), i32x4.eq(v128.load(keys + c), wanted)));
        }
        for (const end = (<usize>n) << 2; c < end; c += 4) {
          store<i32>(counts + c, load<i32>(counts + c) + <i32>(load<i32>(keys + c) == hash));
        }
      }
      for (let c: usize = 0; c < (<usize>n) << 2; c += 4) store<f32>(counts + c, <f32>load<i32>(counts + c));
    }
  }
}

/**
 * Rows less the mean of their head.
 *
 *   x     f32, f16 or bf16 [B, T, H, d]   any strides, last axis contiguous
 *   mean  f32 [B, H, d]                   contiguous
 *   o     f32 [B, T, H, d]                contiguous
 *
 * Item: one (batch, token).
 */
export function centreRows(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<CentreParams>(params);
  const bytes = elementBytes(p.xType);
  const rowBytes = (<usize>p.d) << 2;
  for (let item = begin; item < end; ++item) {
    const batch = item / p.length;
    const t = item - batch * p.length;
    for (let h = 0; h < p.heads; ++h) {
      const at = <usize>batch * <usize>p.xStrideB + <usize>t * <usize>p.xStrideT + <usize>h * <usize>p.xStrideH;
      const o = p.o + (<usize>item * <usize>p.heads + <usize>h) * rowBytes;
      const mean = p.mean + <usize>(batch * p.heads + h) * rowBytes;
      widenRow(p.x + at * bytes, p.xType, o, p.d, 1);
      for (let c: usize = 0; c < rowBytes; c += 4) store<f32>(o + c, load<f32>(o + c) - load<f32>(mean + c));
    }
  }
}

/** Angle of a cosine from 0 to 1, within 2e-8: sqrt(1 - x) times a polynomial (Hastings 1955). */
function angleOf(x: f64): f64 {
  let y: f64 = -0.0012624911;
  y = y * x + 0.0066700901;
  y = y * x - 0.0170881256;
  y = y * x + 0.030891881;
  y = y * x - 0.0501743046;
  y = y * x + 0.0889789874;
  y = y * x - 0.2145988016;
  y = y * x + 1.570796305;
  return sqrt<f64>(max<f64>(0, 1 - x)) * y;
}

/** x^n by squaring. */
function power(x: f64, n: i32): f64 {
  let result: f64 = 1;
  for (; n > 0; n >>= 1) {
    if (n & 1) result *= x;
    x *= x;
  }
  return result;
}

/** What is added to a probability before its logarithm. */
const LEAST: f64 = 1e-4;

/**
 * What the logits of sampled keys lack: -ln(u + 1e-4), u the probability that a key at that angle meets the query in two tables or more.
 *
 *   q        f32, f16 or bf16 [B, Tq, L, d]           any strides, last axis contiguous
 *   k        f32, f16 or bf16 [B, Tk, L / group, d]   likewise
 *   mean     f32 [B, L / group, d]                    contiguous: what keys are centred by
 *   indices  i32 [B, L, Tq, width], counts i32 [B, L, Tq]   contiguous
 *   o        f32 [B, L, Tq, width]                    contiguous; as far as counts go
 *
 *   p = 1 - angle(q, k - mean) / pi,  u = 1 - (1 - p^K)^T - T p^K (1 - p^K)^(T-1) for T tables of K bits. MagicPIG (Chen 2024). X
 *
 * Item: one row. Scratch: f32 [2, d].
 */
export function samplingBias(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<SamplingBiasParams>(params);
  const rowBytes = (<usize>p.d) << 2;
  const key = scratch + rowBytes;
  const kvHeads = p.lists / p.group;
  for (let item = begin; item < end; ++item) {
    const list = item / p.rows;
    const i = item - list * p.rows;
    const batch = list / p.lists;
    const h = list - batch * p.lists;
    const seen = p.columns - p.rows + i + 1;
    const qAt = batch * p.qStrideB + i * p.qStrideT + h * p.qStrideH;
    widenRow(p.q + <usize>qAt * elementBytes(p.qType), p.qType, scratch, p.d, 1);
    let square: f64 = 0;
    for (let c: usize = 0; c < rowBytes; c += 4) square += <f64>load<f32>(scratch + c) * <f64>load<f32>(scratch + c);
    const mean = p.mean + <usize>(batch * kvHeads + h / p.group) * rowBytes;
    const count = load<i32>(p.counts + ((<usize>item) << 2));
    for (let n = 0; n < count; ++n) {
      const at = (<usize>(item * p.width + n)) << 2;
      const j = load<i32>(p.indices + at);
      if (j < p.first || j >= seen - p.last) {
        store<f32>(p.o + at, 0);
        continue;
      }
      const kAt =
        <usize>batch * <usize>p.kStrideB + <usize>j * <usize>p.kStrideT + <usize>(h / p.group) * <usize>p.kStrideH;
      widenRow(p.k + kAt * elementBytes(p.kType), p.kType, key, p.d, 1);
      let dot: f64 = 0;
      let size: f64 = 0;
      for (let c: usize = 0; c < rowBytes; c += 4) {
        const x = <f64>load<f32>(key + c) - <f64>load<f32>(mean + c);
        dot += <f64>load<f32>(scratch + c) * x;
        size += x * x;
      }
      const norm = sqrt<f64>(square * size);
      const cos = norm > 0 ? max<f64>(-1, min<f64>(1, dot / norm)) : 0;
      const angle = cos < 0 ? 3.141592653589793 - angleOf(-cos) : angleOf(cos);
      const one = power(1 - angle / 3.141592653589793, p.bits);
      const missed = power(1 - one, p.tables - 1);
      const u = max<f64>(0, 1 - missed * (1 - one) - <f64>p.tables * one * missed);
      store<f32>(p.o + at, <f32>-ln(u + LEAST));
    }
  }
}

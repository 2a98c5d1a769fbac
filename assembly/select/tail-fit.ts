import { TailFitParams } from '../params';
import { LOG2E } from '../simd/constants';
import { exp2 } from '../simd/exp2';
import { elementBytes, widenRow } from '../simd/storage';
import { mapRow, visibleColumns } from './visible';

/** Scratch of one thread. */
@unmanaged
class Space {
  /** i32 [clusters]: numbers of clusters, best first. */
  ranks: usize;
  /** i32 [columns]: tokens of the clusters in that order. */
  tokens: usize;
  /** f32 [exact + samples]: logits, then weights. */
  weights: usize;
  q: usize;
  k: usize;
  end: usize;
}

const SPACE_BYTES: usize = 32;

function carve(p: TailFitParams, at: usize): Space {
  const s = changetype<Space>(at);
  s.ranks = at + SPACE_BYTES;
  s.tokens = s.ranks + ((<usize>p.columns) << 2);
  s.weights = s.tokens + ((<usize>p.length) << 2);
  s.q = s.weights + ((<usize>(p.exact + p.samples)) << 2);
  s.k = s.q + ((<usize>p.d) << 2);
  s.end = s.k + ((<usize>p.d) << 2);
  return s;
}

/** Bytes of scratch that one thread of `tailFit` needs; `scratch` has room for 64 bytes. */
export function tailFitScratchBytes(params: usize, scratch: usize): i32 {
  return <i32>(carve(changetype<TailFitParams>(params), scratch).end - scratch);
}

/** Whether cluster a comes before cluster b: by falling scores, the first of equals. */
// @ts-ignore: decorator
@inline
function before(scores: usize, a: i32, b: i32): bool {
  const x = load<f32>(scores + ((<usize>a) << 2));
  const y = load<f32>(scores + ((<usize>b) << 2));
  return x > y || (!(y > x) && a < b);
}

/** Numbers 0 to n - 1 in the order of their scores (Shell 1959). */
function rank(scores: usize, ranks: usize, n: i32): void {
  for (let i = 0; i < n; ++i) store<i32>(ranks + ((<usize>i) << 2), i);
  let gap = 1;
  while (gap < n / 3) gap = 3 * gap + 1;
  for (; gap > 0; gap /= 3) {
    for (let i = gap; i < n; ++i) {
      const x = load<i32>(ranks + ((<usize>i) << 2));
      let j = i;
      for (; j >= gap; j -= gap) {
        const y = load<i32>(ranks + ((<usize>(j - gap)) << 2));
        if (!before(scores, x, y)) break;
        store<i32>(ranks + ((<usize>j) << 2), y);
      }
      store<i32>(ranks + ((<usize>j) << 2), x);
    }
  }
}

/** q k of token j. */
function logitOf(p: TailFitParams, s: Space, keys: usize, j: i32): f32 {
  widenRow(keys + <usize>j * <usize>p.kStrideT * elementBytes(p.kType), p.kType, s.k, p.d, 1);
  let sum: f32 = 0;
  for (let c: usize = 0; c < (<usize>p.d) << 2; c += 4) sum += load<f32>(s.q + c) * load<f32>(s.k + c);
  return sum;
}

/** Place of sample n of `samples` among the places from `exact` on. */
// @ts-ignore: decorator
@inline
function placeOf(exact: i32, rest: i32, samples: i32, n: i32): i32 {
  return exact + <i32>((<i64>(2 * n + 1) * <i64>rest) / <i64>(2 * samples));
}

/** How many of n tokens, in the order of their clusters, hold a share p of the weights that are known or fitted. */
function prefixOf(p: TailFitParams, s: Space, keys: usize, n: i32): i32 {
  if (p.share >= 1) return n;
  const exact = min(p.exact, n);
  const rest = n - exact;
  const samples = min(p.samples, rest);
  const known = exact + samples;
  let most: f32 = -Infinity;
  for (let i = 0; i < known; ++i) {
    const place = i < exact ? i : placeOf(exact, rest, samples, i - exact);
    const logit = logitOf(p, s, keys, load<i32>(s.tokens + ((<usize>place) << 2)));
    store<f32>(s.weights + ((<usize>i) << 2), logit);
    if (logit > most) most = logit;
  }
  let total: f64 = 0;
  let u: f64 = 0;
  let uu: f64 = 0;
  let y: f64 = 0;
  let uy: f64 = 0;
  for (let i = 0; i < known; ++i) {
    const weight = exp2((load<f32>(s.weights + ((<usize>i) << 2)) - most) * LOG2E);
    store<f32>(s.weights + ((<usize>i) << 2), weight);
    if (i < exact) {
      total += <f64>weight;
      continue;
    }
    const x = 1 / <f64>(placeOf(exact, rest, samples, i - exact) + 1);
    u += x;
    uu += x * x;
    y += <f64>weight;
    uy += x * <f64>weight;
  }
  const spread = <f64>samples * uu - u * u;
  const a = spread > 1e-12 * <f64>samples * uu ? (<f64>samples * uy - u * y) / spread : 0;
  const b = samples > 0 ? (y - a * u) / <f64>samples : 0;
  for (let i = exact; i < n; ++i) total += max<f64>(0, a / <f64>(i + 1) + b);
  const target = <f64>p.share * total;
  let sum: f64 = 0;
  let count = 0;
  while (count < n && (sum < target || count == 0)) {
    sum += count < exact ? <f64>load<f32>(s.weights + ((<usize>count) << 2)) : max<f64>(0, a / <f64>(count + 1) + b);
    ++count;
  }
  return count;
}

/**
 * The fewest tokens, cluster by cluster, that hold a share of the softmax by a curve through a sample of it.
 *
 *   map      f32 [B, H, rows, clusters]             columns contiguous: scores of clusters
 *   q        f32, f16 or bf16 [B, rows, H, d]       any strides, last axis contiguous
 *   k        f32, f16 or bf16 [B, length, H / group, d]   likewise
 *   order    i32 [B, H / group, length]             contiguous: tokens by cluster
 *   offsets  i32 [B, H / group, clusters + 1]       contiguous
 *   bits     i32 [B, H, rows, words]                contiguous: what is chosen
 *
 *   Tokens lie by falling scores of their clusters. Weights e^(scale q k) of the first `exact` places and of `samples` others at equal
 *   distances are known; a / x + b is fitted to the latter by least squares, x the place counted from 1, and stands for all places past
 *   the exact ones, at least 0. The shortest prefix with a share of the sum is taken, and the first and last tokens that a row sees.
 *   Tactic (Zhu 2025). Row i sees tokens [0, length - rows + i + 1).
 *
 * Item: one row. Scratch: tailFitScratchBytes.
 */
export function tailFit(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<TailFitParams>(params);
  const s = carve(p, scratch);
  for (let item = begin; item < end; ++item) {
    const list = item / p.rows;
    const i = item - list * p.rows;
    const batch = list / p.lists;
    const h = list - batch * p.lists;
    const kvList = batch * (p.lists / p.group) + h / p.group;
    const seen = max(0, p.length - p.rows + i + 1);
    const clusters = visibleColumns(p, i);
    rank(mapRow(p, list, i), s.ranks, clusters);
    const order = p.order + ((<usize>kvList * <usize>p.length) << 2);
    const offsets = p.offsets + ((<usize>(kvList * (p.columns + 1))) << 2);
    let n = 0;
    for (let r = 0; r < clusters; ++r) {
      const cluster = (<usize>load<i32>(s.ranks + ((<usize>r) << 2))) << 2;
      const last = load<i32>(offsets + cluster, 4);
      for (let at = load<i32>(offsets + cluster); at < last; ++at) {
        const token = load<i32>(order + ((<usize>at) << 2));
        if (token >= seen) continue;
        store<i32>(s.tokens + ((<usize>n) << 2), token);
        ++n;
      }
    }
    const qAt = batch * p.qStrideB + i * p.qStrideT + h * p.qStrideH;
    widenRow(p.q + <usize>qAt * elementBytes(p.qType), p.qType, s.q, p.d, p.scale);
    const keys =
      p.k + (<usize>batch * <usize>p.kStrideB + <usize>(h / p.group) * <usize>p.kStrideH) * elementBytes(p.kType);
    const count = n > 0 ? prefixOf(p, s, keys, n) : 0;
    const bits = p.bits + ((<usize>(item * p.words)) << 2);
    memory.fill(bits, 0, (<usize>p.words) << 2);
    for (let t = 0; t < count; ++t) setBit(bits, load<i32>(s.tokens + ((<usize>t) << 2)));
    for (let j = 0; j < min(p.first, seen); ++j) setBit(bits, j);
    for (let j = max(0, seen - p.last); j < seen; ++j) setBit(bits, j);
  }
}

// @ts-ignore: decorator
@inline
function setBit(bits: usize, j: i32): void {
  const word = bits + ((<usize>(j >> 5)) << 2);
  store<u32>(word, load<u32>(word) | (1 << (j & 31)));
}

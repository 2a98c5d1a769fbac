import { scoreF32 } from '../decode/score';
import { HeadClustersParams } from '../params';
import { LOG2E } from '../simd/constants';
import { elementBytes, widenRow } from '../simd/storage';
import { BLOCK, BLOCK_ROW, softmaxBlocks } from './weights';

/** Scratch of one thread. */
@unmanaged
class Space {
  /** f64 [H, H] distances of clusters, by their first heads. */
  distances: usize;
  /** i32 [H] heads of the cluster whose first head it is; 0 for others. */
  sizes: usize;
  /** f32 [H, tokens, tokens] weights; 0 where a key is not seen. */
  weights: usize;
  /** f32 [tokens, d4] */
  keys: usize;
  /** f32 [d4] */
  query: usize;
  /** f32 [ceil64(tokens)] scores of a row, and sums that nobody reads. */
  row: usize;
  unread: usize;
  end: usize;
}

const SPACE_BYTES: usize = 32;

// @ts-ignore: decorator
@inline
function align(x: usize): usize {
  return (x + 15) & ~15;
}

function carve(p: HeadClustersParams, at: usize): Space {
  const s = changetype<Space>(at);
  const heads = <usize>p.heads;
  const tokens = <usize>p.tokens;
  const rowBytes = (<usize>((p.d + 3) & ~3)) << 2;
  const blocks = (<usize>(p.tokens + BLOCK - 1) / BLOCK) * BLOCK_ROW;
  s.distances = align(at + SPACE_BYTES);
  s.sizes = s.distances + heads * heads * 8;
  s.weights = align(s.sizes + heads * 4);
  s.keys = align(s.weights + heads * tokens * tokens * 4);
  s.query = s.keys + tokens * rowBytes;
  s.row = s.query + rowBytes;
  s.unread = s.row + blocks;
  s.end = s.unread + blocks;
  return s;
}

/** Bytes of scratch that one thread of `headClusters` needs; `scratch` has room for 64 bytes. */
export function headClustersScratchBytes(params: usize, scratch: usize): i32 {
  return <i32>(carve(changetype<HeadClustersParams>(params), scratch).end - scratch);
}

/** Softmax rows of head h. */
function headWeights(p: HeadClustersParams, s: Space, batch: i32, h: i32): void {
  const d = (p.d + 3) & ~3;
  const rowBytes = (<usize>d) << 2;
  const kBytes = elementBytes(p.kType);
  const qBytes = elementBytes(p.qType);
  const n = p.tokens;
  const weights = s.weights + ((<usize>(h * n * n)) << 2);
  memory.fill(s.keys, 0, <usize>n * rowBytes);
  memory.fill(s.query, 0, rowBytes);
  memory.fill(weights, 0, (<usize>(n * n)) << 2);
  for (let j = 0; j < n; ++j) {
    const k = p.k + <usize>(batch * p.kStrideB + j * p.kStrideT + (h / p.group) * p.kStrideH) * kBytes;
    widenRow(k, p.kType, s.keys + <usize>j * rowBytes, p.d, 1);
  }
  for (let i = 0; i < n; ++i) {
    const q = p.q + <usize>(batch * p.qStrideB + i * p.qStrideT + h * p.qStrideH) * qBytes;
    widenRow(q, p.qType, s.query, p.d, p.scale * LOG2E);
    const seen = p.causal ? i + 1 : n;
    scoreF32(s.query, s.keys, rowBytes, s.row, seen, d);
    softmaxBlocks(s.row, BLOCK_ROW, seen, s.unread);
    memory.copy(weights + ((<usize>(i * n)) << 2), s.row, (<usize>seen) << 2);
  }
}

/** Sum of products of two heads' weights. */
function product(a: usize, b: usize, n: i32): f64 {
  let sum: f64 = 0;
  for (let i: usize = 0; i < (<usize>n) << 2; i += 4) sum += <f64>load<f32>(a + i) * <f64>load<f32>(b + i);
  return sum;
}

// @ts-ignore: decorator
@inline
function distanceAt(p: HeadClustersParams, s: Space, a: i32, b: i32): usize {
  return s.distances + ((<usize>(a * p.heads + b)) << 3);
}

/** Distances of all heads: 1 - cosine. */
function headDistances(p: HeadClustersParams, s: Space): void {
  const n = p.tokens * p.tokens;
  const bytes = (<usize>n) << 2;
  for (let a = 0; a < p.heads; ++a) {
    const x = s.weights + <usize>a * bytes;
    store<f64>(distanceAt(p, s, a, a), sqrt(product(x, x, n)));
    store<i32>(s.sizes + ((<usize>a) << 2), 1);
  }
  for (let a = 0; a < p.heads; ++a) {
    for (let b = a + 1; b < p.heads; ++b) {
      const cross = product(s.weights + <usize>a * bytes, s.weights + <usize>b * bytes, n);
      const norms = load<f64>(distanceAt(p, s, a, a)) * load<f64>(distanceAt(p, s, b, b));
      const distance = 1 - cross / norms;
      store<f64>(distanceAt(p, s, a, b), distance);
      store<f64>(distanceAt(p, s, b, a), distance);
    }
  }
}

/** Joins the two nearest clusters: the second becomes part of the first, whose first head is before its own. */
function joinNearest(p: HeadClustersParams, s: Space, labels: usize): void {
  let first = -1;
  let second = -1;
  let least: f64 = Infinity;
  for (let a = 0; a < p.heads; ++a) {
    if (load<i32>(s.sizes + ((<usize>a) << 2)) == 0) continue;
    for (let b = a + 1; b < p.heads; ++b) {
      if (load<i32>(s.sizes + ((<usize>b) << 2)) == 0) continue;
      const distance = load<f64>(distanceAt(p, s, a, b));
      if (first < 0 || distance < least) {
        // a distance that is NaN is taken where there is no other
        least = distance == distance ? distance : Infinity;
        first = a;
        second = b;
      }
    }
  }
  const m = <f64>load<i32>(s.sizes + ((<usize>first) << 2));
  const n = <f64>load<i32>(s.sizes + ((<usize>second) << 2));
  for (let c = 0; c < p.heads; ++c) {
    const x = m * load<f64>(distanceAt(p, s, first, c)) + n * load<f64>(distanceAt(p, s, second, c));
    store<f64>(distanceAt(p, s, first, c), x / (m + n));
    store<f64>(distanceAt(p, s, c, first), x / (m + n));
    if (load<i32>(labels + ((<usize>c) << 2)) == second) store<i32>(labels + ((<usize>c) << 2), first);
  }
  store<i32>(s.sizes + ((<usize>first) << 2), <i32>(m + n));
  store<i32>(s.sizes + ((<usize>second) << 2), 0);
}

/**
 * Query heads whose attention is alike, by agglomerative clustering.
 *
 *   q       f32, f16 or bf16 [B, >= tokens, H, d]     any strides, last axis contiguous
 *   k       likewise [B, >= tokens, H / group, d]
 *   labels  i32 [B, H]   first head of each head's cluster; contiguous
 *
 *   w_h = softmax rows of the first `tokens` tokens, [tokens * tokens]; distance(a, b) = 1 - w_a w_b / (|w_a| |w_b|). The two clusters
 *   with the least mean distance of their heads are joined, of equals the first ones, until `clusters` are left. CHAI (Agarwal 2024).
 *
 * Item: one batch entry. Scratch: headClustersScratchBytes.
 */
export function headClusters(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<HeadClustersParams>(params);
  const s = carve(p, scratch);
  for (let item = begin; item < end; ++item) {
    const labels = p.labels + ((<usize>(item * p.heads)) << 2);
    memory.fill(s.unread, 0, s.end - s.unread);
    for (let h = 0; h < p.heads; ++h) {
      headWeights(p, s, item, h);
      store<i32>(labels + ((<usize>h) << 2), h);
    }
    headDistances(p, s);
    for (let left = p.heads; left > p.clusters; --left) joinNearest(p, s, labels);
  }
}

import {
  loadMatrix,
  matrixBytes,
  packColumns,
  panelsBytes,
  rowBytes,
  scale,
  storeMatrix,
  transpose,
} from '../fastweight/matrix';
import { product } from '../fastweight/product';
import { PseudoInverseParams } from '../params';

/** x = factor I - x for a matrix of n rows, `step` bytes apart. */
function identityMinus(x: usize, n: i32, step: usize, factor: f32): void {
  scale(x, -1, <usize>n * step);
  for (let i: usize = 0; i < <usize>n; ++i) {
    const diagonal = x + i * step + (i << 2);
    store<f32>(diagonal, load<f32>(diagonal) + factor);
  }
}

/** Largest sum of a column's elements. */
function largestColumn(x: usize, n: i32): f32 {
  let most: f32 = -Infinity;
  for (let c = 0; c < n; ++c) {
    let sum: f32 = 0;
    let at = x + ((<usize>c) << 2);
    for (let i = n; i > 0; --i) {
      sum += load<f32>(at);
      at += (<usize>n) << 2;
    }
    most = max<f32>(most, sum);
  }
  return most;
}

/**
 * Largest column sum of each matrix of non-negative numbers, whose row sums are 1.
 *
 *   k     f32 [matrices, n, n]   contiguous
 *   most  f32 [matrices]
 *
 * Item: one matrix.
 */
export function columnSums(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<PseudoInverseParams>(params);
  for (let item = begin; item < end; ++item) {
    const k = p.k + <usize>item * <usize>p.n * <usize>p.n * 4;
    store<f32>(p.most + ((<usize>item) << 2), largestColumn(k, p.n));
  }
}

/** Bytes of scratch for one matrix. */
export function pseudoInverseScratchBytes(params: usize): i32 {
  const n = changetype<PseudoInverseParams>(params).n;
  const bytes: usize = 5 * matrixBytes(n, n) + panelsBytes(n, n);
  return <i32>bytes;
}

/**
 * Nearly the pseudo-inverse of matrices by a cubically convergent iteration (Razavi 2014), as Nyströmformer (Xiong 2021) takes it:
 * V = K^T / most, then V = 1/4 V (13 I - K V (15 I - K V (7 I - K V))) again and again.
 *
 *   k     f32 [matrices, n, n]   contiguous
 *   most  f32 [matrices]         divisors of the first V, or the largest of them for all (shared)
 *   o     f32 [matrices, n, n]   contiguous; must not alias k
 *
 * Item: one matrix. Scratch: pseudoInverseScratchBytes.
 */
export function pseudoInverse(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<PseudoInverseParams>(params);
  const n = p.n;
  const step = rowBytes(n);
  const bytes = matrixBytes(n, n);
  const used = <usize>n * step;
  const count = (n + 7) >> 3;
  const panelStep = (<usize>n) << 5;
  const k = scratch;
  const z = k + bytes;
  const x = z + bytes;
  const panels = scratch + 5 * bytes;
  for (let item = begin; item < end; ++item) {
    const size = <usize>n * <usize>n * 4;
    let most = load<f32>(p.most + ((<usize>item) << 2));
    if (p.shared) for (let i = 0; i < p.matrices; ++i) most = max<f32>(most, load<f32>(p.most + ((<usize>i) << 2)));
    let v = x + bytes;
    let next = v + bytes;
    memory.fill(v, 0, 2 * bytes);
    loadMatrix(k, p.k + <usize>item * size, n, n);
    transpose(k, v, n, n, step, step);
    scale(v, 1 / most, used);
    for (let i = 0; i < p.iterations; ++i) {
      packColumns(v, panels, n, n, step);
      product(n, k, step, count, panels, panelStep, z, 32, step, n, 0);
      memory.copy(x, z, used);
      identityMinus(x, n, step, 7);
      packColumns(x, panels, n, n, step);
      product(n, z, step, count, panels, panelStep, x, 32, step, n, 0);
      identityMinus(x, n, step, 15);
      packColumns(x, panels, n, n, step);
      product(n, z, step, count, panels, panelStep, x, 32, step, n, 0);
      identityMinus(x, n, step, 13);
      packColumns(x, panels, n, n, step);
      product(n, v, step, count, panels, panelStep, next, 32, step, n, 0);
      scale(next, 0.25, used);
      const old = v;
      v = next;
      next = old;
    }
    storeMatrix(v, p.o + <usize>item * size, n, n);
  }
}

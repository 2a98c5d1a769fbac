import { storeLanes } from '../features/row';
import { PrecondParams } from '../params';
import { ONE } from '../simd/constants';
import { exp4 } from '../simd/exp';
import { log4 } from '../simd/log4';
import { elementBytes, widenRow } from '../simd/storage';

/** Where key row (batch, t, head) lies. */
// @ts-ignore: decorator
@inline
function keyAt(p: PrecondParams, b: i32, t: i32, h: i32): usize {
  return p.k + <usize>(b * p.kStrideB + t * p.kStrideT + h * p.kStrideH) * elementBytes(p.kType);
}

/** A number of head h at a token. */
// @ts-ignore: decorator
@inline
function numberAt(at: usize, strideB: i32, strideT: i32, strideH: i32, b: i32, t: i32, h: i32): f32 {
  return load<f32>(at + ((<usize>(b * strideB + t * strideT + h * strideH)) << 2));
}

/**
 * What the curvature of preconditioned delta rules, A_t = e^g_t A_{t-1} + beta_t k_t^2, is scanned from: terms = beta k^2, and gates = g for
 * every element.
 *
 *   k             any storage [B, T, H, d]  any strides, last axis contiguous
 *   g, beta       f32 [B, T, H]             any strides
 *   terms, gates  f32 [B, T, H, d]          contiguous; must not alias the others
 *
 * Preconditioned DeltaNet (2026). Item: one (batch, time), all heads.
 */
export function precondTerms(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<PrecondParams>(params);
  const bytes = (<usize>p.d) << 2;
  for (let item = begin; item < end; ++item) {
    const b = item / p.length;
    const t = item - b * p.length;
    for (let h = 0; h < p.heads; ++h) {
      const g = f32x4.splat(numberAt(p.g, p.gStrideB, p.gStrideT, p.gStrideH, b, t, h));
      const beta = f32x4.splat(numberAt(p.beta, p.betaStrideB, p.betaStrideT, p.betaStrideH, b, t, h));
      const row = <usize>(item * p.heads + h) * bytes;
      const terms = p.terms + row;
      const gates = p.gates + row;
      widenRow(keyAt(p, b, t, h), p.kType, terms, p.d, 1);
      for (let i = 0; i < p.d; i += 4) {
        const at = (<usize>i) << 2;
        const x = v128.load(terms + at);
        const term = f32x4.mul(beta, f32x4.mul(x, x));
        if (i + 4 <= p.d) {
          v128.store(terms + at, term);
          v128.store(gates + at, g);
        } else {
          storeLanes(terms + at, term, p.d - i);
          storeLanes(gates + at, g, p.d - i);
        }
      }
    }
  }
}

/**
 * Keys times a bounded power of their curvature: o = k e^(-ln x r / (1 + |r|)), r = ln(a + epsilon) - c.
 *
 *   k  any storage [B, T, H, d]  any strides, last axis contiguous
 *   a  f32 [B, T, H, d]          contiguous, at least 0
 *   c  f32 [H]                   absent: the number `center`
 *   o  f32 [B, T, H, d]          contiguous; must not alias the others
 *
 * Preconditioned DeltaNet (2026). Item: one (batch, time), all heads.
 */
export function precondKeys(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<PrecondParams>(params);
  const bytes = (<usize>p.d) << 2;
  const epsilon = f32x4.splat(p.epsilon);
  const negativeLogX = f32x4.splat(-p.logX);
  const one = v128.load(ONE);
  for (let item = begin; item < end; ++item) {
    const b = item / p.length;
    const t = item - b * p.length;
    for (let h = 0; h < p.heads; ++h) {
      const c = f32x4.splat(p.c ? load<f32>(p.c + ((<usize>h) << 2)) : p.center);
      const row = <usize>(item * p.heads + h) * bytes;
      const o = p.o + row;
      widenRow(keyAt(p, b, t, h), p.kType, o, p.d, 1);
      for (let i = 0; i < p.d; i += 4) {
        const at = (<usize>i) << 2;
        const r = f32x4.sub(log4(f32x4.add(v128.load(p.a + row + at), epsilon)), c);
        const squashed = f32x4.div(r, f32x4.add(one, f32x4.abs(r)));
        const key = f32x4.mul(v128.load(o + at), exp4(f32x4.mul(negativeLogX, squashed)));
        if (i + 4 <= p.d) v128.store(o + at, key);
        else storeLanes(o + at, key, p.d - i);
      }
    }
  }
}

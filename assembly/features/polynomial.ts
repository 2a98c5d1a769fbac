import { PolynomialParams } from '../params';
import { featureRow, inputRow, scaleRow, storeLanes } from './row';

/** o[n] = factor * x[n]^2. */
function squareRow(x: usize, o: usize, n: i32, factor: f32): void {
  const f = f32x4.splat(factor);
  let i: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) {
    const y = v128.load(x + i);
    v128.store(o + i, f32x4.mul(f32x4.mul(y, y), f));
  }
  const y = v128.load(x + i);
  storeLanes(o + i, f32x4.mul(f32x4.mul(y, y), f), n & 3);
}

/** o[n (n - 1) / 2] = factor * x_i x_j for i < j. */
function upperProducts(x: usize, o: usize, n: i32, factor: f32): void {
  for (let i = 0; i < n - 1; ++i) {
    const rest = n - 1 - i;
    scaleRow(x + ((<usize>(i + 1)) << 2), o, rest, factor * load<f32>(x + ((<usize>i) << 2)));
    o += (<usize>rest) << 2;
  }
}

/** o[n n] = factor * x_i x_j for all i and j. */
function allProducts(x: usize, o: usize, n: i32, factor: f32): void {
  for (let i = 0; i < n; ++i) {
    scaleRow(x, o, n, factor * load<f32>(x + ((<usize>i) << 2)));
    o += (<usize>n) << 2;
  }
}

/**
 * Monomials of each row: a constant, constant-factor multiples of x, of its squares, and of products x_i x_j, each part
 * where the params place it.
 *
 *   x  f32 [B, T, H, d]  any strides, last axis contiguous
 *   o  f32 [B, T, H, F]  contiguous; must not alias x
 *
 * Arora 2024 (Based), Aksenov 2024 (ReBased), Xu 2024 (QT-ViT). Item: one row.
 */
export function featurePolynomial(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<PolynomialParams>(params);
  for (let item = begin; item < end; ++item) {
    const x = inputRow(p, item);
    const o = featureRow(p, item);
    if (p.constantAt >= 0) store<f32>(o + ((<usize>p.constantAt) << 2), p.constant);
    if (p.linearAt >= 0) scaleRow(x, o + ((<usize>p.linearAt) << 2), p.d, p.linear);
    if (p.squareAt >= 0) squareRow(x, o + ((<usize>p.squareAt) << 2), p.d, p.square);
    if (p.productAt >= 0) {
      const products = o + ((<usize>p.productAt) << 2);
      if (p.full) allProducts(x, products, p.d, p.product);
      else upperProducts(x, products, p.d, p.product);
    }
  }
}

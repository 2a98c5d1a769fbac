import { GemmParams } from '../params';
import { activate4, NONE } from '../simd/activation';
import { fma } from '../simd/fma';
import { MR, NR, panel, panels } from './panel';

/** c[8] (+)= a[k] B[k][8]: one row, its products in four independent chains; with `accumulate` their sum is added to c. */
export function panelRow(a: usize, b: usize, c: usize, k: i32, accumulate: i32): void {
  let acc0 = i32x4.splat(0);
  let acc1 = acc0;
  let acc2 = acc0;
  let acc3 = acc0;
  let acc4 = acc0;
  let acc5 = acc0;
  let acc6 = acc0;
  let acc7 = acc0;
  for (let left = k >> 2; left > 0; --left) {
    let x = v128.load_splat<f32>(a);
    acc0 = fma(x, v128.load(b), acc0);
    acc1 = fma(x, v128.load(b, 16), acc1);
    x = v128.load_splat<f32>(a, 4);
    acc2 = fma(x, v128.load(b, 32), acc2);
    acc3 = fma(x, v128.load(b, 48), acc3);
    x = v128.load_splat<f32>(a, 8);
    acc4 = fma(x, v128.load(b, 64), acc4);
    acc5 = fma(x, v128.load(b, 80), acc5);
    x = v128.load_splat<f32>(a, 12);
    acc6 = fma(x, v128.load(b, 96), acc6);
    acc7 = fma(x, v128.load(b, 112), acc7);
    a += 16;
    b += 128;
  }
  for (let left = k & 3; left > 0; --left) {
    const x = v128.load_splat<f32>(a);
    acc0 = fma(x, v128.load(b), acc0);
    acc1 = fma(x, v128.load(b, 16), acc1);
    a += 4;
    b += 32;
  }
  acc0 = f32x4.add(f32x4.add(acc0, acc2), f32x4.add(acc4, acc6));
  acc1 = f32x4.add(f32x4.add(acc1, acc3), f32x4.add(acc5, acc7));
  if (accumulate) {
    acc0 = f32x4.add(acc0, v128.load(c));
    acc1 = f32x4.add(acc1, v128.load(c, 16));
  }
  v128.store(c, acc0);
  v128.store(c, acc1, 16);
}

/** o[rows][columns] = activation(tile[rows][8] + bias), rows and columns inside the matrix. */
function storeTile(p: GemmParams, tile: usize, o: usize, rows: i32, column: i32): void {
  const columns = min(NR, p.n - column);
  for (let r = 0; r < rows; ++r) {
    const row = o + ((<usize>(r * p.oStride)) << 2);
    for (let c = 0; c < columns; c += 4) {
      let x = v128.load(tile + ((<usize>(r * NR + c)) << 2));
      if (p.bias) x = f32x4.add(x, v128.load(p.bias + ((<usize>(column + c)) << 2)));
      x = activate4(x, p.activation);
      if (c + 4 <= columns) {
        v128.store(row + ((<usize>c) << 2), x);
      } else {
        for (let j = c; j < columns; ++j) {
          store<f32>(row + ((<usize>j) << 2), f32x4.extract_lane(x, 0));
          x = i32x4.shuffle(x, x, 1, 2, 3, 0);
        }
      }
    }
  }
}

/**
 * Matrix product with a packed right operand: o = activation(a b + bias).
 *
 *   a      f32 [batch, m, k]             any row stride, k contiguous
 *   bPack  f32 [batch, ceil8(n) / 8, k, 8]   as gemmPack writes it
 *   bias   f32 [n]                       may be read three elements past its end
 *   o      f32 [batch, m, n]             any row stride; must not alias an input
 *
 * Item: one (product, block of rows, block of columns). Scratch: f32 [MR, k] and a tile.
 */
export function gemm(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<GemmParams>(params);
  const k = p.k;
  const blocksM = (p.m + p.blockM - 1) / p.blockM;
  const blocksN = (p.n + p.blockN - 1) / p.blockN;
  const aStride = (<usize>p.aStride) << 2;
  const oStride = (<usize>p.oStride) << 2;
  const panelBytes = (<usize>k) << 5;
  const bare = !p.bias && p.activation == NONE;
  const tile = scratch + ((<usize>(MR * k) * 4 + 15) & ~15);
  for (let item = begin; item < end; ++item) {
    const product = item / (blocksM * blocksN);
    const local = item - product * blocksM * blocksN;
    const blockM = local / blocksN;
    const m0 = blockM * p.blockM;
    const n0 = (local - blockM * blocksN) * p.blockN;
    const rows = min(p.blockM, p.m - m0);
    const columnsEnd = min(n0 + p.blockN, p.n);
    const a = p.a + ((<usize>(product * p.aStrideB + m0 * p.aStride)) << 2);
    const b = p.bPack + ((<usize>(product * p.bStrideB)) << 2);
    const o = p.o + ((<usize>(product * p.oStrideB + m0 * p.oStride)) << 2);
    const whole = rows / MR;
    const rest = rows - whole * MR;
    if (rest > 1) {
      for (let r = 0; r < MR; ++r) {
        const row = scratch + <usize>(r * k) * 4;
        if (r < rest) memory.copy(row, a + <usize>(whole * MR + r) * aStride, (<usize>k) << 2);
        else memory.fill(row, 0, (<usize>k) << 2);
      }
    }
    // a group of rows stays in the first-level cache while the panels stream past it
    for (let g = 0; g < whole; ++g) {
      const rowsA = a + <usize>(g * MR) * aStride;
      const out = o + ((<usize>(g * MR * p.oStride)) << 2);
      let column = n0;
      if (bare) {
        const direct = (columnsEnd - n0) >> 3;
        const first = out + ((<usize>column) << 2);
        panels(direct, rowsA, aStride, b + <usize>(column >> 3) * panelBytes, panelBytes, first, 32, oStride, k, 0);
        column += direct << 3;
      }
      for (; column < columnsEnd; column += NR) {
        panel(rowsA, aStride, b + <usize>(column >> 3) * panelBytes, tile, 32, k, 0);
        storeTile(p, tile, out + ((<usize>column) << 2), MR, column);
      }
    }
    if (rest > 0) {
      for (let column = n0; column < columnsEnd; column += NR) {
        const columns = b + <usize>(column >> 3) * panelBytes;
        const out = o + ((<usize>(whole * MR * p.oStride + column)) << 2);
        if (rest == 1) panelRow(a + <usize>(whole * MR) * aStride, columns, tile, k, 0);
        else panel(scratch, (<usize>k) << 2, columns, tile, 32, k, 0);
        storeTile(p, tile, out, rest, column);
      }
    }
  }
}

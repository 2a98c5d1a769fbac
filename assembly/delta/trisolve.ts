import { MR, NR, panel } from '../gemm/panel';
import { TriSolveParams } from '../params';
import { fma } from '../simd/fma';
import { widenRow } from '../simd/storage';

/** n rounded up to whole tiles of rows. */
// @ts-ignore: decorator
@inline
export function roundUpMR(n: i32): i32 {
  return ((n + MR - 1) / MR) * MR;
}

/** x[MR][8] by its own tile: x_r += sum_{s < r} a[r][s] x_s. */
// @ts-ignore: decorator
@inline
function substitute(a: usize, aStride: usize, x: usize): void {
  for (let r: usize = 1; r < <usize>MR; ++r) {
    const row = a + r * aStride;
    let low = v128.load(x + (r << 5));
    let high = v128.load(x + (r << 5), 16);
    for (let s: usize = 0; s < r; ++s) {
      const factor = v128.load_splat<f32>(row + (s << 2));
      low = fma(factor, v128.load(x + (s << 5)), low);
      high = fma(factor, v128.load(x + (s << 5), 16), high);
    }
    v128.store(x + (r << 5), low);
    v128.store(x + (r << 5), high, 16);
  }
}

/**
 * X <- (I - A)^-1 X in place for one 8-wide strip, A strictly lower: x_i = b_i + sum_{j < i} a_ij x_j, forward
 * substitution by tiles, so that all but the tiles on the diagonal is the micro-kernel's work.
 *
 *   a  f32 [roundUpMR(n)][n]   rows `aStride` bytes apart; what lies on and above the diagonal is not used
 *   x  f32 [roundUpMR(n)][8]   right-hand side in, solution out; must not alias a
 *
 * @param first row from which b is not zero, rounded down to a multiple of MR: rows above it are not touched
 */
export function solveStrip(a: usize, aStride: usize, x: usize, n: i32, first: i32): void {
  const known = a + ((<usize>first) << 2);
  const top = x + ((<usize>first) << 5);
  for (let i = first; i < n; i += MR) {
    const rows = x + ((<usize>i) << 5);
    const at = <usize>i * aStride;
    if (i > first) panel(known + at, aStride, top, rows, 32, i - first, 1);
    substitute(a + at + ((<usize>i) << 2), aStride, rows);
  }
}

/** First row of the identity's strip of columns from `column` on that is not zero, as `solveStrip` takes it. */
// @ts-ignore: decorator
@inline
export function firstTileRow(column: i32): i32 {
  return (column / MR) * MR;
}

/** Columns of one work item. */
const BLOCK_N: i32 = 64;

/** Bytes of scratch that one thread of `triSolve` needs. */
export function triSolveScratchBytes(params: usize, _scratch: usize): i32 {
  const p = changetype<TriSolveParams>(params);
  return roundUpMR(p.n) * (((p.n + 3) & ~3) + BLOCK_N) * 4;
}

/**
 * Systems of unit lower triangular matrices: x = (I + tril(a, -1))^-1 b, or the inverse itself where b is absent.
 *
 *   a  f32, f16 or bf16 [batch, n, n]   any strides, last axis contiguous; only what is below the diagonal is read
 *   b  likewise [batch, n, columns]     absent: the identity, columns = n
 *   x  f32 [batch, n, columns]          contiguous; must not alias a or b
 *
 * Forward substitution (the UT transform of Joffrain 2006, as in DeltaNet, Yang 2024). Item: one (matrix, 64 columns).
 * Scratch: triSolveScratchBytes.
 */
export function triSolve(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<TriSolveParams>(params);
  const n = p.n;
  const rows = roundUpMR(n);
  const aStride = (<usize>((n + 3) & ~3)) << 2;
  const stripBytes = (<usize>rows) << 5;
  const strips = scratch + <usize>rows * aStride;
  const groups = (p.columns + BLOCK_N - 1) / BLOCK_N;
  let held = -1;
  for (let item = begin; item < end; ++item) {
    const matrix = item / groups;
    const column = (item - matrix * groups) * BLOCK_N;
    const columns = min(BLOCK_N, p.columns - column);
    if (matrix != held) {
      held = matrix;
      const bytes: usize = p.aType ? 2 : 4;
      const from = p.a + <usize>(matrix * p.aStrideB) * bytes;
      memory.fill(scratch, 0, <usize>rows * aStride);
      for (let i = 1; i < n; ++i) {
        widenRow(from + <usize>(i * p.aStrideT) * bytes, p.aType, scratch + <usize>i * aStride, i, -1);
      }
    }
    memory.fill(strips, 0, ((<usize>(columns + NR - 1)) >> 3) * stripBytes);
    const bytes: usize = p.bType ? 2 : 4;
    for (let c = 0; c < columns; c += NR) {
      const strip = strips + <usize>(c >> 3) * stripBytes;
      const width = min(NR, columns - c);
      let first = 0;
      if (p.b) {
        let from = p.b + <usize>(matrix * p.bStrideB + column + c) * bytes;
        for (let i = 0; i < n; ++i) {
          widenRow(from, p.bType, strip + ((<usize>i) << 5), width, 1);
          from += <usize>p.bStrideT * bytes;
        }
      } else {
        for (let d = 0; d < width; ++d) store<f32>(strip + ((<usize>(column + c + d)) << 5) + ((<usize>d) << 2), 1);
        first = firstTileRow(column + c);
      }
      solveStrip(scratch, aStride, strip, n, first);
      let to = p.x + ((<usize>(matrix * n * p.columns + column + c)) << 2);
      for (let i = 0; i < n; ++i) {
        memory.copy(to, strip + ((<usize>i) << 5), (<usize>width) << 2);
        to += (<usize>p.columns) << 2;
      }
    }
  }
}

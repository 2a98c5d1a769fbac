import { MR, NR, panels } from '../gemm/panel';
import { HashParams } from '../params';
import { elementBytes } from '../simd/storage';
import { Largest, largest } from './largest';
import { loadRows, wholeGroups } from './rows';

/** Directions of one round, in panels. */
// @ts-ignore: decorator
@inline
function panelsOf(p: HashParams): i32 {
  return (p.directions + NR - 1) / NR;
}

/** Bytes of scratch: rows, the planes of a round in panels, a tile, zeros. */
export function hashScratchBytes(params: usize, _scratch: usize): i32 {
  const p = changetype<HashParams>(params);
  const width = panelsOf(p) * NR;
  return (wholeGroups(p.blockRows) * p.d + width * p.d + (MR + 1) * width) * 4 + 32;
}

/** to[panel][d][8] = the planes of one round, zeros past the last. */
function packPlanes(p: HashParams, head: i32, round: i32, to: usize): void {
  const planes = p.planes + ((<usize>(head * p.planesStrideH + round * p.planesStrideR)) << 2);
  for (let column = 0; column < p.directions; column += NR) {
    const bytes = (<usize>min(NR, p.directions - column)) << 2;
    for (let c = 0; c < p.d; ++c) {
      if (bytes < 32) memory.fill(to, 0, 32);
      memory.copy(to, planes + ((<usize>(c * p.planesStrideD + column)) << 2), bytes);
      to += 32;
    }
  }
}

/** Number of the largest of [y, -y], the first of equals; NaN is passed over. */
function nearestDirection(y: usize, zeros: usize, n: i32, found: Largest): i32 {
  largest(y, zeros, n, 1, found);
  const value = found.value;
  const place = found.place;
  largest(y, zeros, n, -1, found);
  return found.value > value ? n + found.place : place;
}

/** Bit j: y_j > 0. */
function signBits(y: usize, n: i32): i32 {
  let bits = 0;
  for (let j = 0; j < n; ++j) bits |= (<i32>(load<f32>(y + ((<usize>j) << 2)) > 0)) << j;
  return bits;
}

/**
 * Hashes of rows by random directions.
 *
 *   x       f32, f16, bf16 or i8 [B, T, H, d]     any strides, last axis contiguous
 *   planes  f32 [H, d, rounds, directions]        any strides (0 repeats), last axis contiguous
 *   labels  i32 [B, H * rounds, T]                contiguous
 *
 *   y = x planes; label = argmax [y, -y] (Kitaev 2020), or with signs the bits y_j > 0 (Charikar 2002), at most 32 of them.
 *
 * Item: one (batch, head, block of rows). Scratch: hashScratchBytes.
 */
export function hash(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<HashParams>(params);
  const blocks = (p.length + p.blockRows - 1) / p.blockRows;
  const rowBytes = (<usize>p.d) << 2;
  const count = panelsOf(p);
  const tileRow = (<usize>(count * NR)) << 2;
  const packed = (scratch + <usize>wholeGroups(p.blockRows) * rowBytes + 15) & ~15;
  const tile = packed + <usize>count * (rowBytes << 3);
  const zeros = tile + <usize>MR * tileRow;
  const found = changetype<Largest>(zeros + tileRow);
  memory.fill(zeros, 0, tileRow);
  for (let item = begin; item < end; ++item) {
    const list = item / blocks;
    const r0 = (item - list * blocks) * p.blockRows;
    const rows = min(p.blockRows, p.length - r0);
    const batch = list / p.heads;
    const head = list - batch * p.heads;
    const x = p.x + <usize>(batch * p.xStrideB + r0 * p.xStrideT + head * p.xStrideH) * elementBytes(p.xType);
    loadRows(x, p.xType, p.xStrideT, rows, scratch, p.d, 1);
    for (let round = 0; round < p.rounds; ++round) {
      packPlanes(p, head, round, packed);
      const labels = p.labels + ((<usize>((list * p.rounds + round) * p.length + r0)) << 2);
      for (let g = 0; g < rows; g += MR) {
        panels(count, scratch + <usize>g * rowBytes, rowBytes, packed, rowBytes << 3, tile, NR << 2, tileRow, p.d, 0);
        for (let r = 0; r < min(MR, rows - g); ++r) {
          const y = tile + <usize>r * tileRow;
          const label = p.signs ? signBits(y, p.directions) : nearestDirection(y, zeros, p.directions, found);
          store<i32>(labels + ((<usize>(g + r)) << 2), label);
        }
      }
    }
  }
}

/**
 * Hashes of rows by random directions.
 *
 * @module
 */
import { HashParams } from '../../generated/params.ts';
import { encode, encodePlaces } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import { storageOf, type Tensor } from '../../tensor.ts';

/** Rows of an item: whole groups of both builds' tiles. */
const BLOCK_ROWS = 96;

function hashRows(b: Builder, x: Tensor, planes: Tensor, signs: boolean): Tensor {
  const [batch, length, heads, d] = x.shape as [number, number, number, number];
  const [, , rounds, directions] = planes.shape as [number, number, number, number];
  const labels = b.temporary([batch, heads * rounds, length], 'i32');
  const params = encode(HashParams, {
    xType: storageOf(x),
    planes: planes.address,
    planesStrideH: planes.shape[0] === 1 ? 0 : planes.strides[0]!,
    planesStrideD: planes.strides[1]!,
    planesStrideR: planes.strides[2]!,
    heads,
    length,
    d,
    rounds,
    directions,
    blockRows: BLOCK_ROWS,
    signs: signs ? 1 : 0,
    labels: labels.address,
  });
  encodePlaces(HashParams, params, { x });
  b.dispatch({
    kernel: 'hash',
    params,
    items: batch * heads * Math.ceil(length / BLOCK_ROWS),
    scratchBytes: b.runtime.scratchBytes('hashScratchBytes', params),
    flops: 2 * x.size * rounds * directions,
  });
  return labels;
}

/**
 * Adds labels i32 [B, H * rounds, T], list h * rounds + round: argmax [xR, -xR], a number below 2 * directions, of x [B, T, H, D] and
 * rotations f32 [H or 1, D, rounds, directions] (Reformer).
 */
export function lshBuckets(b: Builder, x: Tensor, rotations: Tensor): Tensor {
  return hashRows(b, x, rotations, false);
}

/** Adds labels i32 [B, H * tables, T]: bit j says whether x plane_j > 0, of planes f32 [H or 1, D, tables, at most 32] (SimHash). */
export function simHash(b: Builder, x: Tensor, planes: Tensor): Tensor {
  return hashRows(b, x, planes, true);
}

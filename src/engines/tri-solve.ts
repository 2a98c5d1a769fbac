/**
 * Host side of unit lower triangular systems.
 *
 * @module
 */
import { TriSolveParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import { storageOf, type Tensor } from '../tensor.ts';

/** Columns of a work item. */
const BLOCK_N = 64;

/** Adds x = (I + tril(a, -1))^-1 b; the inverse without b. */
export function triSolveSystems(b: Builder, a: Tensor, right: Tensor | undefined, x: Tensor): void {
  const [batch, n, columns] = x.shape as [number, number, number];
  const params = encode(TriSolveParams, {
    a: a.address,
    aStrideB: a.strides[0]!,
    aStrideT: a.strides[1]!,
    aType: storageOf(a),
    b: right?.address ?? 0,
    bStrideB: right?.strides[0] ?? 0,
    bStrideT: right?.strides[1] ?? 0,
    bType: right ? storageOf(right) : 0,
    x: x.address,
    n,
    columns,
  });
  b.dispatch({
    kernel: 'triSolve',
    params,
    items: batch * Math.ceil(columns / BLOCK_N),
    scratchBytes: b.runtime.scratchBytes('triSolveScratchBytes', params),
    flops: batch * n * n * columns,
  });
}

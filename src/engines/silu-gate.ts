/**
 * Gates on outputs.
 *
 * @module
 */
import { CopyParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import { storageOf, type Tensor } from '../tensor.ts';
import { strides } from './linear.ts';

/** Adds o *= z / (1 + e^-z) for tensors [B, T, H, D] of one shape, last axes contiguous. */
export function siluGate(b: Builder, z: Tensor, o: Tensor): void {
  const [batch, length, heads, d] = o.shape as [number, number, number, number];
  b.dispatch({
    kernel: 'siluGate',
    params: encode(CopyParams, strides('x', z), strides('o', o), { xType: storageOf(z), length, heads, d }),
    items: batch * length,
    grain: Math.max(1, Math.ceil(4096 / Math.max(1, heads * d))),
    scratchBytes: 4 * d + 16,
    flops: 10 * o.size,
  });
}

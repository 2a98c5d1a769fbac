/**
 * Rows times gates: what prepares the operands of delta rules.
 *
 * @module
 */
import { RowProductsParams } from '../generated/params.ts';
import { encode, encodePlaces } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import { storageOf, type Tensor } from '../tensor.ts';

/** Elements worth a turn at the work counter. */
const GRAIN = 4096;

/**
 * Adds base + factor x y, a temporary, for x and base [B, T, H, D] of any storage and y f32 [B, T, H, D], or [B, T, H] for one number a
 * row; rows contiguous, other strides as they are, 0 among them.
 */
export function rowProducts(
  b: Builder,
  x: Tensor,
  y: Tensor,
  { factor = 1, base }: { readonly factor?: number; readonly base?: Tensor } = {},
): Tensor {
  const [batch, length, heads, d] = x.shape as [number, number, number, number];
  const o = b.temporary(x.shape);
  const params = encode(RowProductsParams, {
    xType: storageOf(x),
    ySplat: y.shape.length === 3 ? 1 : 0,
    baseType: base ? storageOf(base) : 0,
    o: o.address,
    length,
    heads,
    d,
    factor,
  });
  encodePlaces(RowProductsParams, params, { x, y, base });
  b.dispatch({
    kernel: 'rowProducts',
    params,
    items: o.size === 0 ? 0 : batch * length,
    grain: Math.max(1, Math.ceil(GRAIN / Math.max(1, heads * d))),
    scratchBytes: base ? 4 * d + 16 : 0,
    flops: 2 * o.size,
  });
  return o;
}

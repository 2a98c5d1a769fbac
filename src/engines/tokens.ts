/**
 * Kernels that take the rows of each token from one tensor to another.
 *
 * @module
 */
import type { Kernel } from '../generated/kernels.ts';
import { encode, encodePlaces, type Layout, type Values } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** What a kernel does: multiplications and additions for an element, and elements worth a turn at the work counter. */
interface Cost {
  readonly flops: number;
  readonly elements: number;
}

/** Adds a kernel from x to o, both [B, T, H, D] of any strides with rows contiguous; an item is a token. */
export function overTokens<L extends Layout>(
  b: Builder,
  kernel: Kernel,
  layout: L,
  { x, o }: { readonly x: Tensor; readonly o: Tensor },
  values: Values<L>,
  { flops, elements }: Cost,
): void {
  const [batch, length, heads, d] = x.shape as [number, number, number, number];
  const params = encode(layout, { length, heads, d } as Values<L>, values);
  encodePlaces(layout, params, { x, o } as { readonly [name in L[number][0]]?: Tensor });
  b.dispatch({
    kernel,
    params,
    items: batch * length,
    grain: Math.max(1, Math.ceil(elements / Math.max(1, heads * d))),
    flops: flops * x.size,
  });
}

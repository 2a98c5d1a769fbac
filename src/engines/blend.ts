/**
 * Branches of one method summed by their gates.
 *
 * @module
 */
import { BlendParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Elements worth a turn at the work counter. */
const SPAN = 8192;

/** How a branch enters a sum. */
export interface Branch {
  /** f32 [B, T, H] or [B, T, H, D], contiguous; 1 if absent. */
  readonly gate?: Tensor | undefined;
  /** i32 [T]: the row of x that each token takes; its own if absent. */
  readonly row?: Tensor | undefined;
  /** Add to o instead of overwriting it. */
  readonly add?: boolean;
}

/** Adds o = gate * x, or o += gate * x, of contiguous x [B, T or rows, H, D] and o [B, T, H, D]; o may be x. */
export function blend(b: Builder, x: Tensor, o: Tensor, { gate, row, add }: Branch): void {
  const [batch, length, heads, d] = o.shape as [number, number, number, number];
  b.dispatch({
    kernel: 'blend',
    params: encode(BlendParams, {
      x: x.address,
      row: row?.address ?? 0,
      gate: gate?.address ?? 0,
      wideGate: gate?.shape.length === 4 ? 1 : 0,
      o: o.address,
      add: add ? 1 : 0,
      length,
      rows: x.shape[1]!,
      heads,
      d,
    }),
    items: batch * length,
    grain: Math.max(1, Math.ceil(SPAN / Math.max(1, heads * d))),
    flops: 2 * o.size,
  });
}

/**
 * Copies of rows between layouts and element types.
 *
 * @module
 */
import { copyRows } from '../engines/copy.ts';
import { overTokens } from '../engines/tokens.ts';
import { NarrowParams } from '../generated/params.ts';
import type { Builder } from '../runtime/program.ts';
import type { DType, Tensor } from '../tensor.ts';

/** Numbers by which the kernel knows how many bytes an element has and which 16-bit float it is. */
const MOVED_AS: Record<DType, number> = { f32: 0, i32: 0, f16: 1, bf16: 2, i8: 3, u8: 3 };

/** Adds o = x for tensors [B, T, H, D] of one shape and type, or one of them f32 and the other f16 or bf16. */
export function moveRows(b: Builder, x: Tensor, o: Tensor): void {
  if (x.size === 0) return;
  if (x.dtype !== o.dtype && o.dtype === 'f32') {
    copyRows(b, x, o);
    return;
  }
  const types = { xType: MOVED_AS[x.dtype], oType: MOVED_AS[o.dtype] };
  overTokens(b, 'narrow', NarrowParams, { x, o }, types, { flops: 1, elements: 8192 });
}

/** A contiguous tensor of any shape as rows along its last axis. */
function asRows(x: Tensor): Tensor {
  const d = x.shape.at(-1) ?? 1;
  return x.reshape([1, x.size / Math.max(1, d), 1, d]);
}

/** The tensor itself if it is f32, else a temporary f32 copy. More than 4 axes must be contiguous, else the last one. */
export function widened(b: Builder, x: Tensor): Tensor {
  if (x.dtype === 'f32') return x;
  const o = b.temporary(x.shape);
  const lead = x.shape.length - 4;
  const [from, to] = [x, o].map((tensor) =>
    x.contiguous ? asRows(tensor) : tensor.broadcast([...new Array<number>(-lead).fill(1), ...x.shape]),
  ) as [Tensor, Tensor];
  moveRows(b, from, to);
  return o;
}

/** Where the f32 values of a contiguous `o` go: `o` itself, or a temporary that `round` then stores in it. */
export function unrounded(b: Builder, o: Tensor): Tensor {
  return o.dtype === 'f32' ? o : b.temporary(o.shape);
}

/** Adds the rounding of what `unrounded` gave. */
export function round(b: Builder, from: Tensor, o: Tensor): void {
  if (from !== o) moveRows(b, asRows(from), asRows(o));
}

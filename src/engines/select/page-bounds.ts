/**
 * Pages of keys by their largest and least elements, and what a query's products with the keys of a page are at most.
 *
 * @module
 */
import { OutwardParams, SignsParams } from '../../generated/params.ts';
import { encode, encodePlaces } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import { storageOf, type Tensor } from '../../tensor.ts';
import type { Visible } from './map.ts';
import { poolBlocks } from './pool.ts';
import { scoreMap } from './score-map.ts';

/** Rows worth a turn at the work counter. */
const GRAIN = 64;

/**
 * Adds the bounds [B, Hkv, pages, 2, D] of keys [B, Tk, Hkv, D]: the largest and the least of each channel in each page. In f32, or in bf16
 * that is rounded outward. The last two axes of `bounds` are contiguous.
 */
export function pageBounds(b: Builder, k: Tensor, page: number, bounds: Tensor): void {
  const [batch, heads, pages, , d] = bounds.shape as [number, number, number, number, number];
  const exact = bounds.dtype === 'f32' ? bounds : b.temporary(bounds.shape);
  const [strideB, strideH, strideP] = exact.strides as [number, number, number];
  for (const [n, kind] of (['max', 'min'] as const).entries()) {
    const half = exact.slice(3, n, n + 1).restride([batch, pages, heads, d], [strideB, strideP, strideH, 1]);
    poolBlocks(b, k, page, kind, half);
  }
  if (exact === bounds) return;
  b.dispatch({
    kernel: 'roundOutward',
    params: encode(OutwardParams, {
      x: exact.address,
      o: bounds.address,
      oStrideB: bounds.strides[0]!,
      oStrideH: bounds.strides[1]!,
      oStrideP: bounds.strides[2]!,
      heads,
      pages,
      d,
    }),
    items: batch * heads * pages,
    grain: GRAIN,
    flops: bounds.size,
  });
}

/** Adds x [B, T, H, D] as f32 [B, T, H, 2 D]: what is above 0, and what is below. */
function splitSigns(b: Builder, x: Tensor): Tensor {
  const [batch, length, heads, d] = x.shape as [number, number, number, number];
  const o = b.temporary([batch, length, heads, 2 * d]);
  const params = encode(SignsParams, { xType: storageOf(x), o: o.address, length, heads, d });
  encodePlaces(SignsParams, params, { x });
  b.dispatch({ kernel: 'splitSigns', params, items: batch * length * heads, grain: GRAIN, flops: 2 * x.size });
  return o;
}

/** Adds a map [B, Hq, Tq, pages]: for each page sum over c of max(q_c max_c, q_c min_c), of bounds whose last two axes are contiguous. */
export function scorePages(b: Builder, q: Tensor, bounds: Tensor, visible: Visible): Tensor {
  const [batch, heads, pages, , d] = bounds.shape as [number, number, number, number, number];
  const [strideB, strideH, strideP] = bounds.strides as [number, number, number];
  const k = bounds.restride([batch, pages, heads, 2 * d], [strideB, strideP, strideH, 1]);
  return scoreMap(b, { q: splitSigns(b, q), k, scale: 1, visible });
}

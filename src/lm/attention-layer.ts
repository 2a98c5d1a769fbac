/**
 * Attention of one layer over a sequence that grows: what keeps its keys and values, and what its queries see.
 *
 * @module
 */
import { KVCache, type KVCacheOptions } from '../cache/kv-cache.ts';
import { copyRows } from '../engines/copy.ts';
import { CacheFullError } from '../errors.ts';
import { runSync } from '../runtime/program.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';

/** Keys and values of one layer, with attention over them. */
export interface AttentionLayer extends Disposable {
  /** Bytes in use. */
  readonly bytes: number;
  /** Puts the newest tokens' keys and values in and attends: q [1, T, Hq, D], k, v [1, T, Hkv, D] to o [1, T, Hq, D]. */
  extend(q: Tensor, k: Tensor, v: Tensor): Tensor;
}

/** Sizes of a layer. */
export interface AttentionSizes {
  readonly kvHeads: number;
  readonly headDim: number;
  /** Most tokens. */
  readonly capacity: number;
}

/** A layer that is a cache of its own. @throws as `KVCache` */
export function cacheLayer(
  rt: Runtime,
  sizes: AttentionSizes,
  options: Pick<KVCacheOptions, 'dtype' | 'policy' | 'pageSize' | 'smoothKeys'> = {},
): AttentionLayer {
  const cache = new KVCache(rt, { layers: 1, ...sizes, ...options });
  return {
    get bytes() {
      return cache.bytes;
    },
    extend: (q, k, v) => cache.extendSync(0, { q, k, v }).o,
    [Symbol.dispose]: () => cache.dispose(),
  };
}

/** Attention of the newest tokens' q [1, T, Hq, D] to k and v [1, start + T, Hkv, D] of all tokens. */
export type AttendRows = (q: Tensor, k: Tensor, v: Tensor, start: number) => Tensor;

/** A layer that keeps all rows in two tensors and lets a function attend. @throws MemoryLimitError */
export function rowsLayer(rt: Runtime, sizes: AttentionSizes, attend: AttendRows): AttentionLayer {
  const { kvHeads, headDim, capacity } = sizes;
  const rows = rt.zeros([2, capacity, kvHeads, headDim]);
  const [keys, values] = [rows.slice(0, 0, 1), rows.slice(0, 1, 2)];
  let length = 0;
  return {
    get bytes() {
      return 8 * length * kvHeads * headDim;
    },
    extend(q, k, v) {
      const start = length;
      const end = start + q.shape[1]!;
      if (end > capacity) {
        throw new CacheFullError(`${q.shape[1]} tokens do not fit behind ${start}, the layer was made for ${capacity}`);
      }
      runSync('rows', { k, v, keys, values }, (b) => {
        copyRows(b, k, keys.slice(1, start, end));
        copyRows(b, v, values.slice(1, start, end));
      });
      length = end;
      return attend(q, keys.slice(1, 0, end), values.slice(1, 0, end), start);
    },
    [Symbol.dispose]: () => rows.dispose(),
  };
}

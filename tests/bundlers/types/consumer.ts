// A user's program: only its types are looked at, with every check of libraries on.
import { type AttentionResult, attention, createRuntime, type Runtime, type Tensor, WattnError } from 'wattn';
import { KVCache, type KVCacheOptions } from 'wattn/cache';
import * as cli from 'wattn/cli';
import { explain, OPS } from 'wattn/explain';
import * as external from 'wattn/external';
import * as onnx from 'wattn/onnx';

export async function attend(data: Float32Array): Promise<Float32Array> {
  using rt: Runtime = await createRuntime({ threads: 'auto' });
  const x: Tensor = rt.tensor(data, [1, 16, 4, 8]);
  try {
    const { o, lse }: AttentionResult = await attention({ q: x, k: x, v: x }, { causal: true });
    console.log(lse.shape, explain('attention', { q: x, k: x, v: x }, { causal: true }).notes, OPS.length);
    return (await o.data()) as Float32Array;
  } catch (error) {
    if (error instanceof WattnError) console.log(error.message);
    throw error;
  }
}

export function cacheOf(rt: Runtime, options: KVCacheOptions): number {
  using cache = new KVCache(rt, options);
  return cache.length;
}

/** What `external` computes with is a runtime of either entry. */
export async function fromFiles(simd: string): Promise<void> {
  using rt = await external.createRuntime({ modules: { simd: () => fetch(simd) } });
  const x = rt.tensor(new Float32Array(512), [1, 16, 4, 8]);
  await attention({ q: x, k: x, v: x });
  await external.attention({ q: x, k: x, v: x });
}

// @ts-expect-error attention has no such option
export const wrong = (x: Tensor) => attention({ q: x, k: x, v: x }, { casual: true });

export const names: readonly string[] = [...Object.keys(cli), ...Object.keys(onnx)];

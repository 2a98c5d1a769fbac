import { KVCache, type KVCacheOptions } from '../../src/cache/index.ts';
import {
  add,
  matmul,
  mul,
  type PackedMatrix,
  packMatrix,
  type Runtime,
  rmsNorm,
  rope,
  type Tensor,
} from '../../src/index.ts';
import { embed } from '../embed.ts';
import { mostTokens, turnsKeys } from './cache.ts';
import type { Checkpoint, LayerWeights, LlamaConfig } from './checkpoint.ts';

interface Layer {
  readonly attentionNorm: Tensor;
  readonly wqkv: PackedMatrix;
  readonly wo: PackedMatrix;
  readonly ffnNorm: Tensor;
  readonly w1: PackedMatrix;
  readonly w2: PackedMatrix;
  readonly w3: PackedMatrix;
}

/** A Llama 2 network on wattn's ops. */
export class Llama {
  readonly config: LlamaConfig;
  readonly #rt: Runtime;
  readonly #embedding: Float32Array;
  readonly #layers: readonly Layer[];
  readonly #finalNorm: Tensor;
  readonly #classifier: PackedMatrix;

  private constructor(
    rt: Runtime,
    { config, embedding }: Checkpoint,
    layers: readonly Layer[],
    finalNorm: Tensor,
    classifier: PackedMatrix,
  ) {
    this.config = config;
    this.#rt = rt;
    this.#embedding = embedding;
    this.#layers = layers;
    this.#finalNorm = finalNorm;
    this.#classifier = classifier;
  }

  /** Copies the weights into the runtime's memory, matrices packed for the kernels. */
  static async create(rt: Runtime, checkpoint: Checkpoint): Promise<Llama> {
    const { config, finalNorm, classifier } = checkpoint;
    const layers: Layer[] = [];
    for (const layer of checkpoint.layers) layers.push(await loadLayer(rt, layer, config));
    return new Llama(
      rt,
      checkpoint,
      layers,
      rt.tensor(finalNorm, [config.dim]),
      await pack(rt, classifier, config.vocabSize, config.dim),
    );
  }

  /** An empty cache for one sequence, of at most seqLen tokens unless the options say otherwise. */
  cache(options: Partial<KVCacheOptions> = {}): KVCache {
    const { dim, heads, kvHeads, layers, seqLen } = this.config;
    return new KVCache(this.#rt, { layers, kvHeads, headDim: dim / heads, capacity: seqLen, ...options });
  }

  /**
   * Feeds the next tokens of the cache's sequence, as many at once as it takes.
   *
   * @param rows 'last': logits [vocabSize] after the last token; 'all': [tokens.length, vocabSize], one row per token.
   * @throws RangeError if a token is not in the vocabulary.
   * @throws CacheFullError if the cache has no room; it is then as before.
   */
  async forward(tokens: readonly number[], cache: KVCache, rows: 'last' | 'all' = 'last'): Promise<Float32Array> {
    const most = mostTokens(cache);
    if (tokens.length <= most) return this.#feed(tokens, cache, rows);
    const parts: Float32Array[] = [];
    for (let at = 0; at < tokens.length; at += most) {
      parts.push(await this.#feed(tokens.slice(at, at + most), cache, rows));
    }
    if (rows === 'last') return parts.at(-1)!;
    const all = new Float32Array(tokens.length * this.config.vocabSize);
    for (const [i, part] of parts.entries()) all.set(part, i * most * this.config.vocabSize);
    return all;
  }

  /** Gives the memory back. */
  dispose(): void {
    for (const layer of this.#layers) for (const weight of Object.values(layer)) weight.dispose();
    this.#finalNorm.dispose();
    this.#classifier.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  async #feed(tokens: readonly number[], cache: KVCache, rows: 'last' | 'all'): Promise<Float32Array> {
    const start = cache.length;
    cache.reserve(tokens.length);
    try {
      return await this.#rt.scope(async () => {
        let x = embed(this.#rt, this.#embedding, this.config.dim, tokens);
        for (const index of this.#layers.keys()) x = await this.#rt.scope(() => this.#layer(index, x, cache, start));
        if (rows === 'last') x = x.slice(1, tokens.length - 1, tokens.length);
        const { o: normed } = await rmsNorm({ x, weight: this.#finalNorm });
        const { o } = await matmul({ a: normed, b: this.#classifier });
        return (await o.data()) as Float32Array;
      });
    } catch (error) {
      cache.truncate(start);
      throw error;
    }
  }

  async #layer(index: number, x: Tensor, cache: KVCache, start: number): Promise<Tensor> {
    const { attentionNorm, wqkv, wo, ffnNorm, w1, w2, w3 } = this.#layers[index]!;
    const { dim, heads, kvHeads } = this.config;
    const length = x.shape[1]!;

    const { o: normed } = await rmsNorm({ x, weight: attentionNorm });
    const { o: flat } = await matmul({ a: normed, b: wqkv });
    const qkv = flat.reshape([1, length, heads + 2 * kvHeads, dim / heads]);
    const v = qkv.slice(2, heads + kvHeads, heads + 2 * kvHeads);
    let qk = qkv.slice(2, 0, heads + kvHeads);
    if (!turnsKeys(cache)) ({ o: qk } = await rope({ x: qk }, { offset: start, interleaved: true }));
    const { o } = await cache.extend(index, { q: qk.slice(2, 0, heads), k: qk.slice(2, heads, heads + kvHeads), v });
    const { o: attended } = await matmul({ a: o.reshape([1, length, dim]), b: wo });
    const { o: middle } = await add({ a: x, b: attended });

    const { o: a } = await rmsNorm({ x: middle, weight: ffnNorm });
    const { o: gate } = await matmul({ a, b: w1 }, { activation: 'silu' });
    const { o: up } = await matmul({ a, b: w3 });
    const { o: hidden } = await mul({ a: gate, b: up });
    const { o: down } = await matmul({ a: hidden, b: w2 });
    return (await add({ a: middle, b: down })).o;
  }
}

async function loadLayer(rt: Runtime, weights: LayerWeights, config: LlamaConfig): Promise<Layer> {
  const { dim, hiddenDim, heads, kvHeads } = config;
  return {
    attentionNorm: rt.tensor(weights.attentionNorm, [dim]),
    wqkv: await pack(rt, weights.wqkv, ((heads + 2 * kvHeads) * dim) / heads, dim),
    wo: await pack(rt, weights.wo, dim, dim),
    ffnNorm: rt.tensor(weights.ffnNorm, [dim]),
    w1: await pack(rt, weights.w1, hiddenDim, dim),
    w2: await pack(rt, weights.w2, dim, hiddenDim),
    w3: await pack(rt, weights.w3, hiddenDim, dim),
  };
}

async function pack(rt: Runtime, matrix: Float32Array, rows: number, columns: number): Promise<PackedMatrix> {
  using plain = rt.tensor(matrix, [rows, columns]);
  return await packMatrix(plain, { transposeB: true });
}

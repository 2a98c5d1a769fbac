import { add, layerNorm, matmul, type PackedMatrix, packMatrix, type Runtime, type Tensor } from '../../src/index.ts';
import type { Method } from './methods.ts';
import {
  architecture,
  type DenseWeights,
  type EncoderWeights,
  type LayerWeights,
  type NormWeights,
  type Weight,
} from './weights.ts';

interface Dense {
  readonly kernel: PackedMatrix;
  readonly bias: Tensor;
}

interface Norm {
  readonly weight: Tensor;
  readonly bias: Tensor;
}

interface Layer {
  readonly residual: Dense | undefined;
  readonly attentionNorm: Norm;
  readonly qkv: Dense;
  readonly output: Dense;
  readonly feedForwardNorm: Norm;
  readonly expand: Dense;
  readonly contract: Dense;
}

/** Sentences are packed end to end until a batch holds this many tokens: enough rows for the matrix products, little memory. */
const batchTokens = 1024;

/** Universal Sentence Encoder lite on wattn's ops, with the attention of both layers done by a chosen method. */
export class Encoder {
  readonly #rt: Runtime;
  readonly #weights: EncoderWeights;
  readonly #layers: readonly Layer[];
  readonly #projection: Dense;

  private constructor(rt: Runtime, weights: EncoderWeights, layers: readonly Layer[], projection: Dense) {
    this.#rt = rt;
    this.#weights = weights;
    this.#layers = layers;
    this.#projection = projection;
  }

  /** Copies the weights into the runtime's memory, matrices packed for the kernels. */
  static async create(rt: Runtime, weights: EncoderWeights): Promise<Encoder> {
    const layers: Layer[] = [];
    for (const layer of weights.layers) layers.push(await loadLayer(rt, layer));
    return new Encoder(rt, weights, layers, await loadDense(rt, weights.projection));
  }

  /**
   * Embeds sentences given as token ids into unit vectors [512]; ids after the 128th are cut off, as the model does.
   *
   * @throws Error where a sentence has no token
   */
  async embed(
    sentences: readonly (readonly number[])[],
    method: Pick<Method, 'store' | 'attend'>,
  ): Promise<Float32Array[]> {
    const embeddings: Float32Array[] = [];
    for (const batch of batches(sentences.map((ids) => ids.slice(0, architecture.maxTokens))))
      embeddings.push(...(await this.#embedBatch(batch, method)));
    return embeddings;
  }

  #embedBatch(
    batch: readonly (readonly number[])[],
    method: Pick<Method, 'store' | 'attend'>,
  ): Promise<Float32Array[]> {
    const rt = this.#rt;
    return rt.scope(async () => {
      const kvLens = batch.map((ids) => ids.length);
      const cuSeqlens = rt.tensor(offsets(kvLens), [batch.length + 1]);
      let x = this.#inputs(batch);
      for (const layer of this.#layers) {
        const residual = layer.residual === undefined ? x : await dense(layer.residual, x);
        const { o: normed } = await layerNorm({ x, ...layer.attentionNorm }, { eps: architecture.normEps });
        const qkv = await dense(layer.qkv, normed);
        const width = qkv.shape[1]! / 3;
        const { heads } = architecture;
        const split = qkv.reshape([1, qkv.shape[0]!, 3 * heads, width / heads]);
        const [q, k, v] = [0, 1, 2].map((part) => split.slice(2, part * heads, (part + 1) * heads)) as [
          Tensor,
          Tensor,
          Tensor,
        ];
        const projected = { q, k, v, cuSeqlens, kvLens };
        const inputs = (await method.store?.(rt, projected)) ?? projected;
        const attended = await method.attend(rt, inputs);
        const output = await dense(layer.output, attended.reshape([qkv.shape[0]!, width]));
        x = await feedForward(layer, (await add({ a: residual, b: output })).o);
      }
      return this.#pool(x, kvLens);
    });
  }

  /** Token embedding plus (token embedding plus position), [N, 256]: the graph adds positions to a copy and then adds the two. */
  #inputs(batch: readonly (readonly number[])[]): Tensor {
    const { embedding, frequencies } = this.#weights;
    const rows = new Float32Array(batch.reduce((sum, ids) => sum + ids.length, 0) * 256);
    let offset = 0;
    for (const ids of batch)
      for (const [position, id] of ids.entries()) {
        for (let c = 0; c < 128; c++) {
          const angle = Math.fround(position * frequencies.data[c]!);
          rows[offset + c] = 2 * embedding.data[id * 256 + c]! + Math.sin(angle);
          rows[offset + c + 128] = 2 * embedding.data[id * 256 + c + 128]! + Math.cos(angle);
        }
        offset += 256;
      }
    return this.#rt.tensor(rows, [rows.length / 256, 256]);
  }

  /** Mean over each sentence's tokens, the tanh layer, unit length. */
  async #pool(x: Tensor, lengths: readonly number[]): Promise<Float32Array[]> {
    const means = new Float32Array(lengths.length * 512);
    const rows = x.view();
    let begin = 0;
    for (const [sentence, length] of lengths.entries()) {
      for (let t = begin; t < begin + length; t++)
        for (let c = 0; c < 512; c++) means[sentence * 512 + c]! += rows[t * 512 + c]! / length;
      begin += length;
    }
    const projected = await (await dense(this.#projection, this.#rt.tensor(means, [lengths.length, 512]))).data();
    return lengths.map((_, sentence) =>
      unit(projected.subarray(sentence * 512, (sentence + 1) * 512).map(Math.tanh) as Float32Array),
    );
  }
}

/** Groups sentences in order so that each group has at most batchTokens tokens. */
function* batches(sentences: readonly (readonly number[])[]): Generator<(readonly number[])[]> {
  let batch: (readonly number[])[] = [];
  let tokens = 0;
  for (const [index, ids] of sentences.entries()) {
    if (ids.length === 0) throw new Error(`Sentence ${index} has no tokens; expected some text.`);
    if (tokens + ids.length > batchTokens) {
      yield batch;
      batch = [];
      tokens = 0;
    }
    batch.push(ids);
    tokens += ids.length;
  }
  if (batch.length > 0) yield batch;
}

function offsets(lengths: readonly number[]): Int32Array {
  const ends = new Int32Array(lengths.length + 1);
  for (const [index, length] of lengths.entries()) ends[index + 1] = ends[index]! + length;
  return ends;
}

async function feedForward(layer: Layer, x: Tensor): Promise<Tensor> {
  const { o: normed } = await layerNorm({ x, ...layer.feedForwardNorm }, { eps: architecture.normEps });
  const { o: hidden } = await matmul(
    { a: normed, b: layer.expand.kernel, bias: layer.expand.bias },
    { activation: 'relu' },
  );
  return (await add({ a: x, b: await dense(layer.contract, hidden) })).o;
}

async function dense({ kernel, bias }: Dense, a: Tensor): Promise<Tensor> {
  return (await matmul({ a, b: kernel, bias })).o;
}

function unit(vector: Float32Array): Float32Array {
  const norm = Math.hypot(...vector);
  return vector.map((value) => value / norm);
}

async function loadLayer(rt: Runtime, layer: LayerWeights): Promise<Layer> {
  return {
    residual: layer.residual && (await loadDense(rt, layer.residual)),
    attentionNorm: loadNorm(rt, layer.attentionNorm),
    qkv: await loadDense(rt, layer.qkv),
    output: await loadDense(rt, layer.output),
    feedForwardNorm: loadNorm(rt, layer.feedForwardNorm),
    expand: await loadDense(rt, layer.expand),
    contract: await loadDense(rt, layer.contract),
  };
}

async function loadDense(rt: Runtime, { kernel, bias }: DenseWeights): Promise<Dense> {
  using plain = loadWeight(rt, kernel);
  return { kernel: await packMatrix(plain), bias: loadWeight(rt, bias) };
}

function loadNorm(rt: Runtime, { scale, bias }: NormWeights): Norm {
  return { weight: loadWeight(rt, scale), bias: loadWeight(rt, bias) };
}

function loadWeight(rt: Runtime, { data, shape }: Weight): Tensor {
  return rt.tensor(data, [...shape]);
}

import { readFile } from 'node:fs/promises';
import { type CacheAttendOptions, type CacheQueries, type CacheRows, KVCache } from '../../src/cache/index.ts';
import { attention, type Runtime, type Tensor } from '../../src/index.ts';
import { readCheckpoint } from '../llama2c/checkpoint.ts';
import { findModel } from '../llama2c/folder.ts';
import { Llama } from '../llama2c/model.ts';
import { Tokenizer } from '../llama2c/tokenizer.ts';
import { Encoder } from '../semantic-search/encoder.ts';
import { shippedText } from '../semantic-search/sentences.ts';
import { Tokenizer as EncoderTokenizer } from '../semantic-search/tokenizer.ts';
import { architecture, loadVocabulary, loadWeights } from '../semantic-search/weights.ts';

/** Copied out of a tensor, since a layer's tensors end with it. */
export interface Values {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

/** What the attention of one layer is given for one text. */
export interface Captured {
  /** [1, T, Hq, D] */
  readonly q: Values;
  /** [1, T, Hkv, D] */
  readonly k: Values;
  /** [1, T, Hkv, Dv] */
  readonly v: Values;
}

/** A cache that keeps copies of what it is asked to attend to. */
class CapturingCache extends KVCache {
  readonly captured: Captured[] = [];

  override extend(
    layer: number,
    inputs: CacheRows & CacheQueries,
    options?: CacheAttendOptions,
  ): Promise<{ o: Tensor }> {
    this.captured[layer] = { q: valuesOf(inputs.q), k: valuesOf(inputs.k), v: valuesOf(inputs.v) };
    return super.extend(layer, inputs, options);
  }
}

/**
 * Runs the llama2.c model in a folder on the beginning of each chapter of the shipped text, as much as its context holds, and gives
 * what its layers attend to: the queries and keys already rotated.
 */
export async function captureLlama(rt: Runtime, folder: string): Promise<Captured[]> {
  const files = await findModel(folder);
  const checkpoint = await readCheckpoint(files.checkpoint);
  const { layers, kvHeads, heads, dim, seqLen, vocabSize } = checkpoint.config;
  const tokenizer = await Tokenizer.read(files.tokenizer, vocabSize);
  using model = await Llama.create(rt, checkpoint);
  const found: Captured[] = [];
  for (const file of shippedText) {
    // a token is at least a byte, and merges of what is cut off do not matter to the beginning
    const text = (await readFile(file, 'utf8')).replace(/\s+/g, ' ').slice(0, 8 * seqLen);
    const tokens = tokenizer.encode(text).slice(0, seqLen);
    if (tokens.length < seqLen) throw new Error(`${file} has ${tokens.length} tokens, expected at least ${seqLen}`);
    using cache = new CapturingCache(rt, { layers, kvHeads, headDim: dim / heads, capacity: seqLen });
    await model.forward(tokens, cache);
    found.push(...cache.captured);
  }
  return found;
}

/**
 * Runs Universal Sentence Encoder lite on the first `count` paragraphs of each chapter of the shipped text that fill its 128 tokens, and
 * gives what its layers attend to.
 */
export async function captureEncoder(rt: Runtime, count: number): Promise<Captured[]> {
  const [weights, vocabulary] = await Promise.all([loadWeights(), loadVocabulary()]);
  const tokenizer = new EncoderTokenizer(vocabulary);
  const encoder = await Encoder.create(rt, weights);
  const found: Captured[] = [];
  for (const file of shippedText) {
    const paragraphs = (await readFile(file, 'utf8'))
      .split(/\r?\n\s*\n/)
      .map((paragraph) => tokenizer.encode(paragraph.replace(/\s+/g, ' ').trim()))
      .filter((ids) => ids.length >= architecture.maxTokens)
      .slice(0, count);
    if (paragraphs.length < count) {
      throw new Error(
        `${file} has ${paragraphs.length} paragraphs of ${architecture.maxTokens} tokens, expected ${count}`,
      );
    }
    for (const ids of paragraphs) {
      await encoder.embed([ids], {
        async attend(_, { q, k, v }) {
          found.push({ q: valuesOf(q), k: valuesOf(k), v: valuesOf(v) });
          return (await attention({ q, k, v })).o;
        },
      });
    }
  }
  return found;
}

function valuesOf(x: Tensor): Values {
  return { data: x.dataSync() as Float32Array, shape: [...x.shape] };
}

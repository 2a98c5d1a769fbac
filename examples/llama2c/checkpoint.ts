import { readFile } from 'node:fs/promises';

/** The seven numbers at the head of a llama2.c v0 checkpoint, the sign of vocab_size as its own field. */
export interface LlamaConfig {
  readonly dim: number;
  readonly hiddenDim: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly vocabSize: number;
  /** Most tokens of a sequence. */
  readonly seqLen: number;
  /** Whether the classifier is the embedding table. */
  readonly sharedClassifier: boolean;
}

/** Weights of one layer; matrices are [out, in]. */
export interface LayerWeights {
  readonly attentionNorm: Float32Array;
  /** wq, wk and wv one below the other: [(heads + 2 kvHeads) D, dim]. */
  readonly wqkv: Float32Array;
  /** [dim, dim] */
  readonly wo: Float32Array;
  readonly ffnNorm: Float32Array;
  /** [hiddenDim, dim], the gate. */
  readonly w1: Float32Array;
  /** [dim, hiddenDim] */
  readonly w2: Float32Array;
  /** [hiddenDim, dim] */
  readonly w3: Float32Array;
}

/** A llama2.c model outside any runtime. */
export interface Checkpoint {
  readonly config: LlamaConfig;
  /** [vocabSize, dim] */
  readonly embedding: Float32Array;
  readonly layers: readonly LayerWeights[];
  readonly finalNorm: Float32Array;
  /** [vocabSize, dim] */
  readonly classifier: Float32Array;
}

const headerBytes = 7 * 4;

/** Reads a llama2.c v0 float32 checkpoint. @throws Error if the file is not one. */
export async function readCheckpoint(file: string): Promise<Checkpoint> {
  const bytes = await readFile(file);
  try {
    return parseCheckpoint(bytes);
  } catch (error) {
    throw new Error(`${file} is not a llama2.c v0 float32 checkpoint: ${(error as Error).message}`);
  }
}

/**
 * Takes a llama2.c v0 checkpoint apart: 7 int32, then float32 weights kind by kind, each kind for all layers.
 *
 * Source: llama2.c (Karpathy 2023), run.c, memory_map_weights.
 *
 * @throws Error if the header makes no sense or the length does not follow from it.
 */
export function parseCheckpoint(bytes: Uint8Array): Checkpoint {
  const config = parseHeader(bytes);
  const { dim, hiddenDim, layers, heads, kvHeads, vocabSize, seqLen, sharedClassifier } = config;
  const d = dim / heads;
  const kvDim = kvHeads * d;
  // the cosines and sines after the final norm are left over from older versions; rope computes its own
  const angles = seqLen * d;
  const perLayer = dim + (dim + 2 * kvDim) * dim + dim * dim + dim + 3 * hiddenDim * dim;
  const expected = headerBytes + 4 * (vocabSize * dim * (sharedClassifier ? 1 : 2) + layers * perLayer + dim + angles);
  if (bytes.length !== expected) {
    throw new Error(`it has ${bytes.length} bytes, expected ${expected} for ${JSON.stringify(config)}`);
  }
  const floats = new Float32Array(
    bytes.buffer.slice(bytes.byteOffset + headerBytes, bytes.byteOffset + bytes.length) as ArrayBuffer,
  );
  let at = 0;
  const take = (n: number) => {
    at += n;
    return floats.subarray(at - n, at);
  };
  const takeLayers = (n: number) => Array.from({ length: layers }, () => take(n));
  const embedding = take(vocabSize * dim);
  const attentionNorm = takeLayers(dim);
  const wq = takeLayers(dim * dim);
  const wk = takeLayers(kvDim * dim);
  const wv = takeLayers(kvDim * dim);
  const wo = takeLayers(dim * dim);
  const ffnNorm = takeLayers(dim);
  const w1 = takeLayers(hiddenDim * dim);
  const w2 = takeLayers(dim * hiddenDim);
  const w3 = takeLayers(hiddenDim * dim);
  const finalNorm = take(dim);
  take(angles);
  return {
    config,
    embedding,
    layers: wq.map((q, i) => ({
      attentionNorm: attentionNorm[i]!,
      wqkv: concatenate([q, wk[i]!, wv[i]!]),
      wo: wo[i]!,
      ffnNorm: ffnNorm[i]!,
      w1: w1[i]!,
      w2: w2[i]!,
      w3: w3[i]!,
    })),
    finalNorm,
    classifier: sharedClassifier ? embedding : take(vocabSize * dim),
  };
}

function parseHeader(bytes: Uint8Array): LlamaConfig {
  if (bytes.length < headerBytes) throw new Error(`it has ${bytes.length} bytes, expected a header of ${headerBytes}`);
  const header = new DataView(bytes.buffer, bytes.byteOffset, headerBytes);
  const [dim, hiddenDim, layers, heads, kvHeads, signedVocabSize, seqLen] = Array.from({ length: 7 }, (_, i) =>
    header.getInt32(4 * i, true),
  ) as [number, number, number, number, number, number, number];
  const vocabSize = Math.abs(signedVocabSize);
  const config = { dim, hiddenDim, layers, heads, kvHeads, vocabSize, seqLen };
  const given = `its header says ${JSON.stringify(config)}`;
  if (Object.values(config).some((n) => n < 1 || n > 2 ** 24)) throw new Error(`${given}, expected positive sizes`);
  if (dim % heads !== 0 || (dim / heads) % 2 !== 0) {
    throw new Error(`${given}, expected dim to be heads times an even number`);
  }
  if (heads % kvHeads !== 0) throw new Error(`${given}, expected heads to be a multiple of kvHeads`);
  return { ...config, sharedClassifier: signedVocabSize > 0 };
}

function concatenate(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

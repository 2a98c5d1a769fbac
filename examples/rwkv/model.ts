import {
  addSync,
  type LayerNormInputs,
  layerNormSync,
  matmulSync,
  type PackedMatrix,
  type Runtime,
} from '../../src/index.ts';
import { embed } from '../embed.ts';
import { readWeights, type Weights } from '../weights.ts';
import { channelMix, channelMix7 } from './channel-mix.ts';
import { Memory, type Part, type Passed } from './memory.ts';
import { timeMix4 } from './time-mix-4.ts';
import { timeMix5 } from './time-mix-5.ts';
import { timeMix7 } from './time-mix-7.ts';

/** The versions of RWKV by a weight that no other one has. */
const versions: readonly {
  readonly name: string;
  readonly mark: string;
  readonly timeMix: (weights: Weights, width: number) => Part;
  readonly channelMix: (weights: Weights, width: number) => Part;
}[] = [
  { name: 'RWKV-4', mark: 'att.time_first', timeMix: timeMix4, channelMix },
  { name: 'RWKV-5.2', mark: 'att.time_mix_g', timeMix: timeMix5, channelMix },
  { name: 'RWKV-7', mark: 'att.x_rwkvag', timeMix: timeMix7, channelMix: channelMix7 },
];

type Norm = Required<Omit<LayerNormInputs, 'x'>>;

interface Layer {
  readonly norms: readonly Norm[];
  readonly parts: readonly Part[];
}

/** An RWKV network on wattn's ops. */
export class Rwkv {
  readonly version: string;
  readonly width: number;
  readonly vocabulary: number;
  readonly layers: number;
  readonly #weights: Weights;
  readonly #embedding: Float32Array;
  readonly #embeddingNorm: Norm;
  readonly #layers: readonly Layer[];
  readonly #finalNorm: Norm;
  readonly #head: PackedMatrix;

  /** Takes the weights over. @throws Error if they are not of a version that there is. */
  constructor(weights: Weights) {
    const [vocabulary, width] = weights.shape('emb.weight') as [number, number];
    const block = (index: number) => weights.under(`blocks.${index}.`);
    const version = versions.find(({ mark }) => block(0).has(mark));
    if (!version) {
      throw new Error(
        `expected a weight ${versions.map(({ name, mark }) => `blocks.0.${mark} (${name})`).join(' or ')}`,
      );
    }
    const layers: Layer[] = [];
    for (let index = 0; block(index).has('ln1.weight'); index++) {
      const own = block(index);
      layers.push({
        norms: ['ln1', 'ln2'].map((name) => norm(own, name, width)),
        parts: [version.timeMix(own.under('att.'), width), version.channelMix(own.under('ffn.'), width)],
      });
    }
    this.version = version.name;
    this.width = width;
    this.vocabulary = vocabulary;
    this.layers = layers.length;
    this.#weights = weights;
    this.#embedding = weights.values('emb.weight', [vocabulary, width]);
    this.#embeddingNorm = norm(block(0), 'ln0', width);
    this.#layers = layers;
    this.#finalNorm = norm(weights, 'ln_out', width);
    this.#head = weights.matrix('head.weight', [vocabulary, width]);
  }

  /** Reads a safetensors file. @throws Error if it is none, or not of a version that there is. */
  static read(rt: Runtime, path: string): Promise<Rwkv> {
    return readWeights(rt, path, (weights) => new Rwkv(weights));
  }

  /** What the network remembers before the first token. */
  empty(): Memory {
    return new Memory(this.#layers.map(({ parts }) => parts));
  }

  /**
   * Feeds the next tokens of a sequence: one by steps, more in one call of each method.
   *
   * @returns logits [vocabulary] after the last token.
   * @throws RangeError if there are no tokens or one is not in the vocabulary.
   */
  forward(tokens: readonly number[], memory: Memory): Float32Array {
    const { rt } = this.#weights;
    return rt.scope(() => {
      let x = layerNormSync({ x: embed(rt, this.#embedding, this.width, tokens), ...this.#embeddingNorm }).o;
      const passed: Passed = {};
      for (const [index, { norms, parts }] of this.#layers.entries()) {
        for (const [place, part] of parts.entries()) {
          ({ x } = rt.scope(() => {
            const { o: normed } = layerNormSync({ x, ...norms[place] });
            const change = part.apply(normed, memory.layers[index]![place]!, passed);
            return { x: addSync({ a: x, b: change }).o, ...passed };
          }));
        }
      }
      const last = x.slice(1, tokens.length - 1, tokens.length);
      const { o: normed } = layerNormSync({ x: last, ...this.#finalNorm });
      return matmulSync({ a: normed, b: this.#head }).o.dataSync() as Float32Array;
    });
  }

  /** Gives the memory of the weights back. */
  dispose(): void {
    this.#weights.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function norm(weights: Weights, name: string, width: number): Norm {
  return { weight: weights.tensor(`${name}.weight`, [width]), bias: weights.tensor(`${name}.bias`, [width]) };
}

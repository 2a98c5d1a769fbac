import {
  matmulSync,
  mulSync,
  type Runtime,
  selectiveScanStep,
  selectiveScanSync,
  type Tensor,
} from '../../src/index.ts';
import { advance, convolve } from '../../src/lm/advance.ts';
import { readWeights, type Weights } from '../weights.ts';
import { type Layers, layersOf, type Sizes, sizesOf } from './layers.ts';
import { Memory } from './memory.ts';

/** Keyword spotting by one Mamba block: the words' logits of the mean of its outputs so far. */
export class KeywordSpotter {
  readonly sizes: Sizes;
  readonly #weights: Weights;
  readonly #layers: Layers;

  /** Takes the weights over. @throws Error if they are of another network. */
  constructor(weights: Weights) {
    this.sizes = sizesOf(weights);
    this.#weights = weights;
    this.#layers = layersOf(weights, this.sizes);
  }

  /** Reads a safetensors file. @throws Error if it is none, or of another network. */
  static read(rt: Runtime, path: string): Promise<KeywordSpotter> {
    return readWeights(rt, path, (weights) => new KeywordSpotter(weights));
  }

  /** The recording that comes with the weights: frames one after the other. */
  sample(): Float32Array {
    const [frames] = this.#weights.shape('sample_input') as [number];
    return this.#weights.values('sample_input', [frames, this.sizes.features]);
  }

  /** Frames of a recording, one by one. */
  frames(recording: Float32Array): Float32Array[] {
    const { features } = this.sizes;
    return Array.from({ length: recording.length / features }, (_, t) =>
      recording.subarray(t * features, (t + 1) * features),
    );
  }

  /** What the network remembers before the first frame. */
  empty(): Memory {
    return new Memory(this.#weights.rt, this.sizes);
  }

  /**
   * Feeds the next frames of a recording: one by steps, more in one call of each method.
   *
   * @param frames [T, features]
   * @returns logits [words] for the recording up to here.
   * @throws RangeError if there is no frame, or a part of one.
   */
  forward(frames: Float32Array, memory: Memory): Float32Array {
    const { features, width, words } = this.sizes;
    const count = frames.length / features;
    if (!Number.isInteger(count) || count === 0) {
      throw new RangeError(`${frames.length} numbers were given, expected whole frames of ${features}`);
    }
    const { rt } = this.#weights;
    return rt.scope(() => {
      const x = rt.tensor(frames, [1, count, features]);
      const { o: input } = matmulSync({ a: x, ...this.#layers.linearIn });
      const rows = this.#block(input, memory).reshape([count, width]);
      const ones = rt.tensor(new Float32Array(count).fill(1), [1, count]);
      const { o: sum } = matmulSync({ a: ones, b: rows, bias: memory.sum });
      memory.sum.view().set(sum.view());
      memory.frames += count;
      const weight = rt.tensor(new Float32Array(width).fill(1 / memory.frames), [width]);
      const { o: mean } = mulSync({ a: sum, b: weight });
      const { o: logits } = matmulSync({ a: mean, ...this.#layers.classifier });
      return logits.reshape([words]).dataSync() as Float32Array;
    });
  }

  /** Gives the memory of the weights back. */
  dispose(): void {
    this.#weights.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Mamba's block on x [1, T, width]. */
  #block(x: Tensor, { last, state }: Memory): Tensor {
    const { inProjX, inProjZ, filter, projDelta, projB, projC, deltaProj, scan, outProj } = this.#layers;
    const { o: z } = matmulSync({ a: x, b: inProjZ });
    const u = convolve(matmulSync({ a: x, b: inProjX }).o, last, filter, 'silu');
    const delta = matmulSync({ a: matmulSync({ a: u, b: projDelta }).o, b: deltaProj }).o;
    const { o: B } = matmulSync({ a: u, b: projB });
    const { o: C } = matmulSync({ a: u, b: projC });
    const options = { deltaSoftplus: true };
    const o = advance(
      { u, delta, B, C, z },
      { state },
      (frame) => selectiveScanStep({ ...frame, ...scan, state }, options),
      (frames) => {
        const { o, finalState } = selectiveScanSync({ ...frames, ...scan, initialState: state }, options);
        return { o, state: finalState };
      },
    );
    return matmulSync({ a: o, b: outProj }).o;
  }
}

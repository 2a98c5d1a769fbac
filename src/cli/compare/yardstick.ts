/**
 * What another attention costs a model: its predictions of some windows of text beside those of the model's own attention.
 *
 * @module
 */
import {
  type AttentionMethod,
  attentionMethod,
  type LanguageModel,
  type Plan,
  type SequenceOptions,
} from '../../lm/index.ts';
import { judged, predictions } from './quality.ts';

/** What attends in the layers that do. */
export type Attention = NonNullable<SequenceOptions['attention']>;

/** How a text is fed: all at once, or its second half token by token. */
export type Fed = 'prompt' | 'tokens';

/** Bits per byte more than the model's own attention, distance from it in bits, and share of places with the same best byte. */
export interface Cost {
  readonly loss: number;
  readonly kl: number;
  readonly agreement: number;
}

/** How a method is fed so that it does what it does for tokens that come one by one, in the least time. */
export const fedTo = ({ tokens, anyParts }: AttentionMethod): Fed => (tokens && !anyParts ? 'tokens' : 'prompt');

/** How the text of a plan is fed: as the layer that asks for most. */
export function planFed({ layers }: Plan): Fed {
  return layers.some(({ method }) => fedTo(attentionMethod(method)) === 'tokens') ? 'tokens' : 'prompt';
}

/** A method in every layer that attends. */
export const everywhere =
  (model: LanguageModel, method: AttentionMethod, budget?: number): Attention =>
  (_, sizes) =>
    method.open(model.runtime, sizes, budget ?? sizes.capacity);

/** Windows of text, all of one length, of whose second half predictions are judged. */
export class Yardstick {
  readonly model: LanguageModel;
  readonly #windows: readonly Uint8Array[];
  readonly #references: readonly Float32Array[];
  /** Bits per byte of the model's own attention. */
  readonly bits: number;

  private constructor(model: LanguageModel, windows: readonly Uint8Array[], references: readonly Float32Array[]) {
    this.model = model;
    this.#windows = windows;
    this.#references = references;
    this.bits =
      windows.reduce((sum, window, i) => sum + judged(window, references[i]!, this.half).bits, 0) / windows.length;
  }

  /** @param windows each a byte longer than the context. */
  static async make(model: LanguageModel, windows: readonly Uint8Array[]): Promise<Yardstick> {
    const references: Float32Array[] = [];
    for (const window of windows) references.push(await predictions(model, window.subarray(0, -1)));
    return new Yardstick(model, windows, references);
  }

  /** Tokens of a window. */
  get context(): number {
    return this.#windows[0]!.length - 1;
  }

  get half(): number {
    return this.context >> 1;
  }

  /** What attention costs. */
  async cost(attention: Attention, fed: Fed): Promise<Cost> {
    const prompt = fed === 'tokens' ? this.half : this.context;
    let [bits, kl, agreement] = [0, 0, 0];
    for (const [i, window] of this.#windows.entries()) {
      const logs = await predictions(this.model, window.subarray(0, -1), { attention, prompt });
      const quality = judged(window, logs, this.half, this.#references[i]);
      bits += quality.bits;
      kl += quality.kl;
      agreement += quality.agreement;
    }
    const count = this.#windows.length;
    return { loss: bits / count - this.bits, kl: kl / count, agreement: agreement / count };
  }
}

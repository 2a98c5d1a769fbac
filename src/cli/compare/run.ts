/**
 * The comparison: every model on held-out text, and every method that may attend in the dense one.
 *
 * @module
 */
import { createRuntime, type RuntimeInfo, type RuntimeOptions } from '../../index.ts';
import { ATTENTION_METHODS, type AttentionMethod, LanguageModel, type SequenceOptions } from '../../lm/index.ts';
import { answers, type Feeding, judged, predictions } from './quality.ts';
import { ASKED, plainProse, type RecallCase, recallCase } from './recall.ts';
import { type Contender, type Speed, speeds, textLength } from './speed.ts';
import { windowsOf } from './windows.ts';
import { openZoo, type Text } from './zoo.ts';

/** How much is measured. */
export interface Extent {
  /** Lengths of text at which quality and speed of models are measured, rising. */
  readonly contexts: readonly number[];
  /** Windows of text for a length. */
  readonly windows: number;
  /** Bytes between a value and the question for it, and questions for each. */
  readonly distances: readonly number[];
  readonly questions: number;
  /** Length of text, windows, keys and questions for each distance with which methods in the dense model are measured. */
  readonly context: number;
  readonly methodWindows: number;
  readonly budgets: readonly number[];
  readonly methodQuestions: number;
  /** Rounds of speeds. */
  readonly rounds: number;
}

/** What is asked for. */
export interface CompareOptions {
  readonly runtime?: RuntimeOptions;
  /** A folder with models/ and text/. Default: the package @wattn/zoo. */
  readonly zoo?: string | undefined;
  /** Names of models; default all. */
  readonly models?: readonly string[] | undefined;
  readonly extent: Extent;
  readonly seed: number;
  /** Told of what is done, and how many pieces there are. */
  readonly progress?: (done: number, total: number, label: string) => void;
}

/** A model at a length of text. */
export interface ModelAtLength extends Speed {
  readonly context: number;
  /** Bits per byte of windows of this length. */
  readonly bits: number;
}

/** Share of right answers at a distance. */
export interface Recall {
  readonly distance: number;
  readonly accuracy: number;
}

/** One model. */
export interface ModelResult {
  readonly name: string;
  readonly trained: number;
  readonly lengths: readonly ModelAtLength[];
  readonly recall: readonly Recall[];
}

/** One method in the dense model, fed as it is meant for: prompts at once, or half of the text token by token. */
export interface MethodResult extends Speed {
  readonly method: string;
  readonly family: AttentionMethod['family'];
  readonly fed: 'prompt' | 'tokens';
  /** Keys; absent where none bear on it. */
  readonly budget?: number;
  /** Bits per byte more than dense attention, of the second half of each window; distance from it; share of equal best bytes. */
  readonly loss: number;
  readonly kl: number;
  readonly agreement: number;
  readonly recall: readonly Recall[];
}

/** All of it. */
export interface Report {
  readonly version: 1;
  readonly machine: RuntimeInfo;
  readonly seed: number;
  readonly extent: Extent;
  readonly models: readonly ModelResult[];
  readonly dense: { readonly model: string; readonly bits: number } | undefined;
  readonly methods: readonly MethodResult[];
  readonly seconds: number;
}

/** The mean over windows, each alone. */
async function bitsOf(model: LanguageModel, windows: readonly Uint8Array[]): Promise<number> {
  let bits = 0;
  for (const window of windows) bits += judged(window, await predictions(model, window.subarray(0, -1)), 0).bits;
  return bits / windows.length;
}

class Comparison {
  readonly #options: CompareOptions;
  readonly #texts: readonly Text[];
  readonly #prose: Uint8Array;
  #done = 0;
  #total = 0;

  constructor(options: CompareOptions, texts: readonly Text[]) {
    this.#options = options;
    this.#texts = texts;
    this.#prose = plainProse(Uint8Array.from(texts.flatMap(({ bytes }) => Array.from(bytes))));
  }

  /** Pieces that are to come. */
  plan(pieces: number): void {
    this.#total += pieces;
  }

  turn(label: string, pieces = 1): void {
    this.#done += pieces;
    this.#options.progress?.(this.#done, this.#total, label);
  }

  /** Share of right answers at each distance. */
  async recall(
    model: LanguageModel,
    questions: number,
    feeding: (asked: RecallCase) => Feeding = () => ({}),
  ): Promise<Recall[]> {
    const results: Recall[] = [];
    for (const distance of this.#options.extent.distances) {
      let right = 0;
      for (let i = 0; i < questions; ++i) {
        const asked = recallCase(this.#options.seed * 1000 + i, this.#prose, distance);
        if (await answers(model, asked, feeding(asked))) right += 1;
      }
      results.push({ distance, accuracy: right / questions });
    }
    return results;
  }

  /** Quality of a model; its speeds are measured beside the others'. */
  async model(name: string, model: LanguageModel): Promise<Omit<ModelResult, 'lengths'> & { bits: number[] }> {
    const { extent } = this.#options;
    const bits: number[] = [];
    for (const context of extent.contexts) {
      bits.push(await bitsOf(model, windowsOf(this.#texts, extent.windows, context + 1)));
      this.turn(`${name}: ${context} bytes`);
    }
    const recall = await this.recall(model, extent.questions);
    this.turn(`${name}: recall`);
    return { name, trained: model.config.context, recall, bits };
  }

  async speeds(contenders: readonly Contender[], label: string): Promise<Speed[]> {
    const longest = Math.max(...contenders.map(({ context }) => textLength(context)));
    const [text] = windowsOf(this.#texts, 1, longest);
    return speeds(contenders, text!, this.#options.extent.rounds, () => this.turn(label));
  }

  /** What each method loses in a model that attends to all keys. */
  async methods(model: LanguageModel): Promise<{ bits: number; results: MethodResult[] }> {
    const { extent } = this.#options;
    const { context, methodWindows, budgets, methodQuestions } = extent;
    const windows = windowsOf(this.#texts, methodWindows, context + 1);
    const half = context >> 1;
    const references: Float32Array[] = [];
    let bits = 0;
    for (const window of windows) {
      references.push(await predictions(model, window.subarray(0, -1)));
      bits += judged(window, references.at(-1)!, half).bits / windows.length;
    }
    const trials = ATTENTION_METHODS.flatMap((method) =>
      (method.budgeted ? budgets : [undefined]).map((budget) => ({ method, budget })),
    );
    const attentionOf =
      ({ method, budget }: (typeof trials)[number]): NonNullable<SequenceOptions['attention']> =>
      (_, sizes) =>
        method.open(model.runtime, sizes, budget ?? sizes.capacity);
    const found: Omit<MethodResult, keyof Speed>[] = [];
    for (const trial of trials) {
      const { method, budget } = trial;
      const fed = method.tokens ? 'tokens' : 'prompt';
      const attention = attentionOf(trial);
      let [loss, kl, agreement] = [-bits, 0, 0];
      for (const [i, window] of windows.entries()) {
        const prompt = fed === 'tokens' ? half : context;
        const logs = await predictions(model, window.subarray(0, -1), { attention, prompt });
        const quality = judged(window, logs, half, references[i]);
        loss += quality.bits / windows.length;
        kl += quality.kl / windows.length;
        agreement += quality.agreement / windows.length;
      }
      // questions come behind the text: the last bytes one by one where the method is for those
      const recall = await this.recall(model, methodQuestions, ({ answer }) => ({
        attention,
        ...(fed === 'tokens' && { prompt: answer - ASKED }),
      }));
      found.push({
        method: method.name,
        family: method.family,
        fed,
        ...(budget === undefined ? {} : { budget }),
        loss,
        kl,
        agreement,
        recall,
      });
      this.turn(`${method.name}${budget === undefined ? '' : ` ${budget}`}`);
    }
    const measured = await this.speeds(
      trials.map((trial) => ({ model, attention: attentionOf(trial), context })),
      'speed of methods',
    );
    return { bits, results: found.map((result, i) => ({ ...result, ...measured[i]! })) };
  }
}

/** Runs the comparison. @throws UnsupportedError, ModelError, OptionError for models that are not there or no models */
export async function compare(options: CompareOptions): Promise<Report> {
  const start = performance.now();
  const { extent, seed } = options;
  const zoo = openZoo(options.zoo);
  const names = options.models ?? zoo.names;
  using rt = await createRuntime(options.runtime);
  await rt.ready();
  const comparison = new Comparison(options, zoo.texts);
  const models = names.map((name) => LanguageModel.read(rt, zoo.model(name)));
  const dense = models.find(({ config }) => config.mixers.every(({ name }) => name === 'attention'));
  const trials = ATTENTION_METHODS.reduce((n, { budgeted }) => n + (budgeted ? extent.budgets.length : 1), 0);
  const contenders = models.flatMap((model) => extent.contexts.map((context) => ({ model, context })));
  comparison.plan(models.length * (extent.contexts.length + 1) + contenders.length * (extent.rounds + 1));
  if (dense) comparison.plan(trials * (extent.rounds + 2));
  const qualities: Awaited<ReturnType<Comparison['model']>>[] = [];
  for (const [i, model] of models.entries()) qualities.push(await comparison.model(names[i]!, model));
  const measured = await comparison.speeds(contenders, 'speed of models');
  const results = qualities.map(({ bits, ...quality }, i): ModelResult => {
    const lengths = extent.contexts.map((context, c) => {
      return { context, bits: bits[c]!, ...measured[i * extent.contexts.length + c]! };
    });
    return { ...quality, lengths };
  });
  const methods = dense && (await comparison.methods(dense));
  const report: Report = {
    version: 1,
    machine: rt.info(),
    seed,
    extent,
    models: results,
    dense: dense && methods && { model: dense.config.name, bits: methods.bits },
    methods: methods?.results ?? [],
    seconds: (performance.now() - start) / 1000,
  };
  for (const model of models) model.dispose();
  return report;
}

/**
 * The comparison: every model on held-out text, and every method that may attend in the dense one.
 *
 * @module
 */
import { createRuntime, type RuntimeOptions } from '../../index.ts';
import { LanguageModel } from '../../lm/index.ts';
import { type Made, made } from '../report/machine.ts';
import { answers, type Feeding, judged, predictions } from './quality.ts';
import { plainProse, type RecallText, recallText, sharedTexts } from './recall.ts';
import { type Contender, type Speed, speeds, textLength } from './speed.ts';
import { countTrials, type Trial, trialName, trialsOf } from './trials.ts';
import { windowsOf } from './windows.ts';
import { type Cost, Yardstick } from './yardstick.ts';
import { openZoo, type Text } from './zoo.ts';

/** How much is measured. */
export interface Extent {
  /** Lengths of text at which quality and speed of models are measured, rising. */
  readonly contexts: readonly number[];
  /** Windows of text for a length. */
  readonly windows: number;
  /** Bytes between a value and the question for it, and texts with questions for each. */
  readonly distances: readonly number[];
  readonly recallTexts: number;
  /** Length of text, windows, keys and texts with questions with which methods in the dense model are measured. */
  readonly context: number;
  readonly methodWindows: number;
  readonly budgets: readonly number[];
  readonly methodTexts: number;
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
  /** JSON of a plan for the dense model. */
  readonly plan?: string | undefined;
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

/** Most questions of a text for each distance. */
const PAIRS = 4;

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

/** One method in the dense model: what it costs on the second half of each window. */
export interface MethodResult extends Speed, Cost, Omit<Trial, 'attention'> {
  readonly recall: readonly Recall[];
}

/** All of it. */
export interface Report extends Made {
  readonly version: 1;
  readonly seed: number;
  readonly extent: Extent;
  readonly models: readonly ModelResult[];
  /** Bits per byte of a 5-gram model on the same documents, where it is known. */
  readonly ngram: number | undefined;
  readonly dense: { readonly model: string; readonly bits: number } | undefined;
  readonly methods: readonly MethodResult[];
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
    count: number,
    feeding: (asked: RecallText) => Feeding = () => ({}),
  ): Promise<Recall[]> {
    const { distances } = this.#options.extent;
    const right = new Map(distances.map((distance) => [distance, [] as boolean[]]));
    for (const shared of sharedTexts(distances, PAIRS, model.config.context)) {
      for (let i = 0; i < count; ++i) {
        const asked = recallText(this.#options.seed * 1000 + i, this.#prose, shared, PAIRS);
        const found = await answers(model, asked, feeding(asked));
        for (const [n, { distance }] of asked.questions.entries()) right.get(distance)!.push(found[n]!);
      }
    }
    return distances.map((distance) => {
      const all = right.get(distance)!;
      return { distance, accuracy: all.filter(Boolean).length / all.length };
    });
  }

  /** Quality of a model; its speeds are measured beside the others'. */
  async model(name: string, model: LanguageModel): Promise<Omit<ModelResult, 'lengths'> & { bits: number[] }> {
    const { extent } = this.#options;
    const { contexts } = extent;
    const windows = windowsOf(this.#texts, extent.windows, contexts.at(-1)! + 1);
    const { vocabulary, context: trained } = model.config;
    const bits = contexts.map(() => 0);
    for (const window of windows) {
      // nothing sees what comes after it: the first rows are those of a shorter text
      const logs = await predictions(model, window.subarray(0, -1));
      for (const [i, context] of contexts.entries()) {
        const quality = judged(window.subarray(0, context + 1), logs.subarray(0, context * vocabulary), 0);
        bits[i]! += quality.bits / windows.length;
      }
      this.turn(`${name}: text`);
    }
    const recall = await this.recall(model, extent.recallTexts);
    this.turn(`${name}: recall`, extent.recallTexts);
    return { name, trained, recall, bits };
  }

  async speeds(contenders: readonly Contender[], label: string): Promise<Speed[]> {
    const longest = Math.max(...contenders.map(({ context }) => textLength(context)));
    const [text] = windowsOf(this.#texts, 1, longest);
    return speeds(contenders, text!, this.#options.extent.rounds, () => this.turn(label));
  }

  /** What each method loses in a model that attends to all keys. */
  async methods(model: LanguageModel): Promise<{ bits: number; results: MethodResult[] }> {
    const { context, methodWindows, budgets, methodTexts } = this.#options.extent;
    const yardstick = await Yardstick.make(model, windowsOf(this.#texts, methodWindows, context + 1));
    const trials = trialsOf(model, budgets, this.#options.plan);
    const found: Omit<MethodResult, keyof Speed>[] = [];
    for (const { attention, ...trial } of trials) {
      const cost = await yardstick.cost(attention, trial.fed);
      // questions come behind the text: token by token where the method is for those
      const recall = await this.recall(model, methodTexts, ({ asked }) => ({
        attention,
        ...(trial.fed === 'tokens' && { prompt: asked }),
      }));
      found.push({ ...trial, ...cost, recall });
      this.turn(trialName(trial), methodWindows + methodTexts);
    }
    const measured = await this.speeds(
      trials.map(({ attention }) => ({ model, attention, context })),
      'speed of methods',
    );
    return { bits: yardstick.bits, results: found.map((result, i) => ({ ...result, ...measured[i]! })) };
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
  const contenders = models.flatMap((model) => extent.contexts.map((context) => ({ model, context })));
  comparison.plan(models.length * (extent.windows + extent.recallTexts) + contenders.length * extent.rounds);
  if (dense) {
    const each = extent.methodWindows + extent.methodTexts + extent.rounds;
    comparison.plan(countTrials(extent.budgets, options.plan) * each);
  }
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
    ...made(rt.info(), start),
    seed,
    extent,
    models: results,
    ngram: zoo.ngram,
    dense: dense && methods && { model: dense.config.name, bits: methods.bits },
    methods: methods?.results ?? [],
  };
  for (const model of models) model.dispose();
  return report;
}

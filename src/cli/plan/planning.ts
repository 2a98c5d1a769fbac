/**
 * What a run measures of plans, on which text.
 *
 * @module
 */
import { describePlan, type LanguageModel, loadPlan, type Plan } from '../../lm/index.ts';
import { type Contender, speeds, textLength } from '../compare/speed.ts';
import { windowsOf } from '../compare/windows.ts';
import { planFed, Yardstick } from '../compare/yardstick.ts';
import type { Text } from '../compare/zoo.ts';
import type { Progress } from '../progress.ts';
import { choicesOf, type MethodChoice, planOf } from './configuration.ts';
import type { Figures } from './goal.ts';
import type { PlanExtent, PlanText } from './report.ts';

/** The windows of a run: those that plans are chosen by come first, those that verify after them. */
export function planWindows(texts: readonly Text[], { calibration, verification, context }: PlanText) {
  const windows = windowsOf(texts, calibration + verification, context + 1);
  return { calibration: windows.slice(0, calibration), verification: windows.slice(calibration) };
}

/** What a choice costs beside loss. */
export type Cost = Omit<Figures, 'loss'>;

/** Measures plans for a model. */
export class Planning {
  readonly model: LanguageModel;
  readonly extent: PlanExtent;
  /** What can be chosen, dense attention first. */
  readonly choices: readonly MethodChoice[];
  readonly #calibration: Yardstick;
  readonly #verification: Yardstick;
  readonly #text: Uint8Array;
  readonly #progress: Progress;
  #done = 0;
  #total = 0;

  private constructor(
    model: LanguageModel,
    extent: PlanExtent,
    yardsticks: { readonly calibration: Yardstick; readonly verification: Yardstick },
    text: Uint8Array,
    progress: Progress,
  ) {
    this.model = model;
    this.extent = extent;
    this.choices = choicesOf(extent.budgets, extent.context, extent.fed);
    this.#calibration = yardsticks.calibration;
    this.#verification = yardsticks.verification;
    this.#text = text;
    this.#progress = progress;
  }

  static async make(
    model: LanguageModel,
    extent: PlanExtent,
    texts: readonly Text[],
    progress: Progress,
  ): Promise<Planning> {
    const windows = planWindows(texts, extent);
    const yardsticks = {
      calibration: await Yardstick.make(model, windows.calibration),
      verification: await Yardstick.make(model, windows.verification),
    };
    const [text] = windowsOf(texts, 1, textLength(extent.context));
    return new Planning(model, extent, yardsticks, text!, progress);
  }

  /** Layers that attend. */
  get layers(): readonly number[] {
    return this.model.attentionLayers;
  }

  /** Bits per byte of dense attention on the text that verifies. */
  get bits(): number {
    return this.#verification.bits;
  }

  /** Notes how many pieces are to come. */
  expect(pieces: number): void {
    this.#total += pieces;
  }

  /** A plan with these choices in the layers, in their order. */
  plan(choices: readonly MethodChoice[]): Plan {
    return planOf(this.model.config.name, this.layers, choices);
  }

  /**
   * What plans are chosen by: how far predictions are from those of dense attention on the text for that, in bits. It is what would be lost
   * on text that the dense model itself had written; of a few thousand real bytes the loss is mostly chance.
   */
  async distance(plan: Plan): Promise<number> {
    return (await this.#cost(this.#calibration, plan)).kl;
  }

  /** Bits per byte more than dense attention on the text that verifies. */
  async loss(plan: Plan): Promise<number> {
    return (await this.#cost(this.#verification, plan)).loss;
  }

  /** Bytes, and milliseconds of a token: rounds go through all plans in turn. */
  async costs(plans: readonly Plan[]): Promise<Cost[]> {
    const { context, rounds } = this.extent;
    const contenders = plans.map((plan): Contender => ({ model: this.model, ...loadPlan(this.model, plan), context }));
    const found = await speeds(contenders, this.#text, rounds, () => this.#turn('speed'));
    return found.map(({ bytes, decode }) => ({ bytes, ms: 1000 / decode }));
  }

  async #cost(yardstick: Yardstick, plan: Plan) {
    const cost = await yardstick.cost(loadPlan(this.model, plan).attention, planFed(plan));
    this.#turn(describePlan(this.model, plan));
    return cost;
  }

  #turn(label: string): void {
    this.#done += 1;
    this.#progress(this.#done, Math.max(this.#done, this.#total), label);
  }
}

/**
 * Finds a plan: measures methods in all layers and in each one, searches, measures what was found, and verifies it on other text.
 *
 * @module
 */
import { OptionError } from '../../errors.ts';
import { createRuntime, type RuntimeOptions } from '../../index.ts';
import { describeMethod, describePlan, LanguageModel, loadPlan, type Plan } from '../../lm/index.ts';
import { type Contender, speeds, textLength } from '../compare/speed.ts';
import { windowsOf } from '../compare/windows.ts';
import { type Fed, Yardstick } from '../compare/yardstick.ts';
import { openZoo, type Text } from '../compare/zoo.ts';
import { type Made, made } from '../report/machine.ts';
import { choicesOf, leftOut, type MethodChoice, planFed, planOf } from './configuration.ts';
import { type Figures, type Goal, nearer } from './goal.ts';
import { type Choice, neighbours, predicted, type Space, search } from './search.ts';

/** The text that plans are chosen by and verified on. */
export interface PlanText {
  /** Tokens of a window. */
  readonly context: number;
  /** Windows that plans are chosen by, and others that they are verified on. */
  readonly calibration: number;
  readonly verification: number;
}

/** How much is measured. */
export interface PlanExtent extends PlanText {
  readonly budgets: readonly number[];
  /** How methods may have to be fed: those that are for tokens one by one take many times as long to judge. */
  readonly fed: readonly Fed[];
  /** Methods that are tried in single layers, beside dense attention. */
  readonly candidates: number;
  /** Plans around the best that are measured. */
  readonly trials: number;
  /** Rounds of speeds. */
  readonly rounds: number;
}

/** What is asked for. */
export interface PlanOptions {
  readonly runtime?: RuntimeOptions;
  readonly zoo?: string | undefined;
  /** Default: the first whose every layer attends to all keys. */
  readonly model?: string | undefined;
  readonly goal: Goal;
  readonly extent: PlanExtent;
  readonly progress?: (done: number, total: number, label: string) => void;
}

/** A choice of methods and its figures on the text that verifies. */
export interface Measured extends Figures {
  readonly name: string;
  readonly plan: Plan;
}

/** A plan as it is saved: `loadPlan` takes it. */
export interface SavedPlan extends Plan {
  /** Figures on the text that verifies, bits per byte with the plan, and what that text is. */
  readonly measured: Figures & PlanText & { readonly bits: number };
}

/** What one method does in one layer. */
export interface Sensitivity {
  readonly method: string;
  /** Bits per byte more than dense, for each layer that attends. */
  readonly losses: readonly number[];
}

/** All of it. */
export interface PlanReport extends Made {
  readonly version: 1;
  readonly model: string;
  readonly goal: Goal;
  readonly extent: PlanExtent;
  /** Layers that attend. */
  readonly layers: readonly number[];
  /** Bits per byte of dense attention on the text that verifies. */
  readonly bits: number;
  readonly leftOut: readonly string[];
  readonly singles: readonly Measured[];
  readonly sensitivities: readonly Sensitivity[];
  /** Plans for other limits. */
  readonly frontier: readonly Measured[];
  readonly chosen: Measured;
  readonly saved: SavedPlan;
  /** The best of what is the same in all layers with no more loss than the plan, and whether the plan is better. */
  readonly rival: Measured;
  readonly beats: boolean;
  readonly withinLimits: boolean;
}

/** What a method may save. */
const COSTS = ['bytes', 'ms'] as const;

/** Shares of the limit, or of the loss of the plan, at which other plans show the frontier. */
const FRONTIER = [0.25, 0.5, 2, 4];

/** The windows of a run: those that plans are chosen by come first, those that verify after them. */
export function planWindows(texts: readonly Text[], { calibration, verification, context }: PlanText) {
  const windows = windowsOf(texts, calibration + verification, context + 1);
  return { calibration: windows.slice(0, calibration), verification: windows.slice(calibration) };
}

class Planning {
  readonly #model: LanguageModel;
  readonly #options: PlanOptions;
  readonly #calibration: Yardstick;
  readonly #verification: Yardstick;
  readonly #text: Uint8Array;
  #done = 0;
  #total: number;

  constructor(
    model: LanguageModel,
    options: PlanOptions,
    yardsticks: readonly [Yardstick, Yardstick],
    text: Uint8Array,
  ) {
    this.#model = model;
    this.#options = options;
    [this.#calibration, this.#verification] = yardsticks;
    this.#text = text;
    const { candidates, trials, rounds } = options.extent;
    const [layers, singles, others] = [this.layers.length, this.choices.length, FRONTIER.length + 1];
    this.#total = singles * (3 + rounds) + layers * candidates + trials + others * (1 + rounds) + candidates * rounds;
  }

  get layers(): readonly number[] {
    return this.#model.attentionLayers;
  }

  get choices(): MethodChoice[] {
    const { budgets, context, fed } = this.#options.extent;
    return choicesOf(budgets, context, fed);
  }

  plan(choices: readonly MethodChoice[]): Plan {
    return planOf(this.#model.config.name, this.layers, choices);
  }

  same(choice: MethodChoice): Plan {
    return this.plan(this.layers.map(() => choice));
  }

  turn(label: string): void {
    this.#done += 1;
    this.#options.progress?.(this.#done, Math.max(this.#done, this.#total), label);
  }

  async loss(plan: Plan, text: 'calibration' | 'verification', label: string): Promise<number> {
    const yardstick = text === 'calibration' ? this.#calibration : this.#verification;
    const { loss } = await yardstick.cost(loadPlan(this.#model, plan).attention, planFed(plan));
    this.turn(label);
    return loss;
  }

  /** Bytes, and milliseconds of a token, of plans: rounds go through all of them. */
  async speeds(plans: readonly Plan[], warmUps: number): Promise<Omit<Figures, 'loss'>[]> {
    const { context, rounds } = this.#options.extent;
    const contenders = plans.map(
      (plan): Contender => ({ model: this.#model, ...loadPlan(this.#model, plan), context }),
    );
    const found = await speeds(contenders, this.#text, { warmUps, counted: rounds }, () => this.turn('speed'));
    return found.map(({ bytes, decode }) => ({ bytes, ms: 1000 / decode }));
  }
}

/**
 * Choices to try in single layers: first those that no other is as good as in every figure, then those that only they are better than, and
 * so on; of too many, those spread over the losses.
 */
function candidatesOf(figures: readonly Figures[], goal: Goal, most: number): number[] {
  const limited = COSTS.filter((figure) => figure === goal.minimise || goal.limits[figure] !== undefined);
  const costs = limited.length === 0 ? COSTS : limited;
  const counted = ['loss', ...costs] as const;
  const dense = figures[0]!;
  const betters = (a: Figures, b: Figures) =>
    counted.every((figure) => a[figure] <= b[figure]) && counted.some((figure) => a[figure] < b[figure]);
  let left = [...figures.keys()].filter((i) => costs.some((figure) => figures[i]![figure] < dense[figure]));
  const chosen: number[] = [];
  while (chosen.length < most && left.length > 0) {
    const front = left
      .filter((i) => !left.some((other) => betters(figures[other]!, figures[i]!)))
      .sort((a, b) => figures[a]!.loss - figures[b]!.loss);
    left = left.filter((i) => !front.includes(i));
    const room = Math.min(front.length, most - chosen.length);
    const step = (front.length - 1) / Math.max(1, room - 1);
    chosen.push(...Array.from({ length: room }, (_, n) => front[Math.round(n * step)]!));
  }
  return chosen;
}

/** The plan nearest to the goal by measured loss, its bytes and time as they add up, and a goal's choice in each layer. */
async function refine(
  space: Space,
  goal: Goal,
  trials: number,
  measure: (choice: Choice) => Promise<number>,
): Promise<Choice> {
  const known = new Map<string, Figures>();
  const real = async (choice: Choice) => {
    const key = choice.join();
    const found = known.get(key) ?? { ...predicted(space, choice), loss: await measure(choice) };
    known.set(key, found);
    return found;
  };
  const { loss: limit } = goal.limits;
  let best = search(space, goal);
  let figures = await real(best);
  // losses of several layers seldom just add up: a tighter limit makes room for what they do together
  for (let tighter = limit ?? 0, n = 0; limit !== undefined && figures.loss > limit && n < trials / 4; ++n) {
    tighter *= Math.min(0.8, Math.max(0.2, limit / figures.loss));
    const next = search(space, { ...goal, limits: { ...goal.limits, loss: tighter } });
    const found = await real(next);
    if (nearer(found, figures, goal)) [best, figures] = [next, found];
  }
  for (let improved = true; improved && known.size < trials; ) {
    improved = false;
    for (const next of neighbours(space, goal, best)) {
      if (known.size >= trials) break;
      if (known.has(next.join()) || !nearer({ ...predicted(space, next), loss: 0 }, { ...figures, loss: 1e-9 }, goal))
        continue;
      const found = await real(next);
      if (!nearer(found, figures, goal)) continue;
      [best, figures, improved] = [next, found, true];
      break;
    }
  }
  return best;
}

/**
 * Finds a plan and verifies it.
 *
 * @throws UnsupportedError, ModelError as `compare`; OptionError for a model none of whose layers attends
 */
export async function plan(options: PlanOptions): Promise<PlanReport> {
  const start = performance.now();
  const { goal, extent } = options;
  const zoo = openZoo(options.zoo);
  using rt = await createRuntime(options.runtime);
  await rt.ready();
  using model = openModel(options.model, zoo, (bytes) => LanguageModel.read(rt, bytes));
  const windows = planWindows(zoo.texts, extent);
  const [text] = windowsOf(zoo.texts, 1, textLength(extent.context));
  const yardsticks = [
    await Yardstick.make(model, windows.calibration),
    await Yardstick.make(model, windows.verification),
  ] as const;
  const planning = new Planning(model, options, yardsticks, text!);
  const { layers, choices } = planning;

  const sames = choices.map((choice) => planning.same(choice));
  const names = choices.map(describeMethod);
  const losses: { calibration: number; verification: number }[] = [];
  for (const [i, same] of sames.entries()) {
    const calibration = await planning.loss(same, 'calibration', names[i]!);
    losses.push({ calibration, verification: await planning.loss(same, 'verification', names[i]!) });
  }
  const costs = await planning.speeds(sames, 0);
  const candidates = candidatesOf(
    costs.map((cost, i) => ({ ...cost, loss: losses[i]!.calibration })),
    goal,
    extent.candidates,
  );

  const sensitivities: Sensitivity[] = [];
  for (const c of candidates) {
    const own: number[] = [];
    for (const at of layers.keys()) {
      const one = planning.plan(layers.map((_, l) => choices[l === at ? c : 0]!));
      own.push(await planning.loss(one, 'calibration', `${names[c]} in layer ${layers[at]}`));
    }
    sensitivities.push({ method: names[c]!, losses: own });
  }
  // every layer is of the same size: a method adds its part of what it does in all of them
  const part = (c: number, figure: 'bytes' | 'ms') => (costs[c]![figure] - costs[0]![figure]) / layers.length;
  const space: Space = {
    base: { ...costs[0]!, loss: 0 },
    changes: [...layers.keys()].map((l) => [
      { loss: 0, bytes: 0, ms: 0 },
      ...candidates.map((c, n) => ({
        loss: sensitivities[n]!.losses[l]!,
        bytes: part(c, 'bytes'),
        ms: part(c, 'ms'),
      })),
    ]),
  };
  const planOfChoice = (choice: Choice) => planning.plan(choice.map((n) => choices[n === 0 ? 0 : candidates[n - 1]!]!));
  const found = await refine(space, goal, extent.trials, (choice) =>
    planning.loss(planOfChoice(choice), 'calibration', describePlan(model, planOfChoice(choice))),
  );
  const chosenPlan = planOfChoice(found);

  const bound = goal.limits.loss ?? Math.max(1e-4, predicted(space, found).loss);
  const cost = goal.minimise === 'ms' || (goal.minimise === 'loss' && goal.limits.bytes === undefined) ? 'ms' : 'bytes';
  const frontierPlans = FRONTIER.map((share) => search(space, { minimise: cost, limits: { loss: share * bound } }))
    .filter((other, i, all) => [found, ...all.slice(0, i)].every((before) => before.join() !== other.join()))
    .map(planOfChoice);
  const chosenLoss = await planning.loss(chosenPlan, 'verification', 'the plan');
  const frontierLosses: number[] = [];
  for (const other of frontierPlans) frontierLosses.push(await planning.loss(other, 'verification', 'the frontier'));
  const rivals = [...sames.keys()].filter((i) => losses[i]!.verification <= Math.max(0, chosenLoss));
  const figures = await planning.speeds([chosenPlan, ...frontierPlans, ...rivals.map((i) => sames[i]!)], 0);
  const measured = (name: string, plan: Plan, loss: number, cost: Omit<Figures, 'loss'>): Measured => ({
    name,
    plan,
    loss,
    ...cost,
  });
  const chosen = measured(describePlan(model, chosenPlan), chosenPlan, chosenLoss, figures[0]!);
  // the last rounds have the plan and its rivals in turn
  const timed = new Map(rivals.map((i, n) => [i, figures[1 + frontierPlans.length + n]!]));
  const singles = sames.map((same, i) => measured(names[i]!, same, losses[i]!.verification, timed.get(i) ?? costs[i]!));
  const rival = rivals.map((i) => singles[i]!).reduce((a, b) => (b[cost] < a[cost] ? b : a));
  const [, verification] = yardsticks;
  const saved: SavedPlan = {
    ...chosenPlan,
    measured: {
      loss: chosen.loss,
      bytes: chosen.bytes,
      ms: chosen.ms,
      bits: verification.bits + chosen.loss,
      context: extent.context,
      calibration: extent.calibration,
      verification: extent.verification,
    },
  };
  return {
    version: 1,
    ...made(rt.info(), start),
    model: model.config.name,
    goal,
    extent,
    layers,
    bits: verification.bits,
    leftOut: leftOut(extent.fed),
    singles,
    sensitivities,
    frontier: frontierPlans.map((other, i) =>
      measured(describePlan(model, other), other, frontierLosses[i]!, figures[1 + i]!),
    ),
    chosen,
    saved,
    rival,
    beats: chosen[cost] < rival[cost],
    withinLimits: (['loss', 'bytes', 'ms'] as const).every(
      (f) => chosen[f] <= (goal.limits[f] ?? Number.POSITIVE_INFINITY),
    ),
  };
}

/** The model of a name, or the first whose every layer attends to all keys. */
function openModel(
  name: string | undefined,
  zoo: ReturnType<typeof openZoo>,
  read: (bytes: Uint8Array) => LanguageModel,
): LanguageModel {
  for (const each of name === undefined ? zoo.names : [name]) {
    const model = read(zoo.model(each));
    const { mixers } = model.config;
    if (name === undefined ? mixers.every((mixer) => mixer.name === 'attention') : model.attentionLayers.length > 0) {
      return model;
    }
    model.dispose();
  }
  throw new OptionError(
    name === undefined
      ? `${zoo.folder} has no model that attends to all keys`
      : `no layer of the model '${name}' attends`,
  );
}

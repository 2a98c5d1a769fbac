/**
 * Finds a plan: measures methods in all layers and in each one, searches, measures what was found, and verifies it on other text.
 *
 * @module
 */
import { OptionError } from '../../errors.ts';
import { createRuntime, type RuntimeOptions } from '../../index.ts';
import { describeMethod, describePlan, LanguageModel, type Plan } from '../../lm/index.ts';
import { openZoo, type Zoo } from '../compare/zoo.ts';
import type { Progress } from '../progress.ts';
import { made } from '../report/machine.ts';
import { candidatesOf } from './candidates.ts';
import { leftOut } from './configuration.ts';
import { excess, type Figures, type Goal, nearer } from './goal.ts';
import { type Cost, Planning } from './planning.ts';
import { refine } from './refine.ts';
import type { Measured, PlanExtent, PlanReport, Sensitivity } from './report.ts';
import { type Choice, predicted, type Space, search } from './search.ts';

/** What is asked for. */
export interface PlanOptions {
  readonly runtime?: RuntimeOptions;
  readonly zoo?: string | undefined;
  /** Default: the first whose every layer attends to all keys. */
  readonly model?: string | undefined;
  readonly goal: Goal;
  readonly extent: PlanExtent;
  readonly progress?: Progress;
}

/** Shares of the limit, or of the loss of the plan, at which other plans show the frontier. */
const FRONTIER = [0.25, 0.5, 0.75, 2, 4];

/** One method in all layers. */
interface Single {
  readonly name: string;
  readonly plan: Plan;
  readonly distance: number;
  readonly loss: number;
  readonly cost: Cost;
}

async function measureSingles(planning: Planning): Promise<Single[]> {
  const plans = planning.choices.map((choice) => planning.plan(planning.layers.map(() => choice)));
  const losses: Omit<Single, 'cost'>[] = [];
  for (const [i, plan] of plans.entries()) {
    const name = describeMethod(planning.choices[i]!);
    const distance = await planning.distance(plan);
    losses.push({ name, plan, distance, loss: await planning.loss(plan) });
  }
  const costs = await planning.costs(plans);
  return losses.map((single, i) => ({ ...single, cost: costs[i]! }));
}

/** What each candidate costs in one layer, the others dense. */
async function measureLayers(planning: Planning, candidates: readonly number[]): Promise<Sensitivity[]> {
  const { layers, choices } = planning;
  const found: Sensitivity[] = [];
  for (const c of candidates) {
    const method = describeMethod(choices[c]!);
    const distances: number[] = [];
    for (const at of layers.keys()) {
      distances.push(await planning.distance(planning.plan(layers.map((_, l) => choices[l === at ? c : 0]!))));
    }
    found.push({ method, distances });
  }
  return found;
}

/** What candidates do as far as it adds up: layers are of one size, so that each has its part of what a method does in all. */
function spaceOf(
  singles: readonly Single[],
  candidates: readonly number[],
  sensitivities: readonly Sensitivity[],
  layers: number,
): Space {
  const dense = singles[0]!.cost;
  const changes = Array.from({ length: layers }, (_, layer) => [
    { loss: 0, bytes: 0, ms: 0 },
    ...candidates.map((c, n) => ({
      loss: sensitivities[n]!.distances[layer]!,
      bytes: (singles[c]!.cost.bytes - dense.bytes) / layers,
      ms: (singles[c]!.cost.ms - dense.ms) / layers,
    })),
  ]);
  return { base: { ...dense, loss: 0 }, changes };
}

/** Whether plans for a goal are compared by bytes or by time. */
const costOf = ({ minimise, limits }: Goal): 'bytes' | 'ms' =>
  minimise === 'ms' || (minimise === 'loss' && limits.bytes === undefined) ? 'ms' : 'bytes';

/** Choices for other limits of loss than the plan's, each once. */
function frontierOf(space: Space, goal: Goal, chosen: Choice): Choice[] {
  const bound = goal.limits.loss ?? Math.max(1e-4, predicted(space, chosen).loss);
  const all = FRONTIER.map((share) => search(space, { minimise: costOf(goal), limits: { loss: share * bound } }));
  return all.filter((choice, i) => [chosen, ...all.slice(0, i)].every((before) => before.join() !== choice.join()));
}

/** Pieces of a run, about. */
function piecesOf({ layers, choices, extent }: Planning): number {
  const { candidates, trials, rounds } = extent;
  const others = 1 + FRONTIER.length;
  return (
    choices.length * (2 + rounds) + layers.length * candidates + trials + others * (1 + rounds) + candidates * rounds
  );
}

/**
 * Finds a plan and verifies it.
 *
 * @throws UnsupportedError, ModelError as `compare`; OptionError for a model none of whose layers attends
 */
export async function plan({
  runtime,
  zoo: folder,
  model: name,
  goal,
  extent,
  progress,
}: PlanOptions): Promise<PlanReport> {
  const start = performance.now();
  const zoo = openZoo(folder);
  using rt = await createRuntime(runtime);
  await rt.ready();
  using model = openModel(name, zoo, (bytes) => LanguageModel.read(rt, bytes));
  const planning = await Planning.make(model, extent, zoo.texts, progress ?? (() => {}));
  planning.expect(piecesOf(planning));

  const singles = await measureSingles(planning);
  const judged = singles.map(({ distance, cost }) => ({ ...cost, loss: distance }));
  const candidates = candidatesOf(judged, goal, extent.candidates);
  const sensitivities = await measureLayers(planning, candidates);
  const space = spaceOf(singles, candidates, sensitivities, planning.layers.length);
  const tried = [0, ...candidates].map((c) => planning.choices[c]!);
  const planOf = (choice: Choice) => planning.plan(choice.map((n) => tried[n]!));
  const choice = await refine(space, goal, extent.trials, (next) => planning.distance(planOf(next)));

  const found: { plan: Plan; figures: Figures }[] = [];
  for (const each of [choice, ...frontierOf(space, goal, choice)]) {
    const plan = planOf(each);
    found.push({ plan, figures: { ...predicted(space, each), loss: await planning.loss(plan) } });
  }
  // what was chosen may lose more on other text than a plan that was made for a tighter limit
  const first = found.reduce((a, b) => (nearer(b.figures, a.figures, goal) ? b : a));
  const mixed = [first, ...found.filter((other) => other !== first)];
  const rivals = singles.filter(({ loss }) => loss <= Math.max(0, first.figures.loss));
  // the plan and its rivals are timed in turn
  const costs = await planning.costs([...mixed, ...rivals].map(({ plan }) => plan));
  const [chosen, ...frontier] = mixed.map(
    ({ plan, figures: { loss } }, i): Measured => ({ name: describePlan(model, plan), plan, loss, ...costs[i]! }),
  ) as [Measured, ...Measured[]];
  const timed = new Map(rivals.map((single, i) => [single, costs[mixed.length + i]!]));
  const figures = ({ name, plan, loss, cost }: Single, own?: Cost): Measured => ({
    name,
    plan,
    loss,
    ...(own ?? cost),
  });
  const by = costOf(goal);
  const rival = rivals.map((single) => figures(single, timed.get(single))).reduce((a, b) => (b[by] < a[by] ? b : a));
  const { context, calibration, verification } = extent;
  const { loss, bytes, ms } = chosen;
  const bits = planning.bits;
  return {
    version: 1,
    ...made(rt.info(), start),
    model: model.config.name,
    goal,
    extent,
    layers: planning.layers,
    bits,
    leftOut: leftOut(extent.fed),
    singles: singles.map((single) => figures(single, timed.get(single))),
    sensitivities,
    frontier,
    chosen,
    saved: { ...chosen.plan, measured: { loss, bytes, ms, bits: bits + loss, context, calibration, verification } },
    rival,
    beats: chosen[by] < rival[by],
    withinLimits: excess(chosen, goal) === 0,
  };
}

/** The model of a name, or the first whose every layer attends to all keys. */
function openModel(name: string | undefined, zoo: Zoo, read: (bytes: Uint8Array) => LanguageModel): LanguageModel {
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

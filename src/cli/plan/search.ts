/**
 * The search for a choice in each layer, as far as what choices do adds up: greedy steps, then exchanges.
 *
 * @module
 */
import { excess, FIGURES, type Figures, type Goal, nearer } from './goal.ts';

/** What can be chosen. */
export interface Space {
  /** Figures with choice 0 in every layer. */
  readonly base: Figures;
  /** What choice c adds in layer l: changes[l][c]; nothing for c = 0. */
  readonly changes: readonly (readonly Figures[])[];
}

/** A choice for each layer. */
export type Choice = readonly number[];

const sum = (a: Figures, b: Figures, sign = 1): Figures => ({
  loss: a.loss + sign * b.loss,
  bytes: a.bytes + sign * b.bytes,
  ms: a.ms + sign * b.ms,
});

/** What a choice gives if all adds up. */
export function predicted({ base, changes }: Space, choice: Choice): Figures {
  return choice.reduce((figures, c, layer) => sum(figures, changes[layer]![c]!), base);
}

interface Step {
  readonly layer: number;
  readonly to: number;
  readonly figures: Figures;
}

/** All choices that differ in one layer. */
function steps({ changes }: Space, choice: Choice, figures: Figures): Step[] {
  return choice.flatMap((from, layer) => {
    const without = sum(figures, changes[layer]![from]!, -1);
    const others = changes[layer]!.map((change, to): Step => ({ layer, to, figures: sum(without, change) }));
    return others.filter(({ to }) => to !== from);
  });
}

const taken = (choice: Choice, ...made: readonly Step[]) => {
  const next = [...choice];
  for (const { layer, to } of made) next[layer] = to;
  return next;
};

/** What a step uses up of limits and of what is to be least: shares of the limits, and of the base. */
function use(from: Figures, to: Figures, { minimise, limits }: Goal, base: Figures): number {
  return FIGURES.reduce((used, figure) => {
    const whole = limits[figure] ?? (figure === minimise ? Math.max(Math.abs(base[figure]), 1e-6) : undefined);
    return whole === undefined ? used : used + Math.max(0, to[figure] - from[figure]) / whole;
  }, 0);
}

/** Steps that each gain most for what they use up, until none brings the goal nearer. */
function greedy(space: Space, goal: Goal, start: Choice): Choice {
  let choice = start;
  for (let figures = predicted(space, choice); ; ) {
    const over = excess(figures, goal);
    const rated = steps(space, choice, figures)
      .filter((step) => nearer(step.figures, figures, goal))
      .map((step) => {
        const gain =
          over > 0 ? over - excess(step.figures, goal) : figures[goal.minimise] - step.figures[goal.minimise];
        return { step, rate: gain / (1e-9 + use(figures, step.figures, goal, space.base)) };
      });
    if (rated.length === 0) return choice;
    const { step } = rated.reduce((a, b) => (b.rate > a.rate ? b : a));
    choice = taken(choice, step);
    figures = predicted(space, choice);
  }
}

/** Exchanges of one or two layers' choices, until none brings the goal nearer. */
function exchanged(space: Space, goal: Goal, start: Choice): Choice {
  let choice = start;
  for (let improved = true; improved; ) {
    improved = false;
    let best = predicted(space, choice);
    const from = best;
    let next = choice;
    const ones = steps(space, choice, from);
    for (const [i, one] of ones.entries()) {
      if (nearer(one.figures, best, goal)) [best, next] = [one.figures, taken(choice, one)];
      for (const two of ones.slice(i + 1)) {
        if (two.layer === one.layer) continue;
        const both = sum(one.figures, sum(two.figures, from, -1));
        if (nearer(both, best, goal)) [best, next] = [both, taken(choice, one, two)];
      }
    }
    if (next !== choice) [choice, improved] = [next, true];
  }
  return choice;
}

/** The choice nearest to the goal that is found from the base and from every choice that is the same in all layers. */
export function search(space: Space, goal: Goal): Choice {
  const choices = space.changes[0]!.map((_, c) =>
    exchanged(
      space,
      goal,
      greedy(
        space,
        goal,
        space.changes.map(() => c),
      ),
    ),
  );
  return choices.reduce((a, b) => (nearer(predicted(space, b), predicted(space, a), goal) ? b : a));
}

/** Choices that differ in one layer, or in two, nearest to the goal first as far as all adds up. */
export function neighbours(space: Space, goal: Goal, choice: Choice): Choice[] {
  const from = predicted(space, choice);
  const ones = steps(space, choice, from);
  const found = ones.flatMap((one, i) => [
    { next: taken(choice, one), figures: one.figures },
    ...ones
      .slice(i + 1)
      .filter(({ layer }) => layer !== one.layer)
      .map((two) => ({ next: taken(choice, one, two), figures: sum(one.figures, sum(two.figures, from, -1)) })),
  ]);
  return found
    .sort((a, b) => (nearer(a.figures, b.figures, goal) ? -1 : nearer(b.figures, a.figures, goal) ? 1 : 0))
    .map(({ next }) => next);
}

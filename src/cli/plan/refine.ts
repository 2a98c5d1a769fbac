/**
 * The search's choice, run, and bettered by what is measured.
 *
 * @module
 */
import { type Figures, type Goal, nearer } from './goal.ts';
import { type Choice, neighbours, predicted, type Space, search } from './search.ts';

/**
 * The choice nearest to the goal by its measured loss; bytes and time are taken as they add up.
 *
 * @param trials most choices whose loss is measured.
 */
export async function refine(
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

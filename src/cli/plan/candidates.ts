/**
 * What is worth trying in single layers.
 *
 * @module
 */
import type { Figures, Goal } from './goal.ts';

/** What a method may save. */
const COSTS = ['bytes', 'ms'] as const;

/**
 * Choices to try in single layers: first those that no other is as good as in every figure, then those that only they are better than, and
 * so on; of too many, those spread over the losses.
 */
export function candidatesOf(figures: readonly Figures[], goal: Goal, most: number): number[] {
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

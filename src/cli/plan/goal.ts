/**
 * What a plan is to reach.
 *
 * @module
 */
import { OptionError } from '../../errors.ts';

/** What is measured of a choice of methods: bits per byte more than dense, bytes of caches, milliseconds a token. */
export interface Figures {
  readonly loss: number;
  readonly bytes: number;
  readonly ms: number;
}

export type Figure = keyof Figures;

export const FIGURES: readonly Figure[] = ['loss', 'bytes', 'ms'];

/** What is to be least while other figures stay within limits. */
export interface Goal {
  readonly minimise: Figure;
  readonly limits: Partial<Figures>;
}

/** Loss that is allowed where no limit is given, in bits per byte. */
const DEFAULT_LOSS = 0.01;

/**
 * The goal that limits mean: the least loss where bytes or time are limited and loss is not, else the fewest bytes.
 *
 * @throws OptionError for a limit that is no number above 0, or on what is to be least.
 */
export function goalOf(limits: Partial<Figures>, minimise?: Figure): Goal {
  for (const figure of FIGURES) {
    const limit = limits[figure];
    if (limit !== undefined && !(Number.isFinite(limit) && limit > 0)) {
      throw new OptionError(`the limit of ${figure} is ${limit}, expected a number above 0`);
    }
  }
  const given = Object.fromEntries(Object.entries(limits).filter(([, limit]) => limit !== undefined));
  const least = minimise ?? ('loss' in given || Object.keys(given).length === 0 ? 'bytes' : 'loss');
  if (least in given) {
    throw new OptionError(`${least} is limited and to be minimised: give a limit, or minimise it, but not both`);
  }
  return { minimise: least, limits: least === 'loss' || 'loss' in given ? given : { ...given, loss: DEFAULT_LOSS } };
}

/** By how much figures are over their limits, as shares of them. */
export function excess(figures: Figures, { limits }: Goal): number {
  return FIGURES.reduce((sum, figure) => {
    const limit = limits[figure];
    return limit === undefined ? sum : sum + Math.max(0, figures[figure] / limit - 1);
  }, 0);
}

/** Whether `a` is nearer to the goal than `b`: less over its limits, or less of what is to be least. */
export function nearer(a: Figures, b: Figures, goal: Goal): boolean {
  const over = excess(a, goal) - excess(b, goal);
  // sums in another order differ in their last digits
  if (Math.abs(over) > 1e-12) return over < 0;
  const [x, y] = [a[goal.minimise], b[goal.minimise]];
  return y - x > 1e-12 * Math.max(1, Math.abs(y));
}

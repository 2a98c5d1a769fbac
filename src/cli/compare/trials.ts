/**
 * What may attend in the model that attends to all keys: every method with the budgets that bear on it, and a plan.
 *
 * @module
 */
import { ATTENTION_METHODS, type LanguageModel, loadPlan, type MethodFamily, type Plan } from '../../lm/index.ts';
import { type Attention, everywhere, type Fed, fedTo, planFed } from './yardstick.ts';

/** One of them. */
export interface Trial {
  readonly method: string;
  readonly family: MethodFamily | 'plan';
  /** Keys; absent where none bear on it. */
  readonly budget?: number;
  readonly fed: Fed;
  readonly attention: Attention;
}

/** How it is called: with its keys where they bear on it. */
export const trialName = ({ method, budget }: Pick<Trial, 'method' | 'budget'>) =>
  budget === undefined ? method : `${method} ${budget}`;

/** How many there are. */
export function countTrials(budgets: readonly number[], plan: string | undefined): number {
  const methods = ATTENTION_METHODS.reduce((n, { budgeted }) => n + (budgeted ? budgets.length : 1), 0);
  return methods + (plan === undefined ? 0 : 1);
}

/** All of them. @param plan JSON; whatever `loadPlan` throws of it. */
export function trialsOf(model: LanguageModel, budgets: readonly number[], plan: string | undefined): Trial[] {
  const methods = ATTENTION_METHODS.flatMap((method) =>
    (method.budgeted ? budgets : [undefined]).map(
      (budget): Trial => ({
        method: method.name,
        family: method.family,
        ...(budget === undefined ? {} : { budget }),
        fed: fedTo(method),
        attention: everywhere(model, method, budget),
      }),
    ),
  );
  if (plan === undefined) return methods;
  const { attention } = loadPlan(model, plan);
  return [...methods, { method: 'the plan', family: 'plan', fed: planFed(JSON.parse(plan) as Plan), attention }];
}

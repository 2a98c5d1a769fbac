/**
 * Choices of methods for the layers of a model.
 *
 * @module
 */
import { ATTENTION_METHODS, type LayerPlan, type Plan } from '../../lm/index.ts';
import { type Fed, fedTo } from '../compare/yardstick.ts';

/** A method with the keys that it keeps or sees. */
export type MethodChoice = Pick<LayerPlan, 'method' | 'budget'>;

/** Methods for tokens that come one by one, dense attention first, with every budget below `context` that bears on them. */
export function choicesOf(budgets: readonly number[], context: number, fed: readonly Fed[]): MethodChoice[] {
  const bearing = ATTENTION_METHODS.filter((method) => method.tokens && fed.includes(fedTo(method)));
  const small = budgets.filter((budget) => budget < context);
  return bearing.flatMap(({ name, budgeted }) =>
    (budgeted ? small : [context]).map((budget) => ({ method: name, budget })),
  );
}

/** Names of the methods for tokens that are not fed so. */
export function leftOut(fed: readonly Fed[]): string[] {
  return ATTENTION_METHODS.filter((method) => method.tokens && !fed.includes(fedTo(method))).map(({ name }) => name);
}

/** A plan with these choices in the layers that attend, in their order. */
export function planOf(model: string, layers: readonly number[], choices: readonly MethodChoice[]): Plan {
  return { model, layers: layers.map((layer, i) => ({ layer, ...choices[i]! })) };
}

/**
 * Plans: which method attends in which layer of a model.
 *
 * @module
 */
import { ModelError } from '../errors.ts';
import { attentionMethod } from './attention-methods.ts';
import type { LanguageModel, SequenceOptions } from './model.ts';

/** The method of one layer. */
export interface LayerPlan {
  readonly layer: number;
  /** A name of ATTENTION_METHODS. */
  readonly method: string;
  /** Keys that it keeps or sees. */
  readonly budget: number;
}

/** The methods of a model's layers; layers that are not named attend as the model does. */
export interface Plan {
  readonly model: string;
  readonly layers: readonly LayerPlan[];
}

const isObject = (x: unknown): x is Readonly<Record<string, unknown>> => typeof x === 'object' && x !== null;

function layerPlan(entry: unknown, attends: readonly number[]): LayerPlan {
  const { layer, method, budget } = isObject(entry) ? entry : {};
  if (!attends.includes(layer as number)) {
    throw new ModelError(
      `a plan names layer ${JSON.stringify(layer)}, but the layers that attend are ${attends.join(', ')}`,
    );
  }
  if (!Number.isInteger(budget) || (budget as number) < 16) {
    throw new ModelError(
      `layer ${layer}: budget is ${JSON.stringify(budget)}, expected a whole number of keys, at least 16`,
    );
  }
  return { layer: layer as number, method: attentionMethod(String(method)).name, budget: budget as number };
}

/**
 * A plan for a model, as options of `open`.
 *
 * @param plan a Plan, or its JSON.
 * @throws ModelError, OptionError if it is none, is for another model, or names layers or methods that there are not.
 * @example using sequence = model.open({ capacity: 1024, ...loadPlan(model, '{"model": "attention", "layers": []}') })
 */
export function loadPlan(model: LanguageModel, plan: Plan | string): Pick<Required<SequenceOptions>, 'attention'> {
  let given: unknown = plan;
  if (typeof plan === 'string') {
    try {
      given = JSON.parse(plan);
    } catch (cause) {
      throw new ModelError(`the plan is no JSON: ${(cause as Error).message}`);
    }
  }
  if (!isObject(given) || !Array.isArray(given.layers)) throw new ModelError('a plan has { model, layers: [...] }');
  if (given.model !== model.config.name) {
    throw new ModelError(`the plan is for the model '${given.model}', not for '${model.config.name}'`);
  }
  const layers = new Map(given.layers.map((entry) => [entry?.layer, layerPlan(entry, model.attentionLayers)]));
  return {
    attention(layer, sizes) {
      const own = layers.get(layer);
      return own && attentionMethod(own.method).open(model.runtime, sizes, own.budget);
    },
  };
}

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

/** The method of a layer in words: with its keys where they bear on it. @throws OptionError if there is no such method. */
export function describeMethod({ method, budget }: Pick<LayerPlan, 'method' | 'budget'>): string {
  return attentionMethod(method).budgeted ? `${method} ${budget}` : method;
}

/**
 * What attends in the layers of a model that do, in words: `0-3 int8, 4 window 64, 5-7 its own attention`.
 *
 * @param plan one that `loadPlan` takes.
 * @example describePlan(model, { model: 'attention', layers: [{ layer: 1, method: 'int8', budget: 64 }] })
 */
export function describePlan(
  { attentionLayers, config }: Pick<LanguageModel, 'attentionLayers' | 'config'>,
  plan: Plan,
): string {
  if (attentionLayers.length === 0) return 'no layer attends';
  const planned = new Map(plan.layers.map((entry) => [entry.layer, entry]));
  const runs: { first: number; last: number; what: string }[] = [];
  for (const layer of attentionLayers) {
    const own = planned.get(layer);
    const what = own ? describeMethod(own) : `its own ${config.mixers[layer]!.name}`;
    const run = runs.at(-1);
    if (run?.what === what && run.last === layer - 1) run.last = layer;
    else runs.push({ first: layer, last: layer, what });
  }
  return runs.map(({ first, last, what }) => `${first === last ? first : `${first}-${last}`} ${what}`).join(', ');
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

/**
 * A saved plan, loaded and measured again.
 *
 * @module
 */
import { OptionError } from '../../errors.ts';
import { createRuntime, type RuntimeOptions } from '../../index.ts';
import { LanguageModel, loadPlan } from '../../lm/index.ts';
import { planFed, Yardstick } from '../compare/yardstick.ts';
import { openZoo } from '../compare/zoo.ts';
import { planWindows } from './planning.ts';
import type { SavedPlan } from './report.ts';

/** Most by which the loss may differ from the saved one, in bits per byte. */
export const PLAN_TOLERANCE = 1e-4;

/** What a saved plan says it costs, and what it costs here. */
export interface PlanCheck {
  readonly saved: number;
  readonly found: number;
  readonly same: boolean;
}

/**
 * Measures the loss of a saved plan on the text that verified it.
 *
 * @throws OptionError for JSON without figures; whatever `loadPlan` throws
 */
export async function checkPlan(json: string, zooFolder?: string, runtime?: RuntimeOptions): Promise<PlanCheck> {
  const zoo = openZoo(zooFolder);
  const { model: name, measured } = JSON.parse(json) as Partial<SavedPlan>;
  if (name === undefined || measured === undefined) {
    throw new OptionError("the plan has no 'model' or no 'measured': expected what `wattn plan` saved");
  }
  using rt = await createRuntime(runtime);
  using model = LanguageModel.read(rt, zoo.model(name));
  const { attention } = loadPlan(model, json);
  const yardstick = await Yardstick.make(model, planWindows(zoo.texts, measured).verification);
  const { loss } = await yardstick.cost(attention, planFed(JSON.parse(json)));
  return { saved: measured.loss, found: loss, same: Math.abs(loss - measured.loss) <= PLAN_TOLERANCE };
}

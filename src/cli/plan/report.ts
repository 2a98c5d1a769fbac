/**
 * What a run measures, and what it says.
 *
 * @module
 */
import type { Plan } from '../../lm/index.ts';
import type { Fed } from '../compare/yardstick.ts';
import type { Made } from '../report/machine.ts';
import type { Figures, Goal } from './goal.ts';

/** The text that plans are chosen by and verified on. */
export interface PlanText {
  /** Tokens of a window. */
  readonly context: number;
  /** Windows that plans are chosen by, and others that they are verified on. */
  readonly calibration: number;
  readonly verification: number;
}

/** How much is measured. */
export interface PlanExtent extends PlanText {
  readonly budgets: readonly number[];
  /** How methods may have to be fed: those that are for tokens one by one take many times as long to judge. */
  readonly fed: readonly Fed[];
  /** Methods that are tried in single layers, beside dense attention. */
  readonly candidates: number;
  /** Plans around the best that are measured. */
  readonly trials: number;
  /** Rounds of speeds. */
  readonly rounds: number;
}

/** A choice of methods and its figures on the text that verifies. */
export interface Measured extends Figures {
  readonly name: string;
  readonly plan: Plan;
}

/** A plan as it is saved: `loadPlan` takes it. */
export interface SavedPlan extends Plan {
  /** Figures on the text that verifies, bits per byte with the plan, and what that text is. */
  readonly measured: Figures & PlanText & { readonly bits: number };
}

/** What one method does in one layer. */
export interface Sensitivity {
  readonly method: string;
  /** Distance from dense predictions in bits, for each layer that attends. */
  readonly distances: readonly number[];
}

/** All of it. */
export interface PlanReport extends Made {
  readonly version: 1;
  readonly model: string;
  readonly goal: Goal;
  readonly extent: PlanExtent;
  /** Layers that attend. */
  readonly layers: readonly number[];
  /** Bits per byte of dense attention on the text that verifies. */
  readonly bits: number;
  readonly leftOut: readonly string[];
  readonly singles: readonly Measured[];
  readonly sensitivities: readonly Sensitivity[];
  /** Plans for other limits. */
  readonly frontier: readonly Measured[];
  readonly chosen: Measured;
  readonly saved: SavedPlan;
  /** The best of what is the same in all layers with no more loss than the plan, and whether the plan is better. */
  readonly rival: Measured;
  readonly beats: boolean;
  readonly withinLimits: boolean;
}

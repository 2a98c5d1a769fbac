/**
 * `wattn plan`: which attention in which layer, within limits of loss, memory and time.
 *
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs';
import type { RuntimeOptions } from '../index.ts';
import { openZoo } from './compare/zoo.ts';
import { checkPlan, PLAN_TOLERANCE } from './plan/check.ts';
import { type Figure, type Figures, goalOf } from './plan/goal.ts';
import { planPage } from './plan/page.ts';
import type { PlanExtent } from './plan/report.ts';
import { plan } from './plan/run.ts';
import { summary } from './plan/summary.ts';
import { withProgress } from './progress.ts';

/** About two minutes on two cores. */
export const BRIEF_PLAN: PlanExtent = {
  context: 512,
  calibration: 4,
  verification: 8,
  budgets: [32, 64, 128],
  fed: ['prompt'],
  candidates: 8,
  trials: 16,
  rounds: 3,
};

/** All of it. */
export const FULL_PLAN: PlanExtent = {
  context: 1024,
  calibration: 8,
  verification: 16,
  budgets: [32, 64, 128, 256, 512],
  fed: ['prompt', 'tokens'],
  candidates: 12,
  trials: 48,
  rounds: 5,
};

/** What the command takes. */
export interface PlanCommand extends RuntimeOptions {
  readonly zoo?: string | undefined;
  readonly model?: string | undefined;
  readonly full?: boolean | undefined;
  readonly limits: Partial<Figures>;
  readonly minimise?: Figure | undefined;
  /** Files of the plan and of the page. */
  readonly out?: string | undefined;
  readonly report?: string | undefined;
  readonly json?: boolean | undefined;
  readonly extent?: PlanExtent;
}

/** Runs it, writes the plan and the page and gives what is to be printed. */
export async function runPlan(command: PlanCommand, write: (line: string) => void): Promise<void> {
  const {
    zoo,
    model,
    full = false,
    limits,
    minimise,
    out = 'wattn-plan.json',
    report: path = 'wattn-plan.html',
    json,
    extent = full ? FULL_PLAN : BRIEF_PLAN,
    ...runtime
  } = command;
  const goal = goalOf(limits, minimise);
  const report = await withProgress((progress) => plan({ runtime, zoo, model, goal, extent, progress }));
  writeFileSync(out, `${JSON.stringify(report.saved, null, 1)}\n`);
  writeFileSync(path, planPage(report, openZoo(zoo).folder));
  write(json ? JSON.stringify(report) : `${summary(report)}\n${out} is the plan, ${path} has all of it`);
}

/** Loads a saved plan and measures its loss again; whether it is the saved one. */
export async function runPlanCheck(
  { check, zoo, json, ...runtime }: RuntimeOptions & { check: string } & Pick<PlanCommand, 'zoo' | 'json'>,
  write: (line: string) => void,
): Promise<boolean> {
  const found = await checkPlan(readFileSync(check, 'utf8'), zoo, runtime);
  const line = `${check}: ${found.found.toFixed(6)} bits per byte lost, ${found.saved.toFixed(6)} when it was saved`;
  write(json ? JSON.stringify(found) : `${line}; ${found.same ? 'the same' : `more than ${PLAN_TOLERANCE} apart`}`);
  return found.same;
}

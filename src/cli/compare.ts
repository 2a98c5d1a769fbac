/**
 * `wattn compare`: models and methods side by side, in tables, JSON and a page.
 *
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs';
import type { RuntimeOptions } from '../index.ts';
import { page } from './compare/page.ts';
import { compare, type Extent } from './compare/run.ts';
import { tables } from './compare/table.ts';
import { openZoo } from './compare/zoo.ts';
import { withProgress } from './progress.ts';

/** Under two minutes on two cores. */
export const BRIEF: Extent = {
  contexts: [256, 1024],
  windows: 4,
  distances: [32, 128, 384, 768],
  recallTexts: 2,
  context: 768,
  methodWindows: 2,
  budgets: [128],
  methodTexts: 1,
  rounds: 3,
};

/** All of it. */
export const FULL: Extent = {
  contexts: [128, 256, 512, 1024, 2048, 4096],
  windows: 16,
  distances: [32, 64, 128, 256, 512, 768, 1536, 2048],
  recallTexts: 16,
  context: 1024,
  methodWindows: 8,
  budgets: [64, 128, 256],
  methodTexts: 8,
  rounds: 5,
};

/** What the command takes. */
export interface CompareCommand extends RuntimeOptions {
  readonly zoo?: string;
  readonly models?: readonly string[];
  /** A file that `wattn plan` has written. */
  readonly plan?: string;
  readonly full?: boolean;
  readonly seed?: number;
  /** Files of the page and of the figures. */
  readonly report?: string;
  readonly json?: boolean;
  readonly extent?: Extent;
}

/** Runs it, writes the files and gives what is to be printed. */
export async function runCompare(command: CompareCommand, write: (line: string) => void): Promise<void> {
  const {
    zoo,
    models,
    plan: file,
    full = false,
    seed = 1,
    report: path = 'wattn-report.html',
    json,
    ...rest
  } = command;
  const { extent = full ? FULL : BRIEF, ...runtime } = rest;
  const plan = file === undefined ? undefined : readFileSync(file, 'utf8');
  const report = await withProgress((progress) => compare({ runtime, zoo, models, plan, seed, extent, progress }));
  const figures = `${path.replace(/\.html$/, '')}.json`;
  writeFileSync(figures, `${JSON.stringify(report, null, 1)}\n`);
  writeFileSync(path, page(report, openZoo(zoo).folder));
  write(json ? JSON.stringify(report) : `${tables(report)}\n${path} and ${figures} have all of it`);
}

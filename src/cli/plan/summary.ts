/**
 * A plan and what it was measured against, in sentences and tables.
 *
 * @module
 */
import { machineLine } from '../report/machine.ts';
import { readableBytes, readableLoss, terminalTable } from '../report/table.ts';
import { FIGURES, type Figure, type Figures, type Goal } from './goal.ts';
import type { Measured, PlanReport } from './report.ts';

const readable: Record<Figure, (x: number) => string> = {
  loss: (x) => `${x.toFixed(4)} bits per byte`,
  bytes: readableBytes,
  ms: (x) => `${x.toFixed(2)} ms a token`,
};

const NAMES: Record<Figure, string> = { loss: 'loss', bytes: 'memory', ms: 'time' };

/** What was asked for. */
export function goalLine({ minimise, limits }: Goal): string {
  const given = FIGURES.filter((figure) => limits[figure] !== undefined);
  const bounds = given.map((figure) => `${NAMES[figure]} at most ${readable[figure](limits[figure]!)}`);
  return `least ${NAMES[minimise]}${bounds.length > 0 ? `, ${bounds.join(', ')}` : ''}`;
}

const figuresOf = ({ loss, bytes, ms }: Figures) =>
  `${readable.loss(loss)} lost, ${readable.bytes(bytes)}, ${readable.ms(ms)}`;

/** Whether the plan is worth it: within its limits, and better than the best that is the same in all layers. */
export function verdict({ chosen, rival, beats, withinLimits, goal }: PlanReport): string {
  const limits = withinLimits
    ? 'The plan is within its limits on text that it was not chosen by.'
    : `The plan is not within its limits on text that it was not chosen by (${goalLine(goal)}).`;
  const against = `the best that is the same in all layers and loses no more, '${rival.name}': ${figuresOf(rival)}`;
  return `${limits} It ${beats ? 'beats' : 'does not beat'} ${against}. The plan: ${figuresOf(chosen)}.`;
}

/** The plan first, then other mixed plans, then what is the same in all layers, by memory. */
export const rows = ({ chosen, frontier, singles }: PlanReport): { kind: string; at: Measured }[] => [
  { kind: 'plan', at: chosen },
  ...frontier.map((at) => ({ kind: 'other plan', at })),
  ...[...singles].sort((a, b) => a.bytes - b.bytes).map((at) => ({ kind: 'one method', at })),
];

export const HEAD = ['methods', '', 'bits', 'memory', 'ms a token'];
export const cells = ({ kind, at }: ReturnType<typeof rows>[number]) => [
  at.name,
  kind,
  readableLoss(at.loss),
  readableBytes(at.bytes),
  at.ms.toFixed(2),
];

/** What was not tried. */
export function leftOutLine({ leftOut }: PlanReport): string {
  return leftOut.length === 0
    ? ''
    : `Not tried, since they are judged token by token: ${leftOut.join(', ')}; --full tries them.`;
}

/** All of it for a terminal. */
export function summary(report: PlanReport): string {
  const { model, goal, extent, bits } = report;
  return [
    `A plan for '${model}' at ${extent.context} bytes: ${goalLine(goal)}. Dense attention: ${bits.toFixed(4)} bits per byte.`,
    terminalTable(HEAD, rows(report).map(cells)),
    verdict(report),
    leftOutLine(report),
    machineLine(report),
  ]
    .filter((line) => line !== '')
    .join('\n');
}

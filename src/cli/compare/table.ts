/**
 * The comparison as tables for a terminal.
 *
 * @module
 */
import { machineLine } from '../report/machine.ts';
import { readableBytes, readableLoss, readableRate, terminalTable } from '../report/table.ts';
import type { MethodResult, ModelResult, Recall, Report } from './run.ts';
import type { Speed } from './speed.ts';
import { trialName } from './trials.ts';

const percent = (share: number) => `${Math.round(share * 100)} %`;
const recallOf = (recall: readonly Recall[]) => recall.map(({ accuracy }) => Math.round(accuracy * 100)).join(' ');

/** Head and cells of speeds. */
export const SPEED_HEAD = ['prefill', 'decode', 'memory'];
export const speedCells = ({ prefill, decode, bytes }: Speed) => [
  readableRate(prefill),
  readableRate(decode),
  readableBytes(bytes),
];

function modelRow({ name, lengths, recall }: ModelResult): string[] {
  return [name, ...lengths.map(({ bits }) => bits.toFixed(3)), recallOf(recall), ...speedCells(lengths.at(-1)!)];
}

function methodRow(at: MethodResult): string[] {
  return [
    trialName(at),
    at.fed,
    readableLoss(at.loss),
    at.kl.toFixed(4),
    percent(at.agreement),
    recallOf(at.recall),
    ...speedCells(at),
  ];
}

/** What counting alone reaches, where it is known. */
export function ngramLine({ ngram }: Pick<Report, 'ngram'>): string {
  return ngram === undefined
    ? ''
    : `A 5-gram model of the text that they were trained on has ${ngram.toFixed(3)} bits per byte on the same documents.`;
}

/** All tables. */
export function tables(report: Report): string {
  const { extent, models, methods, dense } = report;
  const ngram = ngramLine(report);
  const longest = extent.contexts.at(-1)!;
  const parts = [
    `Models: bits per byte at ${extent.contexts.join(', ')} bytes; answers right in % at ${extent.distances.join(' ')} bytes; tokens a second and memory at ${longest}`,
    terminalTable(['model', ...extent.contexts.map((n) => `bits ${n}`), 'recall', ...SPEED_HEAD], models.map(modelRow)),
  ];
  if (ngram !== '') parts.push(ngram);
  if (dense) {
    parts.push(
      `The model '${dense.model}' with other attention: ${dense.bits.toFixed(3)} bits per byte, second half of ${extent.context} bytes, and what each method adds`,
      terminalTable(['method', 'fed', 'bits', 'KL', 'same', 'recall', ...SPEED_HEAD], methods.map(methodRow)),
    );
  }
  return [...parts, machineLine(report)].join('\n');
}

/**
 * The comparison as tables for a terminal.
 *
 * @module
 */
import Table from 'cli-table3';
import type { MethodResult, ModelResult, Recall, Report } from './run.ts';

const percent = (share: number) => `${Math.round(share * 100)} %`;
const recallOf = (recall: readonly Recall[]) => recall.map(({ accuracy }) => Math.round(accuracy * 100)).join(' ');

/** Bytes in the unit that leaves few digits. */
export function readableBytes(bytes: number): string {
  if (bytes < 2 ** 10) return `${bytes} B`;
  return bytes < 2 ** 20 ? `${(bytes / 2 ** 10).toFixed(0)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

/** A number of tokens a second in three digits. */
export function readableRate(rate: number): string {
  return rate >= 1000 ? `${(rate / 1000).toFixed(rate >= 1e4 ? 0 : 1)}k` : rate.toFixed(0);
}

function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = new Table({
    head: [...head],
    style: { head: [], border: [], compact: true },
    colAligns: head.map((_, i) => (i === 0 ? 'left' : 'right')),
  });
  table.push(...rows.map((row) => [...row]));
  return table.toString();
}

function modelRow({ name, lengths, recall }: ModelResult): string[] {
  const longest = lengths.at(-1)!;
  return [
    name,
    ...lengths.map(({ bits }) => bits.toFixed(3)),
    recallOf(recall),
    readableRate(longest.prefill),
    readableRate(longest.decode),
    readableBytes(longest.bytes),
  ];
}

function methodRow({ method, budget, fed, loss, kl, agreement, recall, ...speed }: MethodResult): string[] {
  return [
    budget === undefined ? method : `${method} ${budget}`,
    fed,
    `${loss >= 0 ? '+' : ''}${loss.toFixed(4)}`,
    kl.toFixed(4),
    percent(agreement),
    recallOf(recall),
    readableRate(speed.prefill),
    readableRate(speed.decode),
    readableBytes(speed.bytes),
  ];
}

/** The machine in a line. */
export function machineLine({ machine, seconds }: Pick<Report, 'machine' | 'seconds'>): string {
  const what =
    machine.backend === 'wasm'
      ? `${machine.host.runtime}, ${machine.build}, ${machine.threads} of ${machine.host.processors} processors`
      : `WebGPU, ${machine.gpu.description || machine.gpu.vendor}`;
  return `${what}; ${seconds.toFixed(0)} s in all`;
}

/** All tables. */
export function tables(report: Report): string {
  const { extent, models, methods, dense } = report;
  const longest = extent.contexts.at(-1)!;
  const parts = [
    `Models: bits per byte at ${extent.contexts.join(', ')} bytes; answers right in % at ${extent.distances.join(' ')} bytes; tokens a second and memory at ${longest}`,
    tableOf(
      ['model', ...extent.contexts.map((n) => `bits ${n}`), 'recall', 'prefill', 'decode', 'memory'],
      models.map(modelRow),
    ),
  ];
  if (dense) {
    parts.push(
      `The model '${dense.model}' with other attention: ${dense.bits.toFixed(3)} bits per byte, second half of ${extent.context} bytes, and what each method adds`,
      tableOf(['method', 'fed', 'bits', 'KL', 'same', 'recall', 'prefill', 'decode', 'memory'], methods.map(methodRow)),
    );
  }
  return [...parts, machineLine(report)].join('\n');
}

/**
 * Tables for a terminal, and numbers in few digits.
 *
 * @module
 */
import Table from 'cli-table3';

/** Bytes in the unit that leaves few digits. */
export function readableBytes(bytes: number): string {
  if (bytes < 2 ** 10) return `${Math.round(bytes)} B`;
  return bytes < 2 ** 20 ? `${(bytes / 2 ** 10).toFixed(0)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

/** A number of tokens a second in three digits. */
export function readableRate(rate: number): string {
  return rate >= 1000 ? `${(rate / 1000).toFixed(rate >= 1e4 ? 0 : 1)}k` : rate.toFixed(0);
}

/** A loss in bits per byte, with its sign. */
export const readableLoss = (loss: number) => `${loss >= 0 ? '+' : ''}${loss.toFixed(4)}`;

/** Rows under a head, the first column to the left. */
export function terminalTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = new Table({
    head: [...head],
    style: { head: [], border: [], compact: true },
    colAligns: head.map((_, i) => (i === 0 ? 'left' : 'right')),
  });
  table.push(...rows.map((row) => [...row]));
  return table.toString();
}

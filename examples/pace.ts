import Table from 'cli-table3';

/** How many tokens were fed in how long. */
export interface Pace {
  readonly tokens: number;
  readonly ms: number;
}

/** Column heads of `paceCells`. */
export function paceHead(unit: string): string[] {
  return [unit, 'ms', `${unit}/s`];
}

/** Cells of a table: how many, milliseconds, how many a second. */
export function paceCells({ tokens, ms }: Pace): [number, string, string] {
  return [tokens, ms.toFixed(1), tokens === 0 ? '-' : ((1000 * tokens) / ms).toFixed(0)];
}

/** Formats the speeds of a generation. */
export function generationTable({ prefill, decode }: { readonly prefill: Pace; readonly decode: Pace }): string {
  const table = newTable(['', ...paceHead('tokens')]);
  table.push(['prefill', ...paceCells(prefill)], ['decode', ...paceCells(decode)]);
  return table.toString();
}

/** An empty table, columns without a head to the left, the others to the right. */
export function newTable(head: string[]): InstanceType<typeof Table> {
  return new Table({
    head,
    colAligns: head.map((name) => (name === '' ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  });
}

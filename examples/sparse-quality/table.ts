import type { Quality } from './measure.ts';

/** A Markdown table, by method and then by density. */
export function qualityTable(found: readonly Quality[]): string {
  const rows = [...found]
    .sort((a, b) => a.method.localeCompare(b.method) || a.density - b.density)
    .map(({ method, setting, density, error, worst }) => [
      method,
      setting,
      `${(100 * density).toFixed(1)} %`,
      error.toFixed(4),
      worst.toFixed(4),
    ]);
  return aligned([['method', 'setting', 'density', 'error', 'worst head'], ...rows]);
}

/** Rows in columns of equal width, the first row the head; numbers, which begin behind `texts` columns, to the right. */
export function aligned(rows: readonly (readonly string[])[], texts = 2): string {
  const head = rows[0]!;
  const widths = head.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const isNumber = (column: number) => column >= texts;
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const [first, ...rest] = rows.map((row) =>
    line(row.map((cell, c) => (isNumber(c) ? cell.padStart(widths[c]!) : cell.padEnd(widths[c]!)))),
  );
  const rule = line(widths.map((width, c) => (isNumber(c) ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width))));
  return [first, rule, ...rest].join('\n');
}

/**
 * What the last run of the whole matrix found, and the README's table of it.
 *
 * @module
 */
import { join } from 'node:path';
import { ROOT } from './package.ts';

/** How one place did. */
export interface Row {
  readonly runtime: string;
  readonly setting: string;
  /** Empty where it did not run. */
  readonly version: string;
  readonly build: string;
  readonly threads: number;
  readonly passed: number;
  readonly failed: number;
  readonly seconds: number;
  /** Why it has one thread, why it does not use the best build, what failed. */
  readonly notes: readonly string[];
}

/** A run of the matrix. */
export interface Results {
  /** The packed file: its name, version and bytes. */
  readonly package: { readonly name: string; readonly version: string; readonly bytes: number };
  /** What it ran on. */
  readonly machine: string;
  readonly goldenCases: number;
  readonly rows: readonly Row[];
}

/** Where the results are kept. */
export const RESULTS = join(ROOT, 'tests/portable/results.json');

const BEGIN = '<!-- runtimes -->';
const END = '<!-- /runtimes -->';

/** The table in Markdown. */
export function table({ machine, goldenCases, rows }: Results): string {
  const cell = (text: string | number) => String(text).replaceAll('|', '\\|').replaceAll('\n', ' ');
  const line = (...cells: (string | number)[]) => `| ${cells.map(cell).join(' | ')} |`;
  return [
    line('runtime', 'version', 'build', 'threads', 'checks passed', 'seconds', 'notes'),
    '|---|---|---|---|---|---|---|',
    ...rows.map(({ runtime, setting, version, build, threads, passed, failed, seconds, notes }) =>
      line(
        setting === '' ? runtime : `${runtime}, ${setting}`,
        version,
        build,
        threads,
        failed === 0 ? passed : `${passed} of ${passed + failed}`,
        seconds.toFixed(1),
        // the headers that it wants are in the text around the table
        notes.join('; ').replaceAll(/: serve it with [^;]*/g, ''),
      ),
    ),
    '',
    `Each row is the packed package on ${machine}; ${goldenCases} golden cases are replayed with every build and number of threads.`,
  ].join('\n');
}

/** A text whose part between the markers is the table. @throws Error if it has no markers. */
export function withTable(text: string, results: Results): string {
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`the text has no ${BEGIN} and ${END}`);
  return `${text.slice(0, begin + BEGIN.length)}\n${table(results)}\n${text.slice(end)}`;
}

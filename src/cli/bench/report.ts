import Table, { type Cell } from 'cli-table3';
import type { Check } from './check.ts';
import type { Timing } from './measure.ts';
import type { Startup } from './startup.ts';

/** One contender of a case. Only `check` is there when the check failed: no speed is reported for a wrong result. */
export interface EntryReport {
  name: string;
  note?: string;
  peer: boolean;
  check: Check;
  timing?: Timing;
  gflops?: number;
  /** of the FMA peak that was measured in the same rounds */
  shareOfFma?: number;
  /** billions of state elements per second, where calls are counted by them */
  elements?: number;
  /** GB/s of the cache that a call reads */
  bandwidth?: number;
  /** of a plain SIMD read of as many bytes, measured in the same rounds */
  shareOfRead?: number;
  /** median of this entry over that of the first: above 1 the first is faster; absent for the first */
  ratio?: number;
  /** the difference from the first is no more than chance (Mann-Whitney U test, 5%) */
  tie?: boolean;
}

/** Whether a case kept what it promises. `value` is absent when an entry failed its check or was not run. */
export interface GoalReport {
  text: string;
  /** at least this, or at most where `atMost` is set */
  limit: number;
  atMost?: boolean;
  value?: number;
  reached: boolean;
}

/** One case. */
export interface CaseReport {
  op: string;
  name: string;
  title: string;
  /** measured in the same rounds: GFLOP/s of one thread's multiply-adds, GB/s of a plain read */
  peaks: { fma?: number; read?: number };
  entries: EntryReport[];
  goals: GoalReport[];
  /** why the case could not be run */
  error?: string;
}

/** All that one run of the benchmark found. */
export interface BenchReport {
  device: { cpu: string; cores: number; load: number; runtime: string; variant: string; threads: number; date: string };
  peers: { name: string; version: string }[];
  cases: CaseReport[];
  startup?: Startup;
  /** bytes of the four wasm builds, gzipped */
  size?: { builds: Record<string, number>; total: number };
  /** goals of the start and the size */
  goals: GoalReport[];
  /** cases with a result of wattn that failed its check, or that could not be run */
  failed: number;
}

const digits = (value: number | undefined, places = 1) => (value === undefined ? '' : value.toFixed(places));
const percent = (value: number | undefined) => (value === undefined ? '' : `${(value * 100).toFixed(0)}%`);
const milliseconds = (value: number) => value.toFixed(value < 1 ? 3 : value < 100 ? 2 : 1);

/** The columns behind the name. Those that stay empty in a case are left out. */
const columns: { head: string; cell(entry: EntryReport, timing: Timing): string }[] = [
  { head: 'ms', cell: (_, timing) => milliseconds(timing.median) },
  { head: 'p10', cell: (_, timing) => milliseconds(timing.best) },
  { head: '+-', cell: (_, timing) => percent(timing.spread) },
  {
    head: 'time / first',
    cell: ({ ratio, tie }) => (ratio === undefined ? '' : `${tie ? '~' : ''}${ratio.toFixed(2)}x`),
  },
  { head: 'GFLOP/s', cell: ({ gflops }) => digits(gflops) },
  { head: 'of FMA', cell: ({ shareOfFma }) => percent(shareOfFma) },
  { head: 'Gelem/s', cell: ({ elements }) => digits(elements, 3) },
  { head: 'GB/s', cell: ({ bandwidth }) => digits(bandwidth) },
  { head: 'of read', cell: ({ shareOfRead }) => percent(shareOfRead) },
  { head: 'error', cell: ({ check }) => check.error.toExponential(0) },
];

/** Names, figures of the columns that any entry fills, and what failed instead of its figures. */
function entryTable(entries: readonly EntryReport[]): string {
  const cells = entries.map((entry) => columns.map(({ cell }) => (entry.timing ? cell(entry, entry.timing) : '')));
  const filled = columns.map((_, column) => cells.some((row) => row[column] !== ''));
  const kept = <T>(row: readonly T[]) => row.filter((_, column) => filled[column]);
  const heads = kept(columns.map(({ head }) => head));
  const table = new Table({
    head: ['', ...heads],
    colAligns: ['left', ...heads.map(() => 'right' as const)],
    style: { head: [], border: [], compact: true },
  });
  entries.forEach(({ name, timing, check }, row) => {
    const failure: Cell = {
      content: `FAILED its check: ${check.reason}`,
      colSpan: Math.max(1, heads.length),
      hAlign: 'left',
    };
    table.push([name, ...(timing ? kept(cells[row]!) : [failure])]);
  });
  return table.toString();
}

function goalLine({ text, limit, atMost, value, reached }: GoalReport): string {
  const state = reached ? 'reached' : value === undefined ? 'no value' : 'MISSED';
  const figure = value === undefined ? '-' : value.toFixed(atMost && value >= 10 ? (value < 100 ? 1 : 0) : 2);
  return `${state.padEnd(8)} ${figure.padStart(5)} (at ${atMost ? 'most' : 'least'} ${limit}) ${text}`;
}

/** The table of one case. */
export function caseTable({ name, title, peaks, entries, goals, error }: CaseReport): string {
  const peak = [
    peaks.fma === undefined ? '' : `FMA peak ${digits(peaks.fma)} GFLOP/s`,
    peaks.read === undefined ? '' : `plain read ${digits(peaks.read)} GB/s`,
  ].filter(Boolean);
  const head = `${name}: ${title}${peak.length ? ` (${peak.join(', ')})` : ''}`;
  if (error) return `${head}\n  could not run: ${error}\n`;
  return [head, entryTable(entries), ...goals.map((goal) => `  ${goalLine(goal)}`), ''].join('\n');
}

/** The lines below the tables: start, size, goals, notes. */
export function closing({ startup, size, goals, cases, failed }: BenchReport): string {
  const lines: string[] = [];
  if (startup) {
    lines.push(
      `start of a fresh process (median of ${startup.processes}): createRuntime ${digits(startup.create)} ms, again ${digits(startup.createAgain)} ms; ` +
        `first attention call N256 ${digits(startup.firstCall)} ms, warm ${digits(startup.steadyCall)} ms; loading the module ${digits(startup.load)} ms`,
    );
  }
  if (size) {
    const builds = Object.entries(size.builds).map(([build, bytes]) => `${build} ${bytes}`);
    lines.push(`wasm, gzipped bytes: ${builds.join(', ')}; together ${size.total}`);
  }
  lines.push(...goals.map(goalLine));
  const entries = cases.flatMap((each) => each.entries);
  // one line for all the entries that say the same
  const notes = new Map<string, string>();
  for (const { name, note } of entries) if (note && !notes.has(note)) notes.set(note, name);
  for (const [note, name] of notes) lines.push(`${name}: ${note}`);
  const all = [...goals, ...cases.flatMap((entry) => entry.goals)];
  const reached = all.filter((goal) => goal.reached).length;
  const missed = all.filter((goal) => !goal.reached && goal.value !== undefined).length;
  lines.push(
    `goals: ${reached} reached, ${missed} missed, ${all.length - reached - missed} without a value; cases: ${cases.length - failed} right, ${failed} failed`,
  );
  return `${lines.join('\n')}\n`;
}

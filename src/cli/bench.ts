import { cpus, loadavg } from 'node:os';
import { createRuntime, OptionError, type WasmRuntime } from '../index.ts';
import {
  type BenchCase,
  type BenchContext,
  type Budget,
  type Ceiling,
  type Entry,
  type Floor,
  FMA_PEAK,
  type Goal,
  type PreparedCase,
  READ_PEAK,
} from './bench/case.ts';
import { benchCases } from './bench/cases.ts';
import { type Check, checkResult } from './bench/check.ts';
import { loadPeers, type Peer } from './bench/contender.ts';
import { compareSamples, defaultEffort, type Effort, measure } from './bench/measure.ts';
import { elementsOf, type Problem } from './bench/problem.ts';
import { type Reference, referenceOf } from './bench/reference.ts';
import {
  type BenchReport,
  type CaseReport,
  caseTable,
  closing,
  type EntryReport,
  type GoalReport,
} from './bench/report.ts';
import { measureSize } from './bench/size.ts';
import { measureStartup } from './bench/startup.ts';

export type { BenchCase, BenchContext, Entry, PreparedCase } from './bench/case.ts';
export type { BenchReport, CaseReport, EntryReport, GoalReport } from './bench/report.ts';

/** What `wattn bench` takes. */
export interface BenchOptions {
  /** ops or case names to run ('attention', 'matmul', 'startup', 'size', 'decode-4k', ...); all by default */
  ops?: string[];
  /** run other packages beside wattn (needs a checkout of the repository) */
  peers?: boolean;
  /** write one JSON document instead of tables */
  json?: boolean;
  variant?: 'simd' | 'relaxed';
  /** threads of wattn and of the peers that have any; default 1 */
  threads?: number;
  effort?: Partial<Effort>;
  /** cases to run instead of the package's own */
  cases?: BenchCase[];
  /** where the report goes; standard output by default */
  write?: (text: string) => unknown;
}

/** An op or case that `wattn bench` does not know. */
export class UnknownBenchError extends OptionError {}

/** Load average of the last minute above which other programs are at work beside the benchmark. */
const BUSY_LOAD = 0.7;
/** Two fused multiply-adds of four lanes: what a processor with two such units reaches at the FMA peak of a relaxed build. */
const PEAK_FLOPS_PER_CYCLE = 16;
const CREATE_LIMIT_MS = 30;
const SIZE_LIMIT_BYTES = 200 * 1024;

/** The cases that a name asks for: an op's, the one of that name, or else those whose names begin with it. */
function casesOf(asked: string, cases: readonly BenchCase[]): BenchCase[] {
  const named = cases.filter(({ op, name }) => asked === op || asked === name);
  return named.length ? named : cases.filter(({ name }) => name.startsWith(`${asked}-`));
}

const ceiling = (text: string, value: number, limit: number): GoalReport => ({
  text,
  limit,
  atMost: true,
  value,
  reached: value <= limit,
});

async function checkEntry(entry: Entry, reference: Reference): Promise<Check> {
  try {
    return checkResult(await entry.output(), reference, entry.relative);
  } catch (error) {
    if (!entry.peer) throw error;
    const reason = `threw ${error instanceof Error ? error.message : error}`;
    return { ok: false, error: Number.NaN, tolerance: Number.NaN, rows: 0, reason };
  }
}

function floorReport(goal: Floor, floor: number, { entries, peaks }: CaseReport): GoalReport {
  const of = entries.find(({ name }) => name === goal.of);
  const report = (text: string, value?: number): GoalReport => ({
    text,
    limit: floor,
    ...(value === undefined ? {} : { value }),
    reached: value !== undefined && value >= floor,
  });
  if (typeof goal.against === 'object' && 'peak' in goal.against) {
    return goal.against.peak === FMA_PEAK
      ? report(`${goal.of} of the FMA peak (${peaks.fma?.toFixed(1)} GFLOP/s)`, of?.shareOfFma)
      : report(`${goal.of} of a plain SIMD read (${peaks.read?.toFixed(1)} GB/s)`, of?.shareOfRead);
  }
  const timed = (list: EntryReport[]) => list.filter(({ timing }) => timing);
  const against =
    typeof goal.against === 'string'
      ? entries.find(({ name }) => name === goal.against)
      : timed(entries.filter(({ peer }) => peer)).sort((a, b) => a.timing!.median - b.timing!.median)[0];
  const name = against?.name ?? (typeof goal.against === 'string' ? goal.against : 'the fastest peer');
  const text = `${goal.of} against ${name}${goal.perFlop ? ', per operation' : ''}`;
  if (!of?.timing || !against?.timing) return report(text);
  return report(text, goal.perFlop ? of.gflops! / against.gflops! : against.timing.median / of.timing.median);
}

function ceilingReport({ of, unit }: Ceiling, limit: number, { entries, peaks }: CaseReport): GoalReport {
  const entry = entries.find(({ name }) => name === of);
  if (unit === 'microseconds') {
    const text = `${of}, microseconds of a call`;
    return entry?.timing
      ? ceiling(text, entry.timing.median * 1e3, limit)
      : { text, limit, atMost: true, reached: false };
  }
  const text = `${of}, cycles of four state elements`;
  if (entry?.elements === undefined || peaks.fma === undefined) return { text, limit, atMost: true, reached: false };
  const clock = peaks.fma / PEAK_FLOPS_PER_CYCLE;
  return ceiling(`${text} (at ${clock.toFixed(2)} GHz)`, (4 * clock) / entry.elements, limit);
}

function budgetReport({ of, dense, selection, density }: Budget, limit: number, { entries }: CaseReport): GoalReport {
  const time = (name: string | undefined) => entries.find((entry) => entry.name === name)?.timing?.median;
  const text = `${of}${selection ? ' less its selection' : ''}, over ${(100 * density).toFixed(1)} % of ${dense}`;
  const [whole, chosen, all] = [time(of), selection ? time(selection) : 0, time(dense)];
  if (whole === undefined || chosen === undefined || all === undefined)
    return { text, limit, atMost: true, reached: false };
  return ceiling(text, (whole - chosen) / (density * all), limit);
}

/** What became of a goal; undefined where the build that ran promises nothing. */
function goalReport(goal: Goal, variant: 'simd' | 'relaxed', report: CaseReport): GoalReport | undefined {
  const given = 'floor' in goal ? goal.floor : 'budget' in goal ? goal.budget : goal.ceiling;
  const limit = typeof given === 'number' ? given : given[variant];
  if (limit === undefined) return undefined;
  if ('floor' in goal) return floorReport(goal, limit, report);
  return 'budget' in goal ? budgetReport(goal, limit, report) : ceilingReport(goal, limit, report);
}

async function runPrepared(
  { op, name, title }: BenchCase,
  prepared: PreparedCase,
  variant: 'simd' | 'relaxed',
  effort: Effort,
): Promise<CaseReport> {
  const references = new Map<Problem, Reference>();
  const checks = new Map<Entry, Check>();
  for (const entry of prepared.entries) {
    const reference = references.get(entry.problem) ?? referenceOf(entry.problem);
    references.set(entry.problem, reference);
    checks.set(entry, await checkEntry(entry, reference));
  }
  const right = prepared.entries.filter((entry) => checks.get(entry)!.ok);
  const { timings, probed } = await measure(right, right.length ? prepared.probes : [], effort);
  const peaks: CaseReport['peaks'] = {};
  for (const [probe, value] of probed) {
    if (probe.name === FMA_PEAK) peaks.fma = value;
    if (probe.name === READ_PEAK) peaks.read = value;
  }
  const first = timings.get(prepared.entries[0]!);
  const entries = prepared.entries.map((entry): EntryReport => {
    const report: EntryReport = { name: entry.name, peer: entry.peer ?? false, check: checks.get(entry)! };
    if (entry.note) report.note = entry.note;
    const timing = timings.get(entry);
    if (!timing) return report;
    report.timing = timing;
    report.gflops = entry.flops / timing.median / 1e6;
    if (peaks.fma !== undefined) report.shareOfFma = report.gflops / (peaks.fma * (entry.threads ?? 1));
    const elements = elementsOf(entry.problem);
    if (elements !== undefined) report.elements = elements / timing.median / 1e6;
    if (entry.bytes !== undefined) {
      report.bandwidth = entry.bytes / timing.median / 1e6;
      if (peaks.read !== undefined) report.shareOfRead = report.bandwidth / peaks.read;
    }
    if (first && timing !== first) {
      report.ratio = timing.median / first.median;
      report.tie = compareSamples(first.samples, timing.samples) === 0;
    }
    return report;
  });
  const report: CaseReport = { op, name, title, peaks, entries, goals: [] };
  report.goals = prepared.goals.flatMap((goal) => goalReport(goal, variant, report) ?? []);
  return report;
}

async function runCase(
  benchCase: BenchCase,
  context: Omit<BenchContext, 'runtime'>,
  create: (threads: number) => Promise<WasmRuntime>,
  effort: Effort,
): Promise<CaseReport> {
  const opened: WasmRuntime[] = [];
  const entries: Entry[] = [];
  try {
    const prepared = await benchCase.prepare({
      ...context,
      async runtime(threads) {
        const rt = await create(threads);
        opened.push(rt);
        await rt.ready();
        return rt;
      },
    });
    entries.push(...prepared.entries);
    return await runPrepared(benchCase, prepared, context.rt.variant, effort);
  } catch (error) {
    const { op, name, title } = benchCase;
    const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return { op, name, title, peaks: {}, entries: [], goals: [], error: reason };
  } finally {
    for (const entry of entries) await entry.dispose?.();
    for (const rt of opened) rt.dispose();
  }
}

/** The case is right when it ran and every result of wattn's own passed its check. */
const failed = ({ error, entries }: CaseReport) =>
  error !== undefined || entries.some(({ peer, check }) => !peer && !check.ok);

/**
 * Runs `wattn bench`: checks every result, times those that are right in interleaved rounds, and writes tables or JSON.
 * Speed is given next to peers (`peers`), as a share of the FMA peak or read bandwidth measured in the same rounds, and
 * against the floors that the package holds itself to. `failed` of the result is what an exit code should come from;
 * a missed floor is not a failure, since timings depend on the machine.
 * @throws UnknownBenchError, PeersMissingError, and what createRuntime throws for a variant or threads it can't give
 */
export async function runBench(options: BenchOptions = {}): Promise<BenchReport> {
  const { ops = [], threads = 1, json = false, cases = benchCases } = options;
  const write = options.write ?? ((text) => void process.stdout.write(text));
  const effort = { ...defaultEffort, ...options.effort };
  const asked = (extra: string) => (ops.length === 0 && cases === benchCases) || ops.includes(extra);
  for (const op of ops) {
    if (op === 'startup' || op === 'size' || casesOf(op, cases).length) continue;
    const known = [...new Set(cases.flatMap(({ op, name }) => [op, name])), 'startup', 'size'];
    throw new UnknownBenchError(`nothing to measure for '${op}'; known ops and cases: ${known.join(', ')}`);
  }
  const create = (threads: number) =>
    createRuntime({ ...(options.variant ? { variant: options.variant } : {}), threads });
  const rt = await create(threads);
  const probes = await create(1);
  try {
    await rt.ready();
    const peers: Peer[] = options.peers ? await loadPeers(threads) : [];
    const device = {
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      load: loadavg()[0]!,
      runtime: `Node ${process.versions.node} (V8 ${process.versions.v8})`,
      variant: rt.variant,
      threads,
      date: new Date().toISOString(),
    };
    const report: BenchReport = {
      device,
      peers: peers.map(({ name, version }) => ({ name, version })),
      cases: [],
      goals: [],
      failed: 0,
    };
    const show = (text: string) => void (json || write(text));
    show(
      `${device.cpu}, ${device.cores} cores; ${device.runtime}; variant ${rt.variant}, ${threads} thread${threads === 1 ? '' : 's'}\n`,
    );
    if (device.load > BUSY_LOAD) {
      show(
        `the machine is busy (load ${device.load.toFixed(1)}): times and shares of a peak read low, ratios are rougher\n`,
      );
    }
    for (const { name, version } of report.peers) show(`peer: ${name} ${version}\n`);
    show('\n');
    const context = {
      rt,
      probes,
      threads,
      peers,
      peersWith: async (other: number) => (options.peers ? (other === threads ? peers : loadPeers(other)) : []),
    };
    const chosen = new Set(ops.flatMap((op) => casesOf(op, cases)));
    for (const benchCase of cases) {
      if (ops.length && !chosen.has(benchCase)) continue;
      const result = await runCase(benchCase, context, create, effort);
      report.cases.push(result);
      if (failed(result)) report.failed++;
      show(`${caseTable(result)}\n`);
    }
    if (asked('startup')) {
      report.startup = await measureStartup({ ...(options.variant ? { variant: options.variant } : {}), threads });
      report.goals.push(ceiling('createRuntime, ms', report.startup.create, CREATE_LIMIT_MS));
    }
    if (asked('size')) {
      report.size = measureSize();
      report.goals.push(ceiling('all wasm builds, gzipped bytes', report.size.total, SIZE_LIMIT_BYTES));
    }
    write(json ? `${JSON.stringify(report, null, 2)}\n` : closing(report));
    return report;
  } finally {
    rt.dispose();
    probes.dispose();
  }
}

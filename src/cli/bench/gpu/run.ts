/**
 * `wattn bench --backend webgpu`: runs wherever there is WebGPU, and imports nothing of any platform.
 *
 * @module
 */
import { createRuntime, type Gpu, type GpuRuntime, OptionError, Tensor } from '../../../index.ts';
import { type Check, checkResult } from '../check.ts';
import { referenceOf } from '../reference.ts';
import { disposeAll, type GpuCall, type GpuCase, type Results, type Shape } from './case.ts';
import { gpuCases } from './cases.ts';
import { type GpuEffort, type GpuTiming, measureGpu } from './measure.ts';

/** What the benchmark takes. */
export interface GpuBenchOptions {
  /** Names of cases, beginnings of names, or 'all'; those of the core by default. */
  readonly names?: readonly string[];
  /** Lengths in place of the cases' own. */
  readonly shape?: Shape;
  /** WebGPU in place of `navigator.gpu`. */
  readonly gpu?: Gpu;
  readonly effort?: Partial<GpuEffort>;
  /** Whether results are compared with float64 or WebAssembly. Default true. */
  readonly check?: boolean;
  /** Where lines go. */
  readonly write: (line: string) => void;
  readonly cases?: readonly GpuCase[];
}

/** One case. */
export interface GpuCaseReport {
  readonly name: string;
  readonly title: string;
  readonly shape: Shape;
  readonly timing?: GpuTiming;
  readonly teraflops?: number;
  readonly gigabytes?: number;
  readonly check?: Check;
  /** Why there are no figures. */
  readonly error?: string;
}

/** All that a run found. */
export interface GpuBenchReport {
  readonly gpu: object;
  readonly cases: readonly GpuCaseReport[];
  /** Cases with a wrong result, or none. */
  readonly failed: number;
}

/** Share of the largest value that a result may be off by. */
const TOLERANCE = 1e-3;
/** Rows that are computed in float64. */
const ROWS = 48;

function chosen(names: readonly string[], cases: readonly GpuCase[]): readonly GpuCase[] {
  if (names.length === 0) return cases.filter(({ core }) => core);
  if (names.includes('all')) return cases;
  const found = new Set<GpuCase>();
  for (const asked of names) {
    const exact = cases.filter(({ name }) => name === asked);
    const those = exact.length > 0 ? exact : cases.filter(({ name }) => name.startsWith(asked));
    if (those.length === 0) {
      throw new OptionError(`no case '${asked}'; there are ${cases.map(({ name }) => name).join(', ')}, and 'all'`);
    }
    for (const one of those) found.add(one);
  }
  return cases.filter((one) => found.has(one));
}

/** The numbers of all results, by name. */
async function numbersOf(results: Results): Promise<Map<string, ArrayLike<number>>> {
  const found = new Map<string, ArrayLike<number>>();
  for (const [name, tensor] of Object.entries(results)) {
    if (tensor instanceof Tensor) found.set(name, await tensor.data());
  }
  disposeAll(results);
  return found;
}

/** What WebAssembly gives, all of it. */
async function checkByWasm(one: GpuCase, shape: Shape, call: GpuCall): Promise<Check> {
  const got = await numbersOf(await call.call());
  const wasm = await createRuntime();
  try {
    const want = await numbersOf(await one.prepare(wasm, shape).call());
    let [error, largest, rows] = [0, 0, 0];
    for (const [name, values] of want) {
      const mine = got.get(name)!;
      for (let i = 0; i < values.length; ++i) {
        // NaN is no number above another
        const difference = Math.abs(mine[i]! - values[i]!);
        if (!(difference <= error)) error = difference;
        largest = Math.max(largest, Math.abs(values[i]!));
      }
      rows += values.length;
    }
    const tolerance = TOLERANCE * largest;
    const ok = error <= tolerance;
    return { ok, error, tolerance, rows, ...(ok ? {} : { reason: `off by ${error} from WebAssembly` }) };
  } finally {
    wasm.dispose();
  }
}

async function check(one: GpuCase, shape: Shape, call: GpuCall): Promise<Check> {
  const { problem, result } = call;
  if (!problem || !result) return checkByWasm(one, shape, call);
  const results = await call.call();
  const got = await result(results);
  disposeAll(results);
  return checkResult(got, referenceOf(problem, ROWS), TOLERANCE);
}

async function runOne(one: GpuCase, rt: GpuRuntime, options: GpuBenchOptions): Promise<GpuCaseReport> {
  const given = rt.info().gpu.software ? one.small : one.shape;
  const known = Object.entries(options.shape ?? {}).filter(([name]) => name in given);
  const shape = { ...given, ...Object.fromEntries(known) };
  const { name, title } = one;
  try {
    const call = one.prepare(rt, shape);
    const checked = options.check === false ? undefined : await check(one, shape, call);
    const run = async () => disposeAll(await call.call());
    const effort = { rounds: 9, batch: 150, ...options.effort };
    const [timing] = await measureGpu([{ run, settle: () => rt.ready() }], effort);
    return {
      name,
      title,
      shape,
      ...(checked ? { check: checked } : {}),
      timing: timing!,
      ...(call.flops === undefined ? {} : { teraflops: call.flops / timing!.median / 1e9 }),
      gigabytes: call.bytes / timing!.median / 1e6,
    };
  } catch (error) {
    return { name, title, shape, error: `${(error as Error).name}: ${(error as Error).message}` };
  }
}

const COLUMNS = ['ms', 'best', 'host', 'first', 'TFLOP/s', 'GB/s', 'error'];

function row({ name, title, shape, timing, teraflops, gigabytes, check, error }: GpuCaseReport): string {
  const lengths = Object.entries(shape).map(([name, n]) => `${name}${n}`);
  const label = `${name.padEnd(22)} ${`${title}, ${lengths.join(' ')}`.padEnd(46)}`;
  if (!timing) return `${label} ${error}`;
  const cells = [
    timing.median.toFixed(3),
    timing.best.toFixed(3),
    timing.host.toFixed(3),
    timing.first.toFixed(0),
    teraflops === undefined ? '' : teraflops.toFixed(teraflops < 1 ? 4 : 2),
    gigabytes!.toFixed(1),
    check ? check.error.toExponential(1) : '',
  ];
  const wrong = check && !check.ok ? `  WRONG: ${check.reason}` : '';
  return `${label} ${cells.map((cell) => cell.padStart(9)).join(' ')}${wrong}`;
}

/**
 * Times cases and checks their results; a line each as it is done.
 *
 * @throws OptionError for a name that no case has.
 * @throws UnsupportedError where there is no WebGPU.
 */
export async function runGpuBench(options: GpuBenchOptions): Promise<GpuBenchReport> {
  const { names = [], write, gpu } = options;
  const cases = chosen(names, options.cases ?? gpuCases);
  const create = () => createRuntime({ backend: 'webgpu', ...(gpu ? { gpu } : {}) });
  const first = await create();
  const facts = first.info().gpu;
  first.dispose();
  write(`${facts.description || facts.vendor} ${facts.architecture}${facts.software ? ' (software)' : ''}`);
  write(`${''.padEnd(69)} ${COLUMNS.map((head) => head.padStart(9)).join(' ')}`);
  const reports: GpuCaseReport[] = [];
  for (const one of cases) {
    // a runtime of its own: no case finds the memory that another one left, nor a device that another one lost
    const rt = await create();
    const report = await runOne(one, rt, options);
    rt.dispose();
    reports.push(report);
    write(row(report));
  }
  const failed = reports.filter(({ timing, check }) => !timing || check?.ok === false).length;
  return { gpu: facts, cases: reports, failed };
}

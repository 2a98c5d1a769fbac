#!/usr/bin/env node
/**
 * The `wattn` command.
 *
 * @module
 */
import { Command, InvalidArgumentError, Option } from 'commander';
import { createRuntime, type RuntimeOptions, WattnError } from '../index.ts';
import { loadGpu } from './gpu.ts';
import { describe } from './info.ts';
import { FIGURES, type Figure } from './plan/goal.ts';

type CommandOptions = Omit<RuntimeOptions, 'gpu'> & { readonly gpu?: string };

const write = (line: string) => process.stdout.write(`${line}\n`);

interface CompareOptions {
  readonly json?: boolean;
  readonly plan?: string;
  readonly full?: boolean;
  readonly zoo?: string;
  readonly seed?: number;
  readonly report?: string;
}

function wholeNumber(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 0) throw new InvalidArgumentError('expected a whole number');
  return n;
}

function threadCount(text: string): number | 'auto' {
  const n = Number(text);
  if (text !== 'auto' && !(Number.isInteger(n) && n > 0))
    throw new InvalidArgumentError("expected 'auto' or a whole number");
  return text === 'auto' ? 'auto' : n;
}

function withRuntimeOptions(command: Command): Command {
  return command
    .addOption(new Option('--backend <name>', 'where to compute').choices(['auto', 'wasm', 'webgpu']))
    .addOption(new Option('--variant <name>', 'instruction set; never falls back').choices(['simd', 'relaxed']))
    .option('--threads <n>', "threads, the calling one counted, or 'auto'", threadCount)
    .option('--gpu <module>', "where WebGPU comes from in Node: a path, or a package, by default 'webgpu'")
    .option('--json', 'print one JSON document');
}

/** The options with the WebGPU that they name, where the backend may need it and the platform has none. */
async function withGpu<O extends CommandOptions>({ gpu, ...options }: O): Promise<Omit<O, 'gpu'> & RuntimeOptions> {
  if (options.backend !== 'webgpu' && options.backend !== 'auto') return options;
  if (gpu === undefined && (globalThis as { navigator?: { gpu?: object } }).navigator?.gpu) return options;
  return { ...options, gpu: await loadGpu(gpu ?? 'webgpu') };
}

const program = new Command('wattn').description('Attention kernels for the edge.').showHelpAfterError();

withRuntimeOptions(program.command('conform').description('replay golden cases and compare every output'))
  .argument('<path>', 'a folder of *.safetensors cases, or one case')
  .option('--ops <names...>', 'only cases of these operations')
  .action(async (path: string, options: CommandOptions & { json?: boolean; ops?: string[] }) => {
    const { conform } = await import('./conform.ts');
    if (!(await conform(path, await withGpu(options), write))) process.exitCode = 1;
  });

withRuntimeOptions(program.command('info').description('what this device supports and what will be used')).action(
  async ({ json, ...options }: RuntimeOptions & { json?: boolean }) => {
    using rt = await createRuntime({ ...options, backend: 'wasm' });
    write(json ? JSON.stringify(rt.info(), null, 2) : describe(rt));
  },
);

withRuntimeOptions(program.command('bench').description('speed, and share of what the device can do'))
  .argument('[ops...]', 'operations or case names; all by default')
  .option('--peers', 'also run other packages (in a checkout of the repository)')
  .option('--shape <lengths>', 'lengths of the cases on a GPU, such as T=1024,H=8')
  .action(async (ops: string[], options: CommandOptions & { json?: boolean; peers?: boolean; shape?: string }) => {
    if (options.backend === 'webgpu') {
      const [{ runGpuBench }, { shapeOf }] = await Promise.all([
        import('./bench/gpu/run.ts'),
        import('./bench/gpu/shape.ts'),
      ]);
      const { gpu } = await withGpu(options);
      const report = await runGpuBench({
        names: ops,
        ...(gpu ? { gpu } : {}),
        ...(options.shape === undefined ? {} : { shape: shapeOf(options.shape) }),
        write: options.json ? () => {} : write,
      });
      if (options.json) write(JSON.stringify(report, null, 2));
      if (report.failed > 0) process.exitCode = 1;
      return;
    }
    const { runBench } = await import('./bench.ts');
    const { threads, ...rest } = options;
    const report = await runBench({ ops, ...rest, ...(typeof threads === 'number' ? { threads } : {}) });
    // a wrong result fails; a missed floor does not: it depends on the machine
    if (report.failed > 0) process.exitCode = 1;
  });

withRuntimeOptions(
  program.command('compare').description('which attention for this device: models and methods on real text'),
)
  .argument('[models...]', 'models of the zoo; all by default')
  .option('--full', 'all lengths, distances and budgets: many times as long')
  .option('--zoo <folder>', "a folder with models/ and text/, by default the package '@wattn/zoo'")
  .option('--plan <file>', 'also what `wattn plan` has written, among the methods')
  .option('--seed <n>', 'chooses questions', wholeNumber)
  .option('--report <file>', 'where the page is written, and the figures beside it', 'wattn-report.html')
  .action(async (models: string[], options: CommandOptions & CompareOptions) => {
    const { runCompare } = await import('./compare.ts');
    const { threads, ...rest } = await withGpu(options);
    const count = typeof threads === 'number' ? { threads } : {};
    await runCompare({ ...rest, ...count, ...(models.length > 0 ? { models } : {}) }, write);
  });

/** Bytes, as a number or with a unit. */
function byteCount(text: string): number {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?) ?(|B|KiB|MiB)$/.exec(text) ?? [];
  if (number === undefined) throw new InvalidArgumentError("expected bytes, such as '300000', '600KiB' or '1.5MiB'");
  return Number(number) * { '': 1, B: 1, KiB: 2 ** 10, MiB: 2 ** 20 }[unit]!;
}

interface PlanOptions {
  readonly zoo?: string;
  readonly full?: boolean;
  readonly bytes?: number;
  readonly ms?: number;
  readonly loss?: number;
  readonly minimise?: Figure;
  readonly out?: string;
  readonly report?: string;
  readonly check?: string;
  readonly json?: boolean;
}

withRuntimeOptions(
  program.command('plan').description('which attention in which layer, within limits of loss, memory and time'),
)
  .argument('[model]', 'a model of the zoo; by default the first that attends to all keys in every layer')
  .option('--loss <bits>', 'most bits per byte more than dense attention; 0.01 if nothing is given', Number)
  .option('--bytes <n>', 'most bytes of caches, such as 600KiB', byteCount)
  .option('--ms <n>', 'most milliseconds a token', Number)
  .addOption(new Option('--minimise <figure>', 'what is to be least').choices(FIGURES))
  .option('--full', 'more text, more budgets, and methods that are judged token by token')
  .option('--zoo <folder>', "a folder with models/ and text/, by default the package '@wattn/zoo'")
  .option('--out <file>', 'where the plan is written', 'wattn-plan.json')
  .option('--report <file>', 'where the page is written', 'wattn-plan.html')
  .option('--check <file>', 'measure a saved plan again instead')
  .action(async (model: string | undefined, options: CommandOptions & PlanOptions) => {
    const { runPlan, runPlanCheck } = await import('./plan.ts');
    const { threads, zoo, json, check, loss, bytes, ms, minimise, full, out, report, ...where } =
      await withGpu(options);
    const runtime = { ...where, ...(typeof threads === 'number' ? { threads } : {}) };
    if (check !== undefined) {
      if (!(await runPlanCheck({ ...runtime, check, zoo, json }, write))) process.exitCode = 1;
      return;
    }
    const limits = Object.fromEntries(Object.entries({ loss, bytes, ms }).filter(([, limit]) => limit !== undefined));
    await runPlan({ ...runtime, zoo, json, model, limits, minimise, full, out, report }, write);
  });

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof WattnError) && !(error as NodeJS.ErrnoException).code) throw error;
  process.stderr.write(`${(error as Error).name}: ${(error as Error).message}\n`);
  process.exitCode = 1;
}

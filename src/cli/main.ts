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

type CommandOptions = Omit<RuntimeOptions, 'gpu'> & { readonly gpu?: string };

const write = (line: string) => process.stdout.write(`${line}\n`);

interface CompareOptions {
  readonly json?: boolean;
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
  .option('--seed <n>', 'chooses questions', wholeNumber)
  .option('--report <file>', 'where the page is written, and the figures beside it', 'wattn-report.html')
  .action(async (models: string[], options: CommandOptions & CompareOptions) => {
    const { runCompare } = await import('./compare.ts');
    const { threads, ...rest } = await withGpu(options);
    const count = typeof threads === 'number' ? { threads } : {};
    await runCompare({ ...rest, ...count, ...(models.length > 0 ? { models } : {}) }, write);
  });

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof WattnError) && !(error as NodeJS.ErrnoException).code) throw error;
  process.stderr.write(`${(error as Error).name}: ${(error as Error).message}\n`);
  process.exitCode = 1;
}

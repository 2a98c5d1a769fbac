import { setFlagsFromString } from 'node:v8';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { createRuntime, type Runtime, type Variant } from '../src/index.ts';

/** How the kernels run. */
export interface RuntimeChoice {
  variant?: Variant;
  threads: number | 'auto';
}

/** Gives a command --variant and --threads. */
export function withRuntimeOptions(command: Command): Command {
  return command
    .addOption(new Option('--variant <name>', 'build of the kernels').choices(['simd', 'relaxed']))
    .option('--threads <n>', "threads, the main one counted, or 'auto'", wholeOrAuto, 1);
}

/** Makes the runtime that was asked for. */
export function openRuntime({ variant, threads }: RuntimeChoice): Promise<Runtime> {
  // Node 20 has relaxed SIMD behind a flag
  if (variant === 'relaxed' && process.versions.node.startsWith('20.')) {
    setFlagsFromString('--experimental-wasm-relaxed-simd');
  }
  return createRuntime({ variant, threads });
}

/** Reads an option's number. @throws InvalidArgumentError if it is not 1, 2, 3 or so on. */
export function whole(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('Expected a whole number of 1 or more.');
  return value;
}

/** Reads an option's number. @throws InvalidArgumentError if it is not 0, 1, 2 or so on. */
export function wholeOrNone(text: string): number {
  return text === '0' ? 0 : whole(text);
}

function wholeOrAuto(text: string): number | 'auto' {
  return text === 'auto' ? text : whole(text);
}

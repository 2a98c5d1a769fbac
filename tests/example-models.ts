import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const repository = fileURLToPath(new URL('..', import.meta.url));

/** Where a model lies, and what to say when it does not. */
export function modelAt(path: string): { readonly path: string; readonly whyNot: string } {
  const whole = join(process.env.WATTN_MODELS ?? join(repository, '../shared/models'), path);
  return {
    path: whole,
    whyNot: existsSync(whole) ? '' : `no model at ${whole}; set WATTN_MODELS to the folder that holds ${path}`,
  };
}

/** Runs an example's command. @throws an error with code, stdout and stderr if it fails. */
export function runExample(name: string, ...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const main = join(repository, 'examples', name, 'main.ts');
  return promisify(execFile)(process.execPath, ['--import', 'tsx', main, ...args], { cwd: repository });
}

/** Largest difference, relative to the largest of `want`. */
export function relativeError(got: ArrayLike<number>, want: ArrayLike<number>): number {
  let largest = 0;
  let difference = got.length === want.length ? 0 : Number.POSITIVE_INFINITY;
  for (let i = 0; i < want.length; i++) {
    largest = Math.max(largest, Math.abs(want[i]!));
    difference = Math.max(difference, Math.abs(got[i]! - want[i]!));
  }
  return difference / largest;
}

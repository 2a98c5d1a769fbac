/**
 * `wattn conform`: replays every golden case under a folder.
 *
 * @module
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { createRuntime, type RuntimeOptions } from '../index.ts';
import { ONNX_OPS } from '../onnx/registry.ts';
import { OPS } from '../ops/registry.ts';
import { readSafetensors } from '../safetensors.ts';
import { type CaseResult, replay } from './replay.ts';

/** What `wattn conform` takes. */
export interface ConformOptions extends RuntimeOptions {
  /** Print one JSON document instead of lines. */
  readonly json?: boolean;
  /** Only cases whose operation is among these. */
  readonly ops?: readonly string[];
}

/** Paths of the cases under a folder, sorted; the path itself if it is a file. */
export function casesUnder(path: string): string[] {
  if (statSync(path).isFile()) return [path];
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.safetensors'))
    .sort()
    .map((name) => join(path, name));
}

/** Replays all cases, prints a line each and the count; true if none failed. */
export async function conform(path: string, options: ConformOptions, write: (line: string) => void): Promise<boolean> {
  const { json, ops, ...runtimeOptions } = options;
  using rt = await createRuntime(runtimeOptions);
  const results: (CaseResult & { case: string })[] = [];
  for (const file of casesUnder(path)) {
    const bytes = readFileSync(file);
    // what is not asked for is not run: a GPU would compile all its shaders first
    if (ops && !ops.includes(readSafetensors(bytes).metadata.get('op') ?? '')) continue;
    const result = await replay(rt, bytes, [...OPS, ...ONNX_OPS]);
    const name = basename(file, '.safetensors');
    results.push({ case: name, ...result });
    if (!json) {
      const state = result.passed ? 'pass' : result.absent ? 'none' : 'FAIL';
      const figures = `max error ${result.error.toExponential(2)}  ${result.milliseconds.toFixed(2)} ms`;
      write(`${state}  ${result.op}  ${name}  ${result.passed ? figures : result.reason}`);
    }
  }
  const absent = results.filter((result) => result.absent).length;
  const passed = results.filter((result) => result.passed).length;
  const failed = results.length - passed - absent;
  if (json) write(JSON.stringify({ info: rt.info(), passed, failed, absent, cases: results }, null, 2));
  else write(`${passed} passed, ${failed} failed${absent > 0 ? `, ${absent} not on this backend` : ''}`);
  return failed === 0;
}

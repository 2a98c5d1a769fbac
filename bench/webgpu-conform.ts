/**
 * `conform.mjs PATH [ops...]`: `wattn conform --backend webgpu` as one program, for a bare machine with a GPU.
 *
 * @module
 */
import process from 'node:process';
import { conform } from '../src/cli/conform.ts';
import { loadGpu } from '../src/cli/gpu.ts';

const [path, ...ops] = process.argv.slice(2);
if (path === undefined) throw new Error('expected a folder of golden cases');
const { WEBGPU_JS } = process.env;
const options = {
  backend: 'webgpu' as const,
  ...(ops.length > 0 ? { ops } : {}),
  ...(WEBGPU_JS === undefined ? {} : { gpu: await loadGpu(WEBGPU_JS) }),
};
if (!(await conform(path, options, (line) => process.stdout.write(`${line}\n`)))) process.exitCode = 1;

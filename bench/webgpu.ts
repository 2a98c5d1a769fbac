/**
 * `bench.mjs [names...] [--shape T=1024,H=8] [--rounds N] [--batch MS] [--no-check] [--json FILE]`: the benchmark on a GPU as one
 * program, for Node with Dawn (WEBGPU_JS names its module), and for Deno. `npm run bench:bundle DIR` makes it.
 *
 * @module
 */
import { writeFileSync } from 'node:fs';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { runGpuBench } from '../src/cli/bench/gpu/run.ts';
import { shapeOf } from '../src/cli/bench/gpu/shape.ts';
import { loadGpu } from '../src/cli/gpu.ts';
import { WattnError } from '../src/index.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    shape: { type: 'string' },
    rounds: { type: 'string' },
    batch: { type: 'string' },
    'no-check': { type: 'boolean' },
    json: { type: 'string' },
  },
});

const write = (line: string) => process.stdout.write(`${line}\n`);
const { WEBGPU_JS } = process.env;
const { shape, rounds, batch, json } = values;
try {
  const report = await runGpuBench({
    names: positionals,
    ...(shape === undefined ? {} : { shape: shapeOf(shape) }),
    effort: {
      ...(rounds === undefined ? {} : { rounds: Number(rounds) }),
      ...(batch === undefined ? {} : { batch: Number(batch) }),
    },
    check: !values['no-check'],
    ...(WEBGPU_JS === undefined ? {} : { gpu: await loadGpu(WEBGPU_JS) }),
    write,
  });
  const document = JSON.stringify(report);
  if (json === undefined) write(document);
  else writeFileSync(json, `${document}\n`);
  process.exitCode = report.failed === 0 ? 0 : 1;
} catch (error) {
  if (!(error instanceof WattnError)) throw error;
  write(`${error.name}: ${error.message}`);
  process.exitCode = 2;
}

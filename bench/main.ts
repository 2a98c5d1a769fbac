import { parseArgs } from 'node:util';
import { runBench } from '../src/cli/bench.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    peers: { type: 'boolean' },
    json: { type: 'boolean' },
    variant: { type: 'string' },
    threads: { type: 'string' },
    rounds: { type: 'string' },
  },
});
const report = await runBench({
  ops: positionals,
  ...(values.peers ? { peers: true } : {}),
  ...(values.json ? { json: true } : {}),
  ...(values.variant ? { variant: values.variant as 'simd' | 'relaxed' } : {}),
  ...(values.threads ? { threads: Number(values.threads) } : {}),
  ...(values.rounds ? { effort: { rounds: Number(values.rounds) } } : {}),
});
process.exitCode = report.failed ? 1 : 0;

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { median } from './measure.ts';

/** Milliseconds until a fresh process has a runtime and its first results. */
export interface Startup {
  /** loading the package's module (under a TypeScript loader this is mostly the loader) */
  load: number;
  /** createRuntime, the first of the process */
  create: number;
  /** createRuntime again, with the module compiled already */
  createAgain: number;
  /** the first attention call, N 256 H8 D64 */
  firstCall: number;
  /** the same call once it is warm */
  steadyCall: number;
  processes: number;
}

const script = (index: string, options: string) => `
const at = () => performance.now()
const t0 = at()
const { attention, createRuntime } = await import(${JSON.stringify(index)})
const t1 = at()
const rt = await createRuntime(${options})
const t2 = at()
const again = await createRuntime(${options})
const t3 = at()
again.dispose()
const shape = [1, 256, 8, 64]
const x = rt.tensor(Float32Array.from({ length: 256 * 8 * 64 }, (_, i) => Math.sin(i)), shape)
const call = async () => {
  const before = at()
  const { o, lse } = await attention({ q: x, k: x, v: x })
  const time = at() - before
  o.dispose(); lse.dispose()
  return time
}
const firstCall = await call()
let steadyCall = Infinity
for (let i = 0; i < 30; i++) {
  steadyCall = Math.min(steadyCall, await call())
  if (i % 10 == 9) await new Promise(resolve => setTimeout(resolve, 10))
}
rt.dispose()
console.log(JSON.stringify({ load: t1 - t0, create: t2 - t1, createAgain: t3 - t2, firstCall, steadyCall }))
`;

/** Measures a start in fresh processes of this runtime; medians over them. */
export async function measureStartup(options: { variant?: string; threads?: number }, processes = 5): Promise<Startup> {
  const index = new URL(import.meta.url.endsWith('.ts') ? '../../index.ts' : '../../index.js', import.meta.url).href;
  const runs: Omit<Startup, 'processes'>[] = [];
  for (let i = 0; i < processes; i++) {
    const { stdout } = await promisify(execFile)(process.execPath, [
      ...process.execArgv,
      '--input-type=module',
      '--eval',
      script(index, JSON.stringify(options)),
    ]);
    runs.push(JSON.parse(stdout));
  }
  const middle = (key: keyof Omit<Startup, 'processes'>) => median(runs.map((run) => run[key]));
  return {
    load: middle('load'),
    create: middle('create'),
    createAgain: middle('createAgain'),
    firstCall: middle('firstCall'),
    steadyCall: middle('steadyCall'),
    processes,
  };
}

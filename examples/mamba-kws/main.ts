import { performance } from 'node:perf_hooks';
import { Command } from 'commander';
import { agreementTable } from '../agreement.ts';
import { openRuntime, type RuntimeChoice, whole, withRuntimeOptions } from '../options.ts';
import { print, progress } from '../output.ts';
import { newTable, paceCells, paceHead } from '../pace.ts';
import { greedy } from '../sample.ts';
import { checkGolden, errorBound, readGolden } from './golden.ts';
import { KeywordSpotter } from './model.ts';

interface Options extends RuntimeChoice {
  every: number;
  check: boolean;
}

const command = withRuntimeOptions(new Command('mamba-kws'))
  .description(
    'Listens for ten words with a Mamba block, frame by frame, or checks it against the logits it should give.',
  )
  .argument('<path>', 'the model with its sample, as safetensors')
  .option('--every <n>', 'frames from one line to the next', whole, 10)
  .option('--check', 'compare with *.numpy_logits.txt beside the model; exit 1 if they differ', false);

command.parse();
await run(command.args[0]!, command.opts<Options>()).catch((error: Error) => command.error(`error: ${error.message}`));

async function run(path: string, options: Options): Promise<void> {
  const golden = options.check ? await readGolden(path) : undefined;
  using rt = await openRuntime(options);
  using model = await KeywordSpotter.read(rt, path);
  const { features, channels, states, words } = model.sizes;
  progress(
    `${path}: ${features} features, ${channels} channels of ${states} states, ${words} words; ` +
      `wattn: ${rt.variant}, ${rt.threads} threads`,
  );
  if (golden) {
    const found = await checkGolden(model, golden);
    print(`${agreementTable(found, errorBound, 'frames')}\n`);
    if (!found.every(({ error }) => error <= errorBound)) process.exitCode = 1;
    return;
  }
  listen(model, options.every);
}

/** Feeds the sample frame by frame, as a microphone would, and prints the likeliest word so far. */
function listen(model: KeywordSpotter, every: number): void {
  using memory = model.empty();
  const frames = model.frames(model.sample());
  const table = newTable(['frames', 'word', 'probability']);
  const start = performance.now();
  for (const [t, frame] of frames.entries()) {
    const logits = model.forward(frame, memory);
    if ((t + 1) % every !== 0 && t + 1 !== frames.length) continue;
    const word = greedy(logits);
    table.push([t + 1, word, (1 / logits.reduce((sum, x) => sum + Math.exp(x - logits[word]!), 0)).toFixed(3)]);
  }
  const pace = newTable(paceHead('frames'));
  pace.push(paceCells({ tokens: frames.length, ms: performance.now() - start }));
  print(`${table.toString()}\n`);
  progress(pace.toString());
}

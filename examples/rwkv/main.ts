import { Command } from 'commander';
import { agreementTable } from '../agreement.ts';
import { bytesOf, continueText } from '../continue-text.ts';
import { openRuntime, type RuntimeChoice, whole, withRuntimeOptions } from '../options.ts';
import { print, progress } from '../output.ts';
import { generationTable } from '../pace.ts';
import { greedy } from '../sample.ts';
import { checkGolden, errorBound, readGolden } from './golden.ts';
import { Rwkv } from './model.ts';

interface Options extends RuntimeChoice {
  prompt: string;
  tokens: number;
  check: boolean;
}

const command = withRuntimeOptions(new Command('rwkv'))
  .description('Continues a text with a byte-level RWKV-4, 5.2 or 7 model, or checks it against what rwkv.cpp gave.')
  .argument('<path>', 'the model, as safetensors')
  .option('--prompt <text>', 'how the text begins', 'In the beginning')
  .option('--tokens <n>', 'bytes to generate', whole, 128)
  .option('--check', 'compare with expected-logits-*.bin beside the model; exit 1 if they differ', false);

command.parse();
await run(command.args[0]!, command.opts<Options>()).catch((error: Error) => command.error(`error: ${error.message}`));

async function run(path: string, options: Options): Promise<void> {
  const golden = options.check ? await readGolden(path) : undefined;
  using rt = await openRuntime(options);
  using model = await Rwkv.read(rt, path);
  using memory = model.empty();
  progress(
    `${path}: ${model.version}, ${model.layers} layers of ${model.width}, ${memory.bytes} bytes of states; ` +
      `wattn: ${rt.variant}, ${rt.threads} threads`,
  );
  if (golden) {
    const found = await checkGolden(model, golden);
    print(`${agreementTable(found, errorBound)}\n`);
    if (!found.every(({ error }) => error <= errorBound)) process.exitCode = 1;
    return;
  }
  const prompt = bytesOf(options.prompt);
  print(options.prompt);
  const generated = await continueText({
    prompt,
    most: options.tokens,
    feed: (tokens) => model.forward(tokens, memory),
    pick: greedy,
    emit: print,
  });
  print('\n');
  progress(generationTable(generated));
}

import { Command, Option } from 'commander';
import { openRuntime, type RuntimeChoice, whole, wholeOrNone, withRuntimeOptions } from '../options.ts';
import { print, progress } from '../output.ts';
import { sampler } from '../sample.ts';
import { type CacheChoice, cacheOptions, cacheTypes, policyNames } from './cache.ts';
import { checkGolden, compareWithFull, errorBounds } from './check.ts';
import { readCheckpoint } from './checkpoint.ts';
import { findModel, readGolden } from './folder.ts';
import { generate } from './generate.ts';
import { Llama } from './model.ts';
import { checkReport, generationReport } from './report.ts';
import { Tokenizer } from './tokenizer.ts';

interface Options extends RuntimeChoice, CacheChoice {
  prompt: string;
  tokens: number;
  temperature: number;
  seed: number;
  check: boolean;
}

const command = withRuntimeOptions(new Command('llama2c'))
  .description('Generates text with a llama2.c checkpoint, or checks it against what llama2.c gave.')
  .argument('<folder>', 'holds a llama2.c v0 float32 checkpoint, *.bin, and its tokenizer, tok*.bin')
  .option('--prompt <text>', 'how the text begins', 'Once upon a time')
  .option('--tokens <n>', 'most tokens to generate', whole, 128)
  .addOption(new Option('--cache <type>', 'how keys and values are kept').choices(cacheTypes).default('f32'))
  .addOption(new Option('--policy <name>', 'which of them are kept').choices(policyNames).default('full'))
  .option('--budget <n>', 'keys that a token sees where not all are kept, sinks counted', whole, 64)
  .option('--sinks <n>', 'first keys that every token sees, with streaming and duo', wholeOrNone, 4)
  .option('--full-heads <n>', 'key/value heads of each layer that keep all keys, with duo', wholeOrNone, 1)
  .option('--page-size <n>', 'tokens of a page; default 64', whole)
  .option('--temperature <t>', '0 takes the likeliest token', Number, 0)
  .option('--seed <n>', 'for temperatures above 0', whole, 1)
  .option(
    '--check',
    "compare logits and greedy text with the folder's llama2c_golden.json; exit 1 if they differ",
    false,
  );

command.parse();
await run(command.args[0]!, command.opts<Options>()).catch((error: Error) => command.error(`error: ${error.message}`));

async function run(folder: string, options: Options): Promise<void> {
  const pick = sampler(options.temperature, options.seed);
  const files = await findModel(folder);
  const checkpoint = await readCheckpoint(files.checkpoint);
  const { config } = checkpoint;
  const tokenizer = await Tokenizer.read(files.tokenizer, config.vocabSize);
  if (options.check && options.policy !== 'full') throw new Error('--check compares with all keys: use --policy full');
  if (options.check && !(options.cache in errorBounds)) {
    throw new Error(`--check has bounds for ${Object.keys(errorBounds).join(', ')}, not for ${options.cache}`);
  }
  const golden = options.check ? await readGolden(folder, config.vocabSize) : undefined;

  using rt = await openRuntime(options);
  const model = await Llama.create(rt, checkpoint);
  const choice = cacheOptions(options, config);
  const cache = model.cache(choice);
  progress(
    `${files.checkpoint}: ${config.layers} layers of ${config.dim}, ${config.heads}/${config.kvHeads} heads, ` +
      `${config.vocabSize} pieces; wattn: ${rt.variant}, ${rt.threads} threads`,
  );
  if (golden) {
    const check = await checkGolden(model, cache, golden);
    print(`${tokenizer.text([...golden.prompt, ...check.greedy.tokens])}\n\n${checkReport(check, cache)}\n`);
    if (!check.passed) process.exitCode = 1;
    return;
  }
  const prompt = tokenizer.encode(options.prompt);
  if (prompt.length > config.seqLen) {
    throw new Error(`the prompt has ${prompt.length} tokens, expected at most ${config.seqLen}`);
  }
  let previous = prompt.at(-1)!;
  print(tokenizer.text(prompt));
  const isExact = options.cache === 'f32' && options.policy === 'full';
  const logits: Float32Array[] = [];
  const generated = await generate(
    model,
    cache,
    prompt,
    options.tokens,
    pick,
    (token) => {
      process.stdout.write(tokenizer.decode(previous, token));
      previous = token;
    },
    isExact ? undefined : (row) => logits.push(row),
  );
  print('\n');
  const divergence = isExact ? undefined : await compareWithFull(model, prompt, generated.tokens, logits);
  progress(generationReport(generated, cache, divergence));
}

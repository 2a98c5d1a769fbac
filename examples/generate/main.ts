import { readFile } from 'node:fs/promises';
import { Command } from 'commander';
import { describePlan, LanguageModel, loadPlan, type Plan } from '../../src/lm/index.ts';
import { bytesOf, continueText } from '../continue-text.ts';
import { openRuntime, type RuntimeChoice, whole, withRuntimeOptions } from '../options.ts';
import { print, progress } from '../output.ts';
import { generationTable } from '../pace.ts';
import { sampler } from '../sample.ts';
import { readModelFile } from './model-file.ts';

interface Options extends RuntimeChoice {
  zoo?: string;
  file?: string;
  plan?: string;
  prompt: string;
  tokens: number;
  temperature: number;
  seed: number;
}

const command = withRuntimeOptions(new Command('generate'))
  .description('Continues a text with a language model of the zoo, with any attention in its layers that attend.')
  .argument('[model]', "a model's name in the zoo", 'attention')
  .option('--zoo <folder>', 'holds models/ and text/; default: the package @wattn/zoo')
  .option('--file <path>', "a model's safetensors file, in place of one of the zoo")
  .option('--plan <path>', 'JSON that says which method attends in which layer')
  .option('--prompt <text>', 'how the text begins', 'Once upon a time')
  .option('--tokens <n>', 'bytes to generate', whole, 256)
  .option('--temperature <t>', '0 takes the likeliest byte', Number, 0)
  .option('--seed <n>', 'for temperatures above 0', whole, 1);

command.parse();
await run(command.processedArgs[0] as string, command.opts<Options>()).catch((error: Error) =>
  command.error(`error: ${error.message}`),
);

async function run(name: string, options: Options): Promise<void> {
  const pick = sampler(options.temperature, options.seed);
  const prompt = bytesOf(options.prompt);
  const { path, bytes } = await readModelFile({ name, ...options });
  const plan = options.plan === undefined ? undefined : await readFile(options.plan, 'utf8');

  using rt = await openRuntime(options);
  using model = LanguageModel.read(rt, bytes);
  const attention = plan === undefined ? {} : loadPlan(model, plan);
  using sequence = model.open({ capacity: prompt.length + options.tokens, ...attention });
  const { config } = model;
  progress(
    `${path}: ${config.name}, ${config.layers} layers of ${config.dim}; wattn: ${rt.variant}, ${rt.threads} threads`,
  );
  if (plan !== undefined) progress(`attends: ${describePlan(model, JSON.parse(plan) as Plan)}`);
  print(options.prompt);
  const generated = await continueText({
    prompt,
    most: options.tokens,
    feed: (tokens) => model.forward(tokens, sequence),
    pick,
    emit: print,
  });
  print('\n');
  progress(`${generationTable(generated)}\n${sequence.bytes} bytes of caches and states`);
}

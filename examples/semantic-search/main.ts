import { availableParallelism } from 'node:os';
import { basename } from 'node:path';
import { performance } from 'node:perf_hooks';
import { Command } from 'commander';
import { createRuntime } from '../../src/index.ts';
import { whole } from '../options.ts';
import { progress } from '../output.ts';
import { Encoder } from './encoder.ts';
import { type Method, methods } from './methods.ts';
import { search } from './search.ts';
import { readSentences, shippedText } from './sentences.ts';
import { methodTable, type Outcome } from './table.ts';
import { timeAttention } from './timing.ts';
import { Tokenizer } from './tokenizer.ts';
import { architecture, loadVocabulary, loadWeights } from './weights.ts';

interface Options {
  text: string[];
  query: string[];
  top: number;
  compare: number;
  rounds: number;
  threads: number;
}

const dense = methods[0]!;

const questions = [
  'Why does the narrator go to sea?',
  'A gold coin as the reward for the first man who sees the whale.',
  'The captain lost his leg to the white whale and wants revenge.',
  'Every path leads a man to the water.',
];

const command = new Command('semantic-search')
  .description(
    'Searches a text by meaning with Universal Sentence Encoder lite, and compares attention methods inside it.',
  )
  .option('--text <files...>', 'plain text files to search', shippedText)
  .option('--query <sentences...>', 'what to search for', questions)
  .option('--top <n>', 'how many sentences to print for each query', whole, 3)
  .option('--compare <n>', 'how many sentences to compare the methods on, spread over the text', whole, 64)
  .option('--rounds <n>', 'how often each attention is timed; the median counts', whole, 7)
  .option('--threads <n>', 'worker threads', whole, Math.min(4, availableParallelism()));

await run(command.parse().opts<Options>()).catch((error: Error) => command.error(`error: ${error.message}`));

async function run(options: Options): Promise<void> {
  const begin = performance.now();
  const sentences = await readSentences(options.text);
  const [weights, vocabulary] = await Promise.all([loadWeights(), loadVocabulary()]);
  const tokenizer = new Tokenizer(vocabulary);
  const tokens = sentences.map((sentence) => tokenizer.encode(sentence));
  const queries = options.query.map((query) => tokenizer.encode(query));
  const blank = queries.findIndex((ids) => ids.length === 0);
  if (blank >= 0) throw new Error(`Query ${blank + 1} is empty; expected some text after --query.`);

  using rt = await createRuntime({ threads: options.threads });
  const encoder = await Encoder.create(rt, weights);
  progress(`embedding ${sentences.length} sentences`);
  const asked = await encoder.embed(queries, dense);
  const embeddings = await encoder.embed(tokens, dense);
  print(`${options.text.map((file) => basename(file)).join(', ')}: ${count(tokens)}\n`);
  for (const [index, query] of options.query.entries()) {
    print(`? ${query}`);
    for (const { index: place, score } of search(asked[index]!, embeddings, options.top))
      print(`  ${score.toFixed(3)}  ${sentences[place]}`);
    print('');
  }

  const sample = spread(tokens, options.compare);
  const outcomes: Outcome[] = [];
  for (const [index, method] of methods.entries()) {
    progress(`${index + 1}/${methods.length} ${method.name}: embedding ${sample.length} sentences`);
    const compared = await encoder.embed(sample, method);
    const hits = (await encoder.embed(queries, method)).map((query) => search(query, compared, options.top));
    outcomes.push({ method, embeddings: compared, hits, kvBytes: kvBytes(method, sample) });
  }
  progress(`timing attention, ${options.rounds} rounds`);
  const times = await timeAttention(encoder, sample, methods, options.rounds);
  print(`${methods.length} ways to attend, compared on ${count(sample)}; wattn ${rt.variant}, threads: ${rt.threads}`);
  print(methodTable(outcomes, times));
  print('cosine: of the sentence embeddings to the dense ones. same hits: of the searches above, within the compared');
  print(
    'sentences. time: in attention, both layers; sparse and low-rank methods take one sentence a call, the others a batch.',
  );
  print('K/V read: the keys and values that queries see, as they are kept.');
  progress(`done in ${((performance.now() - begin) / 1000).toFixed(1)} s`);
}

function count(tokens: readonly (readonly number[])[]): string {
  return `${tokens.length} sentences, ${tokens.reduce((sum, ids) => sum + Math.min(ids.length, architecture.maxTokens), 0)} tokens`;
}

/** At most `n` of the items, at even distances. */
function spread<T>(items: readonly T[], n: number): T[] {
  const step = Math.max(1, items.length / n);
  return Array.from({ length: Math.min(n, items.length) }, (_, index) => items[Math.floor(index * step)]!);
}

/** Both layers' bytes over all sentences and heads; the first layer's heads are half as wide as the second's. */
function kvBytes(method: Method, tokens: readonly (readonly number[])[]): number {
  const { heads, maxTokens } = architecture;
  return tokens
    .map((ids) => Math.min(ids.length, maxTokens))
    .reduce((sum, length) => sum + heads * (method.kvBytes(length, 64) + method.kvBytes(length, 128)), 0);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

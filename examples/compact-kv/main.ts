import { Command } from 'commander';
import type { Runtime } from '../../src/index.ts';
import { openRuntime, type RuntimeChoice, whole, withRuntimeOptions } from '../options.ts';
import { print, progress } from '../output.ts';
import { type Form, forms, type Setting } from './forms.ts';
import { sharing } from './sharing.ts';
import { shortest } from './timing.ts';

interface Choice extends RuntimeChoice {
  readonly tokens: number;
  readonly heads: number;
  readonly headDim: number;
  readonly rounds: number;
}

interface Measured extends Form {
  readonly ms: number;
}

const command = withRuntimeOptions(new Command('compact-kv'))
  .description(
    'Times one decoded token on each form of keys and values, with what a token costs in the cache; shared prefixes and shards too.',
  )
  .option('--tokens <n>', 'tokens in the cache', whole, 8192)
  .option('--heads <n>', 'query heads', whole, 32)
  .option('--head-dim <n>', 'elements of a head, an even number', whole, 64)
  .option('--rounds <n>', 'calls, of which the shortest counts', whole, 9);

command.parse();
await run(command.opts<Choice>()).catch((error: Error) => command.error(`error: ${error.message}`));

async function measure(rt: Runtime, setting: Setting, rounds: number): Promise<Measured[]> {
  const measured: Measured[] = [];
  for (const make of forms) {
    await rt.scope(async () => {
      const form = make(rt, setting);
      const [ms = 0] = await shortest(rounds, [form.decode]);
      measured.push({ ...form, ms });
      progress(`${setting.dtype}: ${form.name} ${ms.toFixed(2)} ms`);
    });
  }
  return measured;
}

async function run({ tokens, heads, headDim, rounds, ...choice }: Choice): Promise<void> {
  using rt = await openRuntime(choice);
  const size = { heads, headDim, tokens };
  const wide = await measure(rt, { ...size, dtype: 'f32' }, rounds);
  const narrow = await measure(rt, { ...size, dtype: 'bf16' }, rounds);
  print(
    `${heads} query heads, D ${headDim}, ${tokens} tokens, one query; ${rt.variant}, ${choice.threads} thread(s)\n\n`,
  );
  print('| form | setting | numbers of a token | | share of MHA | f32 ms | bf16 ms |\n');
  print('| --- | --- | --- | ---: | ---: | ---: | ---: |\n');
  for (const [i, { name, setting, formula, numbers, ms }] of wide.entries()) {
    const share = ((100 * numbers) / wide[0]!.numbers).toFixed(1);
    print(
      `| ${name} | ${setting} | ${formula} | ${numbers} | ${share} % | ${ms.toFixed(2)} | ${narrow[i]!.ms.toFixed(2)} |\n`,
    );
  }
  for (const line of await sharing(rt, rounds)) print(`\n${line}\n`);
}

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import type { Runtime } from '../../src/index.ts';
import { openRuntime, type RuntimeChoice, withRuntimeOptions } from '../options.ts';
import { print, progress } from '../output.ts';
import { bidirectionalMethods } from './bidirectional-methods.ts';
import { type Captured, captureEncoder, captureLlama } from './capture.ts';
import { causalMethods } from './causal-methods.ts';
import { Bench, bound, type Quality } from './measure.ts';
import type { Method } from './method.ts';
import { qualityTable } from './table.ts';

interface Model {
  readonly name: string;
  readonly causal: boolean;
  readonly texts: string;
  capture(rt: Runtime): Promise<Captured[]>;
  methods(T: number): Method[];
}

const target = fileURLToPath(new URL('../../docs/sparse-quality.md', import.meta.url));
const paragraphs = 2;

const about = `# Output of sparse attention on real queries, keys and values

Written by \`npx tsx examples/sparse-quality/main.ts ../shared/models\`, which runs trained models on chapters 1 and 36 of _Moby-Dick_
(examples/semantic-search/text), takes q, k and v of every layer as its attention gets them, and gives them to each method.

- error: |o - dense| / |dense| of a head (Frobenius norms over all tokens), the mean over texts, layers and heads; worst head: the
  largest of them.
- density: visible pairs over the pairs of dense attention, from the pattern or from what \`returnSelection\` gives, the mean over the
  same. For nystromAttention, which hides no pairs: scores computed over those of dense attention.

topKAttention and topPAttention choose by all scores: they are what the others' choices can be measured against. spargeAttn's blocks are
always 128 by 64 and minference's 64 by 64, coarse for texts this short; the other methods' are as the table says. nsa is its branch of
chosen blocks alone. No model here was trained with a sparse method, and none is large: the table tells how the methods compare on
these heads, not what a task loses.
`;

const command = withRuntimeOptions(new Command('sparse-quality'))
  .description('Compares sparse attention with dense on q, k and v of trained models; writes docs/sparse-quality.md.')
  .argument('[models]', 'folder that holds stories260k and babyllama105', '../shared/models');

command.parse();
await run(command.processedArgs[0] as string, command.opts<RuntimeChoice>()).catch((error: Error) =>
  command.error(`error: ${error.message}`),
);

async function run(folder: string, choice: RuntimeChoice): Promise<void> {
  const sections = [about];
  let failures = 0;
  for (const model of modelsIn(folder)) {
    using rt = await openRuntime(choice);
    const captured = await model.capture(rt);
    const [, T, heads] = captured[0]!.q.shape as [number, number, number];
    const bench = await Bench.create(rt, captured, model.causal);
    const found: Quality[] = [];
    for (const method of model.methods(T)) {
      progress(`${model.name}: ${method.name}`);
      found.push(...(await bench.measure(method)));
    }
    for (const { method, setting, expected, error } of bench.failures) {
      progress(`${model.name}: ${method} (${setting}) is ${error} from ${expected}, expected at most ${bound}`);
    }
    failures += bench.failures.length;
    const { everything, masked } = bench.checked;
    progress(`${model.name}: at most ${everything} with nothing left out, ${masked} from a mask of the pairs counted`);
    const kvHeads = captured[0]!.k.shape[2]!;
    const size = [...new Set(captured.map(({ q }) => q.shape[3]!))].join(' and ');
    const kind = model.causal ? 'Causal' : 'Bidirectional';
    sections.push(
      `## ${model.name}\n\n${kind}, ${model.texts}: ${captured.length} layers in all, ${T} tokens, ${heads} query and ` +
        `${kvHeads} key/value heads of ${size}.\n\n${qualityTable(found)}\n`,
    );
  }
  if (failures > 0) throw new Error(`${failures} outputs are not what they must be; ${target} was not written`);
  sections.splice(
    1,
    0,
    `The same run checks every method in a setting that leaves nothing out against dense attention, and every row against dense attention\n` +
      `under a mask of the pairs counted; no head may differ by more than ${bound}, or nothing is written.\n`,
  );
  const text = sections.join('\n');
  await writeFile(target, text);
  print(text);
}

function modelsIn(folder: string): Model[] {
  const llama = (name: string): Model => ({
    name,
    causal: true,
    texts: 'the beginnings of 2 chapters, as long as the context',
    capture: (rt) => captureLlama(rt, join(folder, name)),
    methods: causalMethods,
  });
  return [
    llama('stories260k'),
    llama('babyllama105'),
    {
      name: 'Universal Sentence Encoder lite',
      causal: false,
      texts: `the first ${paragraphs} paragraphs of each of 2 chapters that fill the model's 128 tokens`,
      capture: (rt) => captureEncoder(rt, paragraphs),
      methods: bidirectionalMethods,
    },
  ];
}

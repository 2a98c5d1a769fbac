import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { attention, type QuantizationOptions, type Runtime } from '../../src/index.ts';
import { openRuntime, type RuntimeChoice, withRuntimeOptions } from '../options.ts';
import { print, progress } from '../output.ts';
import { type Captured, captureEncoder, captureLlama } from '../sparse-quality/capture.ts';
import { headErrors } from '../sparse-quality/measure.ts';
import { aligned } from '../sparse-quality/table.ts';

interface Model {
  readonly name: string;
  readonly causal: boolean;
  capture(rt: Runtime): Promise<Captured[]>;
}

const target = fileURLToPath(new URL('../../docs/quantised-quality.md', import.meta.url));

const about = `# Output of quantised attention on real queries, keys and values

Written by \`npx tsx examples/quantised-quality/main.ts ../shared/models\`, which runs trained models on chapters 1 and 36 of _Moby-Dick_
(examples/semantic-search/text), takes q, k and v of every layer as its attention gets them, and calls \`attention\` with each
\`quantization\`.

- error: |o - exact| / |exact| of a head (Frobenius norms over all tokens), the mean over texts, layers and heads; worst head: the
  largest of them.
- cosine: the smallest cosine between o and exact o of a layer.
- lse: the largest difference of a row.

int8 and sage are computed on integers; the others are emulations, f32 arithmetic on rounded numbers. The heads are narrow (8 to 64), so
scales by row and by group are shared by fewer numbers than in large models.
`;

const kinds: readonly QuantizationOptions[] = [
  { kind: 'int8' },
  { kind: 'sage' },
  { kind: 'sage2' },
  { kind: 'sage2', smoothV: true },
  { kind: 'sage3' },
  { kind: 'fp8' },
  { kind: 'fp8', hadamard: true },
];

const command = withRuntimeOptions(new Command('quantised-quality'))
  .description(
    'Compares quantised attention with exact on q, k and v of trained models; writes docs/quantised-quality.md.',
  )
  .argument('[models]', 'folder that holds stories260k and babyllama105', '../shared/models');

command.parse();
await run(command.processedArgs[0] as string, command.opts<RuntimeChoice>()).catch((error: Error) =>
  command.error(`error: ${error.message}`),
);

async function run(folder: string, choice: RuntimeChoice): Promise<void> {
  const sections = [about];
  for (const model of modelsIn(folder)) {
    using rt = await openRuntime(choice);
    const captured = await model.capture(rt);
    const rows = [['quantization', 'error', 'worst head', 'cosine', 'lse']];
    for (const kind of kinds) {
      progress(`${model.name}: ${nameOf(kind)}`);
      rows.push([nameOf(kind), ...(await measure(rt, captured, model.causal, kind))]);
    }
    const { shape } = captured[0]!.q;
    const size = [...new Set(captured.map(({ q }) => q.shape[3]!))].join(' and ');
    sections.push(
      `## ${model.name}\n\n${model.causal ? 'Causal' : 'Bidirectional'}: ${captured.length} layers in all, ${shape[1]} tokens, ` +
        `${shape[2]} query heads of ${size}.\n\n${aligned(rows, 1)}\n`,
    );
  }
  const text = sections.join('\n');
  await writeFile(target, text);
  print(text);
}

function nameOf({ kind, ...rest }: QuantizationOptions): string {
  return [kind, ...Object.keys(rest)].join(', ');
}

async function measure(
  rt: Runtime,
  captured: readonly Captured[],
  causal: boolean,
  quantization: QuantizationOptions,
): Promise<string[]> {
  const errors: number[] = [];
  let cosine = 1;
  let lse = 0;
  for (const layer of captured) {
    await rt.scope(async () => {
      const [q, k, v] = [layer.q, layer.k, layer.v].map(({ data, shape }) => rt.tensor(data, [...shape]));
      const inputs = { q: q!, k: k!, v: v! };
      const want = await attention(inputs, { causal });
      const got = await attention(inputs, { causal, quantization });
      const [heads, size] = got.o.shape.slice(2) as [number, number];
      const [a, b] = [want.o.dataSync() as Float32Array, got.o.dataSync() as Float32Array];
      errors.push(...headErrors(b, a, heads, size));
      cosine = Math.min(cosine, cosineOf(a, b));
      const exact = want.lse.dataSync();
      lse = Math.max(lse, ...Array.from(got.lse.dataSync(), (x, n) => Math.abs(x - exact[n]!)));
    });
  }
  const mean = errors.reduce((sum, x) => sum + x, 0) / errors.length;
  return [mean.toFixed(4), Math.max(...errors).toFixed(4), cosine.toFixed(5), lse.toFixed(4)];
}

function cosineOf(a: Float32Array, b: Float32Array): number {
  let [ab, aa, bb] = [0, 0, 0];
  for (let n = 0; n < a.length; ++n) {
    ab += a[n]! * b[n]!;
    aa += a[n]! ** 2;
    bb += b[n]! ** 2;
  }
  return ab / Math.sqrt(aa * bb);
}

function modelsIn(folder: string): Model[] {
  const llama = (name: string): Model => ({
    name,
    causal: true,
    capture: (rt) => captureLlama(rt, join(folder, name)),
  });
  return [
    llama('stories260k'),
    llama('babyllama105'),
    { name: 'Universal Sentence Encoder lite', causal: false, capture: (rt) => captureEncoder(rt, 2) },
  ];
}

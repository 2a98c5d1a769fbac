/**
 * The comparison as a page with charts.
 *
 * @module
 */
import { type Chart, chart, grouped, type Series } from '../report/chart.ts';
import { machineLine } from '../report/machine.ts';
import { escaped, htmlTable, page as pageOf } from '../report/page.ts';
import type { MethodResult, ModelResult, Recall, Report } from './run.ts';
import type { Speed } from './speed.ts';
import { ngramLine, SPEED_HEAD, speedCells } from './table.ts';
import { trialName } from './trials.ts';

const BITS = 'bits per byte';
const TEXT = 'bytes of text';
const RATE = 'tokens a second';

/** What the families of methods save. */
const FAMILIES: Record<MethodResult['family'], string> = {
  dense: 'dense',
  storage: 'smaller numbers in the cache',
  kept: 'fewer keys kept or read',
  seen: 'fewer keys seen',
  rounded: 'smaller numbers in products',
  plan: 'the plan',
};

function modelCharts(models: readonly ModelResult[]): Chart[] {
  const byLength = (y: (at: ModelResult['lengths'][number]) => number): Series[] =>
    models.map(({ name, lengths }) => ({ label: name, points: lengths.map((at) => [at.context, y(at)] as const) }));
  const atLongest = (x: 'prefill' | 'decode' | 'bytes'): Series[] =>
    models.map(({ name, lengths }) => {
      const at = lengths.at(-1)!;
      return { label: name, points: [[at[x], at.bits]], names: [name] };
    });
  return [
    {
      title: 'Quality against speed, one by one',
      says: 'Models at the longest text. Lower and further right is better.',
      config: chart('scatter', atLongest('decode'), { x: RATE, y: BITS }),
    },
    {
      title: 'Quality against speed of prompts',
      says: 'Models at the longest text. Lower and further right is better.',
      config: chart('scatter', atLongest('prefill'), { x: RATE, y: BITS }),
    },
    {
      title: 'Quality against memory',
      says: 'Models at the longest text. Lower and further left is better.',
      config: chart('scatter', atLongest('bytes'), { x: 'bytes of caches and states', y: BITS, logX: true }),
    },
    {
      title: 'Recall by distance',
      says: 'Share of questions answered, by the bytes since the answer was told.',
      config: chart(
        'line',
        models.map(({ name, recall }) => ({
          label: name,
          points: recall.map(({ distance, accuracy }) => [distance, accuracy] as const),
        })),
        { x: 'bytes', y: 'share of right answers', logX: true, yEnds: [0, 1] },
      ),
    },
    {
      title: 'Quality by length',
      says: 'What more text before a byte is worth.',
      config: chart(
        'line',
        byLength(({ bits }) => bits),
        { x: TEXT, y: BITS, logX: true },
      ),
    },
    {
      title: 'Speed of prompts by length',
      says: 'A prompt that is fed at once.',
      config: chart(
        'line',
        byLength(({ prefill }) => prefill),
        { x: TEXT, y: RATE, logX: true },
      ),
    },
    {
      title: 'Speed of tokens by length',
      says: 'Tokens one by one behind a text.',
      config: chart(
        'line',
        byLength(({ decode }) => decode),
        { x: TEXT, y: RATE, logX: true },
      ),
    },
    {
      title: 'Memory by length',
      says: 'Caches grow, states do not.',
      config: chart(
        'line',
        byLength(({ bytes }) => bytes),
        { x: TEXT, y: 'bytes', logX: true, logY: true },
      ),
    },
  ];
}

function methodCharts(methods: readonly MethodResult[]): Chart[] {
  if (methods.length === 0) return [];
  const against = (x: keyof Speed, only: readonly MethodResult[] = methods) =>
    grouped(only, (at) => ({ group: FAMILIES[at.family], name: trialName(at), point: [at[x], at.loss] }));
  const y = 'bits per byte more than dense';
  const prompts = methods.filter(({ fed }) => fed === 'prompt');
  return [
    {
      title: 'Methods in the dense model: loss against memory',
      says: 'The same trained model, its attention replaced. Lower and further left is better.',
      config: chart('scatter', against('bytes'), { x: 'bytes', y, logX: true }),
    },
    {
      title: 'Methods in the dense model: loss against speed, one by one',
      says: 'Tokens behind a prompt. Lower and further right is better.',
      config: chart('scatter', against('decode'), { x: RATE, y }),
    },
    {
      title: 'Methods in the dense model: loss against speed of prompts',
      says: 'Methods that bear on prompts. Lower and further right is better.',
      config: chart('scatter', against('prefill', prompts), { x: RATE, y }),
    },
  ];
}

const shares = (recall: readonly Recall[]) => recall.map(({ accuracy }) => `${Math.round(accuracy * 100)} %`);
function body(report: Report): string {
  const { extent, models, methods, dense } = report;
  const distances = extent.distances.map((n) => `recall ${n}`);
  const parts = [
    '<h2>Models</h2>',
    `<p>${ngramLine(report)}</p>`,
    htmlTable(
      ['model', ...extent.contexts.map((n) => `bits at ${n}`), ...distances, ...SPEED_HEAD],
      models.map(({ name, lengths, recall }) => [
        name,
        ...lengths.map(({ bits }) => bits.toFixed(4)),
        ...shares(recall),
        ...speedCells(lengths.at(-1)!),
      ]),
    ),
  ];
  if (!dense) return parts.join('\n');
  return [
    ...parts,
    `<h2>Methods in the model ‘${escaped(dense.model)}’</h2>`,
    `<p>${dense.bits.toFixed(4)} bits per byte with dense attention, on the second half of windows of ${extent.context} bytes.</p>`,
    htmlTable(
      ['method', 'fed', 'bits more', 'KL, bits', 'same best byte', ...distances, ...SPEED_HEAD],
      methods.map((at) => [
        trialName(at),
        at.fed === 'tokens' ? 'half one by one' : 'at once',
        at.loss.toFixed(5),
        at.kl.toFixed(5),
        `${(at.agreement * 100).toFixed(1)} %`,
        ...shares(at.recall),
        ...speedCells(at),
      ]),
    ),
  ].join('\n');
}

/**
 * The comparison as one HTML file.
 *
 * @param folder the zoo's.
 * @throws UnsupportedError as `page` of reports
 */
export function page(report: Report, folder: string): string {
  return pageOf(
    {
      title: 'Which attention should I use on this device?',
      intro: `${machineLine(report)}. Seed ${report.seed}. Every number is from this run.`,
      charts: [...modelCharts(report.models), ...methodCharts(report.methods)],
      body: body(report),
    },
    folder,
  );
}

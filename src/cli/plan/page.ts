/**
 * A plan as a page: where it lies among what is the same in all layers, and what each method costs in each layer.
 *
 * @module
 */
import { describeMethod } from '../../lm/index.ts';
import { type Chart, chart, type Series } from '../report/chart.ts';
import { machineLine } from '../report/machine.ts';
import { escaped, htmlTable, page } from '../report/page.ts';
import type { Figure } from './goal.ts';
import type { Measured, PlanReport } from './report.ts';
import { cells, goalLine, HEAD, leftOutLine, rows, verdict } from './summary.ts';

function against(report: PlanReport, figure: Exclude<Figure, 'loss'>): Series[] {
  const series = (label: string, all: readonly Measured[], names = all.map(({ name }) => name)) => ({
    label,
    points: all.map((at) => [at[figure], at.loss] as const),
    names,
  });
  return [
    series('one method in all layers', report.singles),
    series(
      'other plans',
      report.frontier,
      report.frontier.map(() => ''),
    ),
    series('the plan', [report.chosen], ['the plan']),
  ];
}

function charts(report: PlanReport): Chart[] {
  const y = 'bits per byte more than dense';
  return [
    {
      title: 'Loss against memory',
      says: 'Lower and further left is better.',
      config: chart('scatter', against(report, 'bytes'), { x: 'bytes of caches', y, logX: true }),
    },
    {
      title: 'Loss against time',
      says: 'Lower and further left is better.',
      config: chart('scatter', against(report, 'ms'), { x: 'milliseconds a token', y }),
    },
    {
      title: 'What a method does in one layer',
      says: 'The other layers attend to all keys.',
      config: chart(
        'line',
        report.sensitivities.map(({ method, distances }) => ({
          label: method,
          points: distances.map((distance, i) => [report.layers[i]!, distance] as const),
        })),
        { x: 'layer', y: 'distance from dense predictions (KL), bits' },
      ),
    },
  ];
}

/**
 * The report as one HTML file.
 *
 * @param folder the zoo's.
 * @throws UnsupportedError as `page` of reports
 */
export function planPage(report: PlanReport, folder: string): string {
  const { model, goal, extent, bits, chosen } = report;
  const layers = chosen.plan.layers.map(({ layer, ...choice }) => [String(layer), describeMethod(choice)]);
  return page(
    {
      title: `Which attention in which layer of ‘${model}’?`,
      intro: `Asked for: ${goalLine(goal)}. ${verdict(report)} ${machineLine(report)}. Every number is from this run.`,
      charts: charts(report),
      body: [
        '<h2>The plan</h2>',
        htmlTable(['layer', 'method'], layers),
        '<h2>All that was measured</h2>',
        `<p>On ${extent.verification} windows of ${extent.context} bytes that nothing was chosen by; dense attention has ${bits.toFixed(4)} bits per byte. ${escaped(leftOutLine(report))}</p>`,
        htmlTable(HEAD, rows(report).map(cells)),
      ].join('\n'),
    },
    folder,
  );
}

/**
 * The comparison as one page with charts, which opens without a network.
 *
 * @module
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { UnsupportedError } from '../../errors.ts';
import type { Report } from './run.ts';
import { machineLine, readableBytes, readableRate } from './table.ts';

/** Chart.js as one script: of the folder's packages, or of those of this one. */
function chartScript(folder: string): string {
  for (const from of [join(folder, 'package.json'), import.meta.url]) {
    try {
      return readFileSync(join(createRequire(from).resolve('chart.js'), '../chart.umd.min.js'), 'utf8');
    } catch {
      // the next place
    }
  }
  throw new UnsupportedError(
    "there is no package 'chart.js', which the report draws with: npm install @wattn/zoo has it",
  );
}

const escaped = (text: string) => text.replace(/[&<>]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[c]!);

/** Chart.js options of one chart. */
interface Chart {
  readonly title: string;
  readonly says: string;
  readonly config: object;
}

const COLOURS = [
  '#0b6e99',
  '#d9480f',
  '#2b8a3e',
  '#862e9c',
  '#e67700',
  '#364fc7',
  '#c2255c',
  '#5c940d',
  '#495057',
  '#087f5b',
];
const colour = (i: number) => COLOURS[i % COLOURS.length]!;

interface Series {
  readonly label: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

function chart(
  kind: 'line' | 'scatter',
  series: readonly Series[],
  axes: { readonly x: string; readonly y: string; readonly logX?: boolean; readonly logY?: boolean },
): object {
  const scale = (text: string, log: boolean | undefined) => ({
    type: log ? 'logarithmic' : 'linear',
    title: { display: true, text },
  });
  return {
    type: kind,
    data: {
      datasets: series.map(({ label, points }, i) => ({
        label,
        data: points.map(([x, y]) => ({ x, y })),
        borderColor: colour(i),
        backgroundColor: colour(i),
        pointRadius: kind === 'scatter' ? 6 : 3,
      })),
    },
    options: {
      animation: false,
      scales: { x: scale(axes.x, axes.logX), y: scale(axes.y, axes.logY) },
      plugins: { legend: { position: 'right' } },
    },
  };
}

function charts({ models, methods }: Report): Chart[] {
  const lengths = (y: (at: Report['models'][number]['lengths'][number]) => number): Series[] =>
    models.map(({ name, lengths }) => ({ label: name, points: lengths.map((at) => [at.context, y(at)] as const) }));
  const last = (x: 'decode' | 'bytes'): Series[] =>
    models.map(({ name, lengths }) => {
      const at = lengths.at(-1)!;
      return { label: name, points: [[at[x], at.bits] as const] };
    });
  const byMethod = (x: 'decode' | 'prefill' | 'bytes'): Series[] =>
    methods.map(({ method, budget, loss, ...speed }) => ({
      label: budget === undefined ? method : `${method} ${budget}`,
      points: [[speed[x], loss] as const],
    }));
  const bits = 'bits per byte';
  const lost = 'bits per byte more than dense';
  const found: Chart[] = [
    {
      title: 'Quality against speed',
      says: 'Models at the longest context. Lower and further right is better.',
      config: chart('scatter', last('decode'), { x: 'tokens a second, one by one', y: bits }),
    },
    {
      title: 'Quality against memory',
      says: 'Models at the longest context. Lower and further left is better.',
      config: chart('scatter', last('bytes'), { x: 'bytes of caches and states', y: bits, logX: true }),
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
        { x: 'bytes', y: 'share of right answers', logX: true },
      ),
    },
    {
      title: 'Quality by length',
      says: 'What more text before a byte is worth.',
      config: chart(
        'line',
        lengths(({ bits }) => bits),
        { x: 'bytes of text', y: bits, logX: true },
      ),
    },
    {
      title: 'Speed of prompts by length',
      says: 'Tokens a second of a prompt that is fed at once.',
      config: chart(
        'line',
        lengths(({ prefill }) => prefill),
        { x: 'bytes of text', y: 'tokens a second', logX: true },
      ),
    },
    {
      title: 'Memory by length',
      says: 'Caches grow, states do not.',
      config: chart(
        'line',
        lengths(({ bytes }) => bytes),
        { x: 'bytes of text', y: 'bytes', logX: true, logY: true },
      ),
    },
  ];
  if (methods.length === 0) return found;
  return [
    ...found,
    {
      title: 'Methods in the dense model: loss against memory',
      says: 'The same trained model, its attention replaced. Lower and further left is better.',
      config: chart('scatter', byMethod('bytes'), { x: 'bytes', y: lost, logX: true }),
    },
    {
      title: 'Methods in the dense model: loss against speed',
      says: 'Tokens one by one behind the prompt. Lower and further right is better.',
      config: chart('scatter', byMethod('decode'), { x: 'tokens a second', y: lost }),
    },
  ];
}

const row = (cells: readonly string[], tag = 'td') =>
  `<tr>${cells.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join('')}</tr>`;

function htmlTables({ extent, models, methods, dense }: Report): string {
  const distances = extent.distances.map((n) => `recall ${n}`);
  const shares = (recall: readonly { accuracy: number }[]) =>
    recall.map(({ accuracy }) => `${Math.round(accuracy * 100)} %`);
  const speed = (at: { prefill: number; decode: number; bytes: number }) => [
    readableRate(at.prefill),
    readableRate(at.decode),
    readableBytes(at.bytes),
  ];
  const table = (head: readonly string[], rows: readonly (readonly string[])[]) =>
    `<div class="wide"><table><thead>${row(head, 'th')}</thead><tbody>${rows.map((cells) => row(cells)).join('')}</tbody></table></div>`;
  const parts = [
    '<h2>Models</h2>',
    table(
      ['model', ...extent.contexts.map((n) => `bits at ${n}`), ...distances, 'prefill', 'decode', 'memory'],
      models.map(({ name, lengths, recall }) => [
        name,
        ...lengths.map(({ bits }) => bits.toFixed(4)),
        ...shares(recall),
        ...speed(lengths.at(-1)!),
      ]),
    ),
  ];
  if (dense) {
    parts.push(
      `<h2>Methods in the model ‘${escaped(dense.model)}’</h2>`,
      `<p>${dense.bits.toFixed(4)} bits per byte with dense attention, on the second half of windows of ${extent.context} bytes.</p>`,
      table(
        [
          'method',
          'keys',
          'fed',
          'bits more',
          'KL, bits',
          'same best byte',
          ...distances,
          'prefill',
          'decode',
          'memory',
        ],
        methods.map(({ method, budget, fed, loss, kl, agreement, recall, ...at }) => [
          method,
          budget === undefined ? '' : String(budget),
          fed === 'tokens' ? 'half one by one' : 'at once',
          loss.toFixed(5),
          kl.toFixed(5),
          `${(agreement * 100).toFixed(1)} %`,
          ...shares(recall),
          ...speed(at),
        ]),
      ),
    );
  }
  return parts.join('\n');
}

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(26rem, 1fr)); gap: 2rem; }
figure { margin: 0; min-width: 0; background: #fff; color: #222; padding: 1rem; border-radius: 6px; }
figcaption { font-weight: 600; } figcaption small { font-weight: 400; display: block; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.85rem; }
th, td { padding: 0.2rem 0.6rem; text-align: right; border-bottom: 1px solid #8886; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
@media (max-width: 30rem) { .charts { grid-template-columns: 1fr; } }
`;

/**
 * One HTML file with everything in it.
 *
 * @param folder the zoo's: it has the package that draws.
 * @throws UnsupportedError if that is not installed.
 */
export function page(report: Report, folder: string): string {
  const drawn = charts(report);
  const data = JSON.stringify(drawn.map(({ config }) => config)).replaceAll('<', '\\u003c');
  // a script ends at the first end tag, whatever it is in
  const script = chartScript(folder).replaceAll('</script', '<\\/script');
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Which attention should I use on this device?</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
<h1>Which attention should I use on this device?</h1>
<p>${escaped(machineLine(report))}. Seed ${report.seed}. Every number is from this run.</p>
<div class="charts">
${drawn.map(({ title, says }) => `<figure><figcaption>${title}<small>${says}</small></figcaption><canvas role="img" aria-label="${title}"></canvas></figure>`).join('\n')}
</div>
${htmlTables(report)}
<script>${script}</script>
<script>
const configs = ${data};
document.querySelectorAll('canvas').forEach((canvas, i) => new Chart(canvas, configs[i]));
</script>
</html>
`;
}

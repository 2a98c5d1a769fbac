/**
 * A report as one page, which opens without a network.
 *
 * @module
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { UnsupportedError } from '../../errors.ts';
import type { Chart } from './chart.ts';

/** What a page says. */
export interface PageContent {
  readonly title: string;
  /** A sentence below the title. */
  readonly intro: string;
  readonly charts: readonly Chart[];
  /** HTML below the charts. */
  readonly body: string;
}

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

/** Text that is none of HTML's. */
export const escaped = (text: string) =>
  text.replace(/[&<>]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[c]!);

const row = (cells: readonly string[], tag: 'td' | 'th') =>
  `<tr>${cells.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join('')}</tr>`;

/** A table, which scrolls where it is too wide. */
export function htmlTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const body = rows.map((cells) => row(cells, 'td')).join('');
  return `<div class="wide"><table><thead>${row(head, 'th')}</thead><tbody>${body}</tbody></table></div>`;
}

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 80rem; margin: 2rem auto; padding: 0 1rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(34rem, 100%), 1fr)); gap: 2rem; }
figure { margin: 0; min-width: 0; background: #fff; color: #222; padding: 1rem; border-radius: 6px; }
figcaption { font-weight: 600; } figcaption small { font-weight: 400; display: block; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.85rem; }
th, td { padding: 0.2rem 0.6rem; text-align: right; border-bottom: 1px solid #8886; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
`;

/** Writes names beside points where there is room, and says them where a point is pointed at. */
const NAMES = `
Chart.register({
  id: 'names',
  afterDatasetsDraw(chart) {
    const { ctx, data } = chart;
    ctx.save();
    ctx.font = '10px system-ui, sans-serif';
    ctx.fillStyle = '#222';
    const written = [];
    data.datasets.forEach(({ names }, i) => {
      if (names && chart.isDatasetVisible(i)) {
        chart.getDatasetMeta(i).data.forEach(({ x, y }, n) => {
          const width = ctx.measureText(names[n]).width;
          const left = x + 7 + width > chart.chartArea.right ? x - 7 - width : x + 7;
          if (written.some((at) => left < at.left + at.width && at.left < left + width && Math.abs(y - at.y) < 10)) return;
          written.push({ left, width, y });
          ctx.fillText(names[n], left, y + 3);
        });
      }
    });
    ctx.restore();
  },
});
Chart.defaults.plugins.tooltip.callbacks.label = ({ dataset, dataIndex, parsed: { x, y } }) =>
  (dataset.names ? dataset.names[dataIndex] : dataset.label) + ': ' + [x, y].map((n) => Number(n.toPrecision(4))).join(', ');
`;

/**
 * One HTML file with everything in it.
 *
 * @param folder the zoo's: it has the package that draws.
 * @throws UnsupportedError if that is not installed.
 */
export function page({ title, intro, charts, body }: PageContent, folder: string): string {
  const data = JSON.stringify(charts.map(({ config }) => config)).replaceAll('<', '\\u003c');
  // a script ends at the first end tag, whatever it is in
  const script = chartScript(folder).replaceAll('</script', '<\\/script');
  const figures = charts.map(
    ({ title, says }) =>
      `<figure><figcaption>${title}<small>${says}</small></figcaption><canvas role="img" aria-label="${title}"></canvas></figure>`,
  );
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escaped(title)}</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
<h1>${escaped(title)}</h1>
<p>${escaped(intro)}</p>
<div class="charts">
${figures.join('\n')}
</div>
${body}
<script>${script}</script>
<script>
${NAMES}
const configs = ${data};
document.querySelectorAll('canvas').forEach((canvas, i) => new Chart(canvas, configs[i]));
</script>
</html>
`;
}

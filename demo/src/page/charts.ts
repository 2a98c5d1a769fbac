/**
 * Charts of the race: a line for each method over rising length, both axes logarithmic.
 *
 * @module
 */
import uPlot from 'uplot';
import { lineStyle } from './colours.ts';
import { make } from './elements.ts';

/** A line of a chart. */
export interface Line {
  readonly label: string;
  /** Number of its colour and dashes. */
  readonly style: number;
  /** A value for each length, null where there is none. */
  readonly values: readonly (number | null)[];
}

const HEIGHT = 260;

/** A number of any size in few characters. */
export function brief(value: number): string {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1000) return `${Math.round(value)}`;
  if (size >= 0.01) return `${Number(value.toPrecision(3))}`;
  return value.toExponential(size < 1e-3 ? 0 : 1).replace('e-', 'e−');
}

/** Powers of two are told whole. */
const lengthText = (length: number) => (length >= 1024 ? `${length / 1024}k` : `${length}`);

/** One chart, in an element of the page. */
export class RaceChart {
  readonly #host: HTMLElement;
  readonly #unit: string;
  readonly #said: HTMLElement;
  #plot: uPlot | undefined;
  #lengths: readonly number[] = [];
  #lines: readonly Line[] = [];

  /** @param unit what stands behind a value, such as ' ms'. */
  constructor(host: HTMLElement, unit: string) {
    this.#host = host;
    this.#unit = unit;
    // says what the pointer is at; the table has the same for everyone
    this.#said = make('p', { class: 'quiet small pointed', 'aria-hidden': 'true' });
    host.after(this.#said);
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(host);
  }

  #size(): { width: number; height: number } {
    return { width: Math.max(200, this.#host.clientWidth), height: HEIGHT };
  }

  /** Draws lines anew. */
  show(lengths: readonly number[], lines: readonly Line[]): void {
    const same =
      this.#plot && lines.length === this.#lines.length && lines.every((l, n) => l.style === this.#lines[n]!.style);
    this.#lengths = lengths;
    this.#lines = lines;
    const data = [[...lengths], ...lines.map(({ values }) => [...values])] as uPlot.AlignedData;
    if (same) this.#plot!.setData(data);
    else this.restyle();
    this.#host.dataset.points = JSON.stringify(this.#plot!.data);
  }

  /** Draws what there is with the colours of the page as it is now. */
  restyle(): void {
    this.#plot?.destroy();
    const data = [[...this.#lengths], ...this.#lines.map(({ values }) => [...values])] as uPlot.AlignedData;
    this.#plot = new uPlot(this.#options(), data, this.#host);
  }

  #options(): uPlot.Options {
    const style = getComputedStyle(this.#host);
    const [ink, grid] = [style.getPropertyValue('--quiet'), style.getPropertyValue('--rule')];
    const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1, size: 4 } };
    const font = '12px system-ui, sans-serif';
    return {
      ...this.#size(),
      legend: { show: false },
      padding: [12, 16, 0, 0],
      cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
      scales: {
        x: { time: false, distr: 3, log: 2, range: (_, low, high) => [low / 1.15, high * 1.15] },
        y: { distr: 3, log: 10, range: (_, low, high) => roundRange(low, high) },
      },
      axes: [
        {
          ...axis,
          font,
          size: 34,
          splits: () => this.#lengths as number[],
          values: (_, splits) => splits.map(lengthText),
          filter: (_, splits) => splits,
        },
        {
          ...axis,
          font,
          size: 56,
          values: (_, splits) => splits.map((value) => (value === null ? '' : brief(value))),
        },
      ],
      series: [
        {},
        ...this.#lines.map(({ label, style }) => ({
          label,
          ...lineStyle(style),
          width: 2,
          spanGaps: false,
          points: { show: true, size: 6, fill: lineStyle(style).stroke },
        })),
      ],
      hooks: { setCursor: [(plot) => this.#tell(plot.cursor.idx)] },
    };
  }

  #tell(at: number | null | undefined): void {
    if (at === null || at === undefined) {
      this.#said.textContent = '';
      return;
    }
    const told = this.#lines
      .map(({ label, values }) => ({ label, value: values[at] }))
      .filter((line): line is { label: string; value: number } => typeof line.value === 'number')
      .sort((a, b) => a.value - b.value)
      .map(({ label, value }) => `${label} ${brief(value)}${this.#unit}`);
    this.#said.textContent = `${this.#lengths[at]} tokens: ${told.join(', ')}`;
  }
}

/** The nearest of 1, 2, 5, 10, 20, ... below a number, or above it. */
function round(value: number, up: boolean): number {
  const decade = 10 ** Math.floor(Math.log10(value));
  const steps = [1, 2, 5, 10].map((step) => step * decade);
  return up ? steps.find((step) => step >= value)! : steps.findLast((step) => step <= value)!;
}

/** A range around all values that ends at round numbers. */
function roundRange(low: number | null, high: number | null): [number, number] {
  if (!low || !high || !(low > 0)) return [0.1, 10];
  return [round(low / 1.25, false), round(high * 1.25, true)];
}

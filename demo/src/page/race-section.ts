/**
 * The race of methods: who takes part, charts, results.
 *
 * @module
 */
import type { MethodCard, RacePoint } from '../messages.ts';
import { brief, type Line, RaceChart } from './charts.ts';
import { lineStyle } from './colours.ts';
import { byId, copyFrom, make } from './elements.ts';
import { JobBar } from './job-bar.ts';
import { onTheme } from './theme.ts';
import type { Tokens } from './tokens.ts';
import { Cancelled, start } from './worker.ts';

/** Who takes part unless the reader says otherwise. */
const FIRST = ['dense', 'window', 'bigbird', 'moba', 'nsa', 'retnet', 'gla', 'gateddelta'];
const MIB = 2 ** 20;

/** What a chart shows of a point. */
interface Measure {
  readonly id: string;
  readonly unit: string;
  of(point: RacePoint): number | undefined;
}

const MEASURES: readonly Measure[] = [
  { id: 'time-chart', unit: ' ms', of: ({ milliseconds }) => milliseconds },
  { id: 'memory-chart', unit: ' MiB', of: ({ bytes }) => bytes / MIB },
  { id: 'error-chart', unit: '', of: ({ error }) => error },
];

/** The section. */
export class RaceSection {
  readonly #cards: readonly MethodCard[];
  readonly #bar = new JobBar(byId('race-job', HTMLElement), 'the race');
  readonly #start = byId('start', HTMLButtonElement);
  readonly #copy = byId('copy-results', HTMLButtonElement);
  readonly #results = byId('results', HTMLElement);
  readonly #charts = MEASURES.map(({ id, unit }) => new RaceChart(byId(id, HTMLElement), unit));
  #tokens: Tokens = { ids: new Uint32Array(), labels: [] };
  #lengths: number[] = [];
  #running: readonly MethodCard[] = [];
  #points: RacePoint[] = [];
  #rows: HTMLElement | undefined;
  #settings: object = {};

  constructor(cards: readonly MethodCard[]) {
    this.#cards = cards;
    this.#listContenders();
    // what scrolls can be reached by keys
    this.#results.tabIndex = 0;
    byId('race-form', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#run();
    });
    this.#copy.addEventListener('click', () => copyFrom(this.#copy, this.json()));
    onTheme(() => {
      this.#drawLegend();
      for (const chart of this.#charts) chart.restyle();
    });
    this.#draw();
  }

  /** Races on another text from now on. */
  use(tokens: Tokens): void {
    this.#tokens = tokens;
  }

  /** All that was measured. */
  json(): string {
    return JSON.stringify({ ...this.#settings, points: this.#points }, undefined, 2);
  }

  #listContenders(): void {
    const families = new Map<string, HTMLElement>();
    for (const { id, label, family, doc, op, paper } of this.#cards) {
      let group = families.get(family);
      if (!group) {
        group = make('fieldset', {}, make('legend', {}, family));
        families.set(family, group);
      }
      const box = make('input', { type: 'checkbox', name: 'method', value: id });
      box.checked = FIRST.includes(id);
      group.append(make('label', { title: `${op}: ${doc} ${paper}` }, box, make('span', {}, label)));
    }
    byId('contenders', HTMLElement).replaceChildren(...families.values());
  }

  async #run(): Promise<void> {
    const number = (id: string) => Number(byId(id, HTMLSelectElement).value);
    const [from, to] = [number('from'), number('to')];
    const boxes = [...document.querySelectorAll<HTMLInputElement>('input[name=method]:checked')];
    const methods = boxes.map(({ value }) => value);
    if (methods.length === 0) return this.#bar.end('Choose at least one method.');
    if (from > to) return this.#bar.end('The race must go to at least as many tokens as it starts from.');
    if (this.#tokens.ids.length === 0) return this.#bar.end('There is no text to race on.');

    this.#running = methods.map((id) => this.#cards.find((card) => card.id === id)!);
    this.#lengths = [];
    for (let length = from; length <= to; length *= 2) this.#lengths.push(length);
    this.#points = [];
    this.#openTable();
    this.#drawLegend();
    this.#draw();
    const block = number('race-block');
    this.#settings = { userAgent: navigator.userAgent, isolated: crossOriginIsolated, heads: 4, channels: 64, block };
    const given = { tokens: this.#tokens.ids, methods, lengths: this.#lengths, block };
    const job = start('race', given, {
      progress: (progress) => this.#bar.update(progress),
      event: (point) => this.#take(point),
    });
    this.#start.disabled = true;
    this.#bar.begin(() => job.cancel(), false);
    try {
      const { threads } = await job.result;
      this.#settings = { ...this.#settings, threads };
      const where = threads === 1 ? 'one thread' : `${threads} threads`;
      this.#bar.end(`The race is over: ${this.#points.length} measurements on ${where}. ${this.#summary()}`);
    } catch (error) {
      const cancelled = error instanceof Cancelled;
      const kept = `${this.#points.length} measurements are kept`;
      this.#bar.end(cancelled ? `Cancelled: ${kept}.` : `The race ended: ${(error as Error).message}; ${kept}.`);
    }
    this.#start.disabled = false;
    this.#copy.hidden = this.#points.length === 0;
  }

  /** The fastest at the greatest length that dense attention reached. */
  #summary(): string {
    const passed = this.#points.filter((point) => point.passed);
    const dense = passed.findLast(({ method }) => method === 'dense');
    if (!dense) return '';
    const [fastest] = passed
      .filter(({ length, method }) => length === dense.length && method !== 'dense')
      .sort((a, b) => a.milliseconds - b.milliseconds);
    const told = `At ${dense.length} tokens dense attention takes ${brief(dense.milliseconds)} ms`;
    if (!fastest || fastest.milliseconds >= dense.milliseconds) return `${told}.`;
    const { label } = this.#cards.find(({ id }) => id === fastest.method)!;
    return `${told}, ${label} ${brief(fastest.milliseconds)} ms.`;
  }

  #take(point: RacePoint): void {
    this.#points.push(point);
    this.#addRow(point);
    this.#draw();
  }

  #lines({ of }: Measure): Line[] {
    return this.#running.map(({ id, label }, style) => ({
      label,
      style,
      values: this.#lengths.map((length) => {
        const point = this.#points.find((each) => each.method === id && each.length === length);
        const value = point?.passed ? of(point) : undefined;
        return value !== undefined && value > 0 ? value : null;
      }),
    }));
  }

  #draw(): void {
    // before the first race the axes stand empty
    const lengths = this.#lengths.length > 0 ? this.#lengths : [256, 512, 1024, 2048, 4096];
    for (const [n, measure] of MEASURES.entries()) this.#charts[n]!.show(lengths, this.#lines(measure));
  }

  #drawLegend(): void {
    const entries = this.#running.map(({ label }, n) => {
      const { stroke, dash } = lineStyle(n);
      const svg = 'http://www.w3.org/2000/svg';
      const sign = document.createElementNS(svg, 'svg');
      const line = document.createElementNS(svg, 'line');
      for (const [name, value] of Object.entries({ width: '30', height: '10', 'aria-hidden': 'true' })) {
        sign.setAttribute(name, value);
      }
      const marks = { x1: 1, x2: 29, y1: 5, y2: 5, stroke, 'stroke-width': 3, 'stroke-dasharray': dash.join(' ') };
      for (const [name, value] of Object.entries(marks)) line.setAttribute(name, `${value}`);
      sign.append(line);
      return make('span', {}, sign, label);
    });
    byId('legend', HTMLElement).replaceChildren(...entries);
  }

  #openTable(): void {
    const names = ['Tokens', 'Method', 'Time', 'Tokens a second', 'Memory', 'From dense', 'Check'];
    this.#rows = make('tbody');
    const head = make('thead', {}, make('tr', {}, ...names.map((name) => make('th', { scope: 'col' }, name))));
    this.#results.replaceChildren(make('table', {}, head, this.#rows));
    this.#results.hidden = false;
    this.#copy.hidden = true;
  }

  #addRow({ method, length, milliseconds, bytes, error, check, passed }: RacePoint): void {
    const label = this.#cards.find(({ id }) => id === method)!.label;
    const known = Number.isFinite(milliseconds);
    const cells = [
      `${length}`,
      label,
      known ? `${brief(milliseconds)} ms` : '–',
      known ? brief(Number(((length / milliseconds) * 1000).toPrecision(3))) : '–',
      known ? `${brief(bytes / MIB)} MiB` : '–',
      error === undefined ? '–' : brief(error),
      check,
    ];
    const row = make('tr', passed ? {} : { class: 'failed' }, ...cells.map((text) => make('td', {}, text)));
    this.#rows?.append(row);
  }
}

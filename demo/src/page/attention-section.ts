/**
 * Attention patterns and block masks.
 *
 * @module
 */
import type { MethodCard, PictureResult } from '../messages.ts';
import { byId, fillSelect, make } from './elements.ts';
import { JobBar } from './job-bar.ts';
import { type Matrix, MatrixView, type Place } from './matrix-view.ts';
import { Reading } from './reading.ts';
import type { Tokens } from './tokens.ts';
import { Cancelled, type Job, start } from './worker.ts';

/** What each head of the problem compares. */
const HEADS = ['single tokens', 'pairs', 'runs of four', 'what came after the pair'];
/** Pictures that are kept, in numbers of weights. */
const KEPT_WEIGHTS = 2 ** 24;
const DENSE = 'dense';

type View = 'weights' | 'pairs' | 'off';

/** The section. */
export class AttentionSection {
  readonly #cards: readonly MethodCard[];
  readonly #method = byId('method', HTMLSelectElement);
  readonly #head = byId('head', HTMLSelectElement);
  readonly #length = byId('length', HTMLSelectElement);
  readonly #block = byId('block', HTMLSelectElement);
  readonly #views = [...document.querySelectorAll<HTMLInputElement>('input[name=view]')];
  readonly #bar = new JobBar(byId('picture-job', HTMLElement), 'the picture');
  readonly #matrix: MatrixView;
  readonly #reading: Reading;
  readonly #kept = new Map<string, PictureResult>();
  #tokens: Tokens = { ids: new Uint32Array(), labels: [] };
  #text = 0;
  #job: Job<'picture'> | undefined;
  #shown: { readonly picture: PictureResult; readonly dense: PictureResult | undefined } | undefined;

  constructor(cards: readonly MethodCard[]) {
    this.#cards = cards;
    fillSelect(
      this.#method,
      cards.map(({ id, label, family }) => ({ value: id, label, group: family })),
    );
    fillSelect(
      this.#head,
      HEADS.map((label, n) => ({ value: `${n}`, label })),
    );
    this.#head.value = '1';
    this.#matrix = new MatrixView(byId('matrix', HTMLCanvasElement), (place) => this.#look(place));
    this.#reading = new Reading(byId('reading', HTMLElement), (row) => {
      this.#matrix.place = { row, column: this.#matrix.place.column };
    });
    for (const select of [this.#method, this.#length, this.#block]) {
      select.addEventListener('change', () => this.#compute());
    }
    this.#head.addEventListener('change', () => this.#draw());
    for (const view of this.#views) view.addEventListener('change', () => this.#compute());
    byId('zoom-in', HTMLButtonElement).addEventListener('click', () => this.#matrix.zoom(true));
    byId('zoom-out', HTMLButtonElement).addEventListener('click', () => this.#matrix.zoom(false));
    byId('zoom-fit', HTMLButtonElement).addEventListener('click', () => this.#matrix.fit());
  }

  /** Shows another text. */
  use(tokens: Tokens): void {
    this.#tokens = tokens;
    this.#text += 1;
    void this.#compute();
  }

  get #view(): View {
    return this.#views.find(({ checked }) => checked)!.value as View;
  }

  /** The picture of a method, from the worker unless it is kept. */
  async #picture(method: string): Promise<PictureResult> {
    const most = Number(this.#length.value);
    const key = [this.#text, method, most, this.#block.value].join(' ');
    const kept = this.#kept.get(key);
    if (kept) return kept;
    const given = { tokens: this.#tokens.ids.slice(0, most), method, block: Number(this.#block.value) };
    const job = start('picture', given, { progress: (progress) => this.#bar.update(progress) });
    this.#job = job;
    this.#bar.begin(() => job.cancel());
    const picture = await job.result;
    this.#kept.set(key, picture);
    let weights = 0;
    for (const [key, { weights: each }] of [...this.#kept].reverse()) {
      weights += each.length;
      if (weights > KEPT_WEIGHTS) this.#kept.delete(key);
    }
    return picture;
  }

  async #compute(): Promise<void> {
    this.#job?.abandon();
    const card = this.#cards.find(({ id }) => id === this.#method.value)!;
    const compared =
      card.against === 'full' ? ' It is not causal, so the dense picture here differs above the diagonal.' : '';
    byId('about', HTMLElement).textContent = `${card.doc} ${card.paper}.${compared}`;
    if (this.#tokens.ids.length === 0) {
      this.#bar.end('There is no text to look at.');
      return;
    }
    const text = this.#text;
    try {
      const picture = await this.#picture(card.id);
      if (this.#text !== text) return;
      const dense = this.#view === 'off' ? await this.#picture(DENSE) : undefined;
      if (this.#text !== text || this.#method.value !== card.id) return;
      const fresh = this.#shown?.picture !== picture;
      this.#shown = { picture, dense };
      this.#bar.end();
      if (fresh) this.#describe(picture);
      this.#draw();
    } catch (error) {
      if (error instanceof Cancelled) {
        if (error.how === 'cancelled') this.#bar.end('Cancelled: what is shown is from before.');
      } else this.#bar.end(`That did not work: ${(error as Error).message}`);
    }
  }

  /** What does not depend on the head. */
  #describe({ length, visibility, call, explanation }: PictureResult): void {
    const labels = this.#tokens.labels.slice(0, length);
    this.#reading.show(labels, byId('unit', HTMLSelectElement).value === 'words');
    const pairs = this.#views.find(({ value }) => value === 'pairs')!;
    pairs.disabled = !visibility;
    if (!visibility && pairs.checked) this.#views[0]!.checked = true;
    byId('pairs-name', HTMLElement).textContent = visibility?.title ?? 'Mask';
    byId('pairs-note', HTMLElement).textContent =
      visibility?.note ?? 'Every earlier token can have a part in what a token gets: no mask or choice says otherwise.';
    byId('call', HTMLElement).textContent = call;
    const { steps, flops, notes } = explanation;
    const kernels = [...new Set(steps.map(({ kernel }) => kernel))].join(', ');
    const work = `${(flops / 1e6).toFixed(1)} million operations in ${steps.length} ${steps.length === 1 ? 'step' : 'steps'}: ${kernels}`;
    byId('notes', HTMLElement).replaceChildren(...[...notes, work].map((note) => make('li', {}, note)));
  }

  /** What a pair of tokens has in the view. */
  #valueAt(row: number, column: number): number {
    const { picture, dense } = this.#shown!;
    const head = Number(this.#head.value);
    const at = (head * picture.length + row) * picture.length + column;
    if (this.#view === 'pairs' && picture.visibility) return this.#sees(row, column) ? 1 : 0;
    return picture.weights[at]! - (dense ? dense.weights[at]! : 0);
  }

  #sees(row: number, column: number): boolean {
    const { length, visibility } = this.#shown!.picture;
    if (!visibility) return true;
    const head = Math.floor((Number(this.#head.value) * visibility.heads) / HEADS.length);
    return visibility.pairs[(head * length + row) * length + column] === 1;
  }

  #draw(): void {
    if (!this.#shown) return;
    const { length, visibility } = this.#shown.picture;
    const view = this.#view;
    // weights are shown relative to the largest of their row, differences to the largest of all
    const most = new Float32Array(length);
    let below = view === 'off';
    for (let row = 0; row < length; ++row) {
      for (let column = 0; column < length; ++column) {
        const value = this.#valueAt(row, column);
        most[row] = Math.max(most[row]!, Math.abs(value));
        below ||= value < 0;
      }
    }
    const all = most.reduce((a, b) => Math.max(a, b), 0);
    const scale = (row: number) => (view === 'off' ? all : most[row]!) || 1;
    const blocks = view === 'pairs' ? visibility : undefined;
    const matrix: Matrix = {
      length,
      value: (row, column) => this.#valueAt(row, column) / scale(row),
      rowBlock: blocks?.queryBlock ?? 1,
      columnBlock: blocks?.keyBlock ?? 1,
    };
    this.#matrix.show(matrix);
    this.#legend(view, all, below);
    this.#look(this.#matrix.place);
  }

  #legend(view: View, most: number, below: boolean): void {
    const named: Record<View, readonly [low: string, high: string]> = {
      weights: below ? ['taken away', 'most of the row'] : ['0', 'most of the row'],
      pairs: ['hidden', 'visible'],
      off: [`−${most.toFixed(2)}`, `+${most.toFixed(2)}`],
    };
    [byId('scale-low', HTMLElement).textContent, byId('scale-high', HTMLElement).textContent] = named[view];
    byId('scale', HTMLElement).className = `scale ${below ? 'off' : view}`;
  }

  /** Tells of the pair that is looked at. */
  #look({ row, column }: Place): void {
    if (!this.#shown) return;
    const { length, weights } = this.#shown.picture;
    if (row >= length || column >= length) return;
    const { labels } = this.#tokens;
    const name = (n: number) => `“${labels[n] ?? ''}” (${n})`;
    const head = Number(this.#head.value);
    const weight = weights[(head * length + row) * length + column]!;
    const size = Math.abs(weight);
    const number = size === 0 || (size >= 1e-3 && size < 1e4) ? weight.toFixed(4) : weight.toExponential(1);
    let said = `${name(row)} gives ${name(column)} a weight of ${number}`;
    const hidden = !this.#sees(row, column);
    if (hidden && weight === 0) said = `${name(row)} cannot see ${name(column)}`;
    else if (hidden) said += ', though it is not among the keys that were chosen: another branch of the method sees it';
    else if (this.#view === 'off') {
      said += `, ${(this.#valueAt(row, column) >= 0 ? '+' : '−') + Math.abs(this.#valueAt(row, column)).toFixed(4)} next to dense`;
    }
    byId('readout', HTMLElement).textContent = `${said}.`;
    this.#reading.shade(row, (token) => weights[(head * length + row) * length + token]!);
    this.#reading.reveal(row);
  }
}

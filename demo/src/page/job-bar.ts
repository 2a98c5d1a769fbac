/**
 * The bar that shows how far a job is, with a button that cancels it.
 *
 * @module
 */
import type { Progress } from '../messages.ts';
import { make } from './elements.ts';

/** Jobs that are over sooner show no bar. */
const PATIENCE_MS = 300;

/** One bar, in an element of the page. */
export class JobBar {
  readonly #host: HTMLElement;
  readonly #bar: HTMLProgressElement;
  readonly #label: HTMLElement;
  readonly #button: HTMLButtonElement;
  readonly #said: HTMLElement;
  #cancel: () => void = () => {};
  #timer = 0;

  /** @param what a name of the job, such as 'the race'. */
  constructor(host: HTMLElement, what: string) {
    this.#host = host;
    this.#bar = make('progress', { 'aria-label': `Progress of ${what}` });
    this.#label = make('span', { class: 'quiet' });
    this.#button = make('button', { type: 'button' }, 'Cancel');
    this.#button.setAttribute('aria-label', `Cancel ${what}`);
    this.#button.addEventListener('click', () => this.#cancel());
    // starts and ends are spoken, not every step
    this.#said = make('p', { class: 'said', role: 'status' });
    const line = make('div', { class: 'line' }, this.#bar, this.#label, this.#button);
    line.hidden = true;
    host.append(line, this.#said);
  }

  get #line(): HTMLElement {
    return this.#host.firstElementChild as HTMLElement;
  }

  /** Shows a job that begins. */
  begin(cancel: () => void, patient = true): void {
    clearTimeout(this.#timer);
    this.#cancel = cancel;
    this.#bar.removeAttribute('value');
    this.#label.textContent = '';
    this.#said.textContent = '';
    if (!this.#line.hidden) return;
    if (patient) this.#timer = window.setTimeout(() => this.#show(), PATIENCE_MS);
    else this.#show();
  }

  #show(): void {
    this.#line.hidden = false;
  }

  update({ done, total, label }: Progress): void {
    this.#bar.max = total;
    this.#bar.value = done;
    this.#label.textContent = label;
  }

  /** Takes the bar away; what is said stays. */
  end(said = ''): void {
    clearTimeout(this.#timer);
    const focused = this.#line.contains(document.activeElement);
    this.#line.hidden = true;
    this.#said.textContent = said;
    if (!focused) return;
    // the button that had the focus is gone: keep it near
    this.#said.tabIndex = -1;
    this.#said.focus();
  }
}

/**
 * The text with the weights of one query, as shades behind its tokens.
 *
 * @module
 */
import { make } from './elements.ts';

/** Shades have classes w0 to w8. */
const SHADES = 8;

/** The text in an element of the page. */
export class Reading {
  readonly #host: HTMLElement;
  #spans: HTMLElement[] = [];

  /** @param chosen called with a token that was clicked. */
  constructor(host: HTMLElement, chosen: (token: number) => void) {
    this.#host = host;
    // what scrolls can be reached by keys
    host.tabIndex = 0;
    host.addEventListener('click', ({ target }) => {
      const token = this.#spans.indexOf(target as HTMLElement);
      if (token >= 0) chosen(token);
    });
  }

  /** Shows tokens; `apart` puts a space between them. */
  show(labels: readonly string[], apart: boolean): void {
    this.#spans = labels.map((label) => make('span', { class: 'w0' }, label));
    const parts: (Node | string)[] = [];
    for (const [n, span] of this.#spans.entries()) {
      parts.push(span);
      if (labels[n] === '⏎') parts.push(make('br'));
      else if (apart && !/^[,.;:!?)\]]/.test(labels[n + 1] ?? '')) parts.push(' ');
    }
    this.#host.replaceChildren(...parts);
  }

  /** Shades the tokens by what `query` gives them, relative to the most. */
  shade(query: number, weightOf: (token: number) => number): void {
    let most = 0;
    for (let n = 0; n < this.#spans.length; ++n) most = Math.max(most, Math.abs(weightOf(n)));
    for (const [n, span] of this.#spans.entries()) {
      const weight = weightOf(n);
      const shade = most === 0 ? 0 : Math.round(SHADES * Math.sqrt(Math.abs(weight) / most));
      const name = `${weight < 0 ? 'n' : 'w'}${shade}${n === query ? ' asks' : ''}`;
      if (span.className !== name) span.className = name;
    }
  }

  /** Brings a token into sight within the element, without moving the page. */
  reveal(token: number): void {
    const span = this.#spans[token];
    if (!span) return;
    const { offsetTop, offsetHeight } = span;
    const { scrollTop, clientHeight } = this.#host;
    const top = offsetTop - this.#host.offsetTop;
    if (top < scrollTop || top + offsetHeight > scrollTop + clientHeight) {
      this.#host.scrollTop = top - clientHeight / 2;
    }
  }
}

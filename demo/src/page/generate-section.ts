/**
 * Texts continued by a language model.
 *
 * @module
 */
import type { AttentionCard, GenerationResult, Progress } from '../messages.ts';
import { AttentionFields } from './attention-choice.ts';
import { byteSize } from './byte-size.ts';
import { byId, fillList, make } from './elements.ts';
import { JobBar } from './job-bar.ts';
import { ModelChoice } from './model-choice.ts';
import { Cancelled, start } from './worker.ts';

/** How many in how long, in words. */
function paceOf({ tokens, ms }: GenerationResult['decode']): string {
  if (tokens === 0) return 'none was fed';
  return `${tokens} bytes in ${ms.toFixed(0)} ms, ${((1000 * tokens) / ms).toFixed(0)} a second`;
}

/** The section. */
export class GenerateSection {
  readonly #models = new ModelChoice();
  readonly #attention: AttentionFields;
  readonly #bar = new JobBar(byId('generate-job', HTMLElement), 'the text');
  readonly #start = byId('generate-start', HTMLButtonElement);
  readonly #text = byId('generated', HTMLElement);
  readonly #report = byId('generate-report', HTMLElement);

  constructor(cards: readonly AttentionCard[]) {
    this.#attention = new AttentionFields(cards);
    // what scrolls can be reached by keys
    this.#text.tabIndex = 0;
    byId('generate-form', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#run();
    });
    this.#start.disabled = false;
  }

  async #run(): Promise<void> {
    const number = (id: string) => byId(id, HTMLInputElement).valueAsNumber;
    const prompt = byId('prompt', HTMLTextAreaElement).value;
    const continued = this.#open(prompt);
    const fetching = new AbortController();
    let cancel = () => fetching.abort();
    this.#start.disabled = true;
    this.#bar.begin(() => cancel(), false);
    try {
      const settings = {
        attention: this.#attention.chosen,
        prompt,
        bytes: number('generate-bytes'),
        temperature: number('temperature'),
        seed: number('seed'),
      };
      const model = await this.#models.take(fetching.signal, (label) => this.#bar.update({ done: 0, total: 1, label }));
      const listener = {
        progress: (progress: Progress) => this.#bar.update(progress),
        event: (text: string) => this.#add(continued, text),
      };
      const job = start('generate', { ...settings, model }, listener);
      cancel = () => job.cancel();
      this.#tell(await job.result);
      this.#bar.end('The text is there.');
    } catch (error) {
      const cancelled = error instanceof Cancelled || fetching.signal.aborted;
      const kept = continued.length > 0 ? ' What was there of the text stays.' : '';
      this.#bar.end(cancelled ? `Cancelled.${kept}` : `That did not work: ${(error as Error).message}.${kept}`);
      this.#text.hidden = continued.length === 0;
    }
    this.#text.ariaBusy = 'false';
    this.#start.disabled = false;
  }

  /** Shows a prompt; gives the text behind it. */
  #open(prompt: string): Text {
    const continued = document.createTextNode('');
    // spoken when it is whole, not byte by byte
    this.#text.ariaBusy = 'true';
    this.#text.replaceChildren(make('span', { class: 'quiet' }, prompt), continued);
    this.#text.hidden = false;
    this.#report.replaceChildren();
    return continued;
  }

  /** Adds to the text; who reads its end goes on reading there. */
  #add(continued: Text, text: string): void {
    const { scrollTop, scrollHeight, clientHeight } = this.#text;
    const atEnd = scrollTop + clientHeight >= scrollHeight - 1;
    continued.appendData(text);
    if (atEnd) this.#text.scrollTop = this.#text.scrollHeight;
  }

  #tell({ model, attends, prefill, decode, memory, threads }: GenerationResult): void {
    fillList(this.#report, [
      ['model', model],
      ['attention', attends],
      ['prompt', paceOf(prefill)],
      ['bytes behind it, fed one by one', paceOf(decode)],
      ['caches and states', byteSize(memory)],
      ['threads', `${threads}`],
    ]);
  }
}

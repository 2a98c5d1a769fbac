/**
 * The text: samples, typing, files.
 *
 * @module
 */
import loomings from '../../../examples/semantic-search/text/moby-dick-chapter-1.txt';
import code from '../../texts/code.txt';
import house from '../../texts/house.txt';
import weather from '../../texts/weather.txt';
import { onDrop } from './dropped-file.ts';
import { byId, fillSelect } from './elements.ts';
import { type Tokens, tokensOf, type Unit } from './tokens.ts';

const SAMPLES: readonly { readonly label: string; readonly text: string }[] = [
  { label: 'The house that Jack built', text: house },
  { label: 'Moby-Dick, chapter 1', text: loomings },
  { label: 'A few functions', text: code },
  { label: 'A weather log', text: weather },
];
const OWN = 'own';
/** Tokens that any part of the page uses at most, and bytes of a file that are read. */
const MOST_TOKENS = 16384;
const MOST_BYTES = 2 ** 20;
const TYPING_MS = 250;

/** Sets the section up; `changed` is called with the tokens now and at every change. */
export function openText(changed: (tokens: Tokens) => void): void {
  const sample = byId('sample', HTMLSelectElement);
  const unit = byId('unit', HTMLSelectElement);
  const file = byId('file', HTMLInputElement);
  const source = byId('source', HTMLTextAreaElement);
  const drop = byId('drop', HTMLLabelElement);
  const counted = byId('counted', HTMLElement);

  const read = () => {
    const tokens = tokensOf(source.value, unit.value as Unit, MOST_TOKENS);
    const { length } = tokens.ids;
    const different = new Set(tokens.ids).size;
    const what = unit.value === 'bytes' ? 'bytes' : 'words and signs';
    const cut = length === MOST_TOKENS ? `, the first ${MOST_TOKENS} that are used here` : '';
    counted.textContent =
      length === 0 ? 'There is no text.' : `${length} ${what}, ${different} of them different${cut}.`;
    changed(tokens);
  };
  let timer = 0;
  const own = (text?: string) => {
    sample.value = OWN;
    if (text !== undefined) source.value = text;
    clearTimeout(timer);
    timer = window.setTimeout(read, TYPING_MS);
  };
  const take = async (given: File | undefined) => {
    if (!given) return;
    try {
      own(await given.slice(0, MOST_BYTES).text());
    } catch (error) {
      counted.textContent = `${given.name} could not be read: ${(error as Error).message}`;
    }
  };

  fillSelect(sample, [
    ...SAMPLES.map(({ label }, n) => ({ value: `${n}`, label })),
    { value: OWN, label: 'a text of my own' },
  ]);
  sample.addEventListener('change', () => {
    source.value = SAMPLES[Number(sample.value)]?.text ?? '';
    if (sample.value === OWN) source.focus();
    read();
  });
  unit.addEventListener('change', read);
  source.addEventListener('input', () => own());
  file.addEventListener('change', () => take(file.files?.[0]));
  onDrop(drop, take);
  // a browser may keep what fields held before a reload
  sample.value = '0';
  source.value = SAMPLES[0]!.text;
  read();
}

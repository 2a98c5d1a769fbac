import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const segmenter = new Intl.Segmenter('en', { granularity: 'sentence' });
const endsInTitle = /\b(?:Mr|Mrs|Ms|Dr|St|Capt)\.$/;

/** The public-domain text beside this file (text/README.md names its origin). */
export const shippedText = ['moby-dick-chapter-1.txt', 'moby-dick-chapter-36.txt'].map((name) =>
  fileURLToPath(new URL(`text/${name}`, import.meta.url)),
);

/** Reads text files (UTF-8) and splits them into sentences, in order; throws where they hold none. */
export async function readSentences(files: readonly string[]): Promise<string[]> {
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
  const sentences = texts.flatMap(splitSentences);
  if (sentences.length === 0)
    throw new Error(`No sentence found in ${files.join(', ')}; expected plain text in UTF-8.`);
  return sentences;
}

/** Splits plain text into sentences; blank lines end one, single line breaks do not, and pieces without a letter or digit are dropped. */
export function splitSentences(text: string): string[] {
  return text
    .split(/\r?\n\s*\n/)
    .flatMap(splitParagraph)
    .filter((sentence) => /[\p{L}\p{N}]/u.test(sentence));
}

function splitParagraph(paragraph: string): string[] {
  const sentences: string[] = [];
  for (const { segment } of segmenter.segment(paragraph.replace(/\s+/g, ' '))) {
    const previous = sentences.at(-1);
    if (previous !== undefined && endsInTitle.test(previous))
      sentences[sentences.length - 1] = `${previous} ${segment.trim()}`;
    else sentences.push(segment.trim());
  }
  return sentences;
}

/**
 * Questions for what was told far above: lines with pairs of a key and a value among prose, and lines that ask for them, as the models were
 * trained on (training/README.md, "Recall").
 *
 * @module
 */
import { Mulberry32 } from './mulberry32.ts';

/** Bytes of keys and values. */
export const LETTERS = 3;
/** Bytes of a line `@KEY=val` or `?KEY=val`, its end counted, and before the value in it. */
const LINE = LETTERS + LETTERS + 3;
const BEFORE = LETTERS + 2;
/** Prose before the first line, at least. */
const LEAD = 16;

const [SPACE, LINE_END, AT, ASK, EQUALS] = Array.from(' \n@?=', (c) => c.charCodeAt(0)) as [
  number,
  number,
  number,
  number,
  number,
];
const [UPPER, LOWER] = [65, 97];

/** A question: where its answer begins, and how many bytes after the value was told. */
export interface Question {
  readonly answer: number;
  readonly distance: number;
}

/** A text with questions and their right answers. */
export interface RecallText {
  readonly text: Uint8Array;
  /** In the order of the text. */
  readonly questions: readonly Question[];
  /** Where the first question begins. */
  readonly asked: number;
}

/** Prose out of a text: bytes that are not printable ASCII, and those that mark pairs, become spaces. */
export function plainProse(text: Uint8Array): Uint8Array {
  const marks = [AT, ASK, EQUALS];
  return text.map((byte) => (byte < 32 || byte > 126 || marks.includes(byte) ? SPACE : byte));
}

/** Lines that follow each other: where, from the end of the text back. */
interface Run {
  readonly at: number;
  readonly lines: number;
}

const overlaps = (a: Run, b: Run) => a.at < b.at + b.lines * LINE && b.at < a.at + a.lines * LINE;

/** Where pairs are told, and asked for, for each distance: as near to the end as there is room, the nearest last. */
function places(distances: readonly number[], each: number): { distance: number; lines: number; asked: number }[] {
  const taken: Run[] = [];
  return [...distances]
    .sort((a, b) => a - b)
    .map((distance) => {
      // lines that tell must end before those that ask begin
      const lines = Math.min(each, Math.floor(distance / LINE));
      let asked = -lines * LINE;
      const runs = () => [asked, asked - distance].map((at): Run => ({ at, lines }));
      while (runs().some((run) => taken.some((other) => overlaps(run, other)))) asked -= 1;
      taken.push(...runs());
      return { distance, lines, asked };
    });
}

/** Length of a text with questions for these distances. */
function lengthOf(groups: ReturnType<typeof places>): number {
  return LEAD - Math.min(...groups.map(({ asked, distance }) => asked - distance));
}

/**
 * Distances by the text that their questions share: the shortest ones together in texts of at most `most` bytes, each that is too long
 * for such a text in one of its own. In a text longer than a model was trained on, a short distance would say nothing of the distance.
 */
export function sharedTexts(distances: readonly number[], each: number, most: number): number[][] {
  const texts: number[][] = [];
  for (const distance of [...distances].sort((a, b) => a - b)) {
    const last = texts.at(-1);
    if (last && lengthOf(places([...last, distance], each)) <= most) last.push(distance);
    else texts.push([distance]);
  }
  return texts;
}

/**
 * The text of a seed: `each` questions for each distance (fewer where that many lines do not fit between), at least 9 bytes, from the
 * first byte of a value where it is told to that of the answer; the same bytes everywhere.
 */
export function recallText(seed: number, prose: Uint8Array, distances: readonly number[], each: number): RecallText {
  const random = new Mulberry32(seed);
  const used = new Set<string>();
  const letters = (first: number) => Array.from({ length: LETTERS }, () => first + random.below(26));
  const newKey = () => {
    for (;;) {
      const key = letters(UPPER);
      const word = key.join();
      if (used.has(word)) continue;
      used.add(word);
      return key;
    }
  };
  const groups = places(distances, each);
  const length = lengthOf(groups);
  const text = new Uint8Array(length);
  const questions: Question[] = [];
  for (const { distance, lines, asked } of groups) {
    for (let line = 0; line < lines; ++line) {
      const at = length + asked + line * LINE;
      const [key, value] = [newKey(), letters(LOWER)];
      text.set([ASK, ...key, EQUALS, ...value, LINE_END], at);
      text.set([AT, ...key, EQUALS, ...value, LINE_END], at - distance);
      questions.push({ answer: at + BEFORE, distance });
    }
  }
  for (let begin = text.indexOf(0); begin >= 0; begin = text.indexOf(0, begin)) {
    let end = begin + 1;
    while (end < length && text[end] === 0) end += 1;
    const from = random.below(prose.length - (end - begin));
    text.set(prose.subarray(from, from + end - begin - 1), begin);
    text[end - 1] = LINE_END;
  }
  questions.sort((a, b) => a.answer - b.answer);
  return { text, questions, asked: questions[0]!.answer - BEFORE };
}

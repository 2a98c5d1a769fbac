/**
 * Questions for what was told far above: pairs of a key and a value among prose, as the models were trained on (training/README.md, "Recall").
 *
 * @module
 */
import { Mulberry32 } from './mulberry32.ts';

/** Bytes of keys and values. */
const LETTERS = 3;
/** Bytes of a line `@KEY=val`, its end counted, and of `?KEY=`. */
const TOLD = LETTERS + LETTERS + 3;
export const ASKED = LETTERS + 2;
/** Most other pairs between a pair and its question: one for so many bytes. */
const MOST_OTHERS = 8;
const BYTES_OF_OTHER = 64;

const [SPACE, LINE_END, AT, ASK, EQUALS] = Array.from(' \n@?=', (c) => c.charCodeAt(0)) as [
  number,
  number,
  number,
  number,
  number,
];
const [UPPER, LOWER] = [65, 97];

/** One question: the text up to the answer's last byte, and where the answer begins. */
export interface RecallCase {
  readonly text: Uint8Array;
  readonly answer: number;
}

/** Prose out of a text: bytes that are not printable ASCII, and those that mark pairs, become spaces. */
export function plainProse(text: Uint8Array): Uint8Array {
  const marks = [AT, ASK, EQUALS];
  return text.map((byte) => (byte < 32 || byte > 126 || marks.includes(byte) ? SPACE : byte));
}

/**
 * The question of a seed, with `distance` bytes, at least 32, from the first byte of the value where it is told to the answer's: the same bytes
 * everywhere.
 */
export function recallCase(seed: number, prose: Uint8Array, distance: number): RecallCase {
  const random = new Mulberry32(seed);
  const used = new Set<string>();
  const bytes: number[] = [];
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
  const fill = (length: number) => {
    const start = random.below(prose.length - length);
    bytes.push(...prose.subarray(start, start + length - 1), LINE_END);
  };
  const tell = (key: readonly number[], value: readonly number[]) => bytes.push(AT, ...key, EQUALS, ...value, LINE_END);
  const key = newKey();
  const value = letters(LOWER);
  fill(16 + random.below(48));
  tell(key, value);
  const gap = distance - LETTERS - 1 - ASKED;
  const others = Math.min(MOST_OTHERS, Math.floor(gap / BYTES_OF_OTHER));
  const rest = gap - others * TOLD;
  const share = Math.floor(rest / (others + 1));
  fill(share + (rest % (others + 1)));
  for (let i = 0; i < others; ++i) {
    tell(newKey(), letters(LOWER));
    fill(share);
  }
  bytes.push(ASK, ...key, EQUALS);
  const answer = bytes.length;
  return { text: Uint8Array.from([...bytes, ...value]), answer };
}

/**
 * Rows of a mask from a function of pairs, which is too slow to ask about every pair of a long sequence.
 *
 * @module
 */
import type { RowSource } from './lists.ts';

/** Whether query i sees key j. */
export type Predicate = (batch: number, head: number, i: number, j: number) => boolean;

/** Side of a cell: its columns are those of one word. */
const CELL = 32;

/** The predicate has an island that no border of a cell crosses. */
export class IslandFound extends Error {}

/** Asks about every pair. */
export function everyPair(predicate: Predicate, Tk: number): RowSource {
  return {
    fill(batch, head, begin, end, words, stride) {
      for (let i = begin; i < end; ++i) {
        fillWords(predicate, batch, head, i, words, (i - begin) * stride, Tk);
      }
    },
  };
}

/** Bits of row i. */
function fillWords(
  predicate: Predicate,
  b: number,
  h: number,
  i: number,
  words: Int32Array,
  at: number,
  Tk: number,
): void {
  for (let first = 0; first < Tk; first += CELL) {
    const n = Math.min(CELL, Tk - first);
    let word = 0;
    for (let j = 0; j < n; ++j) if (predicate(b, h, i, first + j)) word |= 1 << j;
    words[at++] = word;
  }
}

/**
 * Asks about every pair on the borders of cells of 32 x 32 pairs. A cell whose border is all visible or all hidden is taken
 * to be so inside, which one pair of it must confirm; every other cell is asked about pair by pair.
 *
 * @throws IslandFound if a cell's inside contradicts its border.
 */
export function cellBorders(predicate: Predicate, Tq: number, Tk: number): RowSource {
  const count = Math.ceil(Tk / CELL);
  /** Of the rows between two borders, by column of the first keys of cells: whether any, and whether all are visible. */
  const some = new Int32Array(count + 1);
  const all = new Int32Array(count + 1);
  /** The row after the last one filled, which begins the next query block. */
  const next = new Int32Array(count);
  let nextIs = '';
  const visible = (b: number, h: number, i: number, j: number) => (predicate(b, h, i, j) ? -1 : 0);

  /** Rows between border rows `top` and `bottom`, which are known. */
  function fillBand(
    b: number,
    h: number,
    top: number,
    bottom: number,
    words: Int32Array,
    at: number,
    stride: number,
    below: Int32Array,
    belowAt: number,
  ): void {
    some.fill(0);
    all.fill(-1);
    for (let i = top + 1; i < bottom; ++i) {
      const row = at + (i - top) * stride;
      for (let w = 0; w < count; ++w) {
        const value = visible(b, h, i, w * CELL);
        words[row + w] = value;
        some[w]! |= value;
        all[w]! &= value;
      }
      const value = visible(b, h, i, Tk - 1);
      some[count]! |= value;
      all[count]! &= value;
    }
    for (let w = 0; w < count; ++w) {
      const keys = Math.min(CELL, Tk - w * CELL);
      const whole = keys === CELL ? -1 : (1 << keys) - 1;
      // the corners of the right border lie in the next words, or at the last key
      const corner = w + 1 < count ? (words[at + w + 1]! & below[belowAt + w + 1]! & 1) === 1 : true;
      const hiddenCorner = w + 1 < count ? ((words[at + w + 1]! | below[belowAt + w + 1]!) & 1) === 0 : true;
      const [above, under] = [words[at + w]!, below[belowAt + w]!];
      const shown = above === whole && under === whole && (all[w]! & all[w + 1]!) === -1 && corner;
      const hidden = (above | under | some[w]! | some[w + 1]!) === 0 && hiddenCorner;
      if (shown || hidden) {
        const inside = probe(top, w, bottom - top - 1, keys);
        if ((visible(b, h, top + 1 + inside.row, w * CELL + inside.key) === -1) !== shown) throw new IslandFound();
        // hidden cells are 0 already; of shown ones the last may be short
        if (shown && keys < CELL) for (let i = top + 1; i < bottom; ++i) words[at + (i - top) * stride + w] = whole;
        continue;
      }
      for (let i = top + 1; i < bottom; ++i) {
        const place = at + (i - top) * stride + w;
        let word = words[place]! & 1;
        for (let j = 1; j < keys; ++j) word |= visible(b, h, i, w * CELL + j) & (1 << j);
        words[place] = word;
      }
    }
  }

  return {
    fill(batch, head, begin, end, words, stride) {
      if (nextIs === `${batch} ${head} ${begin}`) words.set(next);
      else fillWords(predicate, batch, head, begin, words, 0, Tk);
      for (let top = begin; top < end; ) {
        const bottom = Math.min(top + CELL, end < Tq ? end : Tq - 1);
        if (bottom === top) break;
        const at = (top - begin) * stride;
        const inside = bottom < end;
        const belowAt = inside ? (bottom - begin) * stride : 0;
        const below = inside ? words : next;
        fillWords(predicate, batch, head, bottom, below, belowAt, Tk);
        fillBand(batch, head, top, bottom, words, at, stride, below, belowAt);
        if (!inside) nextIs = `${batch} ${head} ${bottom}`;
        top = bottom;
      }
    },
  };
}

/** A pair of a cell's inside, another one in each cell. */
function probe(top: number, word: number, rows: number, keys: number): { row: number; key: number } {
  let hash = Math.imul(top, 0x9e3779b1) ^ Math.imul(word + 1, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35);
  hash ^= hash >>> 13;
  return { row: rows < 1 ? -1 : (hash >>> 8) % rows, key: keys < 2 ? 0 : 1 + ((hash & 255) % (keys - 1)) };
}

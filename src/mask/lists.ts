/**
 * Makes block lists: from bits of rows, and from other lists.
 *
 * @module
 */
import { BLOCK_K, type BlockList } from '../engines/block-list.ts';
import { TileStore } from './tiles.ts';

/** Sizes of a mask. */
export interface MaskShape {
  readonly Tq: number;
  readonly Tk: number;
  readonly batch: number;
  readonly heads: number;
  readonly blockQ: number;
}

/** Where a list's tiles are valid: bits of rows and keys past the ends are 0. */
class Extent {
  readonly #shape: MaskShape;
  readonly keyBlocks: number;
  readonly queryBlocks: number;

  constructor(shape: MaskShape) {
    this.#shape = shape;
    this.keyBlocks = Math.ceil(shape.Tk / BLOCK_K);
    this.queryBlocks = Math.ceil(shape.Tq / shape.blockQ);
  }

  /** Rows of a query block. */
  rows(block: number): number {
    return Math.min(this.#shape.blockQ, this.#shape.Tq - block * this.#shape.blockQ);
  }

  /** The words in which every key of a key block is visible. */
  whole(block: number): [low: number, high: number] {
    const keys = Math.min(BLOCK_K, this.#shape.Tk - block * BLOCK_K);
    return [ones(keys), ones(keys - 32)];
  }
}

/** A word with its first n bits set. */
export function ones(n: number): number {
  return n >= 32 ? -1 : n <= 0 ? 0 : (1 << n) - 1;
}

/** Collects lists; equal ones are kept once. */
class ListMaker {
  readonly tiles: TileStore;
  readonly #shape: MaskShape;
  readonly #rows: number[] = [];
  readonly #entries: number[] = [];
  readonly #known = new Map<string, number>();
  #first = 0;
  #count = 0;

  constructor(shape: MaskShape) {
    this.#shape = shape;
    this.tiles = new TileStore(shape.blockQ * 2);
  }

  beginQueryBlock(): void {
    this.#rows.push(this.#entries.length / 2);
  }

  add(block: number, tile: number): void {
    this.#entries.push(block, tile);
  }

  /** Number of the list whose query blocks were added since the last one ended. */
  endList(): number {
    const { batch, heads } = this.#shape;
    if (batch * heads === 1) return 0;
    const from = this.#rows[this.#first] ?? 0;
    const starts = this.#rows.slice(this.#first).map((at) => at - from);
    const key = `${starts.join()};${this.#entries.slice(2 * from).join()}`;
    const known = this.#known.get(key);
    if (known !== undefined) {
      this.#rows.length = this.#first;
      this.#entries.length = 2 * from;
      return known;
    }
    this.#known.set(key, this.#count);
    this.#first = this.#rows.length;
    return this.#count++;
  }

  finish(listOf: Int32Array): BlockList {
    const { Tq, Tk, batch, heads, blockQ } = this.#shape;
    const rows = Int32Array.from([...this.#rows, this.#entries.length / 2]);
    return {
      Tq,
      Tk,
      blockQ,
      batch,
      heads,
      listOf,
      rows,
      entries: Int32Array.from(this.#entries),
      tiles: this.tiles.finish(),
    };
  }
}

/** Bits of rows of queries, from which lists are made. */
export interface RowSource {
  /** Sets the bits of rows [begin, end) in words [end - begin, stride], which are 0: bit j & 31 of word j >> 5 for key j. */
  fill(batch: number, head: number, begin: number, end: number, words: Int32Array, stride: number): void;
}

/** Sets bits [first, end) of the row that begins at word `at`. */
export function setRun(words: Int32Array, at: number, first: number, end: number): void {
  if (first >= end) return;
  let word = at + (first >> 5);
  const last = at + ((end - 1) >> 5);
  const head = -1 << (first & 31);
  const tail = -1 >>> (31 - ((end - 1) & 31));
  if (word === last) {
    words[word]! |= head & tail;
    return;
  }
  words[word]! |= head;
  for (++word; word < last; ++word) words[word] = -1;
  words[last]! |= tail;
}

/** The lists of a mask whose rows `source` gives. */
export function listsFromRows(shape: MaskShape, source: RowSource): BlockList {
  const { Tq, blockQ, batch, heads } = shape;
  const extent = new Extent(shape);
  const maker = new ListMaker(shape);
  const stride = 2 * extent.keyBlocks;
  const words = new Int32Array(blockQ * stride);
  const some = new Int32Array(stride);
  const all = new Int32Array(stride);
  const tile = new Int32Array(2 * blockQ);
  const listOf = Int32Array.from({ length: batch * heads }, (_, place) => {
    for (let block = 0; block < extent.queryBlocks; ++block) {
      const rows = extent.rows(block);
      words.fill(0);
      source.fill(
        Math.floor(place / heads),
        place % heads,
        block * blockQ,
        Math.min(Tq, block * blockQ + rows),
        words,
        stride,
      );
      some.fill(0);
      all.fill(-1);
      for (let row = 0, at = 0; row < rows; ++row) {
        for (let w = 0; w < stride; ++w, ++at) {
          const word = words[at]!;
          some[w]! |= word;
          all[w]! &= word;
        }
      }
      maker.beginQueryBlock();
      for (let k = 0; k < extent.keyBlocks; ++k) {
        if ((some[2 * k]! | some[2 * k + 1]!) === 0) continue;
        const [low, high] = extent.whole(k);
        if (all[2 * k] === low && all[2 * k + 1] === high) {
          maker.add(k, -1);
          continue;
        }
        for (let row = 0; row < blockQ; ++row) {
          tile[2 * row] = words[row * stride + 2 * k]!;
          tile[2 * row + 1] = words[row * stride + 2 * k + 1]!;
        }
        maker.add(k, maker.tiles.add(tile));
      }
    }
    return maker.endList();
  });
  return maker.finish(listOf);
}

/** A list joined with another, or alone, block by block: `combine` gives a word of the result. */
export function combineLists(
  shape: MaskShape,
  a: BlockList,
  b: BlockList | undefined,
  combine: (a: number, b: number) => number,
): BlockList {
  const { blockQ, batch, heads } = shape;
  const extent = new Extent(shape);
  const maker = new ListMaker(shape);
  const tile = new Int32Array(2 * blockQ);
  const joined = new Map<string, number>();
  /** -2 where nothing is visible, -1 where everything is, else the number of the tile. */
  const joinTiles = (tileA: number, tileB: number, queryBlock: number, keyBlock: number): number => {
    // whole blocks need no look at their words
    if (tileA < 0 && tileB < 0) return combine(tileA === -1 ? -1 : 0, tileB === -1 ? -1 : 0) === 0 ? -2 : -1;
    const rows = extent.rows(queryBlock);
    const [low, high] = extent.whole(keyBlock);
    const key = `${tileA} ${tileB} ${rows} ${low} ${high}`;
    let result = joined.get(key);
    if (result !== undefined) return result;
    const wordOf = (list: BlockList | undefined, number: number, at: number, whole: number) =>
      number === -2 ? 0 : number === -1 ? whole : list!.tiles[number * 2 * blockQ + at]!;
    let some = 0;
    let missing = 0;
    tile.fill(0);
    for (let at = 0; at < 2 * rows; ++at) {
      const whole = at & 1 ? high : low;
      const word = combine(wordOf(a, tileA, at, whole), wordOf(b, tileB, at, whole)) & whole;
      tile[at] = word;
      some |= word;
      missing |= word ^ whole;
    }
    result = some === 0 ? -2 : missing === 0 ? -1 : maker.tiles.add(tile);
    joined.set(key, result);
    return result;
  };
  /** Spreads the entries of query block `from` over the key blocks. */
  const spread = (list: BlockList | undefined, from: number, row: Int32Array) => {
    row.fill(-2);
    if (!list) return;
    for (let e = list.rows[from]!; e < list.rows[from + 1]!; ++e) row[list.entries[2 * e]!] = list.entries[2 * e + 1]!;
  };
  const [rowA, rowB] = [new Int32Array(extent.keyBlocks), new Int32Array(extent.keyBlocks)];
  const listAt = (list: BlockList | undefined, batchAt: number, head: number) =>
    list ? list.listOf[(list.batch > 1 ? batchAt : 0) * list.heads + Math.floor((head * list.heads) / heads)]! : 0;
  const known = new Map<string, number>();
  const listOf = Int32Array.from({ length: batch * heads }, (_, place) => {
    const [batchAt, head] = [Math.floor(place / heads), place % heads];
    const [listA, listB] = [listAt(a, batchAt, head), listAt(b, batchAt, head)];
    const key = `${listA} ${listB}`;
    const found = known.get(key);
    if (found !== undefined) return found;
    for (let block = 0; block < extent.queryBlocks; ++block) {
      spread(a, listA * extent.queryBlocks + block, rowA);
      spread(b, listB * extent.queryBlocks + block, rowB);
      maker.beginQueryBlock();
      for (let k = 0; k < extent.keyBlocks; ++k) {
        const result = joinTiles(rowA[k]!, rowB[k]!, block, k);
        if (result !== -2) maker.add(k, result);
      }
    }
    const list = maker.endList();
    known.set(key, list);
    return list;
  });
  return maker.finish(listOf);
}

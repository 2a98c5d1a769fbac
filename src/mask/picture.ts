/**
 * Pictures of block lists.
 *
 * @module
 */
import { BLOCK_K, type BlockList } from '../engines/block-list.ts';

/** Grey pixels, row by row. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** Most characters of a line, and pixels of a side. */
const MOST_CHARACTERS = 96;
const MOST_PIXELS = 1024;

/** List `number` in characters: several blocks in one where there are many. */
export function textOf(list: BlockList, number: number): string {
  const { Tq, Tk, blockQ, rows, entries } = list;
  const [queryBlocks, keyBlocks] = [Math.ceil(Tq / blockQ), Math.ceil(Tk / BLOCK_K)];
  const step = Math.max(1, Math.ceil(Math.max(queryBlocks, keyBlocks) / MOST_CHARACTERS));
  const lines: string[] = [];
  for (let top = 0; top < queryBlocks; top += step) {
    const bottom = Math.min(queryBlocks, top + step);
    const cells = Math.ceil(keyBlocks / step);
    const [full, kept] = [new Int32Array(cells), new Int32Array(cells)];
    for (let row = number * queryBlocks + top; row < number * queryBlocks + bottom; ++row) {
      for (let e = rows[row]!; e < rows[row + 1]!; ++e) {
        const cell = Math.floor(entries[2 * e]! / step);
        kept[cell]! += 1;
        full[cell]! += entries[2 * e + 1]! < 0 ? 1 : 0;
      }
    }
    let line = '';
    for (let cell = 0; cell < cells; ++cell) {
      const all = (bottom - top) * Math.min(step, keyBlocks - cell * step);
      line += kept[cell] === 0 ? '·' : full[cell] === all ? '█' : '▒';
    }
    lines.push(line);
  }
  return lines.join('\n');
}

/** List `number` in pixels: 255 where no pair of a pixel's square is visible, 0 where all are. */
export function pictureOf(list: BlockList, number: number): Picture {
  const { Tq, Tk, blockQ, rows, entries, tiles } = list;
  const queryBlocks = Math.ceil(Tq / blockQ);
  const step = Math.max(1, Math.ceil(Math.max(Tq, Tk) / MOST_PIXELS));
  const [width, height] = [Math.ceil(Tk / step), Math.ceil(Tq / step)];
  const counts = new Float64Array(width * height);
  for (let block = 0; block < queryBlocks; ++block) {
    const row = number * queryBlocks + block;
    for (let e = rows[row]!; e < rows[row + 1]!; ++e) {
      const [first, tile] = [entries[2 * e]! * BLOCK_K, entries[2 * e + 1]!];
      const keys = Math.min(BLOCK_K, Tk - first);
      for (let i = block * blockQ; i < Math.min(Tq, (block + 1) * blockQ); ++i) {
        const line = Math.floor(i / step) * width;
        const words = 2 * (tile * blockQ + i - block * blockQ);
        for (let j = 0; j < keys; ++j) {
          if (tile < 0 || (tiles[words + (j >> 5)]! >>> (j & 31)) & 1)
            counts[line + Math.floor((first + j) / step)]! += 1;
        }
      }
    }
  }
  const data = Uint8Array.from(counts, (n, at) => {
    const [x, y] = [at % width, Math.floor(at / width)];
    const all = Math.min(step, Tk - x * step) * Math.min(step, Tq - y * step);
    return Math.round(255 * (1 - n / all));
  });
  return { width, height, data };
}

/**
 * Sizes that shaders of selections share.
 *
 * @module
 */

/** Threads of a workgroup. */
export const THREADS = 256;
export const FLOAT_BYTES = 4;
/** Columns of a tile of products. */
export const TILE_COLUMNS = 64;
/** Workgroups that keep a large GPU busy. */
const MANY_GROUPS = 128;

/** Rows of a thread, 8 or 4, of which a tile has 16 times as many, and how many tiles there are; `others` tiles lie beside each of them. */
export function tilesOf(rows: number, others: number): { readonly ROWS: number; readonly rowTiles: number } {
  const tall = Math.ceil(rows / 128);
  if (rows > 64 && tall * others >= MANY_GROUPS) return { ROWS: 8, rowTiles: tall };
  return { ROWS: 4, rowTiles: Math.ceil(rows / 64) };
}

/** Threads that go through n numbers together. */
export function lanesFor(n: number): number {
  return n <= 64 ? 16 : n <= 512 ? 64 : 256;
}

/** Threads of a row of words. */
export function wordLanes(words: number): number {
  return words <= 4 ? 4 : words <= 64 ? 32 : 256;
}

// Patterns of video transformers: tokens of a row-major grid [frames, height, width], text behind them.
import type { Round } from './ndarray.ts';
import { coordinates } from './neighborhood.ts';
import { type PatternInputs, patternAttention, type Visible } from './patterns.ts';

/** Text sees everything and is seen by everything. */
function withText(video: number, visible: Visible): Visible {
  return (i, j, h, b) => i >= video || j >= video || visible(i, j, h, b);
}

/** Tiles of tokens see the tiles of a window that is moved inward at borders (Sliding tile attention, arXiv 2502.04507). */
export function slidingTileAttention(
  inputs: PatternInputs,
  options: { grid: readonly number[]; tile: readonly number[]; window: readonly number[]; scale?: number },
  round?: Round,
) {
  const { grid, tile, window } = options;
  const near = (i: number, j: number, axis: number) => {
    const tiles = Math.ceil(grid[axis]! / tile[axis]!);
    const [a, b] = [Math.floor(i / tile[axis]!), Math.floor(j / tile[axis]!)];
    const left = Math.floor(window[axis]! / 2);
    const right = window[axis]! - 1 - left;
    const centre = Math.max(left, Math.min(tiles - 1 - right, a));
    return b >= centre - left && b <= centre + right;
  };
  const visible = (i: number, j: number) => {
    const [a, b] = [coordinates(i, grid), coordinates(j, grid)];
    return grid.every((_, axis) => near(a[axis]!, b[axis]!, axis));
  };
  const video = grid.reduce((n, length) => n * length, 1);
  return patternAttention(inputs, withText(video, visible), options, round);
}

/** Options of radial attention. */
export interface Radial {
  frames: number;
  tokensPerFrame: number;
  decay?: number;
  neighbor?: number;
  blockSize?: number;
  scale?: number;
}

const bitLength = (n: number) => (n === 0 ? 0 : Math.floor(Math.log2(n)) + 1);

/** Whether radial attention shows a pair before blocks are made of it. */
function radialPair(i: number, j: number, { tokensPerFrame: s, decay = 1, neighbor = 1, blockSize = 128 }: Radial) {
  const [frameI, frameJ] = [Math.floor(i / s), Math.floor(j / s)];
  if (frameJ === 0) return true;
  const distance = Math.abs(frameI - frameJ);
  const reach = 2 ** bitLength(s) / 2 ** bitLength(distance);
  if (reach < blockSize && distance % Math.floor(blockSize / reach) !== 0) return false;
  let width = Math.max(blockSize, reach * decay);
  if (distance === 0) width = s;
  if (distance === 1) width = Math.floor(s * neighbor);
  return Math.abs((i % s) - (j % s)) <= width;
}

/**
 * Windows that halve as frames move apart, then single frames (Radial attention, arXiv 2506.19852). A block of pairs is seen if within some
 * pair of frames more than 0.6 of its columns that hold anything are seen by more than a third of its rows.
 */
export function radialAttention(inputs: PatternInputs, options: Radial, round?: Round) {
  const { frames, tokensPerFrame: s, blockSize = 128 } = options;
  const video = frames * s;
  const blocks = Math.ceil(video / blockSize);
  const seen = new Set<number>();
  for (let row = 0; row < blocks; row++) {
    for (let column = 0; column < blocks; column++) {
      for (let a = 0; a < frames; a++) {
        for (let b = 0; b < frames; b++) {
          let [dense, any] = [0, 0];
          for (let j = Math.max(column * blockSize, b * s); j < Math.min((column + 1) * blockSize, (b + 1) * s); j++) {
            let count = 0;
            for (let i = Math.max(row * blockSize, a * s); i < Math.min((row + 1) * blockSize, (a + 1) * s); i++) {
              if (radialPair(i, j, options)) count += 1;
            }
            if (count > 0) any += 1;
            if (count / blockSize > 1 / 3) dense += 1;
          }
          if (any > 0 && dense / any > 0.6) seen.add(row * blocks + column);
        }
      }
    }
  }
  const visible = (i: number, j: number) => seen.has(Math.floor(i / blockSize) * blocks + Math.floor(j / blockSize));
  return patternAttention(inputs, withText(video, visible), options, round);
}

/** Bands in the order of frames (with the first frame as a sink) or, for temporal heads, in the order of places (Sparse VideoGen, arXiv 2502.01776). */
export function sparseVideoGen(
  inputs: PatternInputs,
  options: {
    frames: number;
    tokensPerFrame: number;
    width: number;
    heads: readonly ('spatial' | 'temporal')[];
    scale?: number;
  },
  round?: Round,
) {
  const { frames, tokensPerFrame: s, width, heads } = options;
  const byPlace = (token: number) => (token % s) * frames + Math.floor(token / s);
  const band = Math.floor(width * s);
  const visible = (i: number, j: number, h: number) =>
    heads[h] === 'spatial' ? j < s || Math.abs(i - j) <= band : Math.abs(byPlace(i) - byPlace(j)) <= band;
  return patternAttention(inputs, withText(frames * s, visible), options, round);
}

/** A mask over tokens that each head has in an order of its own axes (PAROAttention, arXiv 2506.16054); tokens behind the grid stay in place. */
export function paroAttention(
  inputs: PatternInputs,
  options: {
    grid: readonly [number, number, number];
    orders: readonly string[];
    visible: (i: number, j: number, h: number) => boolean;
    scale?: number;
  },
  round?: Round,
) {
  const { grid, orders } = options;
  const place = (token: number, h: number) => {
    if (token >= grid[0] * grid[1] * grid[2]) return token;
    const at = coordinates(token, grid);
    let to = 0;
    for (const letter of orders[h]!) {
      const axis = 'fhw'.indexOf(letter);
      to = to * grid[axis]! + at[axis]!;
    }
    return to;
  };
  const visible = (i: number, j: number, h: number) => options.visible(place(i, h), place(j, h), h);
  return patternAttention(inputs, visible, options, round);
}

/**
 * Patterns of videos: frames of equally many tokens one after another, behind them tokens such as text, which see everything and are seen by
 * everything.
 *
 * @module
 */
import { finite } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import type { Pattern } from '../pattern.ts';
import { needed } from './checks.ts';

/** Options of radial attention. */
export interface RadialOptions {
  readonly frames: number;
  readonly tokensPerFrame: number;
  /** Factor on the windows of frames that are more than one apart. Default 1. */
  readonly decay?: number;
  /** Window of neighbouring frames, as a share of a frame. Default 1. */
  readonly neighbor?: number;
  /** Tokens of the blocks that are seen whole or not at all. Default 128. */
  readonly blockSize?: number;
}

/** Length of the binary number n. */
function bitLength(n: number): number {
  return 32 - Math.clz32(n);
}

/** Among rows 0 to rows - 1, how many are within `width` of `column`. */
function bandRows(column: number, from: number, to: number, width: number): number {
  return Math.max(0, Math.min(to, column + width + 1) - Math.max(from, column - width));
}

/** Blocks [blocks, blocks] that radial attention keeps, 1 each. */
function radialBlocks(options: Required<RadialOptions>): Uint8Array {
  const { frames, tokensPerFrame: s, decay, neighbor, blockSize: size } = options;
  const blocks = Math.ceil((frames * s) / size);
  const kept = new Uint8Array(blocks * blocks);
  /** Largest distance of places within frames that sees, -1 for none. */
  const widthOf = (distance: number) => {
    if (distance === 0) return s;
    const reach = 2 ** bitLength(s) / 2 ** bitLength(distance);
    if (reach < size && distance % Math.floor(size / reach) !== 0) return -1;
    return distance === 1 ? Math.floor(s * neighbor) : Math.max(size, Math.floor(reach * decay));
  };
  for (let a = 0; a < frames; ++a) {
    for (let b = 0; b < frames; ++b) {
      const width = b === 0 ? s : widthOf(Math.abs(a - b));
      if (width < 0) continue;
      for (let row = Math.floor((a * s) / size); row * size < (a + 1) * s; ++row) {
        for (let column = Math.floor((b * s) / size); column * size < (b + 1) * s; ++column) {
          if (kept[row * blocks + column]) continue;
          // rows and columns of the block within their frames
          const [top, bottom] = [Math.max(0, row * size - a * s), Math.min(s, (row + 1) * size - a * s)];
          let [dense, some] = [0, 0];
          for (let j = Math.max(0, column * size - b * s); j < Math.min(s, (column + 1) * size - b * s); ++j) {
            const rows = bandRows(j, top, bottom, width);
            some += rows > 0 ? 1 : 0;
            dense += rows * 3 > size ? 1 : 0;
          }
          if (some > 0 && dense / some > 0.6) kept[row * blocks + column] = 1;
        }
      }
    }
  }
  return kept;
}

/**
 * The first frame, whole near frames, windows that halve as frames move apart, then every second frame, every fourth and so on, in whole
 * blocks (Radial attention, Li 2025). A block is kept if within some pair of frames more than 0.6 of its columns that hold any pair hold a
 * third of its rows.
 */
export function radial(options: RadialOptions): Pattern {
  const { frames, tokensPerFrame: s } = options;
  needed('radial', 'frames', frames, 1);
  needed('radial', 'tokensPerFrame', s, 1);
  const blockSize = needed('radial', 'blockSize', options.blockSize ?? 128, 1);
  const decay = finite('radial', 'decay', options.decay, 1, 0);
  const neighbor = finite('radial', 'neighbor', options.neighbor, 1, 0, 1);
  const all = { frames, tokensPerFrame: s, decay, neighbor, blockSize };
  const tokens = frames * s;
  const blocks = Math.ceil(tokens / blockSize);
  let kept: Uint8Array | undefined;
  const keeps = (row: number, column: number) => {
    kept ??= radialBlocks(all);
    return kept[row * blocks + column] === 1;
  };
  return {
    name: `radial over ${frames} frames of ${s}`,
    key: `radial ${Object.values(all)}`,
    visible: (i, j) => {
      if (i >= tokens || j >= tokens) return true;
      return i >= 0 && keeps(Math.floor(i / blockSize), Math.floor(j / blockSize));
    },
    runs: (i, { Tk }, add) => {
      if (i >= tokens) add(0, Tk);
      if (i < 0 || i >= tokens) return;
      const row = Math.floor(i / blockSize);
      for (let column = 0; column < blocks; ++column) {
        if (keeps(row, column)) add(column * blockSize, Math.min(tokens, (column + 1) * blockSize));
      }
      add(tokens, Tk);
    },
  };
}

/** Kinds of heads of Sparse VideoGen. */
export type VideoHead = 'spatial' | 'temporal';

/** Options of Sparse VideoGen. */
export interface SparseVideoGenOptions {
  readonly frames: number;
  readonly tokensPerFrame: number;
  /** Tokens up to this many frames before and after a token are seen; any number > 0. */
  readonly width: number;
}

/** Tokens that the width of a band stands for. */
export function bandOf(name: string, { frames, tokensPerFrame, width }: SparseVideoGenOptions): number {
  needed(name, 'frames', frames, 1);
  needed(name, 'tokensPerFrame', tokensPerFrame, 1);
  if (width === undefined) throw new OptionError(`${name}: width is missing, expected a number of frames`);
  return Math.floor(finite(name, 'width', width, 1, 0) * tokensPerFrame);
}

/**
 * A band of tokens and the first frame: what spatial heads see (Sparse VideoGen, Xi 2025). With `byPlace` the tokens are taken to lie by
 * place and then by frame, and no frame is seen by all: what temporal heads see once their tokens are in that order.
 */
export function videoBand(options: SparseVideoGenOptions & { readonly byPlace?: boolean }): Pattern {
  const band = bandOf('videoBand', options);
  const { frames, tokensPerFrame: s, byPlace = false } = options;
  const tokens = frames * s;
  const sink = byPlace ? 0 : s;
  return {
    name: `band of ${band}${byPlace ? ' by place' : ''}`,
    key: `videoBand ${frames} ${s} ${band} ${byPlace}`,
    visible: (i, j) => i >= tokens || j >= tokens || j < sink || Math.abs(i - j) <= band,
    runs: (i, { Tk }, add) => {
      if (i >= tokens) {
        add(0, Tk);
        return;
      }
      add(0, sink);
      add(i - band, Math.min(tokens, i + band + 1));
      add(tokens, Tk);
    },
  };
}

/** What spatial and temporal heads see, tokens frame by frame (Sparse VideoGen, Xi 2025). */
export function sparseVideoGen(options: SparseVideoGenOptions & { readonly heads: readonly VideoHead[] }): Pattern {
  const { heads, ...sizes } = options;
  const band = bandOf('sparseVideoGen', sizes);
  const { frames, tokensPerFrame: s } = sizes;
  const tokens = frames * s;
  const spatial = videoBand(sizes);
  const placeOf = (token: number) => (token % s) * frames + Math.floor(token / s);
  const isSpatial = (head: number) => heads[head % heads.length] === 'spatial';
  return {
    name: `${heads.join(', ')} bands of ${band}`,
    key: `sparseVideoGen ${frames} ${s} ${band} ${heads}`,
    perHead: true,
    visible: (i, j, at) => {
      if (isSpatial(at.head)) return spatial.visible(i, j, at);
      return i >= tokens || j >= tokens || (i >= 0 && Math.abs(placeOf(i) - placeOf(j)) <= band);
    },
    runs: (i, at, add) => {
      if (isSpatial(at.head) || i >= tokens) {
        spatial.runs!(i, at, add);
        return;
      }
      if (i < 0) return;
      const place = placeOf(i);
      for (let f = 0; f < frames; ++f) {
        // places x in frame f whose x * frames + f is within the band
        const first = Math.max(0, Math.ceil((place - band - f) / frames));
        const last = Math.min(s - 1, Math.floor((place + band - f) / frames));
        if (first <= last) add(f * s + first, f * s + last + 1);
      }
      add(tokens, at.Tk);
    },
  };
}

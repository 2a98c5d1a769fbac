/**
 * Grids of tokens cut into boxes: the tokens of a box brought together, attention over boxes, and the way back.
 *
 * @module
 */
import { OptionError, ShapeError } from '../errors.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { gatherRows } from './routing.ts';
import { poolBlocks, poolLabels } from './select/pool.ts';
import type { Selection } from './selection.ts';

/** Frames, height and width. */
export type GridShape = readonly [frames: number, height: number, width: number];

/** A grid's tokens by boxes, row by row; boxes at the far edges may be smaller. */
export interface Boxes {
  /** The token at each place, boxes one after another. */
  readonly order: Int32Array;
  /** The box of each token. */
  readonly labels: Int32Array;
  readonly count: number;
  /** Tokens of a box, if all have as many. */
  readonly size: number | undefined;
}

/** Boxes that were laid out before: a model asks for the same ones in every layer. */
const KNOWN = new Map<string, Boxes>();
const MOST_KNOWN = 16;

/** The boxes of a grid. */
export function boxesOf(grid: GridShape, box: GridShape): Boxes {
  const key = `${grid}/${box}`;
  const found = KNOWN.get(key);
  if (found) return found;
  const counts = grid.map((n, axis) => Math.ceil(n / box[axis]!)) as [number, number, number];
  const [frames, height, width] = grid;
  const labels = new Int32Array(frames * height * width);
  const count = counts[0] * counts[1] * counts[2];
  const next = new Int32Array(count + 1);
  for (let token = 0, f = 0; f < frames; ++f) {
    for (let y = 0; y < height; ++y) {
      for (let x = 0; x < width; ++x) {
        const [a, b, c] = [Math.floor(f / box[0]), Math.floor(y / box[1]), Math.floor(x / box[2])];
        const label = (a * counts[1] + b) * counts[2] + c;
        labels[token++] = label;
        next[label + 1]! += 1;
      }
    }
  }
  const even = grid.every((n, axis) => n % box[axis]! === 0);
  for (let i = 0; i < count; ++i) next[i + 1]! += next[i]!;
  const order = new Int32Array(labels.length);
  for (let token = 0; token < labels.length; ++token) order[next[labels[token]!]!++] = token;
  const boxes = { order, labels, count, size: even ? box[0] * box[1] * box[2] : undefined };
  if (KNOWN.size >= MOST_KNOWN) KNOWN.clear();
  KNOWN.set(key, boxes);
  return boxes;
}

/**
 * Three whole numbers from 1 on.
 *
 * @throws OptionError if they are not.
 */
export function gridOption(op: string, name: string, value: unknown, axes = 3): number[] {
  if (!Array.isArray(value) || value.length !== axes || value.some((n) => !Number.isInteger(n) || n < 1)) {
    const given = value === undefined ? 'missing' : JSON.stringify(value);
    throw new OptionError(`${op}: ${name} is ${given}, expected ${axes} whole numbers of at least 1`);
  }
  return value;
}

/** @throws ShapeError if a grid does not hold the call's tokens, or queries and keys are not the same tokens. */
export function expectGrid(op: string, grid: readonly number[], q: Tensor, k: Tensor): void {
  const tokens = grid.reduce((product, n) => product * n, 1);
  if (q.shape[1] !== tokens || k.shape[1] !== tokens) {
    throw new ShapeError(
      `${op}: q has ${q.shape[1]} and k ${k.shape[1]} tokens, expected ${tokens}: shape is [${grid.join(', ')}]`,
    );
  }
}

/** Rows that `order` names within each batch entry, as gatherRows takes them. */
function rowsTable(b: Builder, order: Int32Array, batch: number): number {
  const rows = new Int32Array(2 * batch * order.length);
  for (let i = 0, at = 0; i < batch; ++i) {
    for (const token of order) {
      rows[at] = i * order.length + token;
      at += 2;
    }
  }
  return b.table(rows);
}

/** Tokens [B, T, H, D] by boxes and back. */
export class BoxOrder {
  readonly #b: Builder;
  readonly #boxes: Boxes;
  readonly #batch: number;
  readonly #table: number;
  #back: number | undefined;

  constructor(b: Builder, boxes: Boxes, batch: number) {
    this.#b = b;
    this.#boxes = boxes;
    this.#batch = batch;
    this.#table = rowsTable(b, boxes.order, batch);
  }

  /** Adds f32 [B, T, H, D]: the tokens of x [B, T, H, D], box after box. */
  together(x: Tensor): Tensor {
    return gatherRows(this.#b, x, false, this.#table, this.#batch * x.shape[1]!).reshape(x.shape);
  }

  /** Adds o [B, T, H, D] = the tokens of x, which lie box after box, where they were. */
  apart(x: Tensor, o: Tensor): void {
    const { order } = this.#boxes;
    if (this.#back === undefined) {
      const places = new Int32Array(order.length);
      for (let place = 0; place < order.length; ++place) places[order[place]!] = place;
      this.#back = rowsTable(this.#b, places, this.#batch);
    }
    gatherRows(this.#b, x, false, this.#back, this.#batch * x.shape[1]!, o);
  }

  /** Adds f32 [B, boxes, H, D]: the mean of each box of f32 x [B, T, H, D], whose tokens lie box after box. */
  means(x: Tensor): Tensor {
    const { size, count } = this.#boxes;
    if (size !== undefined) return poolBlocks(this.#b, x, size, 'mean');
    const labels = this.#labels(1).broadcast([this.#batch, 1, x.shape[1]!]);
    return poolLabels(this.#b, x, labels, count, 'mean').rows;
  }

  /** Labels i32 [1, lists, T] of the tokens as they lie, box after box. */
  #labels(lists: number): Tensor {
    const { order, labels } = this.#boxes;
    const words = new Int32Array(lists * order.length);
    for (let list = 0, at = 0; list < lists; ++list) for (const token of order) words[at++] = labels[token]!;
    return this.#b.constant(words, [1, lists, order.length]);
  }

  /**
   * The selection that bits i32 [B, L, R, W] of boxes make of keys that lie box after box: R rows of single queries in any order, or of
   * boxes of queries that lie as the keys do.
   */
  selection(bits: Tensor, rows: 'queries' | 'boxes', density?: number): Selection {
    const { size } = this.#boxes;
    if (size !== undefined) return { bits, queryBlock: rows === 'boxes' ? size : 1, keyBlock: size, density };
    const labels = this.#labels(bits.shape[1]!);
    return {
      bits,
      queryBlock: 1,
      keyBlock: 1,
      keyLabels: labels,
      queryLabels: rows === 'boxes' ? labels : undefined,
      density,
    };
  }
}

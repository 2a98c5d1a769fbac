/**
 * Patterns of tokens on a grid, row by row: images, volumes, videos.
 *
 * @module
 */
import { Recent } from '../engines/recent.ts';
import { OptionError } from '../errors.ts';
import type { Pattern } from '../pattern.ts';
import { needed, perAxis } from './checks.ts';

/** Number of tokens of a grid. */
export function tokensOf(grid: readonly number[]): number {
  return grid.reduce((n, length) => n * length, 1);
}

/** Coordinates of a token. */
export function coordinates(token: number, grid: readonly number[], to: number[] = []): number[] {
  for (let axis = grid.length - 1; axis >= 0; --axis) {
    to[axis] = token % grid[axis]!;
    token = Math.floor(token / grid[axis]!);
  }
  return to;
}

/** The order of a grid's tokens in memory: their own, or one in which those of a tile lie together. */
export interface GridOrder {
  /** Orders of equal names are equal. */
  readonly name: string;
  readonly grid: readonly number[];
  /** Token at each place, and place of each token. */
  readonly tokens: Int32Array;
  readonly places: Int32Array;
}

/** Row by row. */
export function rowOrder(grid: readonly number[]): GridOrder {
  const tokens = Int32Array.from({ length: tokensOf(grid) }, (_, i) => i);
  return { name: `rows of ${grid}`, grid, tokens, places: tokens };
}

/** Calls `each` with the coordinates of every point of a box, the last axis fastest. */
function eachPoint(lengths: readonly number[], each: (at: readonly number[]) => void): void {
  const at = new Array<number>(lengths.length).fill(0);
  for (let left = tokensOf(lengths); left > 0; --left) {
    each(at);
    for (let axis = lengths.length - 1; axis >= 0 && ++at[axis]! === lengths[axis]; --axis) at[axis] = 0;
  }
}

/**
 * Dilation group by dilation group, and within each tile by tile: a tile is a box of tokens of one group, cut off where the group ends.
 */
export function tileOrder(grid: readonly number[], tile: readonly number[], dilation?: readonly number[]): GridOrder {
  const step = grid.map((_, axis) => dilation?.[axis] ?? 1);
  const name = `tiles of ${tile} in ${grid}, apart by ${step}`;
  return orders.get(name, () => makeOrder(name, grid, tile, step));
}

const orders = new Recent<GridOrder>(16);

function makeOrder(name: string, grid: readonly number[], tile: readonly number[], step: readonly number[]): GridOrder {
  const tokens = new Int32Array(tokensOf(grid));
  const places = new Int32Array(tokens.length);
  let place = 0;
  const groups = step.map((n, axis) => Math.min(n, grid[axis]!));
  eachPoint(groups, (group) => {
    const members = grid.map((length, axis) => Math.ceil((length - group[axis]!) / step[axis]!));
    const tiles = members.map((n, axis) => Math.ceil(n / tile[axis]!));
    eachPoint(tiles, (at) => {
      const first = at.map((n, axis) => n * tile[axis]!);
      const box = first.map((n, axis) => Math.min(tile[axis]!, members[axis]! - n));
      eachPoint(box, (within) => {
        let token = 0;
        for (let axis = 0; axis < grid.length; ++axis) {
          token = token * grid[axis]! + group[axis]! + (first[axis]! + within[axis]!) * step[axis]!;
        }
        tokens[place] = token;
        places[token] = place++;
      });
    });
  });
  return { name, grid, tokens, places };
}

/** First and last coordinate along each axis. */
type Box = readonly (readonly [first: number, last: number])[];

/** Gives the places of a box's tokens as runs. */
type BoxRuns = (box: Box, add: (first: number, end: number) => void) => void;

/** Runs of boxes whose coordinates are `step` apart; those of the last box are kept, as neighbours often see the same. */
function boxRuns(order: GridOrder, step: readonly number[]): BoxRuns {
  let last: Box | undefined;
  const runs: number[] = [];
  const same = (a: Box, b: Box) => a.every(([first, end], axis) => first === b[axis]![0] && end === b[axis]![1]);
  return (box, add) => {
    if (!last || !same(box, last)) {
      runs.length = 0;
      findRuns(order, box, step, (first, end) => {
        // the last run goes on
        if (runs.at(-1) === first) runs[runs.length - 1] = end;
        else runs.push(first, end);
      });
      last = box;
    }
    for (let n = 0; n < runs.length; n += 2) add(runs[n]!, runs[n + 1]!);
  };
}

/** The places of the tokens first, first + step, ... last of every axis, as runs. */
function findRuns(
  { grid, places }: GridOrder,
  box: Box,
  step: readonly number[],
  add: (first: number, end: number) => void,
): void {
  const first = box.map(([low]) => low);
  const last = box.map(([, high]) => high);
  const counts = first.map((n, axis) => Math.floor((last[axis]! - n) / step[axis]!) + 1);
  if (counts.some((n) => n <= 0)) return;
  const inner = grid.length - 1;
  const lines = [...counts];
  lines[inner] = 1;
  eachPoint(lines, (at) => {
    let token = 0;
    for (let axis = 0; axis < grid.length; ++axis) token = token * grid[axis]! + first[axis]! + at[axis]! * step[axis]!;
    let from = places[token]!;
    let end = from + 1;
    for (let n = 1; n < counts[inner]!; ++n) {
      token += step[inner]!;
      const place = places[token]!;
      if (place !== end) {
        add(from, end);
        from = place;
      }
      end = place + 1;
    }
    add(from, end);
  });
}

/** Options of neighborhood attention, each a number for all axes or one an axis. */
export interface NeighborhoodOptions {
  /** Keys along an axis; an axis with fewer is seen whole. */
  readonly kernelSize: number | readonly number[];
  /** Distance between the keys of a kernel. Default 1. */
  readonly dilation?: number | readonly number[];
  /** Queries of a group that share the kernel of their middle one, or if causal of their last. Default 1. */
  readonly stride?: number | readonly number[];
  /** Along which axes only keys up to the query's own are seen. Default none. */
  readonly causal?: boolean | readonly boolean[];
}

/** The same, one an axis. */
export interface Neighborhood {
  readonly kernel: readonly number[];
  readonly dilation: readonly number[];
  readonly stride: readonly number[];
  readonly causal: readonly boolean[];
}

/** @throws OptionError if an option is missing, or is not one for each axis. */
export function neighborhoodOf(name: string, axes: number, options: NeighborhoodOptions): Neighborhood {
  const kernel = perAxis(name, 'kernelSize', options.kernelSize, axes, 1);
  const dilation = perAxis(name, 'dilation', options.dilation, axes, 1, 1);
  const stride = perAxis(name, 'stride', options.stride, axes, 1, 1);
  const { causal = false } = options;
  const each = typeof causal === 'boolean' ? new Array<boolean>(axes).fill(causal) : causal;
  if (!Array.isArray(each) || each.length !== axes || each.some((yes) => typeof yes !== 'boolean')) {
    throw new OptionError(
      `${name}: causal is ${JSON.stringify(causal)}, expected true or false for each of ${axes} axes`,
    );
  }
  for (const [axis, n] of stride.entries()) {
    if (n > kernel[axis]!) {
      throw new OptionError(`${name}: stride[${axis}] is ${n}, expected at most the kernelSize of ${kernel[axis]}`);
    }
  }
  return { kernel, dilation, stride, causal: each };
}

/** First and last key that coordinate i of an axis sees, among those of its dilation group. */
function neighbors(i: number, length: number, axis: number, at: Neighborhood): [first: number, last: number] {
  const [kernel, dilation, stride] = [at.kernel[axis]!, at.dilation[axis]!, at.stride[axis]!];
  const group = i % dilation;
  const members = Math.ceil((length - group) / dilation);
  const query = Math.floor(i / dilation);
  const leader = Math.min(
    members - 1,
    query - (query % stride) + (at.causal[axis] ? stride - 1 : Math.floor(stride / 2)),
  );
  let [first, last] = [leader - kernel + 1, query];
  if (!at.causal[axis]) {
    const left = Math.floor(kernel / 2);
    const centre = Math.max(left, Math.min(members - kernel + left, leader));
    [first, last] = [centre - left, centre - left + kernel - 1];
  }
  return [group + Math.max(0, first) * dilation, group + Math.min(members - 1, last) * dilation];
}

/**
 * Each token sees the kernel around it, moved inward at borders, among the tokens of its dilation group (Neighborhood attention, Hassani 2023,
 * with NATTEN's strides and causal axes).
 *
 * @param order how the grid's tokens lie. Default: row by row.
 */
export function neighborhood(
  options: NeighborhoodOptions & { readonly grid: readonly number[] },
  order: GridOrder = rowOrder(options.grid),
): Pattern {
  const { grid } = options;
  const at = neighborhoodOf('neighborhood', grid.length, options);
  const [query, key]: [number[], number[]] = [[], []];
  const tokens = order.tokens.length;
  const runsOf = boxRuns(order, at.dilation);
  return {
    name: `neighborhoods of ${at.kernel.join(' x ')}`,
    key: `neighborhood ${JSON.stringify(at)} of ${order.name}`,
    visible: (i, j) => {
      if (i < 0 || i >= tokens || j >= tokens) return false;
      coordinates(order.tokens[i]!, grid, query);
      coordinates(order.tokens[j]!, grid, key);
      return grid.every((length, axis) => {
        const [first, last] = neighbors(query[axis]!, length, axis, at);
        const distance = key[axis]! - first;
        return distance >= 0 && key[axis]! <= last && distance % at.dilation[axis]! === 0;
      });
    },
    runs: (i, _, add) => {
      if (i < 0 || i >= tokens) return;
      coordinates(order.tokens[i]!, grid, query);
      runsOf(
        grid.map((length, axis) => neighbors(query[axis]!, length, axis, at)),
        add,
      );
    },
  };
}

/** Options of sliding tile attention, one number an axis. */
export interface SlidingTileOptions {
  /** Tokens along each axis. */
  readonly grid: readonly number[];
  /** Tokens of a tile. */
  readonly tile: readonly number[];
  /** Tiles that a tile sees along each axis, its own counted; an axis with fewer is seen whole. */
  readonly window: readonly number[];
}

/** @throws OptionError if an option is missing, or is not one for each axis. */
export function slidingTilesOf(name: string, { grid, tile, window }: SlidingTileOptions) {
  if (!Array.isArray(grid) || grid.length === 0) {
    throw new OptionError(`${name}: grid is ${JSON.stringify(grid)}, expected the number of tokens along each axis`);
  }
  return {
    grid: perAxis(name, 'grid', grid, grid.length, 1),
    tile: perAxis(name, 'tile', tile, grid.length, 1),
    window: perAxis(name, 'window', window, grid.length, 1),
  };
}

/**
 * Each tile sees the tiles of a window around it, moved inward at borders; tokens behind the grid, such as text, see everything and are seen
 * by everything (Sliding tile attention, Zhang 2025).
 *
 * @param order how the grid's tokens lie. Default: row by row.
 */
export function slidingTile(options: SlidingTileOptions, order: GridOrder = rowOrder(options.grid)): Pattern {
  const { grid, tile, window } = slidingTilesOf('slidingTile', options);
  const tokens = order.tokens.length;
  const runsOf = boxRuns(
    order,
    grid.map(() => 1),
  );
  const [query, key]: [number[], number[]] = [[], []];
  /** First and last token that a token sees along an axis. */
  const range = (at: number, axis: number): [number, number] => {
    const tiles = Math.ceil(grid[axis]! / tile[axis]!);
    const left = Math.floor(window[axis]! / 2);
    const first = Math.max(0, Math.min(tiles - window[axis]!, Math.floor(at / tile[axis]!) - left));
    const end = Math.min(grid[axis]!, (first + window[axis]!) * tile[axis]!);
    return [first * tile[axis]!, end - 1];
  };
  return {
    name: `windows of ${window.join(' x ')} tiles of ${tile.join(' x ')}`,
    key: `slidingTile ${tile} ${window} of ${order.name}`,
    visible: (i, j) => {
      if (i >= tokens || j >= tokens) return true;
      if (i < 0) return false;
      coordinates(order.tokens[i]!, grid, query);
      coordinates(order.tokens[j]!, grid, key);
      return grid.every((_, axis) => {
        const [first, last] = range(query[axis]!, axis);
        return key[axis]! >= first && key[axis]! <= last;
      });
    },
    runs: (i, { Tk }, add) => {
      if (i >= tokens) add(0, Tk);
      if (i < 0 || i >= tokens) return;
      coordinates(order.tokens[i]!, grid, query);
      runsOf(
        grid.map((_, axis) => range(query[axis]!, axis)),
        add,
      );
      add(tokens, Tk);
    },
  };
}

/**
 * Tokens of an image [Y, X] that is rolled by -shiftSize and cut into windows see the tokens of their window that came from the same side of
 * each border (Swin Transformer, Liu 2021).
 *
 * @throws OptionError if windows do not cut the image.
 */
export function swin(options: {
  readonly grid: readonly [number, number];
  readonly windowSize: number;
  readonly shiftSize?: number;
}): Pattern {
  const { grid, windowSize: w, shiftSize = 0 } = options;
  needed('swin', 'windowSize', w, 1);
  needed('swin', 'shiftSize', shiftSize, 0);
  if (shiftSize >= w || grid.length !== 2 || grid.some((n) => n % w !== 0)) {
    throw new OptionError(
      `swin: windows of ${w}, shifted by ${shiftSize}, do not cut a grid of ${grid}; sides must be multiples of the window`,
    );
  }
  const [query, key]: [number[], number[]] = [[], []];
  /** Window of a coordinate and its side of the border: numbers in one. */
  const part = (at: number, axis: number) => {
    const length = grid[axis]!;
    const rolled = (at - shiftSize + length) % length;
    return 2 * Math.floor(rolled / w) + Number(shiftSize > 0 && rolled >= length - shiftSize);
  };
  const tokens = tokensOf(grid);
  return {
    name: `shifted windows of ${w}`,
    key: `swin ${grid} ${w} ${shiftSize}`,
    visible: (i, j) => {
      if (i < 0 || i >= tokens || j >= tokens) return false;
      coordinates(i, grid, query);
      coordinates(j, grid, key);
      return part(query[0]!, 0) === part(key[0]!, 0) && part(query[1]!, 1) === part(key[1]!, 1);
    },
    runs: (i, _, add) => {
      if (i < 0 || i >= tokens) return;
      coordinates(i, grid, query);
      const rows = Array.from({ length: grid[0] }, (_, y) => y).filter((y) => part(y, 0) === part(query[0]!, 0));
      const columns = Array.from({ length: grid[1] }, (_, x) => x).filter((x) => part(x, 1) === part(query[1]!, 1));
      for (const y of rows) for (const x of columns) add(y * grid[1] + x, y * grid[1] + x + 1);
    },
  };
}

/**
 * Windows with tokens or blocks that everything sees.
 *
 * @module
 */
import { uniformFrom } from '../engines/uniform.ts';
import { OptionError } from '../errors.ts';
import type { Pattern } from '../pattern.ts';
import { needed } from './checks.ts';

/**
 * Keys at a distance up to `window`, every `dilation`-th one, and global ones; the queries of global tokens see all keys (Longformer,
 * Beltagy 2020).
 */
export function longformer(options: {
  readonly window: number;
  /** Tokens, in any order. Default: none. */
  readonly global?: readonly number[];
  readonly dilation?: number;
  readonly causal?: boolean;
}): Pattern {
  const { window, global = [], dilation = 1, causal = false } = options;
  needed('longformer', 'window', window, 0);
  needed('longformer', 'dilation', dilation, 1);
  const tokens = new Set(global);
  for (const token of tokens) needed('longformer', 'a global token', token, 0);
  return {
    name: `window ${window} with ${tokens.size} global tokens`,
    key: `longformer ${window} ${dilation} ${causal} ${[...tokens]}`,
    visible: (i, j) => {
      if (causal && j > i) return false;
      const distance = Math.abs(i - j);
      return tokens.has(i) || tokens.has(j) || (distance % dilation === 0 && distance <= window * dilation);
    },
    runs: (i, { Tk }, add) => {
      const end = causal ? Math.min(Tk, i + 1) : Tk;
      if (tokens.has(i)) {
        add(0, end);
        return;
      }
      for (const token of tokens) if (token < end) add(token, token + 1);
      if (dilation === 1) add(i - window, Math.min(end, i + window + 1));
      else
        for (let j = i - window * dilation; j < Math.min(end, i + window * dilation + 1); j += dilation) add(j, j + 1);
    },
  };
}

/** What chooses BigBird's blocks. */
export interface BigbirdBlocks {
  /** Tokens of a block. Default 64. */
  readonly blockSize?: number;
  /** Random blocks of a block of queries. Default 3. */
  readonly randomBlocks?: number;
  /** Chooses them. Default 0. */
  readonly seed?: number;
  /** Given ones in place of random ones: for each head, or all, those of the blocks of queries after the first, one after another. */
  readonly given?: readonly ArrayLike<number>[];
}

/** The random blocks [n - 2, r] of a head: distinct, and none of those that a block of queries sees anyway. */
export function randomBlocks(n: number, most: number, seed: number, head: number): Int32Array {
  const uniform = uniformFrom(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(head + 1, 0x85ebca6b));
  const chosen = new Int32Array(Math.max(0, n - 2) * most).fill(-1);
  const free: number[] = [];
  for (let row = 1; row < n - 1; ++row) {
    free.length = 0;
    for (let block = 1; block < n - 1; ++block) if (Math.abs(block - row) > 1) free.push(block);
    for (let m = 0; m < Math.min(most, free.length); ++m) {
      const at = m + Math.floor(uniform() * (free.length - m));
      const block = free[at]!;
      free[at] = free[m]!;
      chosen[(row - 1) * most + m] = block;
    }
  }
  return chosen;
}

/**
 * A block of queries sees the first and the last block of keys, its own with its neighbours, and random ones; the first and the last block of
 * queries see all keys (BigBird, Zaheer 2020).
 */
export function bigbird(options: BigbirdBlocks = {}): Pattern {
  const { blockSize = 64, randomBlocks: most = 3, seed = 0, given } = options;
  needed('bigbird', 'blockSize', blockSize, 1);
  needed('bigbird', 'randomBlocks', most, 0);
  needed('bigbird', 'seed', seed, 0);
  if (given?.length === 0) throw new OptionError('bigbird: the given blocks are those of no head; leave them out');
  const known = new Map<string, Int32Array>();
  /** The random blocks of a block of queries between the first and the last. */
  const randomOf = (row: number, n: number, head: number): readonly number[] | Int32Array => {
    if (given) {
      const blocks = given[head % given.length]!;
      const each = blocks.length / (n - 2);
      return Array.from({ length: each }, (_, m) => blocks[(row - 1) * each + m]!);
    }
    const key = `${n} ${head}`;
    let blocks = known.get(key);
    if (!blocks) {
      blocks = randomBlocks(n, most, seed, head);
      known.set(key, blocks);
    }
    return blocks.subarray((row - 1) * most, row * most);
  };
  const whole = (row: number, n: number) => row <= 0 || row >= n - 1;
  return {
    name: `blocks of ${blockSize}, ${most} of them random`,
    key: `bigbird ${blockSize} ${given ? given.map((blocks) => Array.from(blocks)).join(';') : `${most} ${seed}`}`,
    perHead: given ? given.length > 1 : most > 0,
    visible: (i, j, { Tk, head }) => {
      const n = Math.ceil(Tk / blockSize);
      const [row, column] = [Math.floor(i / blockSize), Math.floor(j / blockSize)];
      if (whole(row, n) || whole(column, n) || Math.abs(row - column) <= 1) return true;
      return randomOf(row, n, head).includes(column);
    },
    runs: (i, { Tk, head }, add) => {
      const n = Math.ceil(Tk / blockSize);
      const row = Math.floor(i / blockSize);
      if (whole(row, n)) {
        add(0, Tk);
        return;
      }
      const show = (first: number, count = 1) => add(first * blockSize, (first + count) * blockSize);
      show(0);
      show(n - 1);
      show(row - 1, 3);
      for (const block of randomOf(row, n, head)) if (block >= 0) show(block);
    },
  };
}

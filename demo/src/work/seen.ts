/**
 * Which keys each query of a method sees: by its rule, or by what a call says that it chose.
 *
 * @module
 */
import { blockMask } from 'wattn';
import type { Visibility } from '../messages.ts';
import type { Method, Results } from './methods.ts';
import { HEADS } from './problem.ts';

/** Who sees whom. */
export interface Seen {
  /** Whether a query of a head sees a key. */
  sees(head: number, query: number, key: number): boolean;
  /** Heads that differ; 1 where all see alike. */
  readonly heads: number;
  readonly queryBlock: number;
  readonly keyBlock: number;
}

/** Bits of blocks, i32 [1, heads, blocks of queries, words]. */
function byBits({ data, shape }: Choice, keyBlock: number, length: number): Seen {
  const [, heads, rows, words] = shape as [number, number, number, number];
  const queryBlock = Math.ceil(length / rows);
  const group = HEADS.length / heads;
  return {
    sees(head, query, key) {
      const word = key / keyBlock;
      const row = Math.floor(head / group) * rows + Math.floor(query / queryBlock);
      return key <= query && ((data[row * words + (word >> 5)]! >> (word & 31)) & 1) === 1;
    },
    heads,
    queryBlock,
    keyBlock,
  };
}

/** Lists of keys, i32 [1, heads, queries, most], -1 behind the last. */
function byLists({ data, shape }: Choice): Seen {
  const [, heads, rows, most] = shape as [number, number, number, number];
  const sets = new Map<number, Set<number>>();
  const setOf = (row: number) => {
    let set = sets.get(row);
    if (!set) {
      set = new Set(data.subarray(row * most, (row + 1) * most));
      sets.set(row, set);
    }
    return set;
  };
  return { sees: (head, query, key) => setOf(head * rows + query).has(key), heads, queryBlock: 1, keyBlock: 1 };
}

/** What a call says that it chose, copied out of its memory. */
export interface Choice {
  readonly data: Int32Array;
  readonly shape: readonly number[];
  readonly lists: boolean;
}

/** The choice among the results of a call with `returnSelection`. */
export function choiceOf({ selection, indices }: Results): Choice | undefined {
  const chosen = selection ?? indices;
  return chosen && { data: chosen.dataSync() as Int32Array, shape: chosen.shape, lists: chosen === indices };
}

/** Who sees whom; undefined where neither a rule nor a choice says it. */
export function seenBy(method: Method, choice: Choice | undefined, block: number, length: number): Seen | undefined {
  const pattern = method.pattern?.(block, length);
  if (pattern) {
    return {
      sees: (head, i, j) => pattern.visible(i, j, { Tq: length, Tk: length, batch: 0, head }),
      heads: pattern.perHead ? HEADS.length : 1,
      queryBlock: 1,
      keyBlock: 1,
    };
  }
  if (!choice || !method.choice) return undefined;
  return choice.lists ? byLists(choice) : byBits(choice, method.choice(block), length);
}

const share = (x: number) => `${(100 * x).toFixed(x < 0.1 ? 1 : 0)} %`;

/** Rows and columns of a block mask's cells. */
const MASK_BLOCK = 64;

/** The picture of a rule: the block mask that kernels would get. */
function maskPicture(method: Method, block: number, length: number): Visibility {
  const pattern = method.pattern!(block, length);
  const heads = pattern.perHead ? HEADS.length : 1;
  const mask = blockMask(pattern, { Tq: length, Tk: length, heads, blockQ: MASK_BLOCK });
  const pairs = new Uint8Array(heads * length * length);
  for (let head = 0; head < heads; ++head) {
    const { data } = mask.picture({ head });
    for (let n = 0; n < length * length; ++n) pairs[head * length * length + n] = data[n] === 0 ? 1 : 0;
  }
  const { full, partial, empty } = mask.blocks;
  const whose = heads > 1 ? ` over ${heads} heads` : '';
  return {
    pairs,
    heads,
    queryBlock: MASK_BLOCK,
    keyBlock: MASK_BLOCK,
    title: 'Block mask',
    note:
      `blockMask of “${pattern.name}”: ${full} full, ${partial} partial and ${empty} empty blocks of ` +
      `${MASK_BLOCK} × ${MASK_BLOCK}${whose}; ${share(mask.density())} of all pairs are visible.`,
  };
}

/** The picture of what a call chose. */
function choicePicture(seen: Seen, length: number): Visibility {
  const { heads, queryBlock, keyBlock } = seen;
  const pairs = new Uint8Array(heads * length * length);
  let count = 0;
  for (let head = 0; head < heads; ++head) {
    for (let i = 0; i < length; ++i) {
      for (let j = 0; j <= i; ++j) {
        if (!seen.sees((head * HEADS.length) / heads, i, j)) continue;
        pairs[(head * length + i) * length + j] = 1;
        count += 1;
      }
    }
  }
  const of = count / ((heads * length * (length + 1)) / 2);
  const unit =
    keyBlock === 1
      ? 'single keys for each query'
      : `blocks of ${keyBlock} keys for ${queryBlock === 1 ? 'each query' : `every ${queryBlock} queries`}`;
  return {
    pairs,
    heads,
    queryBlock,
    keyBlock,
    title: 'Chosen keys',
    note: `The call chose ${unit}, each of ${heads} heads its own: ${share(of)} of the pairs that causal attention shows.`,
  };
}

/** The picture of who sees whom. */
export function visibilityOf(
  method: Method,
  choice: Choice | undefined,
  block: number,
  length: number,
): Visibility | undefined {
  if (method.pattern) return maskPicture(method, block, length);
  const seen = seenBy(method, choice, block, length);
  return seen && choicePicture(seen, length);
}

/**
 * Block lists: which key blocks each query block attends to, made once and kept in the memory of the runtimes that use it.
 *
 * @module
 */
import type { Runtime } from '../runtime/runtime.ts';

/** Keys of one block. */
export const BLOCK_K = 64;

/** Which key blocks each query block attends to. Blocks that are not listed cost nothing. */
export interface BlockList {
  readonly Tq: number;
  readonly Tk: number;
  /** Query rows of a block. */
  readonly blockQ: number;
  /** Entries of the batch and heads that have lists of their own, 1 where one serves all. */
  readonly batch: number;
  /** `heads` lists serve Hq heads: head h uses the one at floor(h * heads / Hq). */
  readonly heads: number;
  /** [batch, heads] number of a list: equal lists are stored once. */
  readonly listOf: Int32Array;
  /** [lists, ceil(Tq / blockQ)] first entry of each query block; one more number closes the last. */
  readonly rows: Int32Array;
  /** `[entries, 2]`: key block, and its tile, or -1 where every row of the block sees every key. */
  readonly entries: Int32Array;
  /** `[tiles, blockQ, 2]`: bit j of a pair of words shows key j of the block to a row. Equal tiles are stored once. */
  readonly tiles: Int32Array;
}

/** Query blocks of a list. */
export function queryBlocks(list: BlockList): number {
  return Math.ceil(list.Tq / list.blockQ);
}

interface Place {
  readonly runtime: WeakRef<Runtime>;
  readonly at: number;
}

const places = new WeakMap<BlockList, Place[]>();
const kept = new WeakMap<Runtime, number>();

function free({ runtime, at }: Place): void {
  const owner = runtime.deref();
  if (!owner || owner.disposed) return;
  owner.release(at);
  kept.set(owner, kept.get(owner)! - 1);
}

const collected = new FinalizationRegistry<Place>(free);

/** Blocks of a runtime's memory that lists hold. */
export function keptBlocks(runtime: Runtime): number {
  return kept.get(runtime) ?? 0;
}

/** Addresses of a list in the memory of a runtime, where it stays until it is forgotten or collected. */
export function placeList(runtime: Runtime, list: BlockList) {
  const parts = [list.tiles, list.listOf, list.rows, list.entries];
  let found = places.get(list) ?? [];
  let place = found.find((p) => p.runtime.deref() === runtime);
  if (place && runtime.lost(place.at)) {
    collected.unregister(place);
    free(place);
    found = found.filter((p) => p !== place);
    place = undefined;
  }
  if (!place) {
    const at = runtime.allocate(parts.reduce((bytes, part) => bytes + part.byteLength, 0));
    let to = at;
    for (const part of parts) {
      runtime.write(to, part);
      to += part.byteLength;
    }
    place = { runtime: new WeakRef(runtime), at };
    places.set(list, [...found, place]);
    collected.register(list, place, place);
    kept.set(runtime, keptBlocks(runtime) + 1);
  }
  const [listTiles, listOf, listRows, listEntries] = parts.map((_, i) =>
    parts.slice(0, i).reduce((at, part) => at + part.byteLength, place.at),
  ) as [number, number, number, number];
  return { listTiles, listOf, listRows, listEntries };
}

/** Frees the memory of a list in all runtimes; a later call places it anew. */
export function forgetList(list: BlockList): void {
  for (const place of places.get(list) ?? []) {
    collected.unregister(place);
    free(place);
  }
  places.delete(list);
}

/** Params that say where a list lies. */
export function listParams(runtime: Runtime, list: BlockList) {
  return {
    ...placeList(runtime, list),
    listOfStrideB: list.batch > 1 ? list.heads : 0,
    listHeads: list.heads,
    listBlocks: queryBlocks(list),
  };
}

/** Number of bits set in a word. */
function countBits(x: number): number {
  let n = x - ((x >>> 1) & 0x55555555);
  n = (n & 0x33333333) + ((n >>> 2) & 0x33333333);
  return Math.imul((n + (n >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** What a list leaves of the pairs and blocks that a window shows. */
export interface ListCounts {
  /** Pairs and 64-key blocks of query blocks, of all of [batch, heads] of the list. */
  readonly pairs: number;
  readonly blocks: number;
}

const counted = new WeakMap<BlockList, Map<string, ListCounts>>();

/** Counts the pairs and blocks of a list that a window shows too: row i sees keys i + offset - left to i + offset + right. */
export function countList(list: BlockList, window: readonly [left: number, right: number]): ListCounts {
  const key = window.join();
  const known = counted.get(list) ?? new Map<string, ListCounts>();
  let counts = known.get(key);
  if (!counts) {
    counts = count(list, window);
    known.set(key, counts);
    counted.set(list, known);
  }
  return counts;
}

function count(list: BlockList, [left, right]: readonly [number, number]): ListCounts {
  const { Tq, Tk, blockQ, rows, entries, tiles } = list;
  const perList = queryBlocks(list);
  const lists = perList === 0 ? 0 : (rows.length - 1) / perList;
  const offset = Tk - Tq;
  const low = (i: number) => (left < 0 ? 0 : Math.max(0, i + offset - left));
  const high = (i: number) => (right < 0 ? Tk : Math.min(Tk, i + offset + right + 1));
  const bits = Float64Array.from({ length: tiles.length / (2 * blockQ) }, (_, tile) => {
    let n = 0;
    for (let at = tile * blockQ * 2; at < (tile + 1) * blockQ * 2; ++at) n += countBits(tiles[at]!);
    return n;
  });
  const pairs = new Float64Array(lists);
  const blocks = new Float64Array(lists);
  for (let row = 0; row < lists * perList; ++row) {
    const list = Math.floor(row / perList);
    const begin = (row % perList) * blockQ;
    const end = Math.min(Tq, begin + blockQ);
    for (let e = rows[row]!; e < rows[row + 1]!; ++e) {
      const [block, tile] = [entries[2 * e]!, entries[2 * e + 1]!];
      const [first, last] = [block * BLOCK_K, Math.min(Tk, (block + 1) * BLOCK_K)];
      if (low(begin) >= last || high(end - 1) <= first) continue;
      let n = 0;
      if (low(end - 1) <= first && high(begin) >= last) {
        n = tile < 0 ? (end - begin) * (last - first) : bits[tile]!;
      } else {
        for (let i = begin; i < end; ++i) {
          const [from, to] = [Math.max(first, low(i)), Math.min(last, high(i))];
          if (tile < 0) n += Math.max(0, to - from);
          else
            for (let j = from; j < to; ++j)
              n += (tiles[2 * (tile * blockQ + i - begin) + ((j - first) >> 5)]! >>> (j & 31)) & 1;
        }
      }
      pairs[list]! += n;
      blocks[list]! += n > 0 ? 1 : 0;
    }
  }
  const sum = (of: Float64Array) => list.listOf.reduce((total, at) => total + of[at]!, 0);
  return { pairs: sum(pairs), blocks: sum(blocks) };
}

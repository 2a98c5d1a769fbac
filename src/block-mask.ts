/**
 * Block masks: which pairs of queries and keys an attention leaves, cut into blocks once and used by any number of calls.
 *
 * @module
 */
import { BLOCK_K, type BlockList, countList, forgetList } from './engines/block-list.ts';
import { Recent } from './engines/recent.ts';
import { DTypeError, OptionError, ShapeError } from './errors.ts';
import { combineLists, listsFromRows, type MaskShape, type RowSource, setRun } from './mask/lists.ts';
import { type Picture, pictureOf, textOf } from './mask/picture.ts';
import { cellBorders, everyPair, IslandFound, type Predicate } from './mask/predicate.ts';
import type { Pattern } from './pattern.ts';
import { Tensor } from './tensor.ts';

/** Lists of key blocks. */
export interface KeyBlocks {
  /** For each batch entry and head with a list of its own, one after another, for each query block, the key blocks it sees. */
  readonly lists: readonly (readonly ArrayLike<number>[])[];
  /** Queries of a query block, keys of a key block. Default 64 both. */
  readonly queryBlock?: number;
  readonly keyBlock?: number;
}

/** What a block mask can be made from. */
export type MaskSource = Pattern | Predicate | Tensor | Uint8Array | readonly boolean[] | KeyBlocks;

/** Options of `blockMask`. */
export interface BlockMaskOptions {
  /** Queries, and keys. A mask tensor has them itself. */
  readonly Tq?: number;
  readonly Tk?: number;
  /** Heads, and entries of the batch, that have masks of their own. Default 1: one serves all. */
  readonly heads?: number;
  readonly batch?: number;
  /** Queries of a block, 1 to 1024. Default 96. */
  readonly blockQ?: number;
  /** Ask a predicate about every pair, whatever the length. Default false. */
  readonly exhaustive?: boolean;
}

/** What `density` counts. */
export interface DensityOptions {
  /** The share of the pairs that causal attention shows, not of all. Default false. */
  readonly causal?: boolean;
}

/** Which of a mask's pictures. */
export interface PictureOptions {
  /** Default 0. */
  readonly batch?: number;
  readonly head?: number;
}

const DEFAULT_BLOCK_Q = 96;
const MOST_BLOCK_Q = 1024;
/** Up to as many pairs of one list a predicate is asked about every one. */
const EVERY_PAIR = 2 ** 24;

/** A mask cut into blocks: full ones cost attention no masking, empty ones nothing at all. Made by `blockMask`. */
export class BlockMask {
  /** @internal */
  readonly list: BlockList;

  /** Masks are made by `blockMask`. */
  constructor(list: BlockList) {
    this.list = list;
  }

  /** Sizes: [batch, heads, Tq, Tk]; 1 where one mask serves the whole batch or all heads. */
  get shape(): readonly [number, number, number, number] {
    const { batch, heads, Tq, Tk } = this.list;
    return [batch, heads, Tq, Tk];
  }

  /** Full, partial and empty blocks, of all lists together. */
  get blocks(): { readonly full: number; readonly partial: number; readonly empty: number } {
    const { Tq, Tk, blockQ, listOf, rows, entries } = this.list;
    const perList = Math.ceil(Tq / blockQ);
    let [full, kept] = [0, 0];
    for (const list of listOf) {
      for (let e = rows[list * perList]!; e < rows[(list + 1) * perList]!; ++e) full += entries[2 * e + 1]! < 0 ? 1 : 0;
      kept += rows[(list + 1) * perList]! - rows[list * perList]!;
    }
    return { full, partial: kept - full, empty: listOf.length * perList * Math.ceil(Tk / BLOCK_K) - kept };
  }

  /** Pairs that both masks show. @throws ShapeError if their sizes differ. */
  and(other: BlockMask): BlockMask {
    return this.#join(other, (a, b) => a & b);
  }

  /** Pairs that either mask shows. @throws ShapeError if their sizes differ. */
  or(other: BlockMask): BlockMask {
    return this.#join(other, (a, b) => a | b);
  }

  /** Pairs that this mask hides. */
  not(): BlockMask {
    return new BlockMask(combineLists(this.list, this.list, undefined, (a) => ~a));
  }

  /** Share of the pairs that the mask shows, 0 to 1. */
  density({ causal = false }: DensityOptions = {}): number {
    const { Tq, Tk, listOf } = this.list;
    let all = Tq * Tk;
    if (causal) {
      all = 0;
      for (let i = 0; i < Tq; ++i) all += Math.max(0, Math.min(Tk, i + Tk - Tq + 1));
    }
    const { pairs } = countList(this.list, [-1, causal ? 0 : -1]);
    return all === 0 ? 0 : pairs / (all * listOf.length);
  }

  /** The blocks in characters, several in one where there are many: '█' full, '▒' partial, '·' empty. */
  toString(options: PictureOptions = {}): string {
    return textOf(this.list, this.#listAt(options));
  }

  /**
   * A grey picture of the mask as a PNG data URL: dark where pairs are visible, one pixel for one pair, or for a square of
   * them where the mask is larger than 1024.
   */
  async toImage(options: PictureOptions = {}): Promise<string> {
    const { pngUrl } = await import('./mask/png.ts');
    return pngUrl(this.picture(options));
  }

  /** The pixels of `toImage`: 255 where no pair is visible, 0 where all are. */
  picture(options: PictureOptions = {}): Picture {
    return pictureOf(this.list, this.#listAt(options));
  }

  /** Frees what the mask holds in the memory of runtimes. A later call places it there anew. */
  dispose(): void {
    forgetList(this.list);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #listAt({ batch = 0, head = 0 }: PictureOptions): number {
    const { list } = this;
    if (!(Number.isInteger(batch) && batch >= 0 && batch < list.batch)) {
      throw new OptionError(`blockMask: batch is ${batch}, expected 0 to ${list.batch - 1}`);
    }
    if (!(Number.isInteger(head) && head >= 0 && head < list.heads)) {
      throw new OptionError(`blockMask: head is ${head}, expected 0 to ${list.heads - 1}`);
    }
    return list.listOf[batch * list.heads + head]!;
  }

  #join(other: BlockMask, combine: (a: number, b: number) => number): BlockMask {
    if (!(other instanceof BlockMask))
      throw new OptionError(`blockMask: ${other} is not a block mask. Make one with blockMask()`);
    const [a, b] = [this.list, other.list];
    const fits = (m: number, n: number) => m % n === 0 || n % m === 0;
    if (a.Tq !== b.Tq || a.Tk !== b.Tk || a.blockQ !== b.blockQ || !fits(a.heads, b.heads) || !fits(a.batch, b.batch)) {
      throw new ShapeError(
        `blockMask: masks of shape [${this.shape}] and [${other.shape}], blocks of ${a.blockQ} and ${b.blockQ} queries, ` +
          'cannot be joined: Tq, Tk and blockQ must be equal, batch and heads equal or 1',
      );
    }
    const shape = { ...a, batch: Math.max(a.batch, b.batch), heads: Math.max(a.heads, b.heads) };
    return new BlockMask(combineLists(shape, a, b, combine));
  }
}

/** @throws OptionError if a size is no whole number from `least` to `most`. */
function size(name: string, value: number | undefined, least: number, most: number): number {
  if (!Number.isInteger(value) || value! < least || value! > most) {
    throw new OptionError(`blockMask: ${name} is ${value}, expected a whole number from ${least} to ${most}`);
  }
  return value!;
}

const LONGEST = 2 ** 26;

function shapeOf(source: MaskSource, options: BlockMaskOptions): MaskShape {
  for (const name of Object.keys(options)) {
    if (!['Tq', 'Tk', 'heads', 'batch', 'blockQ', 'exhaustive'].includes(name)) {
      throw new OptionError(`blockMask has no option '${name}'; it has Tq, Tk, heads, batch, blockQ, exhaustive`);
    }
  }
  const own: { Tq?: number; Tk?: number; heads?: number; batch?: number } = {};
  if (source instanceof Tensor) {
    if (source.dtype !== 'u8') throw new DTypeError(`blockMask: the mask is ${source.dtype}, expected u8`);
    if (source.shape.length < 2 || source.shape.length > 4) {
      throw new ShapeError(
        `blockMask: the mask has shape [${source.shape}], expected [B, H, Tq, Tk], [H, Tq, Tk] or [Tq, Tk]`,
      );
    }
    const [Tk, Tq, heads = 1, batch = 1] = [...source.shape].reverse();
    Object.assign(own, { Tq, Tk, heads, batch });
    for (const [name, value] of Object.entries(own)) {
      const given = options[name as 'Tq'];
      if (given !== undefined && given !== value) {
        throw new ShapeError(`blockMask: ${name} is ${given}, but the mask has shape [${source.shape}]`);
      }
    }
  }
  const { Tq, Tk, heads = 1, batch = 1, blockQ = DEFAULT_BLOCK_Q } = { ...options, ...own };
  return {
    Tq: size('Tq', Tq, 0, LONGEST),
    Tk: size('Tk', Tk, 0, LONGEST),
    heads: size('heads', heads, 1, 65536),
    batch: size('batch', batch, 1, 65536),
    blockQ: size('blockQ', blockQ, 1, MOST_BLOCK_Q),
  };
}

/** Rows of a rule: by its runs. */
function runRows({ Tq, Tk }: MaskShape, pattern: Required<Pick<Pattern, 'runs'>>): RowSource {
  return {
    fill(batch, head, begin, end, words, stride) {
      const at = { Tq, Tk, batch, head };
      for (let row = begin; row < end; ++row) {
        const base = (row - begin) * stride;
        pattern.runs(row + Tk - Tq, at, (first, last) => setRun(words, base, Math.max(0, first), Math.min(Tk, last)));
      }
    },
  };
}

/** Rows of a dense mask [batch, heads, Tq, Tk]. */
function denseRows({ Tq, Tk, heads }: MaskShape, mask: ArrayLike<number | boolean>): RowSource {
  return {
    fill(batch, head, begin, end, words, stride) {
      for (let row = begin; row < end; ++row) {
        const from = ((batch * heads + head) * Tq + row) * Tk;
        const base = (row - begin) * stride;
        for (let j = 0; j < Tk; ++j) if (mask[from + j]) words[base + (j >> 5)]! |= 1 << (j & 31);
      }
    },
  };
}

/** Rows of lists of key blocks. */
function blockRows(shape: MaskShape, { lists, queryBlock = 64, keyBlock = 64 }: KeyBlocks): RowSource {
  const { Tq, Tk, batch, heads } = shape;
  size('queryBlock', queryBlock, 1, LONGEST);
  size('keyBlock', keyBlock, 1, LONGEST);
  if (lists.length !== batch * heads) {
    throw new ShapeError(`blockMask: ${lists.length} lists were given for a batch of ${batch} and ${heads} heads`);
  }
  const queryBlocks = Math.ceil(Tq / queryBlock);
  const keyBlocks = Math.ceil(Tk / keyBlock);
  for (const [at, list] of lists.entries()) {
    if (list.length !== queryBlocks) {
      throw new ShapeError(`blockMask: list ${at} has ${list.length} query blocks, expected ${queryBlocks}`);
    }
    for (const blocks of list) {
      for (let i = 0; i < blocks.length; ++i) size(`a key block of list ${at}`, blocks[i], 0, keyBlocks - 1);
    }
  }
  return {
    fill(b, h, begin, end, words, stride) {
      for (let row = begin; row < end; ++row) {
        const blocks = lists[b * heads + h]![Math.floor(row / queryBlock)]!;
        const base = (row - begin) * stride;
        for (let i = 0; i < blocks.length; ++i) {
          const first = blocks[i]! * keyBlock;
          setRun(words, base, first, Math.min(Tk, first + keyBlock));
        }
      }
    },
  };
}

function isPattern(source: MaskSource): source is Pattern {
  return typeof (source as Pattern).visible === 'function';
}

/** Rows of a source that says them without being asked about pairs. */
function knownRows(source: Exclude<MaskSource, Predicate>, shape: MaskShape): RowSource | undefined {
  if (source instanceof Tensor) return denseRows(shape, source.dataSync());
  if (source instanceof Uint8Array || Array.isArray(source)) {
    const { Tq, Tk, batch, heads } = shape;
    if (source.length !== batch * heads * Tq * Tk) {
      throw new ShapeError(`blockMask: ${source.length} elements were given for shape [${[batch, heads, Tq, Tk]}]`);
    }
    return denseRows(shape, source);
  }
  if (isPattern(source)) return source.runs && runRows(shape, { runs: source.runs.bind(source) });
  if (Array.isArray((source as KeyBlocks).lists)) return blockRows(shape, source as KeyBlocks);
  throw new OptionError(
    'blockMask: expected a pattern, a predicate (b, h, i, j) => boolean, a dense mask or { lists }',
  );
}

/**
 * A mask for `attention`, made once and used by any number of calls of its sizes.
 *
 * A source is a pattern (`patterns.*`: runs of keys, a few milliseconds for long sequences), a dense mask (u8 tensor
 * [B, H, Tq, Tk] or fewer axes; array with the sizes as options), lists of key blocks, or a predicate (b, h, i, j) =>
 * boolean, i counted from 0 in the queries. Up to 2^24 pairs of a list a predicate is asked about every one. Above, it is asked about
 * the borders of cells of 32 x 32 pairs, and inside a cell only where its border is not all visible or all hidden: the
 * mask is exact for every predicate without an island - visible pairs among hidden ones or the reverse - so small that
 * it lies inside one cell. One more pair of each cell is asked about, and where it contradicts, all pairs are. With
 * `exhaustive` every pair is asked about from the start.
 *
 * @throws OptionError, ShapeError, DTypeError if the source does not fit the sizes.
 * @example const mask = blockMask((b, h, i, j) => j <= i && i - j < 512, { Tq: 8192, Tk: 8192 })
 */
export function blockMask(source: MaskSource, options: BlockMaskOptions = {}): BlockMask {
  if (source === null || (typeof source !== 'object' && typeof source !== 'function')) {
    throw new OptionError(`blockMask: ${source} is neither a pattern, a predicate, a dense mask nor { lists }`);
  }
  const shape = shapeOf(source, options);
  const known = typeof source === 'function' ? undefined : knownRows(source, shape);
  if (known) {
    const pattern = isPattern(source) ? source : undefined;
    if (!pattern) return new BlockMask(listsFromRows(shape, known));
    return new BlockMask(sharedLists(shape, pattern, known));
  }
  const { Tq, Tk } = shape;
  const pattern = source as Pattern;
  const ask: Predicate =
    typeof source === 'function'
      ? source
      : (batch, head, i, j) => pattern.visible(i + Tk - Tq, j, { Tq, Tk, batch, head });
  const lists = (rows: RowSource) =>
    typeof source === 'function' ? listsFromRows(shape, rows) : sharedLists(shape, pattern, rows);
  if (!options.exhaustive && Tq * Tk > EVERY_PAIR) {
    try {
      return new BlockMask(lists(cellBorders(ask, Tq, Tk)));
    } catch (error) {
      if (!(error instanceof IslandFound)) throw error;
    }
  }
  return new BlockMask(lists(everyPair(ask, Tk)));
}

/** Lists of a rule that may be the same for all heads or all of a batch: made once, named by all. */
function sharedLists(shape: MaskShape, pattern: Pattern, rows: RowSource): BlockList {
  const batch = pattern.perBatch ? shape.batch : 1;
  const heads = pattern.perHead ? shape.heads : 1;
  return listsFromRows({ ...shape, batch, heads }, rows);
}

/** Masks of patterns that say what makes them equal, the last ones used. */
const shared = new Recent<BlockMask>(64);

/** @internal The mask of a pattern, which calls with equal patterns and sizes share. */
export function sharedMask(pattern: Pattern, options: BlockMaskOptions): BlockMask {
  if (pattern.key === undefined) return blockMask(pattern, options);
  const { Tq, Tk, heads, batch, blockQ } = options;
  // calls that are laid out already may need a mask that is forgotten here: it frees its part of a runtime's memory when it is collected
  return shared.get(`${[Tq, Tk, heads, batch, blockQ]} ${pattern.key}`, () => blockMask(pattern, options));
}

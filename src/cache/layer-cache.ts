/**
 * What a KVCache asks of the cache of one layer.
 *
 * @module
 */
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import type { ReadBytes } from './host-memory.ts';

/** Sizes of the cache of one layer of one sequence. */
export interface LayerSize {
  /** Which layer it is, of how many: budgets may differ. */
  readonly layer: number;
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Most tokens it holds at a time. */
  readonly capacity: number;
}

/** How queries attend. */
export interface LayerQuery {
  /** f32 [1, T, Hq, D]: the queries of the T newest tokens, whose keys and values are in the cache; causal among them. */
  readonly q: Tensor;
  readonly scale: number;
  readonly softcap: number;
  /** f32 [1, T, Hq, D] without gaps to write to; a layer may write elsewhere, and KVCache copies. */
  readonly o?: Tensor | undefined;
}

/** Keys and values of one layer. Rows come in as f32 [1, T, Hkv, D]; how they are kept is the layer's own. */
export interface LayerCache {
  /** Tokens that came in, those it has let go of included. */
  readonly length: number;
  /** Tokens that it holds of each head. */
  readonly held: number;
  /** Bytes in use: rows, scales and side tables. */
  readonly bytes: number;
  /** Shortest length that `truncate` can go back to. Default 0. */
  readonly shortest?: number;
  /** Whether `attend` may be laid out behind `append` in the same program, before `commit`. Default false. */
  readonly joined?: boolean;
  /**
   * Makes room for `count` more tokens.
   *
   * @throws CacheFullError where there is none and nothing may be let go of; the cache is then as before.
   */
  reserve(count: number): void;
  /** Lays out that the T newest tokens are put in; room for them is reserved. `commit` is called once the program has run, that of `append` first. */
  append(b: Builder, k: Tensor, v: Tensor): { commit(): void };
  /** Lays out o f32 [1, T, Hq, D]; a policy that goes by attention weights lets tokens go in the same program. */
  attend(b: Builder, query: LayerQuery): { readonly o: Tensor; commit?(): void };
  /** A cache of the same tokens; memory that neither changes is shared where the layer can share it. */
  fork(): LayerCache;
  /**
   * Forgets all tokens from `length` on.
   *
   * @throws OptionError where it has let go of tokens that it would need.
   */
  truncate(length: number): void;
  /** Gives up room that was reserved and not filled, or laid out to be filled by a program that has failed. */
  release?(): void;
  /** Forgets everything, what it has let go of too. Without it a new layer is made. */
  clear?(): void;
  /**
   * All that `restore` of the same kind of layer needs.
   *
   * @param read gives bytes of the runtime's memory. Default: the memory itself, which a GPU's is not: of one `KVCache.saveAsync` calls twice,
   *   once to see what is read, and the same must be read both times.
   * @throws HostAccessError by default on a GPU.
   */
  save(read?: ReadBytes): Uint8Array;
  dispose(): void;
}

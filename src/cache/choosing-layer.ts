/**
 * The cache of one layer that keeps all keys and values, of which single queries choose.
 *
 * @module
 */
import { copyRows } from '../engines/copy.ts';
import { pastBlocks } from '../engines/select/causal-blocks.ts';
import { expectTypes, matchShapes, whole } from '../engines/shapes.ts';
import { CacheDataError, CacheFullError, OptionError } from '../errors.ts';
import { attend, attentionCall } from '../ops/attention.ts';
import type { Builder } from '../runtime/program.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { bytesOf, type Tensor } from '../tensor.ts';
import { type ByteRun, liveBytes, type ReadBytes } from './host-memory.ts';
import type { LayerCache, LayerQuery, LayerSize } from './layer-cache.ts';
import { ownTensor } from './own-tensor.ts';
import { packLayer, unpackLayer } from './saved-layer.ts';
import { bytesOfAll, type ChoosingPolicy, type SideTables, sideTables } from './side-tables.ts';

const OP = 'choosingLayer';

/** Where a tensor without gaps lies. */
function runOf(x: Tensor): ByteRun {
  return { at: x.address, length: x.size * bytesOf(x.dtype) };
}

/** Keys and values in rows [1, capacity, Hkv, D]; several queries attend to all, a single one to what its tables choose. */
class ChoosingLayer implements LayerCache {
  /** `attend` may be laid out behind `append` in one program. */
  readonly joined = true;
  readonly #rt: Runtime;
  readonly #size: LayerSize;
  readonly #policy: ChoosingPolicy;
  readonly #k: Tensor;
  readonly #v: Tensor;
  readonly #side: SideTables;
  #length = 0;
  /** The first so many tokens are in the side tables. */
  #settled = 0;
  /** Where a program in the making will leave the cache. */
  #next: { readonly b: Builder; readonly length: number } | undefined;

  constructor(rt: Runtime, size: LayerSize, policy: ChoosingPolicy) {
    const { kvHeads, headDim, capacity } = size;
    whole(OP, 'kvHeads', kvHeads, 1, 1);
    whole(OP, 'headDim', headDim, 1, 1);
    whole(OP, 'capacity', capacity, 1, 1);
    this.#rt = rt;
    this.#size = size;
    this.#policy = policy;
    // tables refuse what does not fit before rows are made
    this.#side = sideTables(rt, size, policy);
    const made: Tensor[] = [...this.#side.tables];
    try {
      for (let i = 0; i < 2; ++i) made.push(ownTensor(rt, [1, capacity, kvHeads, headDim]));
    } catch (error) {
      for (const tensor of made) tensor.dispose();
      throw error;
    }
    [this.#k, this.#v] = made.slice(-2) as [Tensor, Tensor];
  }

  get length(): number {
    return this.#length;
  }

  get held(): number {
    return this.#length;
  }

  /** Bytes of the tokens' rows and of their share of the tables; room for more is taken from the start. */
  get bytes(): number {
    return bytesOfAll([...this.#rows(this.#length), ...this.#side.live(this.#length)]);
  }

  reserve(count: number): void {
    const { capacity, layer } = this.#size;
    if (this.#length + count > capacity) {
      throw new CacheFullError(
        `${count} tokens do not fit: layer ${layer} holds ${this.#length} of at most ${capacity}, all of which later queries may choose. ` +
          'Truncate it, or make the cache with a larger capacity.',
      );
    }
  }

  append(b: Builder, k: Tensor, v: Tensor): { commit(): void } {
    const { kvHeads, headDim } = this.#size;
    const shape = `1 T ${kvHeads} ${headDim}`;
    const { T } = matchShapes(OP, { k, v }, { k: shape, v: shape }) as { T: number };
    expectTypes(OP, { k, v }, ['f32']);
    this.reserve(T);
    const length = this.#length + T;
    copyRows(b, k, this.#k.slice(1, this.#length, length));
    copyRows(b, v, this.#v.slice(1, this.#length, length));
    if (length > this.#settled) this.#side.update(b, this.#k, this.#v, this.#settled, length);
    // what the tables have of a page or block that goes on is overwritten: should the program fail, it must be made anew
    this.#settled = Math.min(this.#settled, this.#side.settled(this.#length));
    const next = { b, length };
    this.#next = next;
    return {
      commit: () => {
        this.#length = length;
        this.#settled = length;
        if (this.#next === next) this.#next = undefined;
      },
    };
  }

  attend(b: Builder, { q, scale, softcap }: LayerQuery): { readonly o: Tensor; commit?(): void } {
    const joined = this.#next?.b === b;
    const length = joined ? this.#next!.length : this.#length;
    const [k, v] = [this.#k.slice(1, 0, length), this.#v.slice(1, 0, length)];
    const call = attentionCall(b, OP, { q, k, v }, { causal: true, scale, ...(softcap > 0 && { softcap }) });
    b.drop(call.lse);
    if (q.shape[1] !== 1 || length === 0) {
      attend(b, call);
      return { o: call.o };
    }
    // tokens behind a truncation, or of a cache that was restored
    const behind = !joined && this.#settled < length;
    if (behind) this.#side.update(b, this.#k, this.#v, this.#settled, length);
    this.#side.attend(b, { call, visible: pastBlocks(q, k, 1), ...this.#side.taken, keep: false });
    const commit = () => {
      if (behind && this.#length === length) this.#settled = length;
    };
    return { o: call.o, commit };
  }

  fork(): LayerCache {
    const fork = new ChoosingLayer(this.#rt, this.#size, this.#policy);
    fork.#length = this.#length;
    fork.#settled = this.#settled;
    const views = (layer: ChoosingLayer) => [...layer.#rows(layer.#length), ...layer.#side.live(layer.#settled)];
    const targets = views(fork);
    for (const [n, from] of views(this).entries()) {
      const { at, length } = runOf(from);
      this.#rt.move(targets[n]!.address, at, length);
    }
    return fork;
  }

  truncate(length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.#length) {
      throw new OptionError(`${OP}: cannot truncate to ${length}, expected a whole number from 0 to ${this.#length}`);
    }
    this.#length = length;
    if (this.#settled > length) this.#settled = this.#side.settled(length);
    this.#next = undefined;
  }

  /** Forgets what a program that has failed was to bring in. */
  release(): void {
    this.#next = undefined;
  }

  clear(): void {
    this.truncate(0);
  }

  save(read: ReadBytes = liveBytes(this.#rt)): Uint8Array {
    const rows = this.#rows(this.#length).map((x) => read(runOf(x)));
    const state = { length: this.#length };
    return packLayer(this.#kind(), state, rows[0]!.length + rows[1]!.length, (to) => {
      to.set(rows[0]!);
      to.set(rows[1]!, rows[0]!.length);
    });
  }

  /** Takes in what a layer of the same sizes saved. @throws CacheDataError for other bytes; nothing is changed then. */
  load(bytes: Uint8Array): void {
    const { kvHeads, headDim, capacity } = this.#size;
    const { state, data } = unpackLayer(bytes, this.#kind());
    const length = state.length!;
    if (length > capacity || data.length !== 8 * length * kvHeads * headDim) {
      throw new CacheDataError(
        `${OP}: saved were ${length} tokens in ${data.length} bytes, expected at most ${capacity} of ${kvHeads} heads of ${headDim}`,
      );
    }
    this.#length = length;
    this.#settled = 0;
    let at = 0;
    for (const rows of this.#rows(length)) {
      const run = runOf(rows);
      this.#rt.write(run.at, data.subarray(at, at + run.length));
      at += run.length;
    }
  }

  /** What must be the same when it is restored: tables are made anew. */
  #kind() {
    const { kvHeads, headDim } = this.#size;
    return { layer: 'choosing', kvHeads, headDim };
  }

  dispose(): void {
    for (const tensor of [this.#k, this.#v, ...this.#side.tables]) tensor.dispose();
  }

  #rows(length: number): readonly Tensor[] {
    return [this.#k.slice(1, 0, length), this.#v.slice(1, 0, length)];
  }
}

/**
 * A cache of one layer that keeps all tokens: a single query attends to those that `policy` chooses, by tables that every append brings up
 * to date; several queries at once attend to all.
 *
 * @throws OptionError, ShapeError, DTypeError for a policy that does not fit the layer.
 * @throws MemoryLimitError if the rows and tables of the whole capacity do not fit.
 * @example const layer = choosingLayer(rt, size, { kind: 'quest', topk: 64, dtype: 'bf16' })
 */
export function choosingLayer(rt: Runtime, size: LayerSize, policy: ChoosingPolicy): LayerCache {
  return new ChoosingLayer(rt, size, policy);
}

/**
 * The layer that was saved, of the same sizes and policy; its tables are made anew when they are first needed.
 *
 * @throws CacheDataError for bytes that are not what such a layer saved.
 * @example const layer = restoreChoosingLayer(rt, size, { kind: 'quest', topk: 64 }, saved)
 */
export function restoreChoosingLayer(
  rt: Runtime,
  size: LayerSize,
  policy: ChoosingPolicy,
  bytes: Uint8Array,
): LayerCache {
  const layer = new ChoosingLayer(rt, size, policy);
  try {
    layer.load(bytes);
  } catch (error) {
    layer.dispose();
    throw error;
  }
  return layer;
}

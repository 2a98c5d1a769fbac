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
import type { Tensor, TensorView } from '../tensor.ts';
import type { LayerCache, LayerQuery, LayerSize } from './layer-cache.ts';
import { bytesOfAll, type ChoosingPolicy, type SideTables, sideTables } from './side-tables.ts';

const OP = 'choosingLayer';

/** Words of the header: what it is, version, heads, head dimension, tokens, checksum. */
const MAGIC = 0x4c43_4b57;
const VERSION = 1;
const HEADER_WORDS = 6;

/** A number that any one byte changes (FNV-1a). */
function checksum(bytes: Uint8Array): number {
  let hash = 0x811c_9dc5;
  for (let i = 0; i < bytes.length; ++i) hash = Math.imul(hash ^ bytes[i]!, 0x0100_0193);
  return hash >>> 0;
}

/** Copies numbers between tensors of one shape that have no gaps. */
function copyView(from: Tensor, to: Tensor): void {
  (to.view() as Float32Array).set(from.view() as Float32Array);
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
      for (let i = 0; i < 2; ++i) made.push(rt.empty([1, capacity, kvHeads, headDim]));
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
    for (const [n, from] of views(this).entries()) copyView(from, targets[n]!);
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

  save(): Uint8Array {
    const { kvHeads, headDim } = this.#size;
    const rows = this.#rows(this.#length).map((x) => bytesOfView(x.view()));
    const all = new Uint8Array(4 * HEADER_WORDS + rows.reduce((n, part) => n + part.length, 0));
    let at = 4 * HEADER_WORDS;
    for (const part of rows) {
      all.set(part, at);
      at += part.length;
    }
    const header = new DataView(all.buffer);
    const words = [MAGIC, VERSION, kvHeads, headDim, this.#length];
    for (const [n, word] of words.entries()) header.setUint32(4 * n, word, true);
    header.setUint32(4 * words.length, 0, true);
    header.setUint32(4 * words.length, checksum(all), true);
    return all;
  }

  /** Takes in what a layer of the same sizes saved. @throws CacheDataError for other bytes; nothing is changed then. */
  load(bytes: Uint8Array): void {
    const { kvHeads, headDim, capacity } = this.#size;
    if (bytes.length < 4 * HEADER_WORDS) {
      throw new CacheDataError(`${OP}: ${bytes.length} bytes, expected at least the ${4 * HEADER_WORDS} of a header`);
    }
    const copy = bytes.slice();
    const header = new DataView(copy.buffer);
    const [magic, version, heads, dim, length, sum] = Array.from({ length: HEADER_WORDS }, (_, n) =>
      header.getUint32(4 * n, true),
    ) as [number, number, number, number, number, number];
    if (magic !== MAGIC || version !== VERSION) {
      throw new CacheDataError(`${OP}: these bytes are not what save() of such a layer gave`);
    }
    const expected = 4 * HEADER_WORDS + 8 * length * heads * dim;
    if (bytes.length !== expected) {
      throw new CacheDataError(
        `${OP}: ${bytes.length} bytes, expected ${expected} for the ${length} tokens they speak of`,
      );
    }
    header.setUint32(4 * (HEADER_WORDS - 1), 0, true);
    if (checksum(copy) !== sum) throw new CacheDataError(`${OP}: the bytes were changed since they were saved`);
    if (heads !== kvHeads || dim !== headDim || length > capacity) {
      throw new CacheDataError(
        `${OP}: saved were ${length} tokens of ${heads} heads of ${dim}, expected at most ${capacity} of ${kvHeads} heads of ${headDim}`,
      );
    }
    this.#length = length;
    this.#settled = 0;
    let at = 4 * HEADER_WORDS;
    for (const rows of this.#rows(length)) {
      const view = bytesOfView(rows.view());
      view.set(copy.subarray(at, at + view.length));
      at += view.length;
    }
  }

  dispose(): void {
    for (const tensor of [this.#k, this.#v, ...this.#side.tables]) tensor.dispose();
  }

  #rows(length: number): readonly Tensor[] {
    return [this.#k.slice(1, 0, length), this.#v.slice(1, 0, length)];
  }
}

/** The bytes of live memory. */
function bytesOfView(view: TensorView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
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

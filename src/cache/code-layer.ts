/**
 * The cache of a layer whose keys and values are codes, the newest tokens floats.
 *
 * @module
 */
import type { AttentionCall } from '../engines/attention-call.ts';
import {
  type Coded,
  codeAttend,
  codeShape,
  dequantizeRows,
  quantizeRows,
  scaleShape,
  type Turning,
  tokensOf,
} from '../engines/codes.ts';
import { copyRows } from '../engines/copy.ts';
import { rotaryAngles, rotate } from '../engines/rotary.ts';
import { CacheDataError, CacheFullError, OptionError } from '../errors.ts';
import { type Builder, runSync } from '../runtime/program.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { bytesOf, type DType, sizeOf, type Tensor } from '../tensor.ts';
import { type CodePlan, checkPlan, formatOfSide, type SidePlan } from './code-plan.ts';
import { type ByteRun, liveBytes, type ReadBytes } from './host-memory.ts';
import type { LayerCache, LayerQuery, LayerSize } from './layer-cache.ts';
import { ownTensor } from './own-tensor.ts';
import { SavedReader, SavedWriter, sealed, unsealed } from './saved.ts';

/** [H, blocks, ...] as [1, blocks, H, ...]: what belongs to a head lies in one run. */
function tokensFirst(x: Tensor): Tensor {
  const [H, blocks, ...rest] = x.shape as [number, number, ...number[]];
  const [strideH, strideBlock, ...inner] = x.strides as [number, number, ...number[]];
  return x.restride([1, blocks, H, ...rest], [H * strideH, strideBlock, strideH, ...inner]);
}

/** The memory of keys or of values. */
class Side {
  readonly coded: Coded;
  /** f32 [1, rows, H, D]: tokens that are not coded. */
  readonly rest: Tensor | undefined;
  /** Tensors that hold numbers of tokens: [H, spans, ...], and tokens of a span. */
  readonly #spans: { tensor: Tensor; tokens: number }[] = [];
  /** Tensors that are the same for all tokens. */
  readonly #fixed: Tensor[] = [];
  readonly #plan: SidePlan;
  readonly #rt: Runtime;
  readonly #size: LayerSize;
  readonly #of: 'keys' | 'values';

  constructor(rt: Runtime, size: LayerSize, of: 'keys' | 'values', plan: SidePlan, restRows: number) {
    [this.#rt, this.#size, this.#of, this.#plan] = [rt, size, of, plan];
    const { kvHeads, headDim, capacity } = size;
    const format = formatOfSide(of, plan);
    const block = tokensOf(plan.bits);
    const spans = (dtype: DType, [, count, , ...inner]: number[], tokens: number) => {
      const tensor = ownTensor(rt, [kvHeads, count!, ...inner], dtype);
      this.#spans.push({ tensor, tokens });
      return tokensFirst(tensor);
    };
    const fixed = (numbers: Float32Array, shape: number[]) => {
      const tensor = ownTensor(rt, shape);
      this.#fixed.push(tensor);
      tensor.write(numbers);
      return tensor;
    };
    const shape = codeShape(format, 1, capacity, kvHeads, headDim);
    const numbers = scaleShape(format, 1, capacity, kvHeads, headDim);
    const numbered = plan.axis === 'channel' ? plan.group : block;
    const slots = [...shape.slice(0, 3), block, plan.outliers ?? 0];
    try {
      this.coded = {
        ...format,
        d: headDim,
        codes: spans('u8', shape, block),
        scale: plan.scale ? fixed(plan.scale, [kvHeads, headDim]) : spans('f32', numbers, numbered),
        offset: plan.offset
          ? fixed(plan.offset, [kvHeads, headDim])
          : plan.symmetric
            ? undefined
            : spans('f32', numbers, numbered),
        codebook: plan.codebook && fixed(plan.codebook, [2 ** plan.bits]),
        outlierIndex: plan.outliers ? spans('i32', slots, block) : undefined,
        outlierValue: plan.outliers ? spans('f32', slots, block) : undefined,
      };
      this.rest = restRows > 0 ? ownTensor(rt, [1, restRows, kvHeads, headDim], 'f32') : undefined;
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** Bytes of `tokens` coded tokens and of `rows` that are not. */
  bytes(tokens: number, rows: number): number {
    const { kvHeads, headDim } = this.#size;
    const held = this.#spans.reduce((sum, span) => sum + kvHeads * spanBytes(span, tokens), 0);
    const fixed = this.#fixed.reduce((sum, tensor) => sum + 4 * tensor.size, 0);
    return held + fixed + 4 * rows * kvHeads * headDim;
  }

  clone(): Side {
    const copy = new Side(this.#rt, this.#size, this.#of, this.#plan, this.rest?.shape[1] ?? 0);
    const all = (side: Side) => [...side.#spans.map(({ tensor }) => tensor), ...(side.rest ? [side.rest] : [])];
    const to = all(copy);
    for (const [i, from] of all(this).entries()) {
      this.#rt.move(to[i]!.address, from.address, from.size * bytesOf(from.dtype));
    }
    return copy;
  }

  /** Runs of bytes that hold `tokens` coded tokens and rows [row, row + rows). */
  *runs(tokens: number, row: number, rows: number): Generator<SavedRun> {
    const { kvHeads, headDim } = this.#size;
    for (const span of this.#spans) {
      const { address, dtype, strides, shape } = span.tensor;
      const stride = strides[0]! * bytesOf(dtype);
      // of whole numbers there are only channels of outliers
      const channels = dtype === 'i32' ? tokens * shape[3]! : 0;
      for (let h = 0; h < kvHeads; ++h) yield { at: address + h * stride, length: spanBytes(span, tokens), channels };
    }
    const bytes = 4 * kvHeads * headDim;
    if (this.rest) yield { at: this.rest.address + row * bytes, length: rows * bytes, channels: 0 };
  }

  dispose(): void {
    const all = [...this.#spans.map(({ tensor }) => tensor), ...this.#fixed, ...(this.rest ? [this.rest] : [])];
    for (const tensor of all) {
      if (tensor.block.disposed) continue;
      tensor.block.disposed = true;
      this.#rt.release(tensor.block.at);
    }
  }
}

function spanBytes({ tensor, tokens: each }: { tensor: Tensor; tokens: number }, tokens: number): number {
  return Math.ceil(tokens / each) * tensor.strides[1]! * bytesOf(tensor.dtype);
}

/** A run of saved bytes that begins with so many channels of outliers. */
interface SavedRun extends ByteRun {
  readonly channels: number;
}

/** Memory that layers share until one of them writes. */
interface Store {
  users: number;
  readonly keys: Side;
  readonly values: Side;
}

/** What is where: tokens before `coded` are codes, those behind lie in the rest from row `row` on. */
interface Place {
  readonly coded: number;
  readonly row: number;
}

interface State {
  readonly length: number;
  readonly keys: Place;
  readonly values: Place;
}

const EMPTY: State = { length: 0, keys: { coded: 0, row: 0 }, values: { coded: 0, row: 0 } };

/** Keys and values as codes, see `CodePlan`. */
class CodeLayer implements LayerCache {
  /** `attend` may be laid out behind `append` in the same program. */
  readonly joined = true;
  readonly #rt: Runtime;
  readonly #size: LayerSize;
  readonly #plan: CodePlan;
  #store: Store;
  #state: State = EMPTY;
  /** As it will be once the program in the making has run. */
  #next: State = EMPTY;
  #turning: { users: number; tensors: Turning } | undefined;
  #disposed = false;

  constructor(rt: Runtime, size: LayerSize, plan: CodePlan, from?: CodeLayer) {
    [this.#rt, this.#size, this.#plan] = [rt, size, plan];
    if (from) {
      this.#store = from.#store;
      this.#turning = from.#turning;
      this.#store.users++;
      if (this.#turning) this.#turning.users++;
      this.#state = from.#state;
      this.#next = from.#state;
      return;
    }
    const rows = 2 * plan.residual;
    const keys = new Side(rt, size, 'keys', plan.keys, rows);
    try {
      this.#store = { users: 1, keys, values: new Side(rt, size, 'values', plan.values, rows) };
    } catch (error) {
      keys.dispose();
      throw error;
    }
    if (!plan.rope) return;
    try {
      this.#turning = { users: 1, tensors: turningOf(rt, size, plan.rope) };
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  get length(): number {
    return this.#state.length;
  }

  get held(): number {
    return this.#state.length;
  }

  get bytes(): number {
    const { length, keys, values } = this.#state;
    const { cos, sin } = this.#turning?.tensors ?? {};
    return (
      this.#store.keys.bytes(keys.coded, length - keys.coded) +
      this.#store.values.bytes(values.coded, length - values.coded) +
      4 * ((cos?.size ?? 0) + (sin?.size ?? 0))
    );
  }

  reserve(count: number): void {
    const { layer, capacity } = this.#size;
    if (this.length + count <= capacity) return;
    throw new CacheFullError(
      `${count} tokens do not fit in a cache that holds ${this.length} of at most ${capacity} (layer ${layer}). ` +
        'Truncate, or make the cache with a larger capacity.',
    );
  }

  append(b: Builder, k: Tensor, v: Tensor): { commit(): void } {
    this.#own();
    const { keys, values, length } = this.#state;
    const next = length + k.shape[1]!;
    const { residual } = this.#plan;
    // keys become codes when there are as many as `residual`, all of them; values when they are so old
    const kCoded = residual ? Math.max(keys.coded, Math.floor(next / residual) * residual) : next;
    const vCoded = Math.max(values.coded, next - residual);
    this.#next = {
      length: next,
      keys: put(b, this.#store.keys, keys, length, k, kCoded),
      values: put(b, this.#store.values, values, length, v, vCoded),
    };
    return {
      commit: () => {
        this.#state = this.#next;
      },
    };
  }

  attend(b: Builder, { q, scale, softcap }: LayerQuery): { readonly o: Tensor } {
    const [, T, heads, D] = q.shape as [number, number, number, number];
    const { length, keys, values } = this.#next;
    const rest = (side: Side, { coded, row }: Place) => side.rest?.slice(1, row, row + length - coded) ?? q;
    const call: AttentionCall = {
      q: this.#turned(b, q, length - T),
      k: rest(this.#store.keys, keys),
      v: rest(this.#store.values, values),
      o: b.output([1, T, heads, D]),
      sequences: [{ batch: 0, qStart: 0, qLength: T, kStart: 0, kLength: length, offset: length - T }],
      scale,
      softcap,
      window: [-1, 0],
    };
    codeAttend(b, {
      call,
      kRows: this.#store.keys.coded,
      vRows: this.#store.values.coded,
      coded: [[keys.coded, values.coded]],
      turning: this.#turning?.tensors,
    });
    return { o: call.o };
  }

  fork(): LayerCache {
    return new CodeLayer(this.#rt, this.#size, this.#plan, this);
  }

  truncate(length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.length) {
      throw new OptionError(`truncate: length is ${length}, expected a whole number from 0 to ${this.length}`);
    }
    const { keys, values } = this.#state;
    const { axis, group, scale } = this.#plan.keys;
    let kept = keys;
    if (length < keys.coded) {
      const whole = axis === 'channel' && !scale ? Math.floor(length / group) * group : length;
      kept = { coded: whole, row: 0 };
      if (whole < length) {
        // what is left of a group of tokens goes back to the floats
        this.#own();
        const { coded, rest } = this.#store.keys;
        const rows = rest!.slice(1, 0, length - whole);
        runSync('truncate', { rows }, (b) => dequantizeRows(b, coded, rows, whole));
      }
    }
    this.#state = { length, keys: kept, values: length < values.coded ? { coded: length, row: 0 } : values };
    this.#next = this.#state;
  }

  /** Gives up what was laid out by a program that has not run. */
  release(): void {
    this.#next = this.#state;
  }

  clear(): void {
    this.#state = EMPTY;
    this.#next = EMPTY;
  }

  save(read: ReadBytes = liveBytes(this.#rt)): Uint8Array {
    const { length, keys, values } = this.#state;
    const writer = new SavedWriter();
    for (const count of [length, keys.coded, values.coded]) writer.count(count);
    for (const run of this.#runs(this.#state)) writer.room(run.length).set(read(run));
    return sealed(writer.bytes());
  }

  /** Takes what `save` gave. @throws CacheDataError if the bytes are not those of such a layer. */
  load(bytes: Uint8Array): void {
    const reader = new SavedReader(unsealed(bytes));
    const [length, kCoded, vCoded] = [reader.count('length'), reader.count('coded keys'), reader.count('coded values')];
    const { capacity } = this.#size;
    const { keys, residual } = this.#plan;
    if (length > capacity) throw new CacheDataError(`length is ${length}, expected at most the capacity, ${capacity}`);
    const step = keys.axis === 'channel' && !keys.scale ? keys.group : 1;
    for (const [name, coded, whole] of [
      ['keys', kCoded, step],
      ['values', vCoded, 1],
    ] as const) {
      if (coded > length || coded % whole !== 0 || length - coded > 2 * residual) {
        throw new CacheDataError(
          `${coded} of ${length} ${name} are coded, expected a multiple of ${whole} and at most ${2 * residual} others`,
        );
      }
    }
    const state = { length, keys: { coded: kCoded, row: 0 }, values: { coded: vCoded, row: 0 } };
    for (const { at, length: bytes, channels } of this.#runs(state)) {
      const rows = reader.take(bytes, 'rows');
      expectChannels(new Int32Array(rows.slice(0, 4 * channels).buffer), this.#size.headDim);
      this.#rt.write(at, rows);
    }
    reader.end();
    this.#state = state;
    this.#next = state;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (--this.#store.users === 0) {
      this.#store.keys.dispose();
      this.#store.values.dispose();
    }
    if (!this.#turning || --this.#turning.users > 0) return;
    for (const { block } of [this.#turning.tensors.cos, this.#turning.tensors.sin]) {
      block.disposed = true;
      this.#rt.release(block.at);
    }
  }

  *#runs({ length, keys, values }: State): Generator<SavedRun> {
    yield* this.#store.keys.runs(keys.coded, keys.row, length - keys.coded);
    yield* this.#store.values.runs(values.coded, values.row, length - values.coded);
  }

  /** Makes the memory this layer's own before it is written to. */
  #own(): void {
    if (this.#store.users === 1) return;
    const keys = this.#store.keys.clone();
    let values: Side;
    try {
      values = this.#store.values.clone();
    } catch (error) {
      keys.dispose();
      throw error;
    }
    this.#store.users--;
    this.#store = { users: 1, keys, values };
  }

  /** Queries of tokens from `start` on, turned as the keys are. */
  #turned(b: Builder, q: Tensor, start: number): Tensor {
    if (!this.#turning) return q;
    const { cos, sin, interleaved } = this.#turning.tensors;
    const T = q.shape[1]!;
    const at = (x: Tensor) => x.slice(0, start, start + T).reshape([1, T, x.shape[1]!]);
    const o = b.temporary(q.shape);
    rotate(b, { x: q, o, cos: at(cos), sin: at(sin), rotated: 2 * cos.shape[1]!, interleaved });
    return o;
  }
}

/** @throws CacheDataError if an outlier is in no channel. */
function expectChannels(channels: Int32Array, d: number): void {
  const wrong = channels.find((channel) => channel < 0 || channel >= d);
  if (wrong !== undefined) throw new CacheDataError(`an outlier is in channel ${wrong} of ${d}`);
}

/** Lays out that rows x follow the `length` tokens of a side, of which those before `coded` become codes. */
function put(b: Builder, side: Side, place: Place, length: number, x: Tensor, coded: number): Place {
  const { rest } = side;
  if (!rest) {
    quantizeRows(b, side.coded, x, place.coded);
    return { coded, row: 0 };
  }
  const [held, count] = [length - place.coded, x.shape[1]!];
  const leaving = coded - place.coded;
  const left = held + count - leaving;
  if (place.row + held + count <= rest.shape[1]!) {
    copyRows(b, x, rest.slice(1, place.row + held, place.row + held + count));
    if (leaving > 0) quantizeRows(b, side.coded, rest.slice(1, place.row, place.row + leaving), place.coded);
    return { coded, row: left === 0 ? 0 : place.row + leaving };
  }
  // no room behind the rows: all of them come together elsewhere, and what is not coded goes to the front
  const all = b.temporary([1, held + count, x.shape[2]!, x.shape[3]!]);
  if (held > 0) copyRows(b, rest.slice(1, place.row, place.row + held), all.slice(1, 0, held));
  copyRows(b, x, all.slice(1, held, held + count));
  if (leaving > 0) quantizeRows(b, side.coded, all.slice(1, 0, leaving), place.coded);
  if (left > 0) copyRows(b, all.slice(1, leaving, held + count), rest.slice(1, 0, left));
  return { coded, row: 0 };
}

/** Angles of all places that a layer has. */
function turningOf(rt: Runtime, { capacity, headDim }: LayerSize, rope: NonNullable<CodePlan['rope']>): Turning {
  const half = headDim / 2;
  const angles = rotaryAngles(
    Array.from({ length: capacity }, (_, i) => i),
    half,
    rope.theta,
  );
  const table = (numbers: Float32Array) => {
    const tensor = ownTensor(rt, [capacity, half], 'f32');
    tensor.write(numbers);
    return tensor;
  };
  return { cos: table(angles.cos), sin: table(angles.sin), interleaved: rope.interleaved };
}

/**
 * The cache of a layer by a plan: `int4Plan`, `kiviPlan`, `kvquantPlan`. Its memory is taken once, for `size.capacity` tokens; forks share
 * it until one of them is written to.
 *
 * @throws OptionError if the plan makes no sense for the layer.
 * @throws MemoryLimitError if the memory does not fit.
 */
export function codeLayer(rt: Runtime, size: LayerSize, plan: CodePlan): LayerCache {
  checkPlan('codeLayer', size, plan);
  return new CodeLayer(rt, size, plan);
}

/** A layer from what `save` of one of the same plan gave. @throws CacheDataError if the bytes are not such. */
export function restoreCodeLayer(rt: Runtime, size: LayerSize, plan: CodePlan, bytes: Uint8Array): LayerCache {
  checkPlan('restoreCodeLayer', size, plan);
  const layer = new CodeLayer(rt, size, plan);
  try {
    layer.load(bytes);
    return layer;
  } catch (error) {
    layer.dispose();
    throw error;
  }
}

/** Bytes of a coded token in one layer, of a cache so long that its fixed tables and floats do not count. */
export function codeBytesPerToken({ kvHeads, headDim }: LayerSize, plan: CodePlan): number {
  const bytes = (of: 'keys' | 'values', side: SidePlan) => {
    const format = formatOfSide(of, side);
    // a common multiple of blocks and groups
    const tokens = 64 * side.group;
    const numbers = side.scale ? 0 : 4 * sizeOf(scaleShape(format, 1, tokens, kvHeads, headDim));
    const codes = sizeOf(codeShape(format, 1, tokens, kvHeads, headDim));
    return (codes + numbers * (side.symmetric ? 1 : 2)) / tokens + 8 * kvHeads * (side.outliers ?? 0);
  };
  return bytes('keys', plan.keys) + bytes('values', plan.values);
}

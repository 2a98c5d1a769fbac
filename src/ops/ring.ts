/**
 * Attention to keys and values that are in shards along time, or come in shards.
 *
 * @module
 */
import { expectOperands } from '../engines/pattern-call.ts';
import { expectContiguous, expectNames, expectTypes, finite, matchShapes, whole } from '../engines/shapes.ts';
import { attendShard, rowsSeeing, type Shard, type ShardedCall } from '../engines/shards.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type AttentionResult, windowOf } from './attention.ts';

/** Operands of `ringAttention`; f32, f16 or bf16. */
export interface RingInputs {
  /** [B, Tq, Hq, D] */
  readonly q: Tensor;
  /** [B, Tk, Hkv, D], Hq a multiple of Hkv. */
  readonly k: Tensor;
  /** [B, Tk, Hkv, Dv] */
  readonly v: Tensor;
}

/** What is visible, and how scores are scaled. */
interface ShardOptions {
  /** Row i sees key j only if j <= i by their places. Default false. */
  readonly causal?: boolean;
  /** Places visible before and after a row's own; -1: no limit. Default [-1, -1]. */
  readonly window?: readonly [left: number, right: number];
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
  /** Scores become softcap * tanh(score / softcap). Default: none. */
  readonly softcap?: number;
}

/** Which tokens a shard has. */
export type RingLayout = 'contiguous' | 'zigzag' | 'striped';

/** Options of `ringAttention`; the last query is aligned with the last key. */
export interface RingOptions extends ShardOptions {
  /** How many shards of about one length, or the length of each (contiguous ones only). */
  readonly shards: number | readonly number[];
  /**
   * 'contiguous': runs of tokens. 'zigzag': shard s of n has runs s and 2n - 1 - s of 2n. 'striped': shard s has tokens s, s + n, s + 2n ...
   * Under a causal mask the first shard of the first kind is seen by all rows and the last by few; the steps of the other two are
   * about equally long. Default 'contiguous'.
   */
  readonly layout?: RingLayout;
}

/** Operands of `joinShard`. */
export interface JoinShardInputs extends RingInputs {
  /** f32 [B, Tq, Hq, Dv]: the result over other keys, which becomes that over these too. Without o and lse it is made. */
  readonly o?: Tensor;
  /** f32 [B, Tq, Hq]: -Infinity in rows that have seen no key; their o is not read. */
  readonly lse?: Tensor;
  /** i32 [Tq] and [n]: places of queries and keys that do not follow one another, as in striped shards; in place of qStart and kStart. */
  readonly qPositions?: Tensor;
  readonly kPositions?: Tensor;
}

/** Options of `joinShard`. */
export interface JoinShardOptions extends ShardOptions {
  /** Place of the first query. Default 0. */
  readonly qStart?: number;
  /** Place of the shard's first key. Default 0. */
  readonly kStart?: number;
}

const RING = 'ringAttention';
const JOIN = 'joinShard';
const LAYOUTS: readonly RingLayout[] = ['contiguous', 'zigzag', 'striped'];
const COMMON = ['causal', 'window', 'scale', 'softcap'];

type Sizes = Record<'B' | 'Tq' | 'Tk' | 'Hq' | 'Hkv' | 'D' | 'Dv', number>;

function sizesOf(op: string, { q, k, v }: RingInputs): Sizes {
  const sizes = matchShapes<'q' | 'k' | 'v'>(
    op,
    { q, k, v },
    { q: 'B Tq Hq D', k: 'B Tk Hkv D', v: 'B Tk Hkv Dv' },
  ) as Sizes;
  expectOperands(op, { q, k, v }, sizes);
  return sizes;
}

function common(op: string, options: ShardOptions, { D }: Sizes) {
  return {
    scale: finite(op, 'scale', options.scale, D ** -0.5),
    softcap: finite(op, 'softcap', options.softcap, 0, 0),
    window: windowOf(op, options),
  };
}

/** Boundaries of shards or runs of keys. @throws OptionError if they are not what `shards` may be. */
function boundaries({ shards, layout = 'contiguous' }: RingOptions, keys: number): readonly number[] {
  if (Array.isArray(shards)) {
    const lengths: readonly number[] = shards;
    const total = lengths.reduce((sum, n) => sum + n, 0);
    if (layout !== 'contiguous' || total !== keys || lengths.some((n) => !Number.isInteger(n) || n < 0)) {
      throw new OptionError(
        `${RING}: shards is [${lengths}] with layout '${layout}', expected lengths that add up to Tk = ${keys} and layout 'contiguous'`,
      );
    }
    let end = 0;
    return [0, ...lengths.map((n) => (end += n))];
  }
  if (shards === undefined) throw new OptionError(`${RING}: shards is missing, expected how many there are`);
  const n = whole(RING, 'shards', shards as number, 1, 1, 2 ** 20) * (layout === 'zigzag' ? 2 : 1);
  return Array.from({ length: n + 1 }, (_, i) => Math.floor((i * keys) / n));
}

/** The runs of keys of every step. */
function stepsOf(
  b: Builder,
  { k, v }: RingInputs,
  options: RingOptions,
  { Tq, Tk }: Sizes,
  window: readonly [number, number],
): Shard[][] {
  const { layout = 'contiguous' } = options;
  const ends = boundaries(options, Tk);
  const run = (i: number): Shard => ({
    k: k.slice(1, ends[i]!, ends[i + 1]!),
    v: v.slice(1, ends[i]!, ends[i + 1]!),
    offset: Tk - Tq - ends[i]!,
  });
  const n = ends.length - 1;
  if (layout === 'contiguous') return Array.from({ length: n }, (_, i) => [run(i)]);
  if (layout === 'zigzag') return Array.from({ length: n / 2 }, (_, i) => [run(i), run(n - 1 - i)]);
  const everyRow = window[0] < 0 && window[1] < 0;
  const rows = Int32Array.from({ length: Tq }, (_, i) => Tk - Tq + i);
  const q = everyRow ? undefined : b.constant(rows, [1, Tq]);
  return Array.from({ length: n }, (_, first) => {
    const count = Math.max(0, Math.ceil((Tk - first) / n));
    const stripe = (x: Tensor) => {
      const [strideB, strideT, ...inner] = x.strides as [number, number, number, number];
      const [batch, , heads, d] = x.shape as [number, number, number, number];
      return x.slice(1, Math.min(first, Tk), Tk).restride([batch, count, heads, d], [strideB, n * strideT, ...inner]);
    };
    const own = Int32Array.from({ length: count }, (_, i) => first + i * n);
    const firstRow = window[1] < 0 ? 0 : Math.max(0, Math.min(Tq, first - window[1] - (Tk - Tq)));
    const places = q && { q, k: b.constant(own, [1, count]), firstRow };
    return [{ k: stripe(k), v: stripe(v), offset: 0, places }];
  });
}

/** Lays out the call: a step for each shard, each with all the rows that see it. */
export function planRing(b: Builder, inputs: RingInputs, options: RingOptions): AttentionResult {
  expectNames(RING, 'input', inputs, ['q', 'k', 'v']);
  expectNames(RING, 'option', options, [...COMMON, 'shards', 'layout']);
  const { layout = 'contiguous' } = options;
  if (!LAYOUTS.includes(layout)) {
    throw new OptionError(
      `${RING}: layout is '${layout}', expected ${LAYOUTS.map((name) => `'${name}'`).join(' or ')}`,
    );
  }
  const sizes = sizesOf(RING, inputs);
  const { B, Tq, Hq, Dv } = sizes;
  const call: ShardedCall = {
    q: inputs.q,
    o: b.output([B, Tq, Hq, Dv]),
    lse: b.output([B, Tq, Hq]),
    ...common(RING, options, sizes),
  };
  const steps = stepsOf(b, inputs, options, sizes, call.window);
  let first = true;
  for (const shard of steps.flat()) {
    attendShard(b, call, shard, first);
    first = false;
  }
  noteSteps(b, steps, layout, sizes, call.window);
  return { o: call.o, lse: call.lse };
}

/** What each step computes, and what none does. */
function noteSteps(
  b: Builder,
  steps: readonly (readonly Shard[])[],
  layout: RingLayout,
  { Tq, Tk }: Sizes,
  window: readonly [number, number],
): void {
  b.note(() => {
    const longest = steps.reduce((most, runs) => Math.max(most, ...runs.map(({ k }) => k.shape[1]!)), 0);
    return `ring of ${steps.length} ${layout} shards: at most ${longest} of ${Tk} keys and values are packed at a time`;
  });
  b.note(() => {
    let skipped = 0;
    let blocks = 0;
    const rows = steps.map((runs) =>
      runs.map(({ k, offset, places }) => {
        const [low, high] = places ? [places.firstRow, Tq] : rowsSeeing(Tq, k.shape[1]!, offset, window);
        blocks += 1;
        if (low >= high) skipped += 1;
        return high - low;
      }),
    );
    const shown = rows.slice(0, 16).map((counts) => counts.join(' + '));
    const more = rows.length > shown.length ? ', ...' : '';
    const seen = rows.flat().reduce((sum, n) => sum + n, 0);
    const percent = blocks * Tq === 0 ? 0 : (100 * (1 - seen / (blocks * Tq))).toFixed(1);
    return `rows of each step: ${shown.join(', ')}${more}; ${percent} % of rows and shards are skipped, ${skipped} shards altogether`;
  });
}

/** The places of a shard's queries and keys, if those of either are given. */
function placesOf(
  b: Builder,
  { qPositions, kPositions }: JoinShardInputs,
  { Tq, Tk }: Sizes,
  qStart: number,
  kStart: number,
): Shard['places'] {
  matchShapes(JOIN, { qPositions, kPositions }, { qPositions: `?${Tq}`, kPositions: `?${Tk}` });
  expectTypes(JOIN, { qPositions, kPositions }, ['i32']);
  expectContiguous(JOIN, { qPositions, kPositions });
  if (!qPositions && !kPositions) return undefined;
  const run = (start: number, n: number) =>
    b.constant(
      Int32Array.from({ length: n }, (_, i) => start + i),
      [1, n],
    );
  return {
    q: qPositions?.reshape([1, Tq]) ?? run(qStart, Tq),
    k: kPositions?.reshape([1, Tk]) ?? run(kStart, Tk),
    firstRow: 0,
  };
}

/** Lays out the call. */
export function planJoinShard(b: Builder, inputs: JoinShardInputs, options: JoinShardOptions): AttentionResult {
  expectNames(JOIN, 'input', inputs, ['q', 'k', 'v', 'o', 'lse', 'qPositions', 'kPositions']);
  expectNames(JOIN, 'option', options, [...COMMON, 'qStart', 'kStart']);
  const sizes = sizesOf(JOIN, inputs);
  const { B, Tq, Hq, Dv } = sizes;
  const { o, lse } = inputs;
  if ((o === undefined) !== (lse === undefined)) {
    throw new OptionError(`${JOIN}: ${o ? 'o' : 'lse'} was given alone, expected o and lse of other keys, or neither`);
  }
  matchShapes(JOIN, { o, lse }, { o: `?${B} ${Tq} ${Hq} ${Dv}`, lse: `?${B} ${Tq} ${Hq}` });
  expectTypes(JOIN, { o, lse }, ['f32']);
  expectContiguous(JOIN, { o, lse });
  for (const [name, input] of Object.entries({ q: inputs.q, k: inputs.k, v: inputs.v })) {
    if (o && (input.block === o.block || input.block === lse!.block)) {
      throw new ShapeError(
        `${JOIN}: ${name} lies in the memory of o or lse, which are written to; expected tensors of their own`,
      );
    }
  }
  if (o && o.block === lse!.block) {
    throw new ShapeError(`${JOIN}: o and lse lie in one tensor, expected tensors of their own`);
  }
  const call: ShardedCall = {
    q: inputs.q,
    o: o ?? b.output([B, Tq, Hq, Dv]),
    lse: lse ?? b.output([B, Tq, Hq]),
    ...common(JOIN, options, sizes),
  };
  const qStart = whole(JOIN, 'qStart', options.qStart, 0, 0, 2 ** 30);
  const kStart = whole(JOIN, 'kStart', options.kStart, 0, 0, 2 ** 30);
  const places = placesOf(b, inputs, sizes, qStart, kStart);
  const limited = call.window[0] >= 0 || call.window[1] >= 0;
  const shard = { k: inputs.k, v: inputs.v, offset: qStart - kStart, places: limited ? places : undefined };
  const rows = attendShard(b, call, shard, o === undefined);
  b.note(() => `${rows} of ${Tq} rows see this shard${rows === 0 ? ', which is skipped' : ''}`);
  return { o: call.o, lse: call.lse };
}

/**
 * Attention over shards of keys and values, one shard after another: each step joins o and lse with what they hold of the shards before it.
 * The same as `attention`, for any number of shards. Packed keys and values of one shard are all that a step needs besides the operands; steps
 * pass over the rows that see nothing of their shard, so that a causal mask costs half. Where shards arrive one by one or come from other
 * devices, use `joinShard`.
 *
 * Shapes: q [B, Tq, Hq, D], k [B, Tk, Hkv, D], v [B, Tk, Hkv, Dv] -> o [B, Tq, Hq, Dv], lse [B, Tq, Hq].
 *
 * Source: Ring Attention (Liu 2023), Striped Attention (Brandon 2023); reference implementation ring-flash-attention.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await ringAttention({ q, k, v }, { shards: 8, causal: true })
 */
export function ringAttention(inputs: RingInputs, options: RingOptions): Promise<AttentionResult> {
  return run(RING, inputs, (b) => planRing(b, inputs, options ?? {}));
}

/** As `ringAttention`, to the end before it returns. */
export function ringAttentionSync(inputs: RingInputs, options: RingOptions): AttentionResult {
  return runSync(RING, inputs, (b) => planRing(b, inputs, options ?? {}));
}

/**
 * One step of ring attention: attention of q to one shard of keys and values, joined with o and lse, which hold the result over other keys
 * and are written over. Shards may come in any order and one by one; q, o and lse are all that is kept between them. Places say which keys a
 * row sees: query i is at qStart + i and key j at kStart + j, or where positions say. Without o and lse the result over this shard alone is returned.
 *
 * Shapes: q [B, Tq, Hq, D], k [B, n, Hkv, D], v [B, n, Hkv, Dv], o [B, Tq, Hq, Dv], lse [B, Tq, Hq] -> o, lse.
 *
 * Source: Ring Attention (Liu 2023); the rule by which results are joined is that of `mergeState`.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit; o and lse are then as before.
 * @example
 * let result = await joinShard({ q, k: k.slice(1, 0, 64), v: v.slice(1, 0, 64) }, { causal: true })
 * result = await joinShard({ q, k: k.slice(1, 64, 96), v: v.slice(1, 64, 96), ...result }, { causal: true, kStart: 64 })
 */
export function joinShard(inputs: JoinShardInputs, options: JoinShardOptions = {}): Promise<AttentionResult> {
  return run(JOIN, inputs, (b) => planJoinShard(b, inputs, options));
}

/** As `joinShard`, to the end before it returns. */
export function joinShardSync(inputs: JoinShardInputs, options: JoinShardOptions = {}): AttentionResult {
  return runSync(JOIN, inputs, (b) => planJoinShard(b, inputs, options));
}

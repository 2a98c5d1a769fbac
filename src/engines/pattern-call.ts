/**
 * Self-attention over a fixed pattern: the checks that all patterns share, and views of a call.
 *
 * @module
 */
import { OptionError, ShapeError } from '../errors.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type AttentionCall, MOST_DIM } from './attention-call.ts';
import type { SequenceSpan } from './sequences.ts';
import { expectNames, expectRows, expectTypes, finite, matchShapes, type Sizes, whole } from './shapes.ts';

/** Operands of a method with a fixed pattern. */
export interface PatternInputs {
  /** [B, T, Hq, D]; f32, f16 or bf16. */
  readonly q: Tensor;
  /** [B, T, Hkv, D], Hq a multiple of Hkv; f32, f16 or bf16. */
  readonly k: Tensor;
  /** [B, T, Hkv, Dv]; f32, f16 or bf16. */
  readonly v: Tensor;
}

/** Options of a method with a fixed pattern. */
export interface PatternOptions {
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
}

/** Results of a method with a fixed pattern. */
export interface PatternResult {
  /** f32 [B, T, Hq, Dv] */
  readonly o: Tensor;
  /** f32 [B, T, Hq]: natural log of the row's denominator. */
  readonly lse: Tensor;
}

/** A call whose results are its own. */
export type PatternCall = AttentionCall & { readonly lse: Tensor };

/** Lengths of a call. */
export type PatternSizes = Readonly<Record<'B' | 'T' | 'Hq' | 'Hkv' | 'D' | 'Dv', number>>;

/** Names of inputs and options that a method has besides those of all patterns, and shapes of such inputs. */
export interface Extras {
  readonly inputs?: Readonly<Record<string, string>>;
  readonly options?: readonly string[];
}

/** Checks operands and states the call: every query sees every key of its batch. */
export function patternCall(
  b: Builder,
  op: string,
  inputs: PatternInputs,
  options: PatternOptions,
  { inputs: more = {}, options: known = [] }: Extras = {},
): { call: PatternCall; sizes: PatternSizes & Sizes } {
  expectNames(op, 'input', inputs, ['q', 'k', 'v', ...Object.keys(more)]);
  expectNames(op, 'option', options, [...known, 'scale']);
  const sizes = matchShapes<string>(
    op,
    { ...inputs },
    { q: 'B T Hq D', k: 'B T Hkv D', v: 'B T Hkv Dv', ...more },
  ) as PatternSizes & Sizes;
  const { q, k, v } = inputs;
  expectOperands(op, { q, k, v }, sizes);
  const { B, T, Hq, D, Dv } = sizes;
  const call = {
    q,
    k,
    v,
    o: b.output([B, T, Hq, Dv]),
    lse: b.output([B, T, Hq]),
    sequences: wholeSequences(B, T),
    scale: finite(op, 'scale', options.scale, D ** -0.5),
    softcap: 0,
    window: [-1, -1] as const,
  };
  return { call, sizes };
}

/** @throws ShapeError, DTypeError unless heads can share keys and the engines take the operands. */
export function expectOperands(
  op: string,
  { q, k, v }: PatternInputs,
  { Hq, Hkv, D, Dv }: { readonly [name in 'Hq' | 'Hkv' | 'D' | 'Dv']: number },
): void {
  if (Hkv === 0 || Hq % Hkv !== 0) {
    throw new ShapeError(`${op}: ${Hq} query heads cannot share ${Hkv} key/value heads: Hq must be a multiple of Hkv`);
  }
  if (D < 1 || D > MOST_DIM || Dv < 1 || Dv > MOST_DIM) {
    throw new ShapeError(`${op}: head dimensions are ${D} and ${Dv}, expected 1 to ${MOST_DIM}`);
  }
  expectTypes(op, { q, k, v }, ['f32', 'f16', 'bf16']);
  expectRows(op, { q, k, v });
}

/** A whole number that must be given. @throws OptionError if it is missing, not whole or not in [low, high]. */
export function required(op: string, name: string, value: number | undefined, low: number, high?: number): number {
  if (value === undefined) throw new OptionError(`${op}: ${name} is missing, expected a whole number from ${low}`);
  return whole(op, name, value, low, low, high);
}

/** One sequence for each batch entry, each query at its own key. */
export function wholeSequences(batches: number, length: number): SequenceSpan[] {
  return Array.from({ length: batches }, (_, batch) => ({
    batch,
    qStart: 0,
    qLength: length,
    kStart: 0,
    kLength: length,
    offset: 0,
  }));
}

/** The call on query heads [from, to), which begin and end with a key/value head or lie within one. */
export function headsOf(call: PatternCall, from: number, to: number): PatternCall {
  const group = call.q.shape[2]! / call.k.shape[2]!;
  const [first, last] = [Math.floor(from / group), Math.ceil(to / group)];
  return {
    ...call,
    q: call.q.slice(2, from, to),
    k: call.k.slice(2, first, last),
    v: call.v.slice(2, first, last),
    o: call.o.slice(2, from, to),
    lse: call.lse.slice(2, from, to),
    outScale: call.outScale?.slice(0, from, to),
  };
}

/** The call on one batch entry. */
function batchOf(call: PatternCall, batch: number): PatternCall {
  const entry = (x: Tensor) => x.slice(0, batch, batch + 1);
  return {
    ...call,
    q: entry(call.q),
    k: entry(call.k),
    v: entry(call.v),
    o: entry(call.o),
    lse: entry(call.lse),
    sequences: call.sequences.filter((s) => s.batch === batch).map((s) => ({ ...s, batch: 0 })),
  };
}

/** A range of query heads for `headsOf`. */
export interface HeadRun<Plan> {
  readonly from: number;
  readonly to: number;
  readonly plan: Plan;
}

/** Neighbouring query heads of one plan, in ranges that hold whole key/value heads or lie within one. */
export function headRuns<Plan>(
  plans: readonly Plan[],
  group: number,
  same: (a: Plan, b: Plan) => boolean,
): HeadRun<Plan>[] {
  const runs: HeadRun<Plan>[] = [];
  for (let first = 0; first < plans.length; first += group) {
    const end = first + group;
    for (let from = first; from < end; ) {
      const plan = plans[from]!;
      let to = from + 1;
      while (to < end && same(plans[to]!, plan)) ++to;
      const last = runs.at(-1);
      const joins = to - from === group && last && last.from % group === 0 && last.to === from && same(last.plan, plan);
      if (joins) runs[runs.length - 1] = { ...last, to };
      else runs.push({ from, to, plan });
      from = to;
    }
  }
  return runs;
}

/**
 * The call with every `step`-th token of a batch entry as a sequence of its own, nothing copied. One call for all entries where strides
 * allow it, else one for each.
 *
 * @param offset where the first query of such a sequence stands among its keys: at -1 the keys before its own are seen by a causal window
 */
export function residuesOf(call: PatternCall, step: number, offset = 0): PatternCall[] {
  const [batches, length] = call.q.shape as [number, number];
  const dense = (x: Tensor) => x.strides[0] === length * x.strides[1]!;
  if (batches > 1 && ![call.q, call.k, call.v, call.o, call.lse].every(dense)) {
    return Array.from({ length: batches }, (_, batch) => residuesOf(batchOf(call, batch), step, offset)).flat();
  }
  // the first token of a sequence, counted through all entries, takes the place of its batch
  const spread = (x: Tensor) => {
    const time = x.strides[1]!;
    const shape = [batches * length, Math.ceil(length / step), ...x.shape.slice(2)];
    return x.restride(shape, [time, step * time, ...x.strides.slice(2)]);
  };
  const sequences: SequenceSpan[] = [];
  for (let batch = 0; batch < batches; ++batch) {
    for (let first = 0; first < Math.min(step, length); ++first) {
      const count = Math.ceil((length - first) / step);
      sequences.push({ batch: batch * length + first, qStart: 0, qLength: count, kStart: 0, kLength: count, offset });
    }
  }
  const { q, k, v, o, lse } = call;
  return [{ ...call, q: spread(q), k: spread(k), v: spread(v), o: spread(o), lse: spread(lse), sequences }];
}

/** The call with every block of `size` tokens as a sequence of its own, which sees the block `seen` of its keys. */
export function blocksOf(
  call: PatternCall,
  size: number,
  seen: (block: number) => number = (block) => block,
): PatternCall {
  const length = call.q.shape[1]!;
  const sequences = call.sequences.flatMap(({ batch }) =>
    Array.from({ length: Math.ceil(length / size) }, (_, block) => {
      const [qStart, kStart] = [block * size, seen(block) * size];
      const qLength = Math.min(size, length - qStart);
      const kLength = Math.min(size, length - kStart);
      return { batch, qStart, qLength, kStart, kLength, offset: qStart - kStart };
    }),
  );
  return { ...call, sequences };
}

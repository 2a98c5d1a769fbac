/**
 * Attention of sequences that begin alike.
 *
 * @module
 */
import { packed } from '../engines/copy.ts';
import { expectOperands } from '../engines/pattern-call.ts';
import { type SequenceSpan, sequencesOf } from '../engines/sequences.ts';
import { expectNames, expectRows, expectTypes, finite, flag, integers, matchShapes } from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import { bytesOf, type Tensor } from '../tensor.ts';
import { type AttentionResult, attend } from './attention.ts';

/** One tensor, or one for each level of prefixes, the one that most sequences share first. */
export type Levels = Tensor | readonly Tensor[];

/** Operands of `cascadeAttention`. */
export interface CascadeInputs {
  /** `[B, Tq, Hq, D]`: queries of the newest tokens; f32, f16 or bf16. */
  readonly q: Tensor;
  /**
   * [n, P, Hkv, D], B a multiple of n: prefix e is that of sequences e B / n to (e + 1) B / n - 1. n = 1: of all. A list: prefixes behind
   * prefixes, each with an n and P of its own.
   */
  readonly prefixK: Levels;
  /** [n, P, Hkv, Dv] */
  readonly prefixV: Levels;
  /** i32 [n]: keys of each prefix; those past it are hidden. */
  readonly prefixLens?: Levels;
  /** [B, Tk, Hkv, D] and [B, Tk, Hkv, Dv]: what each sequence has for itself. */
  readonly k: Tensor;
  readonly v: Tensor;
  /** i32 [B]: keys of each sequence's own. */
  readonly kvLens?: Tensor;
}

/** Options of `cascadeAttention`. */
export interface CascadeOptions {
  /** Rows of q are the last tokens of k, and see no later ones. Default false. */
  readonly causal?: boolean;
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
  /** Scores become softcap * tanh(score / softcap). Default: none. */
  readonly softcap?: number;
}

const OP = 'cascadeAttention';

/** The tensors of all levels. */
function listed(levels: Levels | undefined): readonly Tensor[] {
  return levels === undefined ? [] : Array.isArray(levels) ? levels : [levels as Tensor];
}

/** All tensors by name. */
function flat({ prefixK, prefixV, prefixLens, ...own }: CascadeInputs): Record<string, Tensor | undefined> {
  const all: Record<string, Tensor | undefined> = { ...own };
  for (const [name, levels] of Object.entries({ prefixK, prefixV, prefixLens })) {
    for (const [i, tensor] of listed(levels).entries()) all[Array.isArray(levels) ? `${name}[${i}]` : name] = tensor;
  }
  return all;
}

/** Lays out the call. */
export function planCascade(b: Builder, inputs: CascadeInputs, options: CascadeOptions): AttentionResult {
  expectNames(OP, 'input', inputs, ['q', 'prefixK', 'prefixV', 'prefixLens', 'k', 'v', 'kvLens']);
  expectNames(OP, 'option', options, ['causal', 'scale', 'softcap']);
  const { prefixK, prefixV, prefixLens } = inputs;
  const levels = listed(prefixK);
  const [values, lengths] = [listed(prefixV), listed(prefixLens)];
  if (levels.length !== values.length || (prefixLens && levels.length !== lengths.length)) {
    throw new OptionError(
      `${OP}: prefixK has ${levels.length} levels, prefixV ${values.length}` +
        `${prefixLens ? `, prefixLens ${lengths.length}` : ''}; expected a tensor of each for every level`,
    );
  }
  const own = { q: 'B Tq Hq D', k: 'B Tk Hkv D', v: 'B Tk Hkv Dv', kvLens: '?B' };
  const patterns: Record<string, string> = { ...own, ...(prefixK === undefined && { prefixK: 'n P Hkv D' }) };
  const named = flat(inputs);
  for (const name of Object.keys(named)) {
    const level = /\[(\d+)\]/.exec(name)?.[1] ?? '';
    if (name.startsWith('prefixK')) patterns[name] = `n${level} P${level} Hkv D`;
    if (name.startsWith('prefixV')) patterns[name] = `n${level} P${level} Hkv Dv`;
    if (name.startsWith('prefixLens')) patterns[name] = `n${level}`;
  }
  const sizes = matchShapes<string>(OP, named, patterns) as Record<
    'B' | 'Tq' | 'Tk' | 'Hq' | 'Hkv' | 'D' | 'Dv',
    number
  >;
  const { B, Tq, Tk, Hq, D, Dv } = sizes;
  const { q, k, v, kvLens } = inputs;
  expectOperands(OP, { q, k, v }, sizes);
  for (const [i, shared] of levels.entries()) {
    const n = shared.shape[0]!;
    if (n === 0 || B % n !== 0) {
      throw new ShapeError(
        `${OP}: level ${i} has ${n} prefixes for ${B} sequences, expected a number that divides them: ` +
          'as many sequences share each prefix',
      );
    }
  }
  const prefixes = Object.fromEntries(Object.entries(named).filter(([name]) => /^prefix[KV]/.test(name)));
  expectTypes(OP, prefixes, ['f32', 'f16', 'bf16']);
  expectRows(OP, prefixes);
  const causal = flag(OP, 'causal', options.causal);
  const sequences = sequencesOf(OP, { B, Tq, Tk }, { kvLens });
  const short = causal ? sequences.find(({ kLength }) => kLength < Tq) : undefined;
  if (short && levels.length > 0) {
    throw new ShapeError(
      `${OP}: sequence ${short.batch} has ${short.kLength} keys of its own for ${Tq} causal queries, expected at least as many: ` +
        "the queries' own tokens belong into k and v, not into a prefix",
    );
  }
  const [o, lse] = [b.output([B, Tq, Hq, Dv]), b.output([B, Tq, Hq])];
  const common = {
    scale: finite(OP, 'scale', options.scale, D ** -0.5),
    softcap: finite(OP, 'softcap', options.softcap, 0, 0),
  };
  let queries = q;
  for (const [i, shared] of levels.entries()) {
    const n = shared.shape[0]!;
    const rows = (B / n) * Tq;
    // all queries that share a prefix are those of one long sequence
    const joined = B === n || Tq === 1 || queries.strides[0] === Tq * queries.strides[1]!;
    if (!joined) queries = packed(b, q);
    const step = Tq === 1 ? queries.strides[0]! : queries.strides[1]!;
    const [strideB, , strideH, one] = queries.strides as [number, number, number, number];
    attend(b, {
      ...common,
      q: queries.restride([n, rows, Hq, D], [(B / n) * strideB, step, strideH, one]),
      k: shared,
      v: values[i]!,
      o: o.reshape([n, rows, Hq, Dv]),
      lse: lse.reshape([n, rows, Hq]),
      sequences: prefixSpans(shared, lengths[i], rows),
      window: [-1, -1],
      accumulate: i > 0 && 'join',
    });
    noteLevel(b, i, B / n, shared, values[i]!);
  }
  attend(b, {
    ...common,
    q,
    k,
    v,
    o,
    lse,
    sequences,
    window: [-1, causal ? 0 : -1],
    accumulate: levels.length > 0 && 'join',
  });
  return { o, lse };
}

/** The sequences of one level: all queries of a prefix see all of it. */
function prefixSpans(prefix: Tensor, lengths: Tensor | undefined, rows: number): SequenceSpan[] {
  const [n, most] = prefix.shape as [number, number];
  const held = lengths && integers(OP, 'prefixLens', lengths);
  const wrong = held?.findIndex((length) => length < 0 || length > most) ?? -1;
  if (wrong >= 0) throw new ShapeError(`${OP}: prefixLens[${wrong}] is ${held![wrong]}, expected 0 to P = ${most}`);
  return Array.from({ length: n }, (_, batch) => {
    const kLength = held?.[batch] ?? most;
    return { batch, qStart: 0, qLength: rows, kStart: 0, kLength, offset: 0 };
  });
}

function noteLevel(b: Builder, level: number, sharing: number, k: Tensor, v: Tensor): void {
  b.note(() => {
    const [n, length] = k.shape as [number, number];
    const bytes = k.size * bytesOf(k.dtype) + v.size * bytesOf(v.dtype);
    return (
      `level ${level}: ${n} prefixes of ${length} keys, each read once for ${sharing} sequences: ` +
      `${bytes} bytes in place of ${bytes * sharing}`
    );
  });
}

/**
 * Attention of sequences that begin alike: all that share a prefix attend to it as one long batch of queries, so that it is read once for
 * all of them; each attends to its own keys besides, and the results are joined by their lse. The same as `attention` over
 * [prefixes, own keys] of every sequence.
 *
 * Shapes: q [B, Tq, Hq, D], prefixK [n, P, Hkv, D], prefixV [n, P, Hkv, Dv], k [B, Tk, Hkv, D], v [B, Tk, Hkv, Dv] -> o [B, Tq, Hq, Dv],
 * lse [B, Tq, Hq].
 *
 * Source: FlashInfer (Ye 2025), cascade attention; Hydragen (Juravsky 2024).
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await cascadeAttention({ q, prefixK, prefixV, k, v }, { causal: true })
 */
export function cascadeAttention(inputs: CascadeInputs, options: CascadeOptions = {}): Promise<AttentionResult> {
  return run(OP, flat(inputs), (b) => planCascade(b, inputs, options));
}

/** As `cascadeAttention`, to the end before it returns. */
export function cascadeAttentionSync(inputs: CascadeInputs, options: CascadeOptions = {}): AttentionResult {
  return runSync(OP, flat(inputs), (b) => planCascade(b, inputs, options));
}

/**
 * ONNX FlexAttention, ai.onnx.preview 1.
 *
 * @module
 */
import { type AttentionCall, MOST_DIM } from '../engines/attention-call.ts';
import { type Expression, evaluate } from '../engines/expression.ts';
import { softmax } from '../engines/features.ts';
import { gemm, gemmPack, packedSize } from '../engines/gemm.ts';
import type { SequenceSpan } from '../engines/sequences.ts';
import { expectContiguous, expectNames, expectTypes, finite, matchShapes } from '../engines/shapes.ts';
import { ShapeError } from '../errors.ts';
import { attend } from '../ops/attention.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import { bytesOf, contiguousStrides, sizeOf, type Tensor } from '../tensor.ts';
import { expectFloatType, expectTensors } from './attributes.ts';
import { GraphReader, type ModifierGraph } from './modifier-graph.ts';
import { round, unrounded, widened } from './rows.ts';
import { type Affine, affineOf, type PerHead, perHead, probFactor, type ScoreForm, scoreForm } from './score-form.ts';
import { apply, scalar, type Term } from './term.ts';

/** Operands of `FlexAttention`, all contiguous. */
export interface FlexAttentionInputs {
  /** [B, Hq, L, E]; f32, f16 or bf16. */
  readonly Q: Tensor;
  /** [B, Hkv, S, E], Hq a multiple of Hkv; of Q's type. */
  readonly K: Tensor;
  /** [B, Hkv, S, Ev]; of Q's type. */
  readonly V: Tensor;
}

/** Attributes of `FlexAttention`. */
export interface FlexAttentionAttributes {
  /** Factor on Q K. Default E^-1/2. */
  readonly scale?: number;
  /** A TensorProto.DataType; the softmax is computed in float32 in any case. */
  readonly softmax_precision?: number;
  /** From the scaled scores [B, Hq, L, S] to those that the softmax takes. Default: as they are. */
  readonly score_mod?: ModifierGraph;
  /** From the weights [B, Hq, L, S] to those that the values are summed with. Default: as they are. */
  readonly prob_mod?: ModifierGraph;
}

/** Results of `FlexAttention`. */
export interface FlexAttentionOutputs {
  /** [B, Hq, L, Ev] of Q's type. */
  readonly Y: Tensor;
}

const OP = 'FlexAttention';
/** Most elements of the scores that are in memory at once where a subgraph needs them. */
const MAP_ELEMENTS = 2 ** 20;

/** Constants of terms as tensors [B, H, T, n], each made once. */
type Constants = Map<Term, Tensor>;

function constantTensor(b: Builder, term: Extract<Term, { kind: 'constant' }>, constants: Constants): Tensor {
  let tensor = constants.get(term);
  if (!tensor) {
    tensor = b.temporary([1, 1, 1, 1, ...term.shape].slice(-4));
    tensor.write(term.data);
    constants.set(term, tensor);
  }
  return tensor;
}

/** What the kernel computes for a term; of constants along the rows it sees those of `range`, all without one. */
function expressionOf(
  b: Builder,
  root: Term,
  constants: Constants,
  range?: readonly [begin: number, end: number],
): Expression {
  const done = new Map<Term, Expression>();
  const make = (term: Term): Expression => {
    if (term.kind === 'scores') return { kind: 'input' };
    if (term.kind === 'apply') {
      return { kind: 'apply', operation: term.operation, operands: term.operands.map(visit) };
    }
    if (term.data.length === 1) return { kind: 'constant', value: term.data[0]! };
    const tensor = constantTensor(b, term, constants);
    return { kind: 'tensor', tensor: range && tensor.shape[2]! > 1 ? tensor.slice(2, ...range) : tensor };
  };
  const visit = (term: Term): Expression => {
    const known = done.get(term) ?? make(term);
    done.set(term, known);
    return known;
  };
  return visit(root);
}

/** Slopes of a term slope_h * |i - j + offset|, if it is one. */
function slopesOf(term: Term): { slopes: PerHead; offset: number } | undefined {
  if (term.kind !== 'apply') return undefined;
  const [x, y] = term.operands;
  if (term.operation === 'neg') {
    const inner = slopesOf(x!);
    return inner && { ...inner, slopes: inner.slopes.map((slope) => -slope) };
  }
  if (term.operation === 'mul') {
    const [factor, rest] = perHead(x!) ? [perHead(x!), y!] : [perHead(y!), x!];
    const inner = factor && slopesOf(rest);
    if (!inner || inner.slopes.length > 1) return undefined;
    return { ...inner, slopes: factor.map((value) => value * inner.slopes[0]!) };
  }
  const distance = term.operation === 'abs' ? affineOf(x!) : undefined;
  if (!distance || [distance.row, distance.key, distance.constant].some((part) => part.length > 1)) return undefined;
  const [row, key, constant] = [distance.row[0]!, distance.key[0]!, distance.constant[0]!];
  if (row === 0 || row !== -key || !Number.isInteger(constant / row)) return undefined;
  return { slopes: Float64Array.of(Math.abs(row)), offset: constant / row };
}

/** Biases by how the engine takes them. */
interface Biases {
  /** Slope of each key, per head. */
  key: PerHead | undefined;
  alibi: { slopes: PerHead; offset: number } | undefined;
  /** All others. */
  rest: Term[];
}

function isFiniteAffine(affine: Affine): boolean {
  return [affine.row, affine.key, affine.constant].every((part) => part.every(Number.isFinite));
}

function sortBiases({ biases, low, high }: ScoreForm): Biases {
  const sorted: Biases = { key: undefined, alibi: undefined, rest: [] };
  for (const bias of biases) {
    const affine = affineOf(bias);
    const alibi = slopesOf(bias);
    if (affine && isFiniteAffine(affine)) {
      // what is the same for all keys of a row makes no difference to its softmax
      const [more, known] = [affine.key, sorted.key ?? Float64Array.of(0)];
      const length = Math.max(more.length, known.length);
      sorted.key = Float64Array.from({ length }, (_, h) => more[h % more.length]! + known[h % known.length]!);
    } else if (
      alibi &&
      !sorted.alibi &&
      alibi.slopes.every(Number.isFinite) &&
      low <= alibi.offset &&
      alibi.offset <= high
    ) {
      sorted.alibi = alibi;
    } else {
      sorted.rest.push(bias);
    }
  }
  return sorted;
}

/** The key that row 0 is aligned with, and the keys before and after it that a window shows. */
function aligned(low: number, high: number, alibi: number | undefined) {
  const offset = alibi ?? (Number.isFinite(high) ? high : Number.isFinite(low) ? low : 0);
  const left = Number.isFinite(low) ? offset - low : -1;
  const right = Number.isFinite(high) ? high - offset : -1;
  return { offset, window: [left, right] as const };
}

/** f32 [Hq] of numbers for all heads or each. */
function headTensor(b: Builder, values: PerHead, heads: number): Tensor {
  const tensor = b.temporary([heads]);
  tensor.write(Array.from({ length: heads }, (_, h) => values[h % values.length]!));
  return tensor;
}

/** Numbers as a GPU keeps a wide key bias: an f32 and what it leaves over. */
function pairs(numbers: Float64Array): Float32Array {
  return Float32Array.from({ length: 2 * numbers.length }, (_, i) => {
    const x = numbers[i >> 1]!;
    return i % 2 === 0 ? x : x - Math.fround(x);
  });
}

/** The options of an attention call that do what a form says. */
function callOf(
  b: Builder,
  form: ScoreForm,
  sizes: Record<'B' | 'Hq' | 'L' | 'S', number>,
): Partial<AttentionCall> & Pick<AttentionCall, 'sequences' | 'window' | 'softcap'> {
  const { B, Hq, L, S } = sizes;
  const { key, alibi, rest } = sortBiases(form);
  const { offset, window } = aligned(form.low, form.high, alibi?.offset);
  const kLength = form.low > form.high ? 0 : S;
  const sequences = Array.from({ length: B }, (_, batch): SequenceSpan => {
    return { batch, qStart: 0, qLength: L, kStart: 0, kLength, offset };
  });
  let keyBias: Tensor | undefined;
  if (key?.some((slope) => slope !== 0)) {
    keyBias = b.temporary([1, S, key.length, 2]);
    const sums = Float64Array.from(
      { length: S * key.length },
      (_, n) => Math.floor(n / key.length) * key[n % key.length]!,
    );
    b.runtime.write(keyBias.address, b.runtime.backend === 'webgpu' ? pairs(sums) : sums);
    keyBias = keyBias.broadcast([B, S, Hq, 2]);
  }
  let bias: Tensor | undefined;
  if (rest.length > 0) {
    const total = rest.reduce((sum, term) => apply('add', 'float', sum, term)!);
    const shape = [1, 1, 1, 1, ...total.shape].slice(-4);
    shape[3] = S;
    bias = b.temporary(shape);
    evaluate(b, expressionOf(b, total, new Map()), bias);
    bias = bias.broadcast([B, Hq, L, S]);
  }
  return {
    sequences,
    window,
    softcap: form.softcap,
    bias,
    keyBias,
    alibiSlopes:
      alibi &&
      headTensor(
        b,
        alibi.slopes.map((slope) => -slope),
        Hq,
      ),
  };
}

/** Products of a matrix of each query head with one of its key/value head. */
interface HeadProducts {
  /** Rows of head 0, elements between rows, and between heads. */
  readonly a: number;
  readonly aStride: number;
  readonly aHead: number;
  readonly bPack: number;
  readonly bHead: number;
  readonly o: number;
  readonly oStride: number;
  readonly oHead: number;
  readonly m: number;
  readonly k: number;
  readonly n: number;
}

function headProducts(b: Builder, count: number, group: number, call: HeadProducts): void {
  const { aHead, bHead, oHead, ...product } = call;
  for (let g = 0; g < group; ++g) {
    gemm(b, {
      ...product,
      a: call.a + 4 * g * aHead,
      o: call.o + 4 * g * oHead,
      bias: 0,
      activation: 'none',
      batch: [count, group * aHead, bHead, group * oHead],
    });
  }
}

/** Adds the scores, what the subgraphs make of them and their sums of values, some rows at a time. */
function throughMaps(
  b: Builder,
  { q, k, v, o }: Record<'q' | 'k' | 'v' | 'o', Tensor>,
  scale: number,
  scores: Term,
  probs: Term,
): void {
  const [B, Hq, L, E] = q.shape as [number, number, number, number];
  const [, Hkv, S, Ev] = v.shape as [number, number, number, number];
  const [count, group] = [B * Hkv, Hq / Hkv];
  const kPack = b.temporary([count, packedSize(E, S)]);
  const vPack = b.temporary([count, packedSize(S, Ev)]);
  gemmPack(b, k.reshape([count, S, E]), true, kPack.address);
  gemmPack(b, v.reshape([count, S, Ev]), false, vPack.address);
  const step = Math.min(L, Math.max(1, Math.floor(MAP_ELEMENTS / (B * Hq * S))));
  const all = b.temporary([B, Hq, step, S]);
  const constants: Constants = new Map();
  const raw: Term = { kind: 'scores', type: 'float', shape: scores.shape };
  const modified = substituted(scores, apply('mul', 'float', raw, scalar('float', scale))!);
  for (let begin = 0; begin < L; begin += step) {
    const m = Math.min(step, L - begin);
    const shape = [B, Hq, m, S];
    const map = all.restride(shape, contiguousStrides(shape));
    const range = [begin, begin + m] as const;
    const places = { m, bPack: kPack.address, bHead: packedSize(E, S) };
    const queries = { a: q.address + 4 * begin * E, aStride: E, aHead: L * E, k: E };
    headProducts(b, count, group, { ...places, ...queries, o: map.address, oStride: S, oHead: m * S, n: S });
    evaluate(b, expressionOf(b, modified, constants, range), map, map);
    softmax(b, map, {}, map);
    if (probs.kind !== 'scores') evaluate(b, expressionOf(b, probs, constants, range), map, map);
    const values = { m, bPack: vPack.address, bHead: packedSize(S, Ev), k: S, n: Ev };
    const sums = { o: o.address + 4 * begin * Ev, oStride: Ev, oHead: L * Ev };
    headProducts(b, count, group, { ...values, ...sums, a: map.address, aStride: S, aHead: m * S });
  }
  b.note(() => `scores in memory, ${step} rows at a time: score_mod or prob_mod is none that the flash engine takes`);
}

/** A term with another in place of the scores. */
function substituted(term: Term, scores: Term, done = new Map<Term, Term>()): Term {
  if (term.kind !== 'apply') return term.kind === 'scores' ? scores : term;
  const known = done.get(term);
  if (known) return known;
  const made = { ...term, operands: term.operands.map((operand) => substituted(operand, scores, done)) };
  done.set(term, made);
  return made;
}

function plan(b: Builder, inputs: FlexAttentionInputs, attributes: FlexAttentionAttributes): FlexAttentionOutputs {
  expectNames(OP, 'input', inputs, ['Q', 'K', 'V']);
  expectNames(OP, 'option', attributes, ['scale', 'softmax_precision', 'score_mod', 'prob_mod']);
  expectTensors(OP, inputs, ['Q', 'K', 'V']);
  const { Q, K, V } = inputs;
  const sizes = matchShapes<'Q' | 'K' | 'V'>(OP, { Q, K, V }, { Q: 'B Hq L E', K: 'B Hkv S E', V: 'B Hkv S Ev' });
  const { B, Hq, Hkv, L, S, E, Ev } = sizes as Record<'B' | 'Hq' | 'Hkv' | 'L' | 'S' | 'E' | 'Ev', number>;
  expectTypes(OP, { Q }, ['f32', 'f16', 'bf16']);
  expectTypes(OP, { K, V }, [Q.dtype]);
  expectContiguous(OP, { Q, K, V });
  if (Hkv === 0 || Hq % Hkv !== 0) {
    throw new ShapeError(`${OP}: ${Hq} query heads cannot share ${Hkv} key/value heads: Hq must be a multiple of Hkv`);
  }
  if (E < 1 || E > MOST_DIM || Ev < 1 || Ev > MOST_DIM) {
    throw new ShapeError(`${OP}: head dimensions are ${E} and ${Ev}, expected 1 to ${MOST_DIM}`);
  }
  expectFloatType(OP, 'softmax_precision', attributes.softmax_precision);
  const scale = finite(OP, 'scale', attributes.scale, E ** -0.5);
  const shape = [B, Hq, L, S];
  const read = (name: 'score_mod' | 'prob_mod'): Term => {
    const graph = attributes[name];
    return graph === undefined
      ? { kind: 'scores', type: 'float', shape }
      : new GraphReader(`${OP}: ${name}`).read(graph, shape);
  };
  const [scores, probs] = [read('score_mod'), read('prob_mod')];
  const Y = b.output([B, Hq, L, Ev], Q.dtype);
  const to = unrounded(b, Y);
  const form = scoreForm(scores, shape);
  const factor = probFactor(probs);
  if (form && factor) {
    const rows = (x: Tensor) => x.permute([0, 2, 1, 3]);
    attend(b, {
      q: rows(Q),
      k: rows(K),
      v: rows(V),
      o: rows(to),
      scale: scale * form.scale,
      outScale: factor.some((value) => value !== 1) ? headTensor(b, factor, Hq) : undefined,
      ...callOf(b, form, { B, Hq, L, S }),
    });
  } else if (sizeOf(shape) === 0) {
    b.runtime.clear(to.address, to.size * bytesOf(to.dtype));
  } else {
    throughMaps(b, { q: widened(b, Q), k: K, v: V, o: to }, scale, scores, probs);
  }
  round(b, to, Y);
  return { Y };
}

/**
 * Scaled dot-product attention whose scores and weights are changed by subgraphs: Y = prob_mod(softmax(score_mod(scale Q K))) V.
 *
 * Scale, softcap, biases and masks (as `Where` with -Infinity) become options of the flash engine, and those that only compare positions
 * cost nothing for what they hide. What else is made of the nodes that the errors list is computed on the scores in memory, some
 * rows at a time. A row that sees no key gives zeros before prob_mod.
 *
 * Source: ONNX FlexAttention, ai.onnx.preview 1; FlexAttention (Dong 2024).
 *
 * @throws ShapeError, DTypeError, OptionError for operands, attributes or subgraphs that do not fit.
 * @example const { Y } = await FlexAttention({ Q, K, V }, { score_mod: graph })
 */
export function FlexAttention(
  inputs: FlexAttentionInputs,
  attributes: FlexAttentionAttributes = {},
): Promise<FlexAttentionOutputs> {
  return run(OP, inputs, (b) => plan(b, inputs, attributes));
}

/** As `FlexAttention`, to the end before it returns. */
export function FlexAttentionSync(
  inputs: FlexAttentionInputs,
  attributes: FlexAttentionAttributes = {},
): FlexAttentionOutputs {
  return runSync(OP, inputs, (b) => plan(b, inputs, attributes));
}
